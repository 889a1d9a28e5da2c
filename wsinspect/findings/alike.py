"""Findings that say the same of several connections, together: a cause is read once, not once an attempt.

Two say the same where rule, hop, severity and title agree; durations in a title may differ by as much as two
silences that one limit made (`SPREAD`), and the title that is shown then has the span: `after 6.78 to 7 s`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
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


class Said(NamedTuple):
    """What makes findings the same to a reader, but for durations in the title."""

    rule: str
    hop: str | None
    severity: str
    title: str

    @property
    def kind(self) -> Said:
        """The same without the durations."""
        return self._replace(title=_read(self.title).words)


def alike(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Groups of findings that say the same, in the order of their first ones, which stand for all.

    The first of a group whose durations differ has a title with the span of them.
    """
    ones = list(findings)
    places = groups_of([Said(one.id, one.hop, one.severity, one.title) for one in ones])
    return [spanned([ones[place] for place in group]) for group in places]


def groups_of(said: Sequence[Said]) -> list[list[int]]:
    """The places of what says the same, in the order of the first ones."""
    kinds: dict[Said, list[tuple[tuple[int, ...], int]]] = {}
    for place, one in enumerate(said):
        words, durations = _read(one.title)
        kinds.setdefault(one._replace(title=words), []).append((durations, place))
    groups = [sorted(cluster) for ones in kinds.values() for cluster in _clusters(ones)]
    return sorted(groups)


def spanned(group: Sequence[Finding]) -> list[Finding]:
    """A group whose titles differ in durations alone; the first one's title has the span of them all."""
    return [replace(group[0], title=_with_span(group)), *group[1:]]


@lru_cache(4096)
def _read(title: str) -> _Read:
    durations = tuple(
        parse_duration(match[1] + match[2]) + _more(match) for match in _DURATION.finditer(title)
    )
    return _Read(_DURATION.sub("\0", title), durations)


def _more(match: re.Match[str]) -> int:
    return parse_duration(match[3] + match[4]) if match[3] else 0


def _clusters(ones: list[tuple[tuple[int, ...], int]]) -> list[list[int]]:
    """Places of those whose durations are all within the spread of those of the group's shortest."""
    clusters: list[list[int]] = []
    shortest: tuple[int, ...] = ()
    for durations, place in sorted(ones):
        if clusters and all(map(_is_near, shortest, durations)):
            clusters[-1].append(place)
        else:
            clusters.append([place])
            shortest = durations
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
