"""Findings that say the same of several connections, together: a cause is read once, not once an attempt.

Two say the same where rule, hop, severity and title agree; durations in a title may differ by as much as two
silences that one limit made (`SPREAD`), and the title that is shown then has the span: `after 6.78 to 7 s`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from wsinspect.findings.model import Finding
from wsinspect.units import parse_duration

#: How much longer than the shortest one a duration may be: equal silences are within 10 % (docs/findings.md).
SPREAD: Final = 1.1
#: As `format_duration` writes them: one number, or two with units.
_UNITS: Final = "us|ms|s|min|h|d"
_DURATION: Final = re.compile(
    rf"(?<![\w.,:/-])(\d+(?:\.\d+)?) ({_UNITS})(?: (\d+) ({_UNITS}))?(?![\w/])", re.ASCII
)


class _Read(NamedTuple):
    """A title without its durations, and these in nanoseconds."""

    words: str
    durations: tuple[int, ...]


def alike(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Groups of findings that say the same, in the order of their first ones, which stand for all.

    The first of a group whose durations differ has a title with the span of them.
    """
    kinds: dict[tuple[str, str | None, str, str], list[tuple[int, Finding, tuple[int, ...]]]] = {}
    for place, one in enumerate(findings):
        words, durations = _read(one.title)
        kinds.setdefault((one.id, one.hop, one.severity, words), []).append((place, one, durations))
    groups = []
    for ones in kinds.values():
        for cluster in _clusters(ones):
            cluster.sort(key=lambda item: item[0])
            members = [one for _, one, _ in cluster]
            members[0] = replace(members[0], title=_with_span(members))
            groups.append((cluster[0][0], members))
    return [members for _, members in sorted(groups, key=lambda group: group[0])]


def _read(title: str) -> _Read:
    durations = tuple(
        parse_duration(match[1] + match[2]) + _more(match) for match in _DURATION.finditer(title)
    )
    return _Read(_DURATION.sub("\0", title), durations)


def _more(match: re.Match[str]) -> int:
    return parse_duration(match[3] + match[4]) if match[3] else 0


def _clusters(
    ones: Sequence[tuple[int, Finding, tuple[int, ...]]],
) -> list[list[tuple[int, Finding, tuple[int, ...]]]]:
    """Those whose durations are all within the spread of those of the group's shortest."""
    clusters: list[list[tuple[int, Finding, tuple[int, ...]]]] = []
    for item in sorted(ones, key=lambda item: item[2]):
        shortest = clusters[-1][0][2] if clusters else ()
        if clusters and all(map(_is_near, shortest, item[2])):
            clusters[-1].append(item)
        else:
            clusters.append([item])
    return clusters


def _is_near(one: int, other: int) -> bool:
    return max(one, other) <= min(one, other) * SPREAD


def _with_span(members: Sequence[Finding]) -> str:
    """The first title, each duration that differs as the span of them all."""
    if len({one.title for one in members}) == 1:
        return members[0].title
    columns = zip(*(list(_DURATION.finditer(one.title)) for one in members), strict=True)
    spans = iter([_span([match[0] for match in column]) for column in columns])
    return _DURATION.sub(lambda _: next(spans), members[0].title)


def _span(written: Sequence[str]) -> str:
    """`6.78 to 7 s` of `7 s`, `6.8 s` and `6.78 s`."""
    values = {text: _read(text).durations[0] for text in written}
    least, most = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    if values[least] == values[most]:
        return least
    number, *units = least.split(" ")
    # Both in one unit: it is said once.
    return f"{number} to {most}" if most.split(" ")[1:] == units else f"{least} to {most}"
