"""What a page does, as lines of text: the verdict, its findings, its console, and each of its WebSockets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from wsinspect.doctor.report import report_lines
from wsinspect.formats.secrets import mask_url
from wsinspect.launch.browser.devtools import ConsoleLine
from wsinspect.launch.page import PageExamination
from wsinspect.present.examination import STYLES
from wsinspect.present.findings import finding_lines
from wsinspect.present.terminal import Palette
from wsinspect.text import counted, escape

_SHOWN: int = 12


def page_lines(
    found: PageExamination,
    palette: Palette,
    *,
    include_secrets: bool = False,
    is_verbose: bool = False,
    columns: int | None = None,
) -> Iterator[str]:
    """All of it; each WebSocket below, as a URL's own examination is printed."""
    url = found.url if include_secrets else mask_url(found.url)
    yield from palette.folded([[(escape(found.headline), "title")]], columns)
    yield palette.line([(found.verdict, STYLES[found.verdict]), (f"  {escape(url)}", "")])
    yield ""
    for one in found.findings:
        yield from palette.folded(finding_lines([one], noun="connection"), columns)
        yield ""
    yield from _block("Console", _console(found.visited.lines), palette)
    yield from _block("WebSockets of the page", _sockets(found, include_secrets=include_secrets), palette)
    yield from _block("Notes", map(escape, found.notes()), palette)
    for _, examined in found.examined:
        yield ""
        yield from report_lines(
            examined, palette, include_secrets=include_secrets, is_verbose=is_verbose, columns=columns
        )


def _console(lines: Iterable[ConsoleLine]) -> Iterator[str]:
    """Errors and warnings, and what speaks of sockets."""
    kept = [one for one in lines if one.level != "info" or "socket" in one.text.lower()]
    for one in kept[:_SHOWN]:
        yield f"{one.level}: {escape(one.text)}"
    if len(kept) > _SHOWN:
        yield f"… {counted(len(kept) - _SHOWN, 'more line')}"


def _sockets(found: PageExamination, *, include_secrets: bool) -> Iterator[str]:
    for one in found.visited.sockets:
        url = one.url if include_secrets else mask_url(one.url)
        said = one.error or ("no answer" if one.status is None else f"status {one.status}")
        yield f"{escape(url)}: {escape(said)}"


def _block(title: str, lines: Iterable[str], palette: Palette) -> Iterator[str]:
    for number, line in enumerate(lines):
        if not number:
            yield palette.bold(title)
        yield f"  {line}"
