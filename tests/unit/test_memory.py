"""When memory is due to be given back: many have closed, and few are open."""

from __future__ import annotations

import pytest

from wsinspect.memory import FEW, MANY, HighWater


@pytest.mark.parametrize(
    ("most", "left", "is_due"),
    [
        (MANY, 0, True),
        (MANY - 1, 0, False),
        (MANY + FEW, FEW, True),
        (MANY + FEW, FEW + 1, False),
        (MANY + FEW - 1, FEW, False),
    ],
)
def test_it_is_due_once_many_have_closed_and_few_are_open(most, left, is_due):
    water = HighWater()
    for count in (1, most, left):
        water.rise(count)
    assert water.is_due(left) is is_due


def test_it_is_given_back_once():
    water = HighWater()
    water.rise(MANY)
    water.give_back(0)
    assert (water.count, water.is_due(0)) == (1, False)
    water.rise(MANY)
    assert water.is_due(0)
