"""Findings as lines for people: equal ones together, errors first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from wsinspect.findings.model import Finding
from wsinspect.findings.software import NAMES
from wsinspect.present.sandwich import sandwich_lines
from wsinspect.present.terminal import Palette
from wsinspect.text import escape, escape_lines

_COLOURS = {"error": 31, "warning": 33, "note": 36}
_CONNECTIONS = 12


def finding_lines(result: Any, palette: Palette) -> Iterator[str]:
    """A diagnosis."""
    yield from _groups(result.findings, palette)
    if result.origin_findings:
        yield palette.bold(f"Behind the hop ({escape(str(result.origin))})")
        yield from _groups(result.origin_findings, palette)
    told = list(sandwich_lines(result.pairs, palette))
    yield from told
    yield from [""] if told else []
    counts = {name: sum(one.severity == name for one in result.findings) for name in _COLOURS}
    said = ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts.items() if count)
    looked = f"{result.connections} connection{'' if result.connections == 1 else 's'} looked at"
    yield f"{said or 'Nothing wrong found'}; {looked}"


def _groups(findings: Sequence[Finding], palette: Palette) -> Iterator[str]:
    groups: dict[tuple[str, str | None, str, str], list[Finding]] = {}
    for one in findings:
        groups.setdefault((one.id, one.hop, one.title, one.severity), []).append(one)
    for group in groups.values():
        yield from group_lines(group, palette)
        yield ""


def group_lines(group: list[Finding], palette: Palette) -> Iterator[str]:
    """Findings that are the same but for their connection: the first one's evidence stands for all."""
    one = group[0]
    label = palette.paint(one.severity, _COLOURS[one.severity], 1)
    hop = f"  [{escape(one.hop)}]" if one.hop else ""
    yield f"{label}  {one.id}  {palette.bold(escape(one.title))}{hop}"
    yield f"  {_where(group)}fault of the {escape(one.fault_of)}, confidence {escape(one.confidence)}"
    yield f"  {escape(one.meaning)}"
    for index, line in enumerate(one.evidence):
        yield f"  {'seen' if index == 0 else '':<11}{escape(line)}"
    yield f"  {'JavaScript':<11}{escape(one.js)}"
    for index, cause in enumerate(one.causes):
        word = "either" if index == 0 else "or"
        yield f"  {word:<11}{escape(cause.cause)} (to tell: {escape(cause.tell_apart)})"
    for fix in one.fixes:
        first, *rest = escape_lines(fix.text)
        yield f"  {palette.bold('fix')}        {escape(NAMES.get(fix.for_, fix.for_))}: {first}"
        yield from (f"             {line}" for line in rest)


def _where(group: list[Finding]) -> str:
    ids = [one.connection for one in group if one.connection is not None]
    if not ids:
        return ""
    frame = f", frame {group[0].frame}" if group[0].frame is not None else ""
    if len(ids) == 1:
        return f"connection {ids[0]}{frame}; "
    more = " ..." if len(ids) > _CONNECTIONS else ""
    return f"{len(ids)} connections ({', '.join(map(str, ids[:_CONNECTIONS]))}{more}); "
