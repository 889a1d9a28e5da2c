"""Memory that many connections took, given back once they have closed.

CPython keeps what it freed for the next objects: whole blocks go back to the system only when nothing in them
is used, and its own lists of free objects use a little of nearly every block. A full collection empties these
lists, and `malloc_trim` gives back what C's heap has free inside. Both stop everything for some milliseconds,
so they wait for a moment with few connections.

One object that lives on keeps its whole block: what is made while many connections are open, and kept for
longer than they are, should be made before the first one comes, or be in an array.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

#: So many have to have closed: 20 KB each in the engine, 6 KB in the recorder.
MANY: Final = 500
#: No more may be open: their objects are looked at one by one.
FEW: Final = 100
#: Thresholds of the cycle collector where rows are made: these are tuples without cycles, and looking for
#: garbage among them every few thousand costs a twentieth to a tenth of the time.
ROWS: Final = (100_000, 20, 20)


@contextmanager
def making_rows() -> Iterator[None]:
    """Look for garbage as seldom as the makers of rows need it (`ROWS`)."""
    before = gc.get_threshold()
    gc.set_threshold(*ROWS)
    try:
        yield
    finally:
        gc.set_threshold(*before)


class HighWater:
    """The most connections that were open at once since memory was last given back.

    Attributes:
        count: how often it was.
    """

    def __init__(self) -> None:
        self._most = 0
        self.count = 0

    def rise(self, open_count: int) -> None:
        """So many are open now."""
        self._most = max(self._most, open_count)

    def is_due(self, open_count: int) -> bool:
        """Whether many have closed, and few are open."""
        return open_count <= FEW and self._most - open_count >= MANY

    def give_back(self, open_count: int, shrink: Callable[[], None] | None = None) -> None:
        """Give it back now.

        Args:
            open_count: so many are open.
            shrink: gives back what others keep, to C's heap.
        """
        self._most = open_count
        self.count += 1
        gc.collect()
        if shrink is not None:
            shrink()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:  # glibc's
            trim(0)
