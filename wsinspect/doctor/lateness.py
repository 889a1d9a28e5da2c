"""How late the doctor itself runs: on a busy machine it reads late what a server sent in time.

While this process gets no CPU, an answer that has arrived waits in the kernel, and that time is not the
server's: no limit may run out meanwhile, and no finding may count it (`findings/lag.py`). A timer of the loop
measures it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from wsinspect.findings.lag import Lag, merged

#: How often the timer runs, and from when on it was late.
_EVERY_NS: Final = 50_000_000
_LEAST_NS: Final = 50_000_000


class Lateness:
    """Stretches in which this process may have read nothing.

    Args:
        now_ns: the clock that attempts are stamped with.
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._lags: list[Lag] = []
        self._limits: list[asyncio.Timeout] = []
        self._timer: asyncio.TimerHandle | None = None
        self._watchers = 0
        self._last_ns = 0

    @property
    def lags(self) -> tuple[Lag, ...]:
        """Those seen so far, in order."""
        return merged(self._lags)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Measure meanwhile; may be nested."""
        self._watchers += 1
        if self._timer is None:
            self._last_ns = self._now_ns()
            self._schedule()
        try:
            yield
        finally:
            self._watchers -= 1
            if not self._watchers and self._timer is not None:
                self._timer.cancel()
                self._timer = None
                self._measure()

    @asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncIterator[asyncio.Timeout]:
        """A limit in the time that this process ran: it is put off by what the process was late.

        Raises:
            TimeoutError: it is over.
        """
        async with asyncio.timeout(seconds) as limit:
            self._limits.append(limit)
            try:
                yield limit
            finally:
                self._limits.remove(limit)

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_EVERY_NS / 1e9, self._tick)

    def _tick(self) -> None:
        late_ns = self._measure()
        for limit in self._limits if late_ns else ():
            # A limit that ran out in this very turn has its callback in the queue still: this takes it back.
            if (when := limit.when()) is not None and not limit.expired():
                limit.reschedule(when + late_ns / 1e9)
        self._schedule()

    def _measure(self) -> int:
        """By how much the timer was late, in nanoseconds; 0 where that is not worth noting."""
        now_ns, last_ns = self._now_ns(), self._last_ns
        self._last_ns = now_ns
        late_ns = now_ns - last_ns - _EVERY_NS
        if late_ns < _LEAST_NS:
            return 0
        self._lags.append(Lag(last_ns, now_ns))
        return late_ns
