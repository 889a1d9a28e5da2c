"""What all stages have in common: when they act, what they hold, when they are in nobody's way."""

from __future__ import annotations

import pytest

from tests.support.faulted import MS, S2C, Faulted, text
from wsinspect.faults.stage import Stage


def stage(book: Faulted) -> Stage:
    [one] = book.faults.lanes[S2C].stages
    assert isinstance(one, Stage)
    return one


@pytest.mark.parametrize(
    ("rule", "cost"),
    [({"kind": "drop", "match": "op:ping"}, 0), ({"kind": "hold", "count": 5}, 3)],
)
def test_a_stage_that_holds_nothing_costs_nothing(rule: dict, cost: int) -> None:
    book = Faulted(rule).s2c(text("a"))
    assert (stage(book).held_cost > 0, len(list(stage(book).held)) > 0) == (cost > 0, cost > 0)
    assert book.faults.held_bytes == cost
    assert stage(book).is_empty is not bool(cost)
    assert not book.faults.lanes[S2C].is_full


def test_a_trigger_that_keeps_nothing_is_empty_and_over() -> None:
    one = stage(Faulted({"kind": "abort", "when": {"nth": 5}}))
    assert (one.held_cost, list(one.held), one.is_empty, one.is_over) == (0, [], True, True)


@pytest.mark.parametrize(
    ("when", "probability", "moment"),
    [({"after": "1s"}, 1, 1000), ({"after": "1s"}, 0, None), ({"between": ["2s", "3s"]}, 1, 2000)],
)
def test_a_timed_trigger_acts_once_at_its_moment_if_the_draw_says_so(
    when: dict, probability: int, moment: int | None
) -> None:
    book = Faulted({"kind": "abort", "when": when, "probability": probability}).at(10_000)
    assert book.aborts == ([] if moment is None else [(moment * MS, "both", "rst")])
    assert book.faults.due is None


def test_a_timed_trigger_that_is_armed_too_late_for_its_span_does_not_act() -> None:
    book = Faulted({"kind": "abort", "when": {"between": ["1s", "2s"]}})
    book.now = 3000 * MS
    book.faults.wake(book.now)
    assert book._take().aborts == []


def test_what_a_filter_excludes_by_its_first_byte_alone_is_ignored() -> None:
    book = Faulted({"kind": "drop", "match": "op:ping"})
    assert book.faults.passes(S2C, text("a"), 0)
    assert not book.faults.passes(S2C, text("p", opcode=9), 0)
    counting = Faulted({"kind": "drop", "match": "op:ping", "when": {"after": "2frames"}})
    assert not counting.faults.passes(S2C, text("a"), 0)  # each frame counts
    searching = Faulted({"kind": "drop", "match": "secret"})
    assert not searching.faults.passes(S2C, text("a"), 0)
    trigger = Faulted({"kind": "abort", "match": "op:ping"})
    assert not trigger.faults.passes(S2C, text("a"), 0)


def test_conditions_of_a_rule_must_all_hold() -> None:
    rule = {"kind": "drop", "direction": "s2c", "when": {"after": "2frames", "nth": "2-4", "every": 2}}
    book = Faulted(rule).s2c(*(text(str(number)) for number in range(1, 7)))
    assert book.payloads() == [b"1", b"2", b"3", b"5", b"6"]
