"""Facts that become known of frames after these were judged by a filter: pongs, findings, faults, ends.

Contract: short read transactions in the thread that opened the capture. Nothing that came after this object
was made is missed; what is reported twice is judged twice, which does no harm.
"""

from __future__ import annotations

from typing import Final

from wsinspect.capture import queries
from wsinspect.capture.reader import Capture
from wsinspect.filters.language import Filter

#: With more frames than this, asking about all of them again is as fast.
MOST_FRAMES: Final = 2_000
_FINDING_KEYS: Final = frozenset({"finding", "sev"})
_CONNECTION_KEYS: Final = frozenset({"close", "header"})


class LateFacts:
    """What a filter asks for that may come late.

    Args:
        capture: open.
        flt: the filter; of keys whose facts never come late nothing is read.
    """

    def __init__(self, capture: Capture, flt: Filter) -> None:
        self._capture, self._keys = capture, flt.keys
        self._judged_to = 0
        self._finding = self._newest("finding")
        self._fault = self._newest("fault_event")
        self._open = self._unsettled()

    @property
    def can_come(self) -> bool:
        """Whether the filter asks for any of them."""
        return bool(self._keys & (_FINDING_KEYS | _CONNECTION_KEYS | {"rtt", "fault"}))

    def frames(self, judged_to: int) -> list[int] | None:
        """Frames to be judged again, ascending; None where all of them are to be.

        Args:
            judged_to: the last frame that was judged by now.
        """
        if not self.can_come:
            return []
        if self._keys & _CONNECTION_KEYS and self._has_settled():
            return None
        found: set[int] = set()
        if "rtt" in self._keys:
            found |= self._answered(judged_to)
        if self._keys & _FINDING_KEYS:
            self._finding, named = self._named("finding", self._finding)
            found |= named
        if "fault" in self._keys:
            self._fault, named = self._named("fault_event", self._fault)
            found |= named
        self._judged_to = judged_to
        return sorted(found) if len(found) <= MOST_FRAMES else None

    def _answered(self, judged_to: int) -> set[int]:
        """Pings whose pong has come."""
        if not self._judged_to:
            return set()
        return queries.answered_between(self._capture, self._judged_to, judged_to, MOST_FRAMES + 1)

    def _named(self, table: str, after: int) -> tuple[int, set[int]]:
        """The newest row, and the frames that new rows name."""
        return queries.frames_named(self._capture, table, after)

    def _newest(self, table: str) -> int:
        return queries.newest_id(self._capture, table)

    def _unsettled(self) -> frozenset[int]:
        """Connections of which more will be known."""
        return queries.unsettled_connections(self._capture) if self._keys & _CONNECTION_KEYS else frozenset()

    def _has_settled(self) -> bool:
        before, self._open = self._open, self._unsettled()
        return not before <= self._open
