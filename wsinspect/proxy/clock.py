"""Epoch nanoseconds that never jump: a wall-clock anchor plus the monotonic difference.

Invariant: two readings taken in order never decrease, whatever NTP or the user does to the wall clock; how
far the wall has moved away since the anchor was taken is in `Clock.wall_step_ns`.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """The engine's only source of time.

    Attributes:
        anchor_wall_ns: epoch nanoseconds when the clock was made.
        anchor_mono_ns: the monotonic clock at the same moment.
        now_ns: reads epoch nanoseconds; a plain closure, because the hot path calls it for every chunk.
    """

    def __init__(self) -> None:
        self.anchor_mono_ns = time.monotonic_ns()
        self.anchor_wall_ns = time.time_ns()
        self.now_ns: Callable[[], int] = self._reader()
        self._reported_step_ns = 0

    def _reader(self) -> Callable[[], int]:
        monotonic_ns = time.monotonic_ns
        offset = self.anchor_wall_ns - self.anchor_mono_ns

        def now_ns() -> int:
            return monotonic_ns() + offset

        return now_ns

    def wall_step_ns(self, threshold_ns: int = 100_000_000) -> int:
        """How far the wall clock stepped since the last report; 0 while that is below the threshold."""
        step = time.time_ns() - self.now_ns() - self._reported_step_ns
        if abs(step) < threshold_ns:
            return 0
        self._reported_step_ns += step
        return step


def to_ns(seconds: float | None) -> int | None:
    """mitmproxy's float seconds since the epoch as nanoseconds."""
    return None if seconds is None else round(seconds * 1e9)
