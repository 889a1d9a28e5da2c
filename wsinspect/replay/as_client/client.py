"""The recorded clients played against a server (RFC 6455).

Each recorded connection is opened again and sends what its client sent (`client_play`): when the server has
said as much as it had then (the default), in the recorded time, or at once. What the server says is compared
as it comes. Connections that overlapped play at the same time, others one after the other.
"""

from __future__ import annotations

import asyncio
import heapq
import signal
import ssl
import threading
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from wsinspect.capture.damage import check_sound
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.replay.as_client.opening import ClientOptions, tls_context
from wsinspect.replay.as_client.play import ClientPlay, sleep_until
from wsinspect.replay.common.pace import Clock
from wsinspect.replay.common.report import ConnectionReport, OnDivergence, nobody

__all__ = ["ClientOptions", "replay_client"]


def replay_client(
    capture: Capture,
    connections: Sequence[Connection],
    options: ClientOptions,
    *,
    on_divergence: OnDivergence = nobody,
    progress: Callable[[int], None] = lambda _done: None,
) -> list[ConnectionReport]:
    """Play the clients of some connections.

    Args:
        capture: the recording.
        connections: of it.
        options: how.
        on_divergence: called with each divergence as it happens.
        progress: called with the number of frames done.

    SIGINT ends it: what has not been played to its end says so in its report.

    Raises:
        CaptureError: the recording is damaged.
        LocalError: TLS cannot be set up as asked for.
    """
    check_sound(capture)
    context = tls_context(options, ["http/1.1"]) if options.target.scheme == "wss" else None
    return asyncio.run(_Clients(capture, connections, options, context, on_divergence, progress).run())


class _Clients:
    """All connections: those that overlapped play at once, others one after the other."""

    def __init__(
        self,
        capture: Capture,
        connections: Sequence[Connection],
        options: ClientOptions,
        context: ssl.SSLContext | None,
        on_divergence: OnDivergence,
        progress: Callable[[int], None],
    ) -> None:
        self.capture = capture
        self.options = options
        self.context = context
        self.on_divergence = on_divergence
        self._connections = connections
        self._progress = progress
        self._done = 0
        self._turns = _Turns(connections)
        self._tasks: list[asyncio.Task[ConnectionReport]] = []
        self._is_interrupted = False

    def advance(self, frames: int) -> None:
        """Count frames that are done."""
        self._done += frames
        self._progress(self._done)

    async def run(self) -> list[ConnectionReport]:
        start_ns = min((one.attempt_ns or 0 for one in self._connections), default=0)
        begin = time.monotonic()
        speed = None if self.options.gated else self.options.speed
        async with asyncio.TaskGroup() as group, self._interruptible():
            for one in self._connections:
                clock = Clock(speed, start_ns, begin)
                self._tasks.append(group.create_task(self._one(one, clock)))
            await asyncio.wait(self._tasks)
        return [task.result() for task in self._tasks]

    @asynccontextmanager
    async def _interruptible(self) -> AsyncIterator[None]:
        """SIGINT ends what is playing; the report is still made."""
        loop = asyncio.get_running_loop()
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)

    def _interrupt(self) -> None:
        self._is_interrupted = True
        for task in self._tasks:
            task.cancel()

    async def _one(self, one: Connection, clock: Clock) -> ConnectionReport:
        play = ClientPlay(
            self.capture, one, clock, self.options, self.context, self.on_divergence, self.advance
        )
        started: float | None = None
        try:
            due = clock.due(one.attempt_ns or 0)
            await (sleep_until(due) if due is not None else self._turns.wait(one))
            started = time.monotonic()
            await play.run()
        except asyncio.CancelledError:
            if not self._is_interrupted:
                raise
            play.report.is_interrupted = True
        finally:
            self._turns.end(one)
        play.report.seconds = 0.0 if started is None else time.monotonic() - started
        return play.report


class _Turns:
    """A connection waits for those that had ended when it began.

    Only for those that ended strictly before: times are as coarse as their source wrote them, and a failed
    attempt may begin and end in the same moment. An end before its own beginning counts as that beginning.
    So whatever is waited for began earlier, and no two wait for each other.
    """

    def __init__(self, connections: Sequence[Connection]) -> None:
        closed = sorted(
            (max(one.closed_ns, _start(one)), one.id) for one in connections if one.closed_ns is not None
        )
        self._times = [time_ns for time_ns, _ in closed]
        self._order = [number for _, number in closed]
        self._over: set[int] = set()
        self._done = 0
        self._waiting: list[tuple[int, int, asyncio.Event]] = []

    async def wait(self, one: Connection) -> None:
        """Wait until its turn has come."""
        before = bisect_left(self._times, _start(one))
        if before > self._done:
            event = asyncio.Event()
            heapq.heappush(self._waiting, (before, one.id, event))
            await event.wait()

    def end(self, one: Connection) -> None:
        """Wake those whose turn came because this connection is over."""
        self._over.add(one.id)
        while self._done < len(self._order) and self._order[self._done] in self._over:
            self._done += 1
        while self._waiting and self._waiting[0][0] <= self._done:
            heapq.heappop(self._waiting)[2].set()


def _start(one: Connection) -> int:
    return one.attempt_ns or 0
