"""How times are written, and times of day that are typed."""

from __future__ import annotations

import time

import pytest

from wsinspect.present.clock import DELTA, KINDS, LOCAL, UTC, Clock, parse_time_of_day

SECOND = 10**9
#: 2025-11-29 17:49:50 UTC.
ZERO = 1764438590 * SECOND


@pytest.fixture
def tokyo(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_each_clock_writes_times_its_way(tokyo):
    moment = ZERO + 1_500 * 10**6
    assert [Clock(kind).cell(moment, ZERO, 250 * 10**6) for kind in KINDS] == [
        "1.500",
        "0.250",
        "02:49:51.500",
        "17:49:51.500",
    ]
    assert Clock().at(moment, ZERO) == "1.500 s"
    assert Clock(UTC).at(moment, ZERO) == "17:49:51.500 UTC"
    assert Clock(LOCAL).at(moment, ZERO) == "02:49:51.500"


def test_a_key_goes_through_all_of_them():
    clock, seen = Clock(), []
    for _ in KINDS:
        seen.append(clock.kind)
        clock = clock.next
    assert (tuple(seen), clock) == (KINDS, Clock())
    assert [Clock(kind).heading(is_ascii=True) for kind in (DELTA, UTC)] == ["d t (s)", "UTC"]


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        ("17:50", 10),
        ("17:49:51", 1),
        ("17:49:51.25", 1.25),
        (" 17:49:40 ", -10),
        ("00:00:10", 22_220),
        ("17:49:51Z", 1),
    ],
)
def test_a_time_of_day_is_the_one_in_the_capture_or_next_to_it(text, passed):
    end = ZERO + 30_000 * SECOND
    assert parse_time_of_day(text, ZERO, end, is_utc=True) == ZERO + int(passed * SECOND)


def test_a_time_of_day_is_local_unless_it_says_otherwise(tokyo):
    assert parse_time_of_day("02:49:51", ZERO, ZERO + SECOND, is_utc=False) == ZERO + SECOND
    assert parse_time_of_day("17:49:51 UTC", ZERO, ZERO + SECOND, is_utc=False) == ZERO + SECOND


@pytest.mark.parametrize("text", ["", "14", "24:00", "12:60", "12:00:60", "12.5", "+12:00", "12:00:00.x"])
def test_what_is_no_time_of_day(text):
    assert parse_time_of_day(text, ZERO, ZERO, is_utc=True) is None
