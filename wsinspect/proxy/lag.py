"""How late the event loop runs: what a process that got no CPU reads, it reads late, and stamps late.

The kernel keeps bytes and ends of connections until they are read. A loop that was not run for a second finds
all that came meanwhile at once, and its times say nothing of when, or in which order, that was. Rules that
reason from elapsed time have to know (`findings/lag.py`), so each such stretch is an event in the journal.

How late timers are at all is an event, too, where that is notable: whoever judges others by their timers
(`clients`) has to know how good timers were.

A timer of the loop measures both, ten times a second while an attempt or connection is open; nothing is done
for a chunk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from wsinspect.vocabulary.events import Lag, Late

INTERVAL_NS: Final = 100_000_000
#: A timer late by less is not worth noting.
LEAST_NS: Final = 100_000_000
#: A long stretch of lag is recorded in pieces of about this length.
_PIECE_NS: Final = 1_000_000_000
#: How often lateness is noted, and how much of it is notable.
_LATE_EVERY_NS: Final = 2_000_000_000
_NOTABLE_NS: Final = 20_000_000


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


class LateMeter:
    """From the times at which a periodic timer ran to how late it was at worst, now and then.

    Args:
        tell: takes what is notable, and when it was over.
    """

    def __init__(self, tell: Callable[[Late, int], None]) -> None:
        self._tell = tell
        self._last_ns = self._since_ns = 0
        self._worst_ns = 0

    def start(self, now_ns: int) -> None:
        """From here on the timer runs every `INTERVAL_NS`."""
        self._last_ns = self._since_ns = now_ns
        self._worst_ns = 0

    def tick(self, now_ns: int) -> None:
        """The timer ran at this time."""
        self._worst_ns = max(self._worst_ns, now_ns - self._last_ns - INTERVAL_NS)
        self._last_ns = now_ns
        if now_ns - self._since_ns >= _LATE_EVERY_NS:
            self._settle(now_ns)

    def stop(self, now_ns: int) -> None:
        """The timer does not run any more."""
        self.tick(now_ns)
        self._settle(now_ns)

    def _settle(self, now_ns: int) -> None:
        worst_ns, since_ns = self._worst_ns, self._since_ns
        self._worst_ns, self._since_ns = 0, now_ns
        if worst_ns >= _NOTABLE_NS:
            self._tell(Late(worst_ns=worst_ns, for_ns=now_ns - since_ns), now_ns)


class LagWatch:
    """Runs both meters on the running event loop as long as there is something to watch.

    Args:
        tell: takes what a meter says, and when it was over.
        now_ns: the engine's clock.
        is_needed: whether to continue; asked at each turn of the timer.
    """

    def __init__(
        self,
        tell: Callable[[Lag | Late, int], None],
        now_ns: Callable[[], int],
        is_needed: Callable[[], bool],
    ) -> None:
        self._meters = LagMeter(tell), LateMeter(tell)
        self._now_ns = now_ns
        self._is_needed = is_needed
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Watch, if it does not already."""
        if self._timer is None:
            now_ns = self._now_ns()
            for meter in self._meters:
                meter.start(now_ns)
            self._schedule()

    def stop(self) -> None:
        """Tell what is known, and watch no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._stop()

    def _stop(self) -> None:
        self._timer = None
        now_ns = self._now_ns()
        for meter in self._meters:
            meter.stop(now_ns)

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(INTERVAL_NS / 1e9, self._tick)

    def _tick(self) -> None:
        if self._is_needed():
            now_ns = self._now_ns()
            for meter in self._meters:
                meter.tick(now_ns)
            self._schedule()
        else:
            self._stop()
