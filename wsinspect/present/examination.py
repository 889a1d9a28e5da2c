"""What the doctor found, as text: the verdict in words first, then evidence, what was asked and ruled out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from wsinspect.findings.model import Finding
from wsinspect.present.cells import flow
from wsinspect.present.findings import finding_lines
from wsinspect.present.terminal import Palette
from wsinspect.text import cell_width, escape, escape_lines, pad, truncate
from wsinspect.units import format_milliseconds

#: The style of each verdict.
STYLES: Final = {"healthy": "title", "degraded": "warn", "failing": "error", "unreachable": "error"}
_BODY_LINES: Final = 12
#: What `Palette` writes.
_SGR: Final = re.compile(r"\x1b\[[0-9;]*m")


class ProbeLine(NamedTuple):
    """One question in a line, and its bytes for `--verbose`.

    Attributes:
        sent: the request; None where nothing could be sent.
        received: what came of a response, header block and body.
    """

    number: int
    asks: str
    outcome: str
    ms: float | None
    sent: bytes | None = None
    received: bytes = b""


def examination_lines(
    url: str,
    verdict: str,
    headline: str,
    findings: Sequence[Finding],
    probes: Sequence[ProbeLine],
    palette: Palette,
    *,
    ruled_out: Sequence[str] = (),
    next_steps: Sequence[str] = (),
    curl: str = "",
    held: Sequence[str] = (),
    is_verbose: bool = False,
    columns: int | None = None,
    rows: int | None = None,
) -> Iterator[str]:
    """All of it; where a screen is too small for that, what is wrong, and what to do.

    Args:
        curl: a command that asks the first question again.
        columns: where sentences are broken; None leaves them whole.
        held: what became of connections that were held open.
        rows: of the screen; None is a pipe.
    """
    head = [
        *palette.folded([[(escape(headline), "title")]], columns),
        palette.line([(verdict, STYLES.get(verdict, "")), (f"  {escape(url)}", "")]),
        "",
    ]
    whole = [*head]
    for one in findings:
        whole += [*palette.folded(finding_lines([one], noun="probe"), columns), ""]
    whole += _block("Asked", _asked(probes), palette)
    whole += _block("Held open", _broken(held, columns), palette)
    whole += _block("Ruled out", _broken(ruled_out, columns), palette)
    whole += _block("Try next", _broken(next_steps, columns), palette)
    whole += _block("As curl", [escape(curl)] if curl else [], palette)
    if is_verbose:
        for probe in probes:
            whole += ["", *_bytes(probe, palette)]
    if rows is None or columns is None or is_verbose or _rows_of(whole, columns) < rows:
        yield from whole
        return
    yield from head
    room = rows - 1 - _rows_of(head, columns)
    yield from _screen(findings, ruled_out, next_steps, curl, palette, columns, room)


def _rows_of(lines: Iterable[str], columns: int) -> int:
    """Rows of a screen; a longer line takes several."""
    return sum(1 + (cell_width(_SGR.sub("", line)) - 1) // columns if line else 1 for line in lines)


def _screen(
    findings: Sequence[Finding],
    ruled_out: Sequence[str],
    next_steps: Sequence[str],
    curl: str,
    palette: Palette,
    columns: int,
    room: int,
) -> Iterator[str]:
    """The first finding with its fix, and of the rest what there is room for, what to do next first."""
    first = [
        line
        for one in findings[:1]
        for line in palette.folded(finding_lines([_short(one)], noun="probe"), columns)
    ]
    others = [f"{one.severity}  {escape(one.id)}  {escape(one.title)}" for one in findings[1:]]
    more = "-v shows all findings whole, what was asked, with the bytes, and the same as a curl command"
    blocks = {
        "also": [truncate(line, columns) for line in others],
        "ruled out": [
            *_block("Ruled out", _broken(["; ".join(ruled_out)] if ruled_out else [], columns), palette)
        ],
        "next": [*_block("Try next", _broken(next_steps, columns), palette)],
        "curl": [*_block("As curl", [escape(curl)] if curl else [], palette)],
    }
    footer = flow(more, columns)
    room -= _rows_of(first, columns) + len(footer)
    kept = set()
    for name in ("next", "also", "curl", "ruled out"):
        rows = _rows_of(blocks[name], columns)
        if rows <= room:
            room -= rows
            kept.add(name)
    yield from first
    for name, lines in blocks.items():
        if name in kept:
            yield from lines
    yield from footer


def _short(one: Finding) -> Finding:
    """What fits a screen: what was seen, the causes, the fix for the software that was recognised."""
    return replace(
        one, meaning="", js="", evidence=one.evidence[:4], causes=one.causes[:3], fixes=one.fixes[:1]
    )


def _block(title: str, lines: Iterable[str], palette: Palette) -> Iterator[str]:
    for number, line in enumerate(lines):
        if not number:
            yield palette.bold(title)
        yield f"  {line}"


def _broken(sentences: Sequence[str], columns: int | None) -> Iterator[str]:
    for one in sentences:
        yield from [escape(one)] if columns is None else flow(escape(one), columns - 2)


def _asked(probes: Sequence[ProbeLine]) -> Iterator[str]:
    asks = [escape(one.asks) for one in probes]
    width = min(60, max(map(cell_width, asks), default=0))
    for one, words in zip(probes, asks, strict=True):
        took = "" if one.ms is None else f", {format_milliseconds(one.ms)}"
        yield f"{one.number:>2}  {pad(words, width)}  {escape(one.outcome)}{took}"


def _bytes(probe: ProbeLine, palette: Palette) -> Iterator[str]:
    yield palette.bold(f"Probe {probe.number}: {escape(probe.asks)}")
    for mark, data in ((">", probe.sent or b""), ("<", probe.received)):
        lines = escape_lines(data.rstrip(b"\r\n").decode("utf-8", "backslashreplace")) if data else []
        head = lines.index("") if "" in lines else len(lines)
        shown = lines[: head + 1 + _BODY_LINES]
        yield from (f"  {mark} {line}".rstrip() for line in shown)
        if len(shown) < len(lines):
            yield f"  {mark} … {len(lines) - len(shown)} more lines"
