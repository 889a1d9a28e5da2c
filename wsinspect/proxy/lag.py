"""How late the event loop runs: what a process that got no CPU reads, it reads late, and stamps late.

The kernel keeps bytes and ends of connections until they are read. A loop that was not run for a second finds
all that came meanwhile at once, and its times say nothing of when, or in which order, that was. Rules that
reason from elapsed time have to know (`findings/lag.py`), so each such stretch is an event in the journal.

A timer of the loop measures it, ten times a second while an attempt or connection is open; nothing is done
for a chunk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from wsinspect.vocabulary.events import Lag

INTERVAL_NS: Final = 100_000_000
#: A timer late by less is not worth noting.
LEAST_NS: Final = 100_000_000
#: A long stretch of lag is recorded in pieces of about this length.
_PIECE_NS: Final = 1_000_000_000


class LagMeter:
    """From the times at which a periodic timer ran to stretches of lag; knows no clock and no loop.

    Args:
        tell: takes a stretch and when it ended. It begins when the timer ran last: that is the earliest time
            from which on the loop may not have run.
    """

    def __init__(self, tell: Callable[[Lag, int], None]) -> None:
        self._tell = tell
        self._last_ns: int | None = None
        #: The part of a continuing stretch that is not in the journal yet.
        self._untold: tuple[int, int] | None = None

    def start(self, now_ns: int) -> None:
        """From here on the timer runs every `INTERVAL_NS`."""
        self._last_ns = now_ns

    def tick(self, now_ns: int) -> None:
        """The timer ran at this time; a late turn makes a stretch."""
        last_ns, self._last_ns = self._last_ns, now_ns
        if last_ns is None:
            return
        if now_ns - last_ns - INTERVAL_NS < LEAST_NS:
            self._settle()
        elif self._untold is None:
            # At once: what was read in the same turn is about to be judged.
            self._tell(Lag(for_ns=now_ns - last_ns), now_ns)
            self._untold = now_ns, now_ns
        else:
            self._untold = self._untold[0], now_ns
            if now_ns - self._untold[0] >= _PIECE_NS:
                self._settle()
                self._untold = now_ns, now_ns

    def stop(self, now_ns: int) -> None:
        """The timer does not run any more."""
        self.tick(now_ns)
        self._settle()
        self._last_ns = None

    def _settle(self) -> None:
        untold, self._untold = self._untold, None
        if untold is not None and untold[1] > untold[0]:
            self._tell(Lag(for_ns=untold[1] - untold[0]), untold[1])


class LagWatch:
    """Runs a `LagMeter` on the running event loop as long as there is something to watch.

    Args:
        tell: takes a stretch of lag and when it ended.
        now_ns: the engine's clock.
        is_needed: whether to continue; asked at each turn of the timer.
    """

    def __init__(
        self, tell: Callable[[Lag, int], None], now_ns: Callable[[], int], is_needed: Callable[[], bool]
    ) -> None:
        self._meter = LagMeter(tell)
        self._now_ns = now_ns
        self._is_needed = is_needed
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Watch, if it does not already."""
        if self._timer is None:
            self._meter.start(self._now_ns())
            self._schedule()

    def stop(self) -> None:
        """Tell what is known, and watch no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._meter.stop(self._now_ns())

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(INTERVAL_NS / 1e9, self._tick)

    def _tick(self) -> None:
        if self._is_needed():
            self._meter.tick(self._now_ns())
            self._schedule()
        else:
            self._timer = None
            self._meter.stop(self._now_ns())
