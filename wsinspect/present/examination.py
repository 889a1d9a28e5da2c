"""What the doctor found, as text: the verdict in words first, then evidence, what was asked and ruled out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from wsinspect.findings.model import Finding
from wsinspect.present.cells import flow
from wsinspect.present.findings import finding_lines
from wsinspect.present.terminal import Palette
from wsinspect.text import cell_width, escape, escape_lines, pad
from wsinspect.units import format_milliseconds

#: The style of each verdict.
STYLES: Final = {"healthy": "title", "degraded": "warn", "failing": "error", "unreachable": "error"}
_BODY_LINES: Final = 12


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
) -> Iterator[str]:
    """All of it.

    Args:
        curl: a command that asks the first question again.
        columns: where sentences are broken; None leaves them whole.
        held: what became of connections that were held open.
    """
    yield palette.line([(verdict, STYLES.get(verdict, "")), (f"  {escape(url)}", "")])
    yield from palette.folded([[(escape(headline), "title")]], columns)
    yield ""
    for one in findings:
        yield from palette.folded(finding_lines([one], noun="probe"), columns)
        yield ""
    yield from _block("Asked", _asked(probes), palette)
    yield from _block("Held open", _broken(held, columns), palette)
    yield from _block("Ruled out", _broken(ruled_out, columns), palette)
    yield from _block("Try next", _broken(next_steps, columns), palette)
    yield from _block("As curl", [escape(curl)] if curl else [], palette)
    if is_verbose:
        for probe in probes:
            yield ""
            yield from _bytes(probe, palette)


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
