"""What the doctor found, as text: the verdict in words first, then evidence, what was asked and ruled out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    if rows is None or columns is None or is_verbose or rows_of(whole, columns) < rows:
        yield from whole
        return
    if rows_of(head, columns) > rows // 4:
        short = truncate(escape(headline), (rows // 4 - 2) * columns - columns // 2)
        head = [*palette.folded([[(short, "title")]], columns), *head[-2:]]
    yield from head
    room = rows - 1 - rows_of(head, columns)
    if findings:  # what the headline says already needs no second place
        seen = tuple(line for line in findings[0].evidence if line not in headline)
        findings = [replace(findings[0], evidence=seen), *findings[1:]]
    yield from _screen(findings, ruled_out, next_steps, curl, palette, columns, room)


def rows_of(lines: Iterable[str], columns: int) -> int:
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
    blocks = {
        "next": [*_block("Try next", _broken(next_steps, columns), palette)],
        "curl": [*_block("As curl", [escape(curl)] if curl else [], palette)],
        "ruled out": [
            *_block("Ruled out", _broken(["; ".join(ruled_out)] if ruled_out else [], columns), palette)
        ],
    }
    yield from screen_lines(findings, blocks, palette, columns, room)


def screen_lines(
    findings: Sequence[Finding],
    blocks: Mapping[str, Sequence[str]],
    palette: Palette,
    columns: int,
    room: int,
    essential: str = "",
) -> Iterator[str]:
    """What fits: the first finding, as short as it has to be, then whatever there is room for.

    Args:
        findings: most likely cause first.
        blocks: more, the most important first; the other findings come right after the first of them.
        room: rows that are left.
        essential: a block that the first finding leaves room for.
    """
    footer = flow(_MORE, columns)
    room -= len(footer)
    first = list(_first(findings, palette, columns, room - rows_of(blocks.get(essential, ()), columns)))
    others = [f"{one.severity}  {escape(one.id)}  {escape(one.title)}" for one in findings[1:]]
    names = [*blocks]
    names.insert(1, "also")
    every = {**blocks, "also": [truncate(line, columns) for line in others]}
    room -= rows_of(first, columns)
    kept = set()
    for name in names:
        rows = rows_of(every[name], columns)
        if rows <= room:
            room -= rows
            kept.add(name)
    yield from first
    for name in (
        "also",
        *(one for one in _SHOWN_ORDER if one in every),
        *(n for n in blocks if n not in _SHOWN_ORDER),
    ):
        if name in kept:
            yield from every[name]
    yield from footer


def _first(findings: Sequence[Finding], palette: Palette, columns: int, room: int) -> Iterator[str]:
    """The first finding with as much of its evidence, causes and fix as there is room for."""
    lines: list[str] = []
    for evidence, causes, fix in _SHORTER:
        lines = [
            line
            for one in findings[:1]
            for line in palette.folded(
                finding_lines([_short(one, evidence, causes, fix)], noun="probe"), columns
            )
        ]
        if rows_of(lines, columns) <= room:
            break
    yield from lines


#: Lines of evidence, causes, and lines of the fix, from much to little.
_SHORTER: Final = (
    *((4, 3, 99), (3, 3, 99), (2, 2, 99), (4, 3, 8), (3, 2, 8), (2, 2, 8), (1, 2, 8), (1, 1, 99)),
    *((1, 1, 8), (1, 0, 5), (1, 0, 2)),
)
_SHOWN_ORDER: Final = ("ruled out", "next", "curl")
_MORE: Final = "-v shows all findings whole, what was asked, with the bytes, and the same as a curl command"
#: Cells of a sentence on a screen that is too small for all of it.
_SENTENCE: Final = 240


def _short(one: Finding, evidence: int, causes: int, lines: int) -> Finding:
    """What fits a screen: what was seen, the causes, the fix for the software that was recognised."""
    return replace(
        one,
        meaning="",
        js="",
        title=truncate(one.title, _SENTENCE),
        evidence=tuple(truncate(line, _SENTENCE) for line in one.evidence[:evidence]),
        causes=one.causes[:causes],
        fixes=tuple(replace(fix, text=_cut(fix.text, lines)) for fix in one.fixes[:1]),
    )


def _cut(text: str, most: int) -> str:
    """The first lines; of a diff what changes comes before what is around it."""
    lines = text.split("\n")
    if len(lines) <= most:
        return text
    if any(line.startswith("@@") for line in lines):
        head = next(number for number, line in enumerate(lines) if line.startswith("--- "))
        changed = [line for line in lines if line[:1] in ("+", "-") and line[:3] not in ("+++", "---")]
        lines = [*lines[:head], *changed]
    if len(lines) <= most:
        return "\n".join(lines)
    return "\n".join((*lines[: most - 1], f"… {len(lines) - most + 1} more lines"))


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
