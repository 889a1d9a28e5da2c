"""An event loop in its own thread, so that many tests share peers that live longer than one of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class ThreadedLoop:
    """Runs coroutines in a thread; a context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lab")

    def __enter__(self) -> ThreadedLoop:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float = 110) -> T:
        """The result of `coroutine`, run in the loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout)
