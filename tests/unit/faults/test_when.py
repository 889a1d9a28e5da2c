"""`when`: how it is written, and what it admits."""

from __future__ import annotations

from typing import Any

import pytest

from wsinspect.faults.errors import FaultError
from wsinspect.faults.when import MIN_PERIOD_NS, When

S = 10**9


@pytest.mark.parametrize(
    ("raw", "settings"),
    [
        ({"nth": "1, 3"}, {"nth": [1, 3]}),
        ({"nth": [1, "4-"]}, {"nth": [1, "4-"]}),
        ({"nth": "2-2"}, {"nth": 2}),
        ({"between": "1s, 5s"}, {"between": ["1s", "5s"]}),
        ({"between": "[1s .. 5s]"}, {"between": ["1s", "5s"]}),
        ({"between": [1, 5]}, {"between": ["1s", "5s"]}),
        ({"every": 3}, {"every": 3}),
        ({"every": "10s"}, {"every": "10s"}),
        ({"after": "64KiB"}, {"after": "64KiB"}),
        ({"after": "1 frame"}, {"after": "1frames"}),
        ({"attempt": 1, "connection": "2-"}, {"attempt": 1, "connection": "2-"}),
        ({}, {}),
    ],
)
def test_conditions_are_read_and_written_so_that_they_are_read_again(raw: Any, settings: Any) -> None:
    when = When.parse(raw)
    assert when.settings() == settings
    assert When.parse(settings) == when


@pytest.mark.parametrize(
    ("raw", "field", "words"),
    [
        ({"nth": []}, "nth", "a number from 1"),
        ({"nth": list(range(1, 1002))}, "nth", "a number from 1"),
        ({"nth": "3-2"}, "nth", "a range such as 2-4"),
        ({"nth": True}, "nth", "a number from 1"),
        ({"between": "1s"}, "between", "two durations"),
        ({"between": ["1s", "2s", "3s"]}, "between", "two durations"),
        ({"between": 5}, "between", "two durations"),
        ({"between": ["5s", "5s"]}, "between", "the second one longer"),
        ({"every": 0}, "every", "from 1"),
        ({"every": True}, "every", "from 1"),
        ({"every": "9" * 5000}, "every", "expected a unit"),
        ({"every": "999us"}, "every", "from 1ms"),
        ({"after": -1}, "after", "5 s, 100 frames or 64 KiB"),
        ("5s", "", "expected a mapping"),
        ([], "", "expected a mapping"),
    ],
)
def test_a_wrong_condition_names_its_key(raw: Any, field: str, words: str) -> None:
    with pytest.raises(FaultError) as caught:
        When.parse(raw)
    assert caught.value.field == field
    assert words in str(caught.value)


def test_times_are_multiplied_and_counts_are_not() -> None:
    raw = {"nth": 2, "after": "2s", "between": ["2s", "4s"], "attempt": 3}
    assert When.parse(raw).scaled(0.5).settings() == {
        **{"nth": 2, "after": "1s", "between": ["1s", "2s"], "attempt": 3},
    }
    assert When.parse({"every": "10s"}).scaled(0.1).every == ("time", S)
    assert When.parse({"every": "1s"}).scaled(1e-9).every == ("time", MIN_PERIOD_NS)
    assert When.parse({"every": 5, "after": "10frames"}).scaled(0.1).settings() == {
        **{"every": 5, "after": "10frames"},
    }


def test_a_moment_is_admitted_from_the_later_start_to_the_end() -> None:
    when = When.parse({"after": "3s", "between": ["1s", "5s"]})
    assert [when.admits_time(second * S) for second in (0, 2, 3, 4, 5)] == [False, False, True, True, False]
    assert When().admits_time(0)


def test_amounts_are_of_frames_or_bytes() -> None:
    assert [When.parse({"after": "2frames"}).admits_amount(n, 0) for n in (1, 2)] == [False, True]
    assert [When.parse({"after": "2B"}).admits_amount(9, n) for n in (1, 2)] == [False, True]
    assert When.parse({"after": "2s"}).admits_amount(0, 0)


def test_numbers_are_admitted_by_all_that_is_said_of_them() -> None:
    when = When.parse({"nth": "2-6", "every": 3})
    assert [number for number in range(1, 10) if when.admits_number(number)] == [3, 6]
    assert When.parse({"every": "1s"}).admits_number(1)


def test_sessions_are_distinguished_by_attempt_and_connection() -> None:
    when = When.parse({"attempt": "2-", "connection": 1})
    assert [when.admits_session(*one) for one in ((1, 1), (2, 1), (3, 1), (3, 2))] == [
        False,
        True,
        True,
        False,
    ]
