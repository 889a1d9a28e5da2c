"""Findings that say the same of several connections, together: a cause is read once, not once an attempt.

Two say the same where rule, hop, severity, title and the words of a peer that they quote agree (a 500 and a
501, or two close reasons, are two things); numbers within those words may differ. Durations in a title may
differ by as much as two silences that one limit made (`SPREAD`), and the title that is shown then has the
span: `after 6.78 to 7 s`.
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


#: Lines of evidence that quote a peer: a status line, an answer's body, a CLOSE frame.
_QUOTING: Final = re.compile(
    r"(?:HTTP/\d(?:\.\d)? \d{3}\b|the answer says: |the (?:client|server) closed with |right before it: )"
)
#: A word with a digit in it: an id, a time, a name with a number. Statuses and codes stand in front.
_NUMBERED: Final = re.compile(r"[\w-]*\d[\w:.-]*", re.ASCII)
_STATUS: Final = re.compile(r"HTTP/\S+ \d{3}|the \w+ closed with (?:\d{4})?", re.ASCII)
#: More different words of one finding are no different causes: there is a name in them.
_MOST_WORDINGS: Final = 6


def words_of(evidence: Iterable[str]) -> tuple[str, ...]:
    """What a finding quotes of its peers, without the numbers in it: two with other words are two causes."""
    return tuple(map(_without_numbers, filter(_QUOTING.match, evidence)))


def _without_numbers(line: str) -> str:
    front = _STATUS.match(line)
    kept = front[0] if front else ""
    behind = re.sub(r" after [^']*$", "", line[len(kept) :])
    return kept + _NUMBERED.sub("\0", behind)


class Said(NamedTuple):
    """What makes findings the same to a reader, but for durations in the title.

    Attributes:
        words: quoted from a peer, as `words_of` has them.
    """

    rule: str
    hop: str | None
    severity: str
    title: str
    words: tuple[str, ...] = ()

    @property
    def kind(self) -> Said:
        """The same without the durations."""
        return self._replace(title=_read(self.title).words)


def alike(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Groups of findings that say the same, in the order of their first ones, which stand for all.

    The first of a group whose durations differ has a title with the span of them.
    """
    ones = list(findings)
    places = groups_of(
        [Said(one.id, one.hop, one.severity, one.title, words_of(one.evidence)) for one in ones]
    )
    return [spanned([ones[place] for place in group]) for group in places]


def groups_of(said: Sequence[Said]) -> list[list[int]]:
    """The places of what says the same, in the order of the first ones."""
    kinds: dict[Said, list[tuple[tuple[int, ...], int]]] = {}
    wordings: dict[Said, set[tuple[str, ...]]] = {}
    for one in said:
        wordings.setdefault(one.kind._replace(words=()), set()).add(one.words)
    for place, one in enumerate(said):
        kind, durations = one.kind, _read(one.title).durations
        bare = kind._replace(words=())
        key = kind if len(wordings[bare]) <= _MOST_WORDINGS else bare
        kinds.setdefault(key, []).append((durations, place))
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
