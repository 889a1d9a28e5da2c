"""A broken frame explains the end that comes with it: no limit is blamed beside it, and none is excused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.findings.facts_made import OPEN, SECOND, cut, frame
from wsinspect.findings.facts import C2S, S2C, Other
from wsinspect.findings.registry import diagnose_connection
from wsinspect.wire.opcodes import Direction
from wsinspect.wire.violations import MASK_MISSING, MASK_UNEXPECTED


def at_the_same_age(age: float) -> Other:
    """Another connection, at another time, that was cut at this age while data was flowing."""
    start, end = OPEN - 100 * SECOND, OPEN - 100 * SECOND + int(age * SECOND)
    return Other(7, "/chat", start, start, end, end, "server", "fin", False, (SECOND // 5, SECOND // 5))


def broken(direction: Any, violation: str, *, frame_at: float, at: float, by: str) -> Any:
    """Cut at an age like another one, with a broken frame on the way."""
    bad = frame(9, direction, frame_at, violation=violation)
    talk = [frame(number, Direction(number % 2), number * 0.8) for number in range(1, 8)]
    frames = sorted([*talk, bad], key=lambda one: one.time_ns)
    other = replace_by(at_the_same_age(at), by)
    return cut(*frames, at=at, by=by, violations=((bad, 1),), others=(other,))


def replace_by(one: Other, by: str) -> Other:
    return one._replace(ended_by=by)


def told(facts: Any) -> list[tuple[str, str]]:
    return [(one.id, one.severity) for one in diagnose_connection(facts)]


def drops(facts: Any) -> list[str]:
    return [name for name, _ in told(facts) if name.startswith("WS-DROP-")]


@pytest.mark.parametrize(
    ("direction", "violation", "rule", "by"),
    [
        (C2S, MASK_MISSING, "WS-FR-001", "server"),
        (S2C, MASK_UNEXPECTED, "WS-FR-002", "client"),
    ],
)
def test_who_gets_a_broken_frame_ends_it_and_no_limit_does(direction, violation, rule, by):
    facts = broken(direction, violation, frame_at=6.0, at=6.1, by=by)
    assert told(facts) == [(rule, "error")]
    # Without the broken frame the same end is a limit's, or the side's that ended it.
    assert drops(replace(facts, violations=()))


@pytest.mark.parametrize(
    ("frame_at", "by"),
    [
        (2.0, "server"),  # the server bore it, and a limit ended the connection later
        (6.0, "client"),  # who sent it ended it
    ],
)
def test_an_end_that_another_broken_frame_does_not_explain_is_told(frame_at, by):
    facts = broken(C2S, MASK_MISSING, frame_at=frame_at, at=6.1, by=by)
    found = [name for name, _ in told(facts)]
    assert found[0] == "WS-FR-001"
    assert drops(facts)
