"""What the rules say of a capture now, where more is known with every look.

A judgement is what one look at some connections found: a single one, those at the taps around a hop, or all
of a capture. It takes the place of earlier judgements of the same connections. A finding stands while a
judgement says it and none covers it. So nothing that was said too early stays, and what was once explained by
another finding comes back when that one no longer holds. Pure.

Bounded: the oldest judgements are forgotten; what they said stands as it was last written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from wsinspect.findings.model import Finding

#: Of a finding: the connection, None where it is about all of the capture, and the rule.
Place = tuple[int | None, str]
#: How many judgements of connections are remembered.
KEPT: Final = 5_000
_CAPTURE: Final = "capture"


class _Judgement(NamedTuple):
    numbers: frozenset[int]
    findings: tuple[Finding, ...]


class Standing:
    """See the module docstring."""

    def __init__(self) -> None:
        self._judgements: dict[Hashable, _Judgement] = {}
        self._of: dict[int, Hashable] = {}
        self._by_place: dict[Place, list[Finding]] = {}
        self._covered: Counter[Place] = Counter()
        self._touched: set[Place] = set()

    def judge(self, numbers: Collection[int], findings: Sequence[Finding]) -> set[int]:
        """Everything that is to be said of these connections, seen together.

        Returns:
            Other connections that an earlier judgement saw together with them: to be judged again.
        """
        again: set[int] = set()
        for number in numbers:
            key = self._of.get(number)
            if key is not None:
                again |= self._judgements[key].numbers
                self._drop(key)
        if findings:
            self._add(min(numbers), _Judgement(frozenset(numbers), tuple(findings)))
            self._of.update(dict.fromkeys(numbers, min(numbers)))
            self._forget()
        return again.difference(numbers)

    def judge_capture(self, findings: Sequence[Finding], oldest: int) -> None:
        """Everything that a look at the newest connections and at the engine's events found.

        Args:
            oldest: the first connection that was looked at: what was said of earlier ones still holds.
        """
        before = self._judgements.get(_CAPTURE, _Judgement(frozenset(), ())).findings
        # Of a series whose first attempts are no longer looked at, only its earlier name says where it began.
        known = {
            key_of(one): one
            for one in reversed(before)
            if one.connection is not None and one.connection < oldest
        }
        # Two of one rule may have one key; an object that stood twice could not be taken away twice.
        found = [known.pop(key_of(one), one) for one in findings]
        keys = set(map(key_of, found))
        aged = [
            one
            for one in before
            if (one.connection is None or one.connection < oldest) and key_of(one) not in keys
        ]
        if before:
            self._drop(_CAPTURE)
        self._add(_CAPTURE, _Judgement(frozenset(), (*aged[-KEPT:], *found)))

    def take_touched(self) -> set[Place]:
        """The places of which something may be said now that was not, or no longer, since the last call."""
        touched, self._touched = self._touched, set()
        return touched

    def touch(self, places: Iterable[Place]) -> None:
        """Compare these again, too."""
        self._touched.update(places)

    def at(self, place: Place) -> list[Finding]:
        """What stands at a place, each finding once."""
        if self._covered[place]:
            return []
        return each_once(self._by_place.get(place, ()))

    def knows(self, number: int) -> bool:
        """Whether the last judgement of a connection is remembered."""
        return number in self._of

    def _add(self, key: Hashable, judgement: _Judgement) -> None:
        self._judgements[key] = judgement
        for one in judgement.findings:
            self._by_place.setdefault(place_of(one), []).append(one)
            self._covered.update(one.covers)
            self._touch(one)

    def _drop(self, key: Hashable) -> None:
        judgement = self._judgements.pop(key)
        for number in judgement.numbers:
            del self._of[number]
        for one in judgement.findings:
            place = place_of(one)
            left = [other for other in self._by_place[place] if other is not one]
            if left:
                self._by_place[place] = left
            else:
                del self._by_place[place]
            self._covered.subtract(one.covers)
            self._touch(one)
        for place in {cover for one in judgement.findings for cover in one.covers}:
            if not self._covered[place]:
                del self._covered[place]

    def _touch(self, finding: Finding) -> None:
        self._touched.add(place_of(finding))
        self._touched.update(finding.covers)

    def _forget(self) -> None:
        """What was said of the connections that were judged longest ago stands as it is written."""
        while len(self._judgements) > KEPT:
            oldest = next(key for key in self._judgements if key != _CAPTURE)
            touched = set(self._touched)
            self._drop(oldest)
            self._touched = touched


def each_once(findings: Iterable[Finding]) -> list[Finding]:
    """Without those that say nothing that another one does not; of one rule several may be said of a
    connection, such as of both its directions."""
    found: dict[Finding, Finding] = {}
    for one in findings:
        found.setdefault(replace(one, covers=()), one)
    return list(found.values())


def place_of(finding: Finding) -> Place:
    """Where a finding stands: what a line takes back stood at one place."""
    return finding.connection, finding.id


def key_of(finding: Finding) -> tuple[int | None, str, str]:
    """By what a finding may take the place of one before: pages and TLS clients are told apart by their
    evidence, what one rule says several times of a connection by its order.

    So are series of attempts: which of them a look at a growing series names first may change.
    """
    family, first = finding.id.split("-")[1], finding.evidence[0] if finding.evidence else ""
    if family == "RC":
        return None, finding.id, first
    is_own = finding.connection is None and family in ("PAGE", "TLS")
    return finding.connection, finding.id, first if is_own else ""
