"""Rows of the frame table: which frames, in which order, and where a silence is drawn between them.

Contract: a view grows at its end, in bounded steps (`extend`), so that a million frames never stop the event
loop; only `judge_again` and `place` change rows before it. y and row are one lookup apart. A row is a
position in the index, a position with `GAP` set: the silence before that frame, or one with `ASKED` set: a
plain request before that frame (`present.requests`), of which there may be several.
"""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from wsinspect.present.requests import Asked
from wsinspect.tui.histogram import MARK_GAP, Histogram, marks_of
from wsinspect.tui.index import FrameIndex

GAP: Final = 1 << 31
ASKED: Final = 1 << 30
_MASK: Final = ASKED - 1
_STEP: Final = 2048
#: Rows renewed at a time: a few milliseconds.
_MOST_REBUILT: Final = 20_000


class Activity:
    """What happened when: all frames of one connection, or of all, counted once, whatever filter they pass.

    Attributes:
        histogram: frames and marks over time.
        looked_at: how many frames were counted so far.
    """

    def __init__(self, index: FrameIndex, connection: int | None, gap_ns: int) -> None:
        self.index, self.connection, self.gap_ns = index, connection, gap_ns
        self.histogram = Histogram()
        self.looked_at = 0
        self._last_ns: int | None = None

    @property
    def total(self) -> int:
        """Frames of the connection, or of all."""
        if self.connection is None:
            return len(self.index)
        return len(self.index.by_connection.get(self.connection, ()))

    def positions(self, start: int, end: int) -> Sequence[int]:
        """Some of them, in order."""
        if self.connection is None:
            return range(start, end)
        return self.index.by_connection[self.connection][start:end]

    def step(self) -> None:
        """Count at most the next _STEP frames, so that the event loop is not held up."""
        start, end = self.looked_at, min(self.looked_at + _STEP, self.total)
        columns = self.index.columns
        times, flags, bits, gap_ns, last = (
            columns.times_ns,
            columns.flags,
            columns.bits,
            self.gap_ns,
            self._last_ns,
        )
        add = self.histogram.add
        for position in self.positions(start, end):
            time_ns = times[position]
            marks = marks_of(bits[position], flags[position])
            if last is not None and time_ns - last >= gap_ns:
                marks |= MARK_GAP
            last = time_ns
            add(time_ns, flags[position] & 1, marks)
        self._last_ns = last
        self.looked_at = end


