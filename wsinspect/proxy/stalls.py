"""A peer that does not take what it is sent: when its buffer here has been full for more than a second, and
when it had room again.

Nothing is done for a chunk: the transport, or the stream of HTTP/2, says when it is full. A buffer that is
full for less is how flow control works, and no event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from wsinspect.vocabulary.events import Drained, Event, Stalled

#: A buffer that is full for as long is an event.
LEAST_NS: Final = 1_000_000_000
#: Most events of a side while its connection lives; of later ones only the one at the end is reported.
MOST: Final = 8


class Recording(Protocol):
    """Where the connection is recorded (`splice.Stream`)."""

    @property
    def now_ns(self) -> Callable[[], int]: ...

    def event(self, event: Event) -> None: ...


class Stall:
    """One side of one connection.

    Args:
        side: "client" or "server".
        stream: takes the events.
        waiting: bytes that wait for this side, and how long ago its TCP acknowledged anything (None: not
            known).
    """

    def __init__(self, side: str, stream: Recording, waiting: Callable[[], tuple[int, int | None]]) -> None:
        self._side = side
        self._stream = stream
        self._waiting = waiting
        self._since_ns: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_reported = False
        self._reported = 0
        self._is_over = False
        # What waited at the last look, when some of it had been taken, and the longest time without.
        self._left = 0
        self._moved_ns = 0
        self._still_ns = 0

    def begin(self, now_ns: int | None = None) -> None:
        """The buffer is full (again: no harm)."""
        if self._since_ns is None and not self._is_over:
            self._since_ns = now_ns if now_ns is not None else self._stream.now_ns()
            # One timer is under way at most, however often the buffer fills and empties meanwhile.
            if self._timer is None:
                self._look_in(LEAST_NS)

    def end(self) -> None:
        """There is room again."""
        since_ns, self._since_ns = self._since_ns, None
        if since_ns is not None and self._is_reported:
            self._is_reported = False
            now_ns = self._stream.now_ns()
            self._still_ns = max(self._still_ns, now_ns - self._moved_ns)
            self._stream.event(Drained(side=self._side, for_ns=now_ns - since_ns, still_ns=self._still_ns))

    def over(self) -> None:
        """The connection begins to end: what still waits is why, or is lost with it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        since_ns = self._since_ns
        if since_ns is not None and self._stream.now_ns() - since_ns >= LEAST_NS:
            self._report(since_ns)
        self._since_ns = None
        self._is_over = True

    def _look_in(self, wait_ns: int) -> None:
        self._timer = asyncio.get_running_loop().call_later(wait_ns / 1e9, self._look)

    def _look(self) -> None:
        self._timer = None
        since_ns = self._since_ns
        if since_ns is None:
            return
        left_ns = since_ns + LEAST_NS - self._stream.now_ns()
        if left_ns > 0:
            self._look_in(left_ns)
            return
        if self._is_reported:
            self._watch()
        elif self._reported < MOST:
            self._report(since_ns)
        else:
            return
        self._look_in(LEAST_NS)

    def _watch(self) -> int | None:
        """See whether some has been taken; how long ago its TCP acknowledged anything."""
        size, acked_ns = self._waiting()
        now_ns = self._stream.now_ns()
        self._still_ns = max(self._still_ns, now_ns - self._moved_ns)
        if size < self._left:
            self._moved_ns = now_ns
        self._left = size
        return acked_ns

    def _report(self, since_ns: int) -> None:
        is_first, self._is_reported = not self._is_reported, True
        if is_first:
            # What was taken before is not known: from now on it is.
            self._left, self._moved_ns, self._still_ns = 0, self._stream.now_ns(), 0
        self._reported += 1
        acked_ns = self._watch()
        self._stream.event(
            Stalled(
                side=self._side,
                bytes=self._left,
                for_ns=self._stream.now_ns() - since_ns,
                acked_ns=acked_ns,
                still_ns=None if is_first else self._still_ns,
            )
        )
