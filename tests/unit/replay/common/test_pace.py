"""Speeds, and when something recorded is due."""

from __future__ import annotations

import pytest

from wsinspect.errors import UsageError
from wsinspect.replay.common.pace import Clock, parse_speed


@pytest.mark.parametrize(("text", "speed"), [("max", None), ("0.1", 0.1), ("1", 1.0), ("1e2", 100.0)])
def test_a_speed_is_read(text, speed):
    assert parse_speed(text) == speed


@pytest.mark.parametrize("text", ["0", "0.09", "100.1", "-1", "nan", "inf", "fast", ""])
def test_a_wrong_speed_says_what_to_write(text):
    with pytest.raises(UsageError, match="invalid speed"):
        parse_speed(text)


@pytest.mark.parametrize(
    ("speed", "time_ns", "due"),
    [(1.0, 3_000_000_000, 102.0), (2.0, 3_000_000_000, 101.0), (None, 3_000_000_000, None), (1.0, 0, 100.0)],
)
def test_recorded_times_are_counted_from_the_beginning_and_scaled(speed, time_ns, due):
    assert Clock(speed, 1_000_000_000, 100.0).due(time_ns) == due
