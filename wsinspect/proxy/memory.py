"""Memory that many connections took, given back once they have closed.

CPython keeps what it freed for the next objects: whole blocks go back to the system only when nothing in them
is used, and its own lists of free objects use a little of nearly every block. A full collection empties these
lists, and `malloc_trim` gives back what C's heap has free inside. Both stop everything for some milliseconds,
so they wait for a moment with few connections.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import Sized
from typing import Final

#: So many have to have closed: 20 KB each.
MANY: Final = 500
#: No more may be open: their objects are looked at one by one.
FEW: Final = 100
SETTLE_SECONDS: Final = 2.0


class Relief:
    """Watches what is open, and gives memory back after many have closed.

    Args:
        open_ones: what is open.
    """

    def __init__(self, open_ones: Sized) -> None:
        self._open = open_ones
        self._most = 0
        self._timer: asyncio.TimerHandle | None = None
        self.count = 0

    def opened(self) -> None:
        """There is one more."""
        self._most = max(self._most, len(self._open))

    def closed(self) -> None:
        """There is one less."""
        left = len(self._open)
        if left <= FEW and self._most - left >= MANY and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._give)

    def stop(self) -> None:
        """The engine ends: there is no later moment to wait for."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give(self) -> None:
        self._timer = None
        if len(self._open) > FEW:
            return  # they are used again; the next one that closes asks again
        self._most = len(self._open)
        self.count += 1
        gc.collect()
        _trim()


def _trim() -> None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # glibc's
        trim(0)
