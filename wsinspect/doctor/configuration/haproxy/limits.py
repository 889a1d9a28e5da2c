"""How long an HAProxy lets a connection be idle, and an answer take, and the lines that change it."""

from __future__ import annotations

from collections.abc import Iterator

from wsinspect.doctor.configuration.haproxy.choice import Found
from wsinspect.doctor.configuration.haproxy.tree import Line, Section, seconds_of
from wsinspect.doctor.configuration.model import RAISED_SECONDS, Defect, Lines


def limits(found: Found) -> Iterator[Defect]:
    """How long a connection may be idle, and an answer may take."""
    backend = found.backend
    if backend is None:
        return
    tunnel = backend.effective("timeout", "tunnel")
    shown = Lines(backend.head.file, found.tree.sources.texts.get(backend.head.file, ""))
    line = f"timeout tunnel {RAISED_SECONDS // 3600}h"
    if tunnel is not None:
        seconds = _limit(tunnel)
        if seconds is not None:
            own = Lines(tunnel.file, found.tree.sources.texts.get(tunnel.file, ""))
            mended = own.replace(tunnel.line, own.indent(tunnel.line) + line)
            yield Defect(
                "idle", f"'{tunnel.text}': silence for that long ends it", tunnel.at, (mended,), seconds
            )
    else:
        mended = shown.insert(backend.head.line + 1, f"{_indent(backend, shown)}{line}")
        for section, side in ((found.frontend, "client"), (backend, "server")):
            one = section.effective("timeout", side)
            seconds = None if one is None else _limit(one)
            if one is not None and seconds is not None:
                words = f"'{one.text}' ends a silent WebSocket, too: there is no 'timeout tunnel'"
                yield Defect("idle", words, one.at, (mended,), seconds)
    for name, words in (
        ("server", "how long the server has to answer"),
        ("connect", "how long connecting may take"),
    ):
        one = backend.effective("timeout", name)
        seconds = None if one is None else _limit(one)
        if one is not None and seconds is not None:
            own = Lines(one.file, found.tree.sources.texts.get(one.file, ""))
            raised = own.replace(
                one.line, f"{own.indent(one.line)}timeout {name} {max(2, round(seconds * 4))}s"
            )
            yield Defect("handshake", f"'{one.text}': {words}", one.at, (raised,), seconds)
    hard = None if found.tree.end is None else next(found.tree.end.all("hard-stop-after"), None)
    if hard is not None and len(hard.words) > 1:
        words = f"'{hard.text}': open connections end that long after each reload"
        yield Defect("reload", words, hard.at, (), seconds_of(hard.words[1]))


def _limit(line: Line) -> float | None:
    return seconds_of(line.words[2]) if len(line.words) > 2 else None


def _indent(section: Section, shown: Lines) -> str:
    return shown.indent(section.lines[0].line) if section.lines else "    "
