"""Activity over time in a fixed number of bins, whatever the span: the overview's numbers.

Contract: memory does not grow; adding is constant time; when a frame is beyond the last bin, neighbours are
merged and bins become twice as wide. Times before the first one count for the first bin (a clock step).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final, NamedTuple

from wsinspect.capture.columns import FLAG_FAULT, FLAG_VIOLATION
from wsinspect.wire.opcodes import Opcode

MARK_PING: Final = 1
MARK_CLOSE: Final = 2
MARK_FAULT: Final = 4
MARK_FINDING: Final = 8
MARK_GAP: Final = 16
#: A match of the search.
MARK_MATCH: Final = 32
#: What matters most comes first.
RANKED: Final = (MARK_MATCH, MARK_FINDING, MARK_CLOSE, MARK_FAULT, MARK_PING, MARK_GAP)
BINS: Final = 2048
_FIRST_WIDTH_NS: Final = 1_000_000


def marks_of(bits: int, flags: int) -> int:
    """What the overview marks a frame with."""
    if not flags & ~1 and not bits & 0x0800:
        return 0
    opcode = bits >> 8 & 15
    marks = MARK_PING if opcode in (Opcode.PING, Opcode.PONG) else 0
    if opcode == Opcode.CLOSE:
        marks = MARK_CLOSE
    if flags & FLAG_VIOLATION:
        marks |= MARK_FINDING
    return marks | MARK_FAULT if flags & FLAG_FAULT else marks


def side_by_side(cells: Sequence[int]) -> list[tuple[int, bool]]:
    """What each cell of a row shows of its marks.

    Of several the one that matters most stands in the cell, unless the cell before shows it: then the next,
    so that in a dense row kinds take turns. The others stand in an empty cell next to it, if there is one.

    Returns:
        For each cell one mark, or 0, and whether it has more than it and the cells next to it show.
    """
    shown: list[int] = []
    for marks in cells:
        own = [mark for mark in RANKED if marks & mark]
        before = shown[-1] if shown else 0
        shown.append(next((mark for mark in own if mark != before), own[0] if own else 0))
    more = [False] * len(cells)
    for at, marks in enumerate(cells):
        near = [one for one in (at + 1, at - 1) if 0 <= one < len(cells)]
        for mark in RANKED:
            if not marks & mark or mark in (shown[at], *(shown[one] for one in near)):
                continue
            free = next((one for one in near if not shown[one]), None)
            if free is None:
                more[at] = True
            else:
                shown[free] = mark
    return list(zip(shown, more, strict=True))


class Bin(NamedTuple):
    """What happened in a stretch of time: frames of each direction, and marks."""

    c2s: int
    s2c: int
    marks: int


class Histogram:
    """Counts by time.

    Attributes:
        start_ns: of the first bin; None before the first frame.
        width_ns: of a bin.
        end_ns: the newest time.
    """

    def __init__(self) -> None:
        self.start_ns: int | None = None
        self.width_ns = _FIRST_WIDTH_NS
        self.end_ns = 0
        self._counts = (array("I", bytes(4 * BINS)), array("I", bytes(4 * BINS)))
        self._marks = bytearray(BINS)

    def add(self, time_ns: int, side: int, marks: int) -> None:
        """Count a frame in its bin; where the time is beyond the last, all bins become wider."""
        start_ns = self.start_ns
        if start_ns is None:
            self.start_ns = start_ns = time_ns
        if time_ns > self.end_ns:
            self.end_ns = time_ns
        at = (time_ns - start_ns) // self.width_ns
        while at >= BINS:
            self._widen()
            at = (time_ns - start_ns) // self.width_ns
        if at < 0:
            at = 0
        self._counts[side][at] += 1
        if marks:
            self._marks[at] |= marks

    def mark(self, time_ns: int, marks: int) -> None:
        """Mark a time without counting a frame; one outside of what was counted is left out."""
        if self.start_ns is None:
            return
        at = (time_ns - self.start_ns) // self.width_ns
        if 0 <= at < BINS:
            self._marks[at] |= marks

    def _widen(self) -> None:
        half = BINS // 2
        for counts in self._counts:
            for at in range(half):
                counts[at] = counts[2 * at] + counts[2 * at + 1]
            counts[half:] = array("I", bytes(4 * half))
        for at in range(half):
            self._marks[at] = self._marks[2 * at] | self._marks[2 * at + 1]
        self._marks[half:] = bytes(half)
        self.width_ns *= 2

    def bins(self, from_ns: int, to_ns: int, count: int) -> list[Bin]:
        """`count` equal stretches between two times."""
        if self.start_ns is None or to_ns <= from_ns or count <= 0:
            return [Bin(0, 0, 0)] * max(count, 0)
        found = []
        span = to_ns - from_ns
        for number in range(count):
            first = (from_ns + span * number // count - self.start_ns) // self.width_ns
            end = (from_ns + span * (number + 1) // count - self.start_ns - 1) // self.width_ns + 1
            found.append(self._bin(first, end))
        return found

    def _bin(self, first: int, end: int) -> Bin:
        first, end = max(first, 0), min(end, BINS)
        if end <= first:
            return Bin(0, 0, 0)
        marks = 0
        for mark in self._marks[first:end]:
            marks |= mark
        c2s, s2c = self._counts
        return Bin(sum(c2s[first:end]), sum(s2c[first:end]), marks)
