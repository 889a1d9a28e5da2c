"""A finding as lines, once, for commands and timeline; and a whole diagnosis, errors first."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from wsinspect.capture.records import FindingRow
from wsinspect.findings.alike import alike
from wsinspect.findings.model import CONFIDENCES, SEVERITIES, Cause, FaultOf, Finding, Fix
from wsinspect.findings.software import NAMES
from wsinspect.present.cells import Line
from wsinspect.present.clients import clients_lines
from wsinspect.present.notes import SEVERITY_STYLES
from wsinspect.present.sandwich import sandwich_lines
from wsinspect.present.story import story_lines
from wsinspect.text import counted, escape, escape_lines

_CONNECTIONS = 12
#: How many clients are printed, each with its grade.
_CLIENTS = 4
#: Cells of the names in front of evidence, causes and fixes.
_NAME_CELLS = 11


def finding_lines(
    group: Sequence[Finding], label: str | None = None, *, noun: str = "connection"
) -> Iterator[Line]:
    """Findings that are the same but for their connection: the first one's evidence stands for all.

    Args:
        label: what stands in front; its severity by default.
        noun: what the connection is called.
    """
    one = group[0]
    hop = f"  [{escape(one.hop)}]" if one.hop else ""
    yield [
        (label or one.severity, SEVERITY_STYLES[one.severity]),
        (f"  {escape(one.id)}  ", ""),
        (escape(one.title), "title"),
        (hop, ""),
    ]
    where = f"{_where(group, noun)}fault of the {escape(one.fault_of)}, confidence {escape(one.confidence)}"
    yield [("  ", ""), (where, "")]
    if one.meaning:
        yield [("  ", ""), (escape(one.meaning), "")]
    for index, line in enumerate(one.evidence):
        yield _named("seen" if index == 0 else "", escape(line))
    if one.js:
        yield _named("JavaScript", escape(one.js))
    for index, cause in enumerate(one.causes):
        words = f"{escape(cause.cause)} (to check: {escape(cause.tell_apart)})"
        yield _named("either" if index == 0 else "or", words)
    for fix in one.fixes:
        first, *rest = escape_lines(fix.text)
        yield _named("fix", f"{escape(NAMES.get(fix.for_, fix.for_))}: {first}", "title")
        yield from (_named("", line) for line in rest)
        if fix.proven is not None and not any(line.startswith("proven:") for line in one.evidence):
            tried = fix.proven
            yield _named(
                "proven",
                escape(f"{tried.program} {tried.version}, before: {tried.before}, after: {tried.after}"),
                "title",
            )


def _named(name: str, words: str, style: str = "muted") -> Line:
    return [("  ", ""), (name, style), (" " * (_NAME_CELLS - len(name)), ""), (words, "")]


def _where(group: Sequence[Finding], noun: str) -> str:
    ids = [one.connection for one in group if one.connection is not None]
    if not ids:
        return ""
    frame = f", frame {group[0].frame}" if group[0].frame is not None else ""
    if len(ids) == 1:
        return f"{noun} {ids[0]}{frame}; "
    more = " ..." if len(ids) > _CONNECTIONS else ""
    return f"{len(ids)} {noun}s ({', '.join(map(str, ids[:_CONNECTIONS]))}{more}); "


def finding_of(row: FindingRow) -> Finding:
    """The finding in a row of a capture that may be a stranger's: what is not there is empty."""
    facts = finding_facts(row)
    return Finding(
        id=row.rule,
        severity=row.severity if row.severity in SEVERITIES else "note",
        fault_of=cast(FaultOf, _text(facts, "fault_of") or "network"),
        hop=_text(facts, "hop") or None,
        title=_text(facts, "title"),
        meaning=_text(facts, "meaning"),
        js=_text(facts, "js"),
        confidence=sure if (sure := _text(facts, "confidence")) in CONFIDENCES else "low",
        evidence=tuple(map(str, _items(facts, "evidence"))),
        fixes=tuple(map(Fix.from_json, _objects(facts, "fixes"))),
        causes=tuple(
            Cause(_text(one, "cause"), _text(one, "tell_apart")) for one in _objects(facts, "causes")
        ),
        connection=row.connection_id,
        frame=row.frame_id,
    )


def finding_facts(finding: FindingRow) -> dict[str, Any]:
    """The object in a finding's `detail`."""
    try:
        facts = json.loads(finding.detail)
    except (TypeError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _text(facts: Mapping[str, Any], name: str) -> str:
    value = facts.get(name)
    return "" if value is None else str(value)


def _items(facts: Mapping[str, Any], name: str) -> list[Any]:
    value = facts.get(name)
    return value if isinstance(value, list) else []


def _objects(facts: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    return [one for one in _items(facts, name) if isinstance(one, dict)]


def stories(result: Any) -> Iterator[Line]:
    """What was done on purpose, in either capture of a diagnosis; an empty line behind each."""
    if result.story is not None:
        yield from story_lines(result.story)
        yield []
    if result.origin_story is not None:
        yield from story_lines(result.origin_story, f" behind the hop ({result.origin})")
        yield []


def diagnosis_lines(result: Any) -> Iterator[Line]:
    """A diagnosis: what was done on purpose comes first."""
    yield from stories(result)
    front = list(_groups(result.findings))
    behind = list(_groups(result.origin_findings))
    title: Line = [(f"Behind the hop ({escape(str(result.origin))})", "title")]
    # What matters more comes first, wherever it was seen.
    if behind and _worst(result.origin_findings) < _worst(result.findings):
        yield from (title, *behind)
        if front:
            yield [(f"Before the hop ({escape(str(result.file))})", "title")]
            yield from front
    else:
        yield from (*front, *((title, *behind) if behind else ()))
    sandwiches = list(sandwich_lines(result.pairs))
    yield from sandwiches
    yield from [[]] if sandwiches else []
    yield from clients_lines(result.clients[:_CLIENTS])
    if (left := len(result.clients) - _CLIENTS) > 0:
        yield [(f"and {counted(left, 'more client')} with a grade (wsinspect show --sessions)", "muted")]
    if result.nothing is not None:
        yield [(escape(f"Nothing to diagnose: {result.nothing.reason}"), "")]
        yield _named("try", escape(result.nothing.advice), "title")
        return
    every = (*result.findings, *result.origin_findings)
    counts = {name: sum(one.severity == name for one in every) for name in SEVERITY_STYLES}
    said = ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts.items() if count)
    looked = f"{result.connections} connection{'' if result.connections == 1 else 's'} looked at"
    yield [(f"{said or _all_is_well(result)}; {looked}", "")]


def _worst(findings: Sequence[Finding]) -> int:
    """The place of the worst severity, from 0 for an error; behind all of them where there is none."""
    names = list(SEVERITY_STYLES)
    return min((names.index(one.severity) for one in findings), default=len(names))


def _all_is_well(result: Any) -> str:
    """Nobody is to take what is not there for something that was looked at."""
    words = "No problems found"
    if result.missing is not None:
        return f"{words} in what was stored"
    if result.notes or result.is_imported:
        return f"{words} in what the file contains"
    return f"{words} so far" if result.is_live else words


def _groups(findings: Sequence[Finding]) -> Iterator[Line]:
    for group in alike(findings):
        yield from finding_lines(group)
        yield []
