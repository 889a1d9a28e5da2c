"""When the engine gives memory back: a while after many connections closed, if they are not used again."""

from __future__ import annotations

import asyncio
from collections.abc import Sized
from typing import Final

from wsinspect.memory import FEW, HighWater

SETTLE_SECONDS: Final = 2.0


class Relief:
    """Watches what is open, and gives memory back after many have closed.

    Args:
        open_ones: what is open.
    """

    def __init__(self, open_ones: Sized) -> None:
        self._open = open_ones
        self._timer: asyncio.TimerHandle | None = None
        self.water = HighWater()

    def opened(self) -> None:
        """There is one more."""
        self.water.rise(len(self._open))

    def closed(self) -> None:
        """There is one less."""
        if self._timer is None and self.water.is_due(len(self._open)):
            self._timer = asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._give)

    def stop(self) -> None:
        """The engine ends: there is no later moment to wait for."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give(self) -> None:
        self._timer = None
        if len(self._open) <= FEW:  # else they are used again; the next one that closes asks again
            self.water.give_back(len(self._open))
