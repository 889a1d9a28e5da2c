"""When to send: as soon as the recording allows it, in its time scaled, or at once.

Sans-I/O: the caller waits.
"""

from __future__ import annotations

from typing import Final

from wsinspect.errors import UsageError

LEAST: Final = 0.1
MOST: Final = 100.0


def parse_speed(text: str) -> float | None:
    """`0.1` to `100`, or `max` (None).

    Raises:
        UsageError: it is neither.
    """
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not LEAST <= speed <= MOST:
        raise UsageError(f"invalid speed {text!r}", hint="write a number from 0.1 to 100, or max")
    return speed


class Clock:
    """Recorded times as times from now on.

    Args:
        speed: how much faster than recorded; None is at once.
        start_ns: the recorded beginning.
        now: the beginning now, in seconds of any clock.
    """

    def __init__(self, speed: float | None, start_ns: int, now: float) -> None:
        self._speed = speed
        self._start_ns = start_ns
        self._now = now

    def due(self, time_ns: int) -> float | None:
        """When something recorded at `time_ns` is due; None for at once."""
        if self._speed is None:
            return None
        return self._now + max(0, time_ns - self._start_ns) / 1e9 / self._speed