class View:
    """The rows of one connection, or of all, that pass a filter.

    Args:
        index: the frames.
        connection: its id; None shows all.
        gap_ns: a silence at least this long gets a row of its own.
        is_filtered: rows come from `add_matches` alone.
        before: another view; where it is of the same frames, what it counted need not be counted again.

    Attributes:
        rows: positions, and gaps.
        gaps: frames behind a gap, ascending.
        asked: the requests among them, in order.
        placed: what was known of requests when they got their rows; whoever calls `place` says so.
        activity: of all frames, matching or not.
        scanned_to: of a filtered view, the frame id up to which the filter has answered.
    """

    def __init__(
        self,
        index: FrameIndex,
        connection: int | None,
        gap_ns: int,
        *,
        is_filtered: bool = False,
        before: View | None = None,
    ) -> None:
        self.index = index
        self.connection = connection
        self.gap_ns = gap_ns
        self.is_filtered = is_filtered
        self.rows = array("I")
        self.gaps = array("I")
        self.asked: list[Asked] = []
        self.placed: tuple[bool, int] | None = None
        self._anchors = array("I")
        self.activity = Activity(index, connection, gap_ns)
        if before is not None and before.index is index and before.connection == connection:
            self.activity = before.activity
        self.scanned_to = 0
        self._looked_at = 0
        self._last_matched_ns: int | None = None

    @property
    def histogram(self) -> Histogram:
        return self.activity.histogram

    @property
    def matched(self) -> int:
        """Frames among the rows."""
        return len(self.rows) - len(self.gaps) - len(self.asked)

    @property
    def total(self) -> int:
        """Frames of the connection, or of all."""
        return self.activity.total

    @property
    def is_complete(self) -> bool:
        """Whether every frame was looked at."""
        total = self.total
        return self.activity.looked_at >= total and (self.is_filtered or self._looked_at >= total)

    def extend(self, budget_s: float = 0.008) -> bool:
        """Look at more frames for about so long; True when rows were added."""
        before = len(self.rows)
        deadline = time.perf_counter() + budget_s
        while not self.is_complete:
            self._step()
            if time.perf_counter() >= deadline:
                break
        return len(self.rows) > before

    def _step(self) -> None:
        activity, total = self.activity, self.total
        if activity.looked_at < total:
            activity.step()
        start, end = self._looked_at, min(self._looked_at + _STEP, total)
        if not self.is_filtered and start < end:
            self._add(activity.positions(start, end))
            self._looked_at = end

    def add_matches(self, frame_ids: Iterable[int], scanned_to: int) -> None:
        """What the filter lets through, in order; every frame up to `scanned_to` has been judged."""
        positions = (self.index.position_of(frame_id) for frame_id in frame_ids)
        self._add([position for position in positions if position is not None])
        self.scanned_to = scanned_to

    def judge_again(self, verdicts: Mapping[int, bool]) -> bool:
        """Rows for frames that pass only now, none for those that do not any more.

        Args:
            verdicts: by position, whether it passes.

        Returns:
            False where so much would have to be renewed that a new view is cheaper.
        """
        shown = {position: self.shows(position) for position in verdicts}
        changed = {position: passes for position, passes in verdicts.items() if passes != shown[position]}
        if not changed:
            return True
        start = bisect_left(self.rows, min(changed), key=_MASK.__and__)
        if len(self.rows) - start > _MOST_REBUILT:
            return False
        kept = {row for row in self.rows[start:] if row < GAP}
        kept |= {position for position, passes in changed.items() if passes}
        kept -= {position for position, passes in changed.items() if not passes}
        if start < len(self.rows):
            del self.gaps[bisect_left(self.gaps, self.rows[start] & _MASK) :]
        del self.rows[start:]
        self._last_matched_ns = self.index.columns.times_ns[self.rows[-1]] if self.rows else None
        self._add(sorted(kept))
        return True

    def shows(self, position: int) -> bool:
        """Whether a frame has a row."""
        y = self.y_of(position)
        return y < len(self.rows) and self.position(y) == position

    # -- requests among the rows

    def place(self, asked: list[Asked]) -> None:
        """Rows for plain requests, each before the first frame that is not older, in place of the last ones.

        Costs a copy of the rows. Rows that are added later come behind these.
        """
        self._copy_without_asked()
        times, rows, old = self.index.columns.times_ns, array("I"), self.rows
        anchors, at = array("I"), 0
        for one in asked:
            y = bisect_left(old, one.time_ns, lo=at, key=lambda row: times[row & _MASK])
            if y < len(old) and old[y] >= GAP:
                y += 1  # the silence before the frame ends with the request
            rows += old[at:y]
            anchor = old[y] & _MASK if y < len(old) else len(self.index)
            rows.append(anchor | ASKED)
            anchors.append(anchor)
            at = y
        rows += old[at:]
        self.rows, self.asked, self._anchors = rows, asked, anchors

    def _copy_without_asked(self) -> None:
        if not self.asked:
            return
        kept, at = array("I"), 0
        for anchor in sorted(set(self._anchors)):
            first, end = self._run(anchor)
            kept += self.rows[at:first]
            at = end
        self.rows, self.asked, self._anchors = kept + self.rows[at:], [], array("I")

    def _run(self, anchor: int) -> tuple[int, int]:
        """From where to where the rows of the requests before a frame are."""
        first = bisect_left(self.rows, anchor, key=_MASK.__and__)
        if first < len(self.rows) and self.rows[first] >= GAP:
            first += 1
        count = bisect_right(self._anchors, anchor) - bisect_left(self._anchors, anchor)
        return first, first + count

    def asked_at(self, y: int) -> Asked | None:
        """The request of a row; None where it is a frame's, or a gap."""
        row = self.rows[y]
        if not ASKED <= row < GAP:
            return None
        anchor = row & _MASK
        return self.asked[bisect_left(self._anchors, anchor) + y - self._run(anchor)[0]]

    def _add(self, positions: Iterable[int]) -> None:
        rows, times, gap_ns, last = self.rows, self.index.columns.times_ns, self.gap_ns, self._last_matched_ns
        for position in positions:
            time_ns = times[position]
            if last is not None and time_ns - last >= gap_ns:
                rows.append(position | GAP)
                self.gaps.append(position)
            last = time_ns
            rows.append(position)
        self._last_matched_ns = last

    def position(self, y: int) -> int:
        """The frame of a row; of a gap or a request, the frame after it, which may be yet to come."""
        return self.rows[y] & _MASK

    def is_gap(self, y: int) -> bool:
        """Whether a row is a gap."""
        return self.rows[y] >= GAP

    def is_frame(self, y: int) -> bool:
        """Whether a row is a frame."""
        return self.rows[y] < ASKED

    def before(self, y: int) -> int | None:
        """The position of the frame row before `y`."""
        while y > 0:
            y -= 1
            if self.rows[y] < ASKED:
                return self.rows[y]
        return None

    def gap_before_ns(self, y: int) -> int:
        """Time between a frame row, or a gap's frame, and the frame row before it; 0 for the first."""
        before = self.before(y)
        times = self.index.columns.times_ns
        return 0 if before is None else times[self.position(y)] - times[before]

    def y_of(self, position: int) -> int:
        """The row of a frame, or of the first one after it where it is not shown; may be one past the end."""
        return self._frame_from(bisect_left(self.rows, position, key=_MASK.__and__))

    def _frame_from(self, y: int) -> int:
        """The first frame row from `y` on."""
        while y < len(self.rows) and self.rows[y] >= ASKED:
            y += 1
        return y

    def y_at_time(self, time_ns: int) -> int:
        """The first frame row at or after a time; may be one past the end."""
        times = self.index.columns.times_ns
        last = len(times) - 1
        # A request behind the last frame has no frame after it yet.
        return self._frame_from(
            bisect_left(self.rows, time_ns, key=lambda row: times[min(row & _MASK, last)])
        )

    def next_of(self, y: int, step: int, wanted: Sequence[int]) -> int | None:
        """The next row of one of some frames, from row `y`, without looking at all of them or at all rows.

        Args:
            y: -1 is before the first row, and the number of rows behind the last one.
            step: 1 or -1.
            wanted: positions, ascending.
        """
        if step < 0:
            before = len(wanted) if y >= len(self.rows) else bisect_left(wanted, self.rows[max(y, 0)] & _MASK)
            return self._last_of(before - 1, wanted) if y >= 0 else None
        if y >= len(self.rows):
            return None
        at = 0 if y < 0 else bisect_left(wanted, (self.rows[y] & _MASK) + self.is_frame(y))
        while at < len(wanted):
            row = self.y_of(wanted[at])
            if row >= len(self.rows):
                return None
            if self.rows[row] == wanted[at]:
                return row
            at = bisect_left(wanted, self.rows[row], at + 1)
        return None

    def _last_of(self, at: int, wanted: Sequence[int]) -> int | None:
        while at >= 0:
            row = self.y_of(wanted[at])
            if row < len(self.rows) and self.rows[row] == wanted[at]:
                return row
            before = self.before(row)
            if before is None:
                return None
            at = bisect_right(wanted, before, 0, at) - 1
        return None

    def find(self, y: int, step: int, wanted: Callable[[int], bool]) -> int | None:
        """The next row from `y` on whose row index `wanted` accepts; `step` is 1 or -1."""
        y += step
        while 0 <= y < len(self.rows):
            if wanted(y):
                return y
            y += step
        return None
