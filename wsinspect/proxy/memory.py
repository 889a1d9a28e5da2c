"""When the engine gives memory back, and when it looks for garbage: while few connections are open.

A full collection of Python's cycle collector looks at all that lives, a hundred objects for each open
connection, and everything stands still meanwhile: for a tenth of a second and more with ten thousand of them.
So it never comes by itself (`COLLECTIONS`), but from here.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Sized
from typing import Final

from wsinspect.memory import FEW, HighWater

SETTLE_SECONDS: Final = 2.0
#: Thresholds of the cycle collector (`gc.set_threshold`): objects of a young collection, and how many of them
#: are between two that look at the last few thousand again (2 ms). A full one is far away. Python 3.14 looks
#: at old objects a few at a time, and reads the second number in another way.
COLLECTIONS: Final = (3_000, 1, 1_000_000) if sys.version_info < (3, 14) else (5_000, 5, 10)
#: How often it is looked whether there may be garbage.
LOOK_SECONDS: Final = 5.0
#: So many collections of the middle kind, 6,000 new objects each, are worth a full one; so many more do not
#: wait for few connections any longer: garbage would take 100 MB and more.
SOME: Final = 10
TOO_MANY: Final = 300


class Relief:
    """Watches what is open, and gives memory back after many have closed.

    Args:
        open_ones: what is open.
    """

    def __init__(self, open_ones: Sized) -> None:
        self._open = open_ones
        self._timer: asyncio.TimerHandle | None = None
        self._look_timer: asyncio.TimerHandle | None = None
        self.water = HighWater()

    def begin(self) -> None:
        """All runs: what the start made, 100,000 objects, stays and is not looked at again (`gc.freeze`).

        A client that has gone leaves nothing to find (`seams.release`), but for one that spoke HTTP/2.
        """
        gc.freeze()
        gc.set_threshold(*COLLECTIONS)
        self._look_later()

    def opened(self) -> None:
        """There is one more."""
        self.water.rise(len(self._open))

    def closed(self) -> None:
        """There is one less."""
        if self._timer is None and self.water.is_due(len(self._open)):
            self._timer = asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._give)

    def stop(self) -> None:
        """The engine ends: there is no later moment to wait for."""
        for timer in (self._timer, self._look_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._look_timer = None

    def look(self) -> None:
        """Collect, where there may be garbage and it holds up few, or where there may be too much."""
        middle = gc.get_count()[2]
        if middle >= TOO_MANY or (middle >= SOME and len(self._open) <= FEW):
            gc.collect()

    def _look_later(self) -> None:
        self._look_timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self.look()
        self._look_later()

    def _give(self) -> None:
        self._timer = None
        if len(self._open) <= FEW:  # else they are used again; the next one that closes asks again
            self.water.give_back(len(self._open))
