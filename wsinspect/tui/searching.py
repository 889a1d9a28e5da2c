"""A search among the frames: which match, asked by a thread; the rows stay as they are.

Contract: frames that come later are asked about too; matches are known in order: the next is a bisection.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable

from wsinspect.filters import Filter
from wsinspect.tui.scan import Found, Scan
from wsinspect.tui.workspace import Workspace


class Search:
    """See the module docstring.

    Args:
        changed: called when matches have come, or the search has ended.

    Attributes:
        filter: what is looked for; None while nothing is.
        positions: of the frames that match, ascending.
    """

    def __init__(self, workspace: Workspace, changed: Callable[[], None]) -> None:
        self._workspace, self._changed = workspace, changed
        self.filter: Filter | None = None
        self.positions: array[int] = array("I")
        self.scanned_to = 0
        self._matches: set[int] = set()
        self._scan: Scan | None = None
        self._serial = 0
        self._arrived: Callable[[], None] | None = None

    @property
    def is_on(self) -> bool:
        return self.filter is not None

    @property
    def is_whole(self) -> bool:
        """Whether all frames have been asked about."""
        return self.scanned_to >= self._workspace.model.index.last_id

    def start(self, flt: Filter, arrived: Callable[[], None] | None = None) -> None:
        """Look for what passes a filter; an empty one ends the search.

        Args:
            arrived: called once, with the first matches or when all frames were asked about.
        """
        self._end()
        if flt.is_empty:
            self._changed()
            return
        self.filter, self._arrived = flt, arrived
        self._serial += 1
        self._scan = Scan(
            self._serial,
            self._workspace.model.path,
            flt,
            self._workspace.selection.connection,
            self._workspace.model.index.last_id,
            False,
            lambda found: self._workspace.deliver(self.found, found),
        )
        self._scan.start()
        self._changed()

    def again(self) -> None:
        """Another connection is looked at: the same search among its frames."""
        if self.filter is not None:
            self.start(self.filter)

    def stop(self) -> None:
        self._end()
        self._changed()

    def _end(self) -> None:
        if self._scan is not None:
            self._scan.stop()
        self._scan, self.filter, self._arrived = None, None, None
        self.positions, self._matches, self.scanned_to = array("I"), set(), 0

    def frames_added(self) -> None:
        """Frames have come, or facts about them."""
        if self._scan is not None:
            self._scan.more(self._workspace.model.index.last_id)

    def found(self, found: Found) -> None:
        """An answer of the thread."""
        if self._scan is None or found.serial != self._serial:
            return
        if found.error is not None:
            self._workspace.say(found.error)
            self.stop()
            return
        if found.is_outdated and self.filter is not None:
            self.start(self.filter)
            return
        position_of = self._workspace.model.index.position_of
        for frame_id in found.ids:
            position = position_of(frame_id)
            if position is not None and position not in self._matches:
                self._add(position)
        for frame_id, passes in found.judged_again.items():
            position = position_of(frame_id)
            if position is not None and passes != (position in self._matches):
                self._add(position) if passes else self._remove(position)
        self.scanned_to = max(self.scanned_to, found.scanned_to)
        self._changed()
        if self._arrived is not None and (self.positions or self.is_whole):
            arrived, self._arrived = self._arrived, None
            arrived()

    def _add(self, position: int) -> None:
        self._matches.add(position)
        self.positions.insert(bisect_left(self.positions, position), position)

    def _remove(self, position: int) -> None:
        self._matches.discard(position)
        self.positions.remove(position)

    def matches(self, position: int) -> bool:
        """Whether a frame matches, as far as is known."""
        return position in self._matches

    def next(self, position: int | None, step: int) -> int | None:
        """The next match after a frame, or the one before it; around at the end. None without any."""
        if not self.positions:
            return None
        if step > 0:
            at = 0 if position is None else bisect_right(self.positions, position)
            return self.positions[at % len(self.positions)]
        at = len(self.positions) if position is None else bisect_left(self.positions, position)
        return self.positions[at - 1]

    def place(self, position: int | None) -> int:
        """Which match a frame is, from 1; 0 where it is none."""
        if position is None or position not in self._matches:
            return 0
        return bisect_left(self.positions, position) + 1

    def is_between(self, from_ns: int, to_ns: int) -> bool:
        """Whether a match arrived in a stretch of time."""
        times = self._workspace.model.index.columns.times_ns
        at = bisect_left(self.positions, from_ns, key=times.__getitem__)
        return at < len(self.positions) and times[self.positions[at]] < to_ns
