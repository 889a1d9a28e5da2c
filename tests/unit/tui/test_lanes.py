"""The axis of the timeline."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsinspect.present.clock import UTC, Clock
from wsinspect.tui.lanes import axis

START = 1_767_225_600 * 10**9
SECOND = 10**9


@given(st.integers(0, 10**6 * SECOND), st.integers(1_000, 400 * 86_400 * SECOND), st.integers(10, 300))
def test_labels_are_distinct_whole_and_below_their_time(since, span, cells):
    text = axis(START + since, START + since + span, START, cells)
    assert len(text) <= cells
    labels = re.findall(r"\|[^|]*", text)
    words = [label.strip("| ") for label in labels]
    assert len(set(words)) == len(words)
    if cells >= 40:
        assert labels
        assert all(re.fullmatch(r"[\d.]+ (us|ms|s|min|h|d)( \d+ (s|min|h))*", one) for one in words)


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (252 * SECOND, "|1 min             |2 min             |3 min             |4 min"),
        (59 * SECOND, "|10 s        |20 s         |30 s        |40 s         |50 s"),
        (3 * 86_400 * SECOND, "|12 h        |1 d         |1 d 12 h     |2 d         |2 d 12 h"),
        (2 * SECOND // 1000, "|3.9125 s           |3.9130 s           |3.9135 s"),
    ],
)
def test_labels_are_round_times(span, expected):
    begin = START + 3_912_345_678
    assert axis(begin, begin + span, START, 80).strip().startswith(expected[:20])


def test_a_label_stands_over_its_cell():
    text = axis(START, START + 10 * SECOND, START, 100)
    assert text.index("|4 s") == 40


@given(st.integers(0, 10**6 * SECOND), st.integers(1_000, 400 * 86_400 * SECOND), st.integers(20, 300))
def test_times_of_the_day_stand_over_their_place(since, span, cells):
    begin = START + since
    text = axis(begin, begin + span, START, cells, Clock(UTC))
    assert len(text) <= cells
    for label in re.finditer(r"\|(\d\d):(\d\d):(\d\d)(\.\d+)?(?= |$)", text):
        passed = int(label[1]) * 3600 + int(label[2]) * 60 + int(label[3])
        shown_ns = passed * SECOND + int(float(label[4] or 0) * SECOND)
        place_ns = begin + label.start() * span // cells
        off_ns = abs((place_ns - shown_ns) % (86_400 * SECOND))
        off_ns = min(off_ns, 86_400 * SECOND - off_ns)
        assert off_ns <= span // cells + SECOND // 1000
