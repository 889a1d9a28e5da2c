"""What ends without a CLOSE frame have in common: one length of silence, one age, both, or neither. Pure.

A limit is a hypothesis, as in `held`: what was silent for longer, or lived longer, and was not ended refutes
it. Equal silences show an idle timeout and equal ages a limit on the lifetime only where the other of the two
does not explain the same ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from wsinspect.findings.evidence import answer_marks
from wsinspect.findings.facts import C2S, S2C, SECOND_NS, ConnectionFacts, Other
from wsinspect.findings.lag import COARSE_NS
from wsinspect.findings.rules.keepalive import beat_ns
from wsinspect.wire.opcodes import Direction

LEAST_SILENCE_NS: Final = 900_000_000
#: Silences that differ by at most this are equal.
EQUAL: Final = 0.10
#: Ends closer together than this are one event, and prove no timer.
TOGETHER_NS: Final = 300_000_000
_SIDES: Final = (None, S2C, C2S)
#: Envoy ends a stream, and closes TCP this long after it (delayed_close_timeout, docs of its HTTP connection
#: manager): no silence that it counted.
_DELAYED_CLOSE_NS: Final = SECOND_NS


def equal_silences(facts: ConnectionFacts) -> tuple[int, Direction | None, list[Other]] | None:
    """Others that ended after the same silence, at another moment; None where there are none, or where one of
    them, or this connection, had been silent for longer and lived on.

    Returns:
        The silence in nanoseconds, the direction that was silent (None: both), and the other connections.
    """
    end = facts.end_ns
    if end is None:
        return None
    near = [
        one
        for one in facts.others
        if one.is_cut
        and one.ended_by == facts.ended_by
        and one.end_ns is not None
        and abs(one.end_ns - end) > TOGETHER_NS
    ]
    for side in _SIDES:
        mine = facts.silence_ns(side)
        if mine is None or mine < LEAST_SILENCE_NS or not facts.is_silence_certain(EQUAL / 2 * mine):
            continue
        if side is not None and (facts.age_ns or 0) - mine < SECOND_NS // 10:
            continue  # nothing ever came in this direction: its silence is the connection's age
        same = [one for one in near if _is_alike(one.silence_ns(side), mine)]
        if same and not has_survived(facts, mine, side):
            return mine, side, same
    return None


def _is_alike(one_ns: int | None, other_ns: int | None) -> bool:
    if one_ns is None or other_ns is None:
        return False
    return abs(one_ns - other_ns) <= EQUAL * max(one_ns, other_ns)


def equal_ages(facts: ConnectionFacts) -> list[Other]:
    """Other connections that were cut at the same age, at another moment; none where one of the same path
    lived longer."""
    age, end = facts.age_ns, facts.end_ns
    if age is None or end is None or age < SECOND_NS or not facts.is_age_certain(EQUAL / 4 * age):
        return []
    if any(
        is_same_path(facts, one) and _lived_ns(one) > (1 + EQUAL) * age + COARSE_NS for one in facts.others
    ):
        return []
    return [
        one
        for one in facts.others
        if one.is_cut
        and one.ended_by == facts.ended_by
        and one.age_ns is not None
        and abs(one.age_ns - age) <= EQUAL / 2 * age
        and abs((one.end_ns or end) - end) > TOGETHER_NS
    ]


def ages_of(others: Sequence[Other], age: int) -> list[int]:
    """The ages of connections that ended, with one more."""
    return [age, *(one.age_ns for one in others if one.age_ns is not None)]


def explains_as_idle(facts: ConnectionFacts, others: Sequence[Other]) -> bool:
    """Whether one length of silence, of both sides or of one, could have ended this and all of the others."""
    for side in _SIDES:
        mine = facts.silence_ns(side)
        if mine is None or mine < LEAST_SILENCE_NS or has_survived(facts, mine, side):
            continue
        if all(_is_alike(one.silence_ns(side), mine) for one in others):
            return True
    return False


def has_survived(facts: ConnectionFacts, silence_ns: int, direction: Direction | None) -> bool:
    """Whether this connection, or another one to the same path, had been silent for longer and lived on."""
    most = (1 + EQUAL) * silence_ns
    return longest_pause_ns(facts, direction) > most or any(
        one.is_cut
        and is_same_path(facts, one)
        and (theirs := one.silence_ns(direction)) is not None
        and theirs > most + COARSE_NS
        for one in facts.others
    )


def longest_pause_ns(facts: ConnectionFacts, direction: Direction | None = None) -> int:
    """The longest silence that is certain, of one direction or of both, but for the last one.

    Of the frames that are remembered; the first silence begins with the 101.
    """
    frames = sorted(
        (one.time_ns - one.span_ns, one.time_ns)
        for one in facts.last_frames
        if not one.is_close and direction in (None, one.direction)
    )
    if facts.open_ns is not None and len(facts.last_frames) >= sum(facts.frames):
        frames.insert(0, (facts.open_ns, facts.open_ns))
    return max((facts.certain_ns(early, late) for (_, early), (late, _) in pairwise(frames)), default=0)


def is_kept_alive(facts: ConnectionFacts) -> bool:
    """Whether the last silence was no longer than the connection's own heartbeat.

    An idle timeout cannot have ended it then.
    """
    beat, silence = beat_ns(facts), facts.silence_ns()
    if silence is None:
        return False
    return beat is not None and silence - closed_late_ns(facts) <= 1.02 * beat[0]


def closed_late_ns(facts: ConnectionFacts) -> int:
    """For how long the hop that ended it is known to have waited with the end of TCP."""
    is_envoy = any(mark.software == "envoy" for mark in answer_marks(facts))
    is_late = (facts.silence_ns() or 0) >= _DELAYED_CLOSE_NS
    return (
        _DELAYED_CLOSE_NS if is_envoy and is_late and (facts.ended_by, facts.how) == ("server", "fin") else 0
    )


def is_same_path(facts: ConnectionFacts, one: Other) -> bool:
    """Whether another connection was to the same path, whatever its query."""
    return one.path.partition("?")[0] == facts.path.partition("?")[0]


def _lived_ns(one: Other) -> int:
    return one.lived_ns or 0
