"""Rows: gaps, filters, and the histogram that is counted on the way."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tui_parts import SECOND, columns, index_of, rows
from wsinspect.present.requests import Asked
from wsinspect.tui.histogram import BINS, MARK_CLOSE, MARK_FINDING, MARK_GAP, MARK_PING, Histogram
from wsinspect.tui.index import FrameIndex
from wsinspect.tui.views import View
from wsinspect.vocabulary.events import HttpRequest


def test_a_silence_gets_a_row_of_its_own():
    view = View(index_of(0, 0.5, 2, 2.1), None, SECOND)
    assert view.extend()
    assert rows(view) == [0, 1, "gap", 2, 3]
    assert view.gap_before_ns(2) == view.gap_before_ns(3) == 1.5 * SECOND
    assert view.gap_before_ns(0) == 0
    assert view.matched == 4


def test_rows_of_one_connection_have_its_own_gaps():
    view = View(index_of(0, 1, 2, 3, connections=[1, 2, 2, 1]), 1, 2 * SECOND)
    view.extend()
    assert rows(view) == [0, "gap", 3]
    assert view.total == 2


def test_rows_and_positions_are_found_from_one_another():
    view = View(index_of(0, 5, 10, 10.1), None, SECOND)
    view.extend()
    assert rows(view) == [0, "gap", 1, "gap", 2, 3]
    assert [view.y_of(position) for position in range(4)] == [0, 2, 4, 5]
    assert view.y_of(4) == len(view.rows)
    assert view.y_at_time(3 * SECOND) == 2
    assert view.y_at_time(0) == 0
    assert view.y_at_time(99 * SECOND) == len(view.rows)


def test_a_view_grows_at_its_end_and_nothing_moves():
    index = index_of(0, 1)
    view = View(index, None, 10 * SECOND)
    view.extend()
    before = list(view.rows)
    index.append(columns((3, 2 * SECOND, 1, 1, 0x8101, 0)))
    assert not view.is_complete
    assert view.extend()
    assert list(view.rows)[:2] == before
    assert not view.extend()


def test_a_filtered_view_shows_the_rows_it_is_given():
    view = View(index_of(0, 1, 2, 9), None, 5 * SECOND, is_filtered=True)
    view.extend()
    assert len(view.rows) == 0
    view.add_matches([1, 3], 3)
    view.add_matches([4, 77], 4)
    assert rows(view) == [0, 2, "gap", 3]
    assert view.scanned_to == 4
    assert view.y_of(1) == 1


def test_find_goes_both_ways():
    view = View(index_of(0, 1, 2), None, 10 * SECOND)
    view.extend()
    assert view.find(0, 1, lambda y: y == 2) == 2
    assert view.find(2, -1, lambda y: y < 2) == 1
    assert view.find(2, 1, lambda y: True) is None


@given(st.lists(st.floats(0, 100), min_size=1, max_size=60), st.integers(1, 20))
def test_every_frame_is_a_row_once_and_in_order(times, gap_s):
    view = View(index_of(*sorted(times)), None, gap_s * SECOND)
    while not view.is_complete:
        view.extend(0)
    shown = [view.position(y) for y in range(len(view.rows)) if not view.is_gap(y)]
    assert shown == list(range(len(times)))
    for y in range(len(view.rows)):
        if view.is_gap(y):
            assert view.gap_before_ns(y) >= gap_s * SECOND
            assert not view.is_gap(y + 1)


def test_the_histogram_counts_every_frame_however_long_the_capture():
    histogram = Histogram()
    for number in range(5000):
        histogram.add(number * SECOND, number & 1, MARK_PING if number == 4999 else 0)
    bins = histogram.bins(0, histogram.width_ns * BINS, 64)
    assert sum(one.c2s for one in bins) == sum(one.s2c for one in bins) == 2500
    assert [number for number, one in enumerate(bins) if one.marks] == [
        4999 * SECOND * 64 // (histogram.width_ns * BINS)
    ]
    assert histogram.width_ns * BINS > 5000 * SECOND


@given(st.lists(st.integers(0, 10**13), min_size=1, max_size=200))
def test_no_frame_is_lost_between_bins(times):
    histogram = Histogram()
    for time_ns in sorted(times):
        histogram.add(time_ns, 0, 0)
    for count in (1, 7, 80):
        assert sum(one.c2s for one in histogram.bins(min(times), max(times) + 1, count)) >= len(times)


def test_marks_come_from_bits_and_flags():
    index = FrameIndex()
    index.append(
        columns(
            (1, 0, 1, 1, 0x8900, 0),
            (2, SECOND, 1, 1, 0x8800, 0),
            (3, 9 * SECOND, 1, 1, 0x8300, 2),
        )
    )
    view = View(index, None, 5 * SECOND)
    view.extend()
    marks = [one.marks for one in view.histogram.bins(0, 10 * SECOND, 10)]
    assert marks[0] == MARK_PING
    assert marks[1] == MARK_CLOSE
    assert marks[9] == MARK_FINDING | MARK_GAP


@pytest.mark.parametrize("count", [0, 1, 5])
def test_an_empty_histogram_has_empty_bins(count):
    assert [one.c2s for one in Histogram().bins(0, 100, count)] == [0] * count


def test_times_before_the_first_count_for_the_first_bin():
    histogram = Histogram()
    for time_ns in itertools.chain([5 * SECOND], [SECOND]):
        histogram.add(time_ns, 0, 0)
    assert histogram.bins(5 * SECOND, 6 * SECOND, 1)[0].c2s == 2


def test_what_was_counted_is_not_counted_again_for_the_same_frames():
    index = index_of(0, 1, 2, 9, connections=[1, 2, 1, 1])
    first = View(index, None, 5 * SECOND)
    first.extend()
    second = View(index, None, 5 * SECOND, is_filtered=True, before=first)
    assert second.is_complete
    assert second.histogram is first.histogram
    index.append(columns((5, 10 * SECOND, 1, 1, 0x8101, 0)))
    for view in (first, second):
        view.extend()
    assert sum(one.c2s + one.s2c for one in first.histogram.bins(0, 11 * SECOND, 4)) == 5
    assert first.matched == 5
    third = View(index, None, 5 * SECOND, before=second)
    assert not third.is_complete
    third.extend()
    assert rows(third) == rows(first)
    other = View(index, 1, 5 * SECOND, before=third)
    other.extend()
    assert other.histogram is not first.histogram
    assert rows(other) == [0, 2, "gap", 3, 4]


def asked(number: int, t_s: float, connection: int = 1) -> Asked:
    return Asked(number, connection, int(t_s * SECOND), HttpRequest(number=number))


def drawn(view: View) -> list[object]:
    """Rows as `rows` has them, requests as `?NUMBER`."""
    found: list[object] = []
    for y in range(len(view.rows)):
        one = view.asked_at(y)
        found.append(f"?{one.facts.number}" if one is not None else rows_at(view, y))
    return found


def rows_at(view: View, y: int) -> object:
    return "gap" if view.is_gap(y) else view.position(y)


def test_requests_stand_before_the_first_frame_that_is_not_older():
    view = View(index_of(1, 2, 9), None, 5 * SECOND)
    view.extend()
    view.place([asked(1, 0.5), asked(2, 0.6), asked(3, 8), asked(4, 9), asked(5, 10)])
    assert drawn(view) == ["?1", "?2", 0, 1, "gap", "?3", "?4", 2, "?5"]
    assert view.matched == 3
    assert [view.y_of(position) for position in range(3)] == [2, 3, 7]
    assert view.y_at_time(3 * SECOND) == 7
    assert view.y_at_time(99 * SECOND) == len(view.rows)
    assert view.before(7) == 1
    assert view.gap_before_ns(7) == 7 * SECOND
    assert view.next_of(0, 1, view.gaps) == 7
    assert view.next_of(8, -1, view.gaps) == 7
    assert view.next_of(7, -1, view.gaps) is None


def test_requests_are_placed_anew_and_frames_come_behind_them():
    index = index_of(1)
    view = View(index, None, 5 * SECOND)
    view.extend()
    view.place([asked(1, 0), asked(2, 3)])
    index.append(columns((2, 4 * SECOND, 1, 1, 0x8101, 0), (3, 10 * SECOND, 1, 1, 0x8101, 0)))
    view.extend()
    assert drawn(view) == ["?1", 0, "?2", 1, "gap", 2]
    view.place([asked(2, 3), asked(3, 9)])
    assert drawn(view) == [0, "?2", 1, "gap", "?3", 2]
    view.place([])
    assert drawn(view) == rows(view) == [0, 1, "gap", 2]


def test_requests_of_a_connection_without_frames_are_rows():
    view = View(index_of(1, connections=[2]), 1, SECOND)
    view.extend()
    view.place([asked(1, 0), asked(2, 5)])
    assert drawn(view) == ["?1", "?2"]
    assert view.y_at_time(0) == view.y_of(0) == 2
    assert view.find(0, 1, view.is_frame) is None


@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=30),
    st.lists(st.lists(st.integers(0, 70), max_size=8), max_size=4),
    st.lists(st.integers(0, 20), max_size=10),
)
def test_frames_stay_where_they_are_whatever_is_placed(times, placed, more):
    index = index_of(*sorted(times))
    view = View(index, None, 7 * SECOND)
    view.extend()
    plain = rows(view)
    for wanted in [*placed, sorted(placed[-1]) if placed else []]:
        view.place([asked(number, t) for number, t in enumerate(sorted(wanted), 1)])
        assert [row for row in drawn(view) if not str(row).startswith("?")] == plain
        assert [one.facts.number for y in range(len(view.rows)) if (one := view.asked_at(y))] == list(
            range(1, len(wanted) + 1)
        )
        for y in range(len(view.rows)):
            if (one := view.asked_at(y)) is not None:
                before = view.before(y)
                assert before is None or index.columns.times_ns[before] < one.time_ns
                after = view.find(y, 1, view.is_frame)
                assert after is None or index.columns.times_ns[view.position(after)] >= one.time_ns
    last = index.columns.times_ns[-1] // SECOND
    start = len(index)
    index.append(
        columns(
            *(
                (start + number, (last + sum(more[:number])) * SECOND, 1, 1, 0x8101, 0)
                for number in range(1, len(more) + 1)
            )
        )
    )
    view.extend()
    assert [view.position(y) for y in range(len(view.rows)) if view.is_frame(y)] == list(range(len(index)))
    assert all(view.position(view.y_of(position)) == position for position in range(len(index)))


@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=40),
    st.sets(st.integers(0, 45)),
    st.lists(st.integers(0, 200), max_size=5),
    st.integers(-1, 60),
    st.sampled_from((1, -1)),
)
def test_the_next_of_some_frames_is_what_looking_at_every_row_finds(steps, wanted, placed, y, step):
    times = list(itertools.accumulate(seconds for seconds, _ in steps))
    view = View(index_of(*times), None, 5 * SECOND, is_filtered=True)
    view.extend()
    view.add_matches([number for number, (_, passes) in enumerate(steps, 1) if passes], len(steps))
    view.place([asked(number, t) for number, t in enumerate(sorted(placed), 1)])
    for sought in (sorted(wanted), view.gaps):
        rows = [at for at in range(len(view.rows)) if view.is_frame(at) and view.position(at) in sought]
        ahead = [at for at in rows if (at > y if step > 0 else at < y)]
        assert view.next_of(y, step, sought) == (min if step > 0 else max)(ahead, default=None)
    assert len(view.gaps) == sum(view.is_gap(at) for at in range(len(view.rows)))


def test_rows_judged_again_keep_their_gaps():
    view = View(index_of(0, 10, 20, 30, 40), None, 5 * SECOND, is_filtered=True)
    view.extend()
    view.add_matches([1, 2, 3, 4, 5], 5)
    assert list(view.gaps) == [1, 2, 3, 4]
    view.judge_again({2: False, 3: False})
    assert rows(view) == [0, "gap", 1, "gap", 4]
    assert list(view.gaps) == [1, 4]
    view.judge_again({3: True})
    assert list(view.gaps) == [1, 3, 4]
    assert view.matched == 4


class Counted(Sequence[int]):
    """Positions that count how often they are looked at."""

    def __init__(self, positions: range) -> None:
        self.positions, self.looks = positions, 0

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, at):
        self.looks += 1
        return self.positions[at]


@pytest.mark.parametrize("step", [1, -1])
def test_the_next_one_is_found_without_looking_at_all(step):
    view = View(index_of(*([0.0] * 4000)), None, SECOND, is_filtered=True)
    view.extend()
    view.add_matches([1, *range(3001, 4001)], 4000)
    wanted = Counted(range(1, 3000))  # none of them has a row
    assert view.next_of(0 if step > 0 else len(view.rows) - 1, step, wanted) is None
    assert wanted.looks < 100
