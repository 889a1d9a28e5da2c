"""The recorded clients played against a server (RFC 6455).

Each recorded connection is opened again and sends what its client sent (`client_play`): when the server has
said as much as it had then (the default), in the recorded time, or at once. What the server says is compared
as it comes. Connections that overlapped play at the same time, others one after the other.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Sequence

from wsinspect.capture.formats.soundness import check_sound
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.errors import LocalError
from wsinspect.replay.client_opening import ClientOptions
from wsinspect.replay.client_play import ClientPlay, sleep_until
from wsinspect.replay.pace import Clock
from wsinspect.replay.report import ConnectionReport, Tell, nobody

__all__ = ["ClientOptions", "replay_client"]


def replay_client(
    capture: Capture,
    connections: Sequence[Connection],
    options: ClientOptions,
    *,
    tell: Tell = nobody,
    progress: Callable[[int], None] = lambda _done: None,
) -> list[ConnectionReport]:
    """Play the clients of some connections.

    Args:
        capture: the recording.
        connections: of it.
        options: how.
        tell: told of divergences as they are known.
        progress: told how many frames are done.

    Raises:
        CaptureError: the recording is damaged.
        LocalError: TLS cannot be set up as asked for.
    """
    check_sound(capture)
    context = _tls(options) if options.target.scheme == "wss" else None
    return asyncio.run(_Clients(capture, connections, options, context, tell, progress).run())


def _tls(options: ClientOptions) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise LocalError(f"cannot read {options.ca_file}: {error}") from None
    if options.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


class _Clients:
    """All connections: those that overlapped play at once, others one after the other."""

    def __init__(
        self,
        capture: Capture,
        connections: Sequence[Connection],
        options: ClientOptions,
        context: ssl.SSLContext | None,
        tell: Tell,
        progress: Callable[[int], None],
    ) -> None:
        self.capture = capture
        self.options = options
        self.context = context
        self.tell = tell
        self._connections = connections
        self._progress = progress
        self._done = 0

    def advance(self, frames: int) -> None:
        """So many frames more are done."""
        self._done += frames
        self._progress(self._done)

    async def run(self) -> list[ConnectionReport]:
        start_ns = min((one.attempt_ns or 0 for one in self._connections), default=0)
        begin = time.monotonic()
        over = {one.id: asyncio.Event() for one in self._connections}
        async with asyncio.TaskGroup() as group:
            tasks = []
            for one in self._connections:
                speed = None if self.options.gated else self.options.speed
                clock = Clock(speed, start_ns, begin)
                before = [over[other.id] for other in self._connections if _is_before(other, one)]
                tasks.append(group.create_task(self._one(one, clock, before, over[one.id])))
        return [task.result() for task in tasks]

    async def _one(
        self, one: Connection, clock: Clock, before: list[asyncio.Event], over: asyncio.Event
    ) -> ConnectionReport:
        if clock.due(one.attempt_ns or 0) is None:
            for other in before:
                await other.wait()
        else:
            await sleep_until(clock.due(one.attempt_ns or 0))
        started = time.monotonic()
        play = ClientPlay(self.capture, one, clock, self.options, self.context, self.tell, self.advance)
        try:
            await play.run()
        finally:
            over.set()
        play.report.seconds = time.monotonic() - started
        return play.report


def _is_before(other: Connection, one: Connection) -> bool:
    """Whether a connection had ended when another one began."""
    return other.closed_ns is not None and one.attempt_ns is not None and other.closed_ns <= one.attempt_ns
