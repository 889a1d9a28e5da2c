"""Delta debugging: the fewest things that still do it, within a budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsinspect.doctor.minimise import minimise


def solve(things, does, budget=1000):
    """The result, and how many sets were tried."""
    search, tried = minimise(things, budget=budget), 0
    try:
        candidate = next(search)
        while True:
            tried += 1
            candidate = search.send(does(candidate))
    except StopIteration as end:
        return end.value, tried


@pytest.mark.parametrize("guilty", range(8))
def test_one_of_eight_is_found_by_halves(guilty) -> None:
    found, tried = solve(tuple(range(8)), lambda some: guilty in some)
    assert found == (guilty,)
    assert tried <= 6


def test_one_thing_alone_needs_no_question() -> None:
    assert solve(("a",), lambda some: True) == (("a",), 0)


@given(st.sets(st.integers(0, 9), min_size=1, max_size=4))
def test_just_those_that_do_it_together_are_left(guilty) -> None:
    found, _ = solve(tuple(range(10)), lambda some: guilty <= set(some))
    assert set(found) == guilty


@given(st.sets(st.integers(0, 9), min_size=1), st.integers(0, 12))
def test_a_budget_is_kept_and_the_result_still_does_it(guilty, budget) -> None:
    found, tried = solve(tuple(range(10)), lambda some: guilty <= set(some), budget)
    assert tried <= budget
    assert guilty <= set(found)
