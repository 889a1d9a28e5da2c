"""The whole demo in a given time: server and hop, a real engine in front of both, two clients talking."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from wsinspect.demo.clients import Ports, Say, converse
from wsinspect.demo.engine import ports, running_engine
from wsinspect.demo.hop import Hop
from wsinspect.demo.server import ChatServer

PING_EVERY = 0.4
STOPPING = 0.5  # seconds that the engine takes to end and the report to be written, about
CHAT, EDGE, ORIGIN = "chat", "edge", "origin"
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def play(
    capture: Path, seconds: float, say: Say, on_ready: Callable[[dict[str, Any]], None] = lambda event: None
) -> None:
    """Record the demo into `capture`; takes about `seconds`, somewhat more where the machine is slow.

    Args:
        say: hears what happens, one line each.
        on_ready: called once with the engine's `ready` event.

    Raises:
        LocalError: the engine did not start.
        asyncio.CancelledError: a signal ended it; the engine has ended, too.
    """
    started = time.monotonic()
    with _ended_by_signals():
        await _play(capture, started + seconds - STOPPING, say, on_ready)


async def _play(capture: Path, deadline: float, say: Say, on_ready: Callable[[dict[str, Any]], None]) -> None:
    async with (
        ChatServer(PING_EVERY) as server,
        Hop(server.port) as hop,
        running_engine(capture, {CHAT: server.port, EDGE: hop.port, ORIGIN: server.port}) as ready,
    ):
        on_ready(ready)
        listening = ports(ready)
        # With a tap on each side the finding names the hop, not "something on the way".
        hop.upstream = listening[ORIGIN]
        say(
            f"proxy: port {listening[CHAT]} leads to the chat server; port {listening[EDGE]} to a hop, "
            f"and the hop to port {listening[ORIGIN]} before that server"
        )
        await converse(Ports(listening[CHAT], listening[EDGE]), deadline - time.monotonic(), say)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Any of the signals ends the demo once, also where SIGINT was ignored by whoever started it.

    A further one changes nothing: the engine is being ended, and none is left behind.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task
    waiting = [task]

    def end() -> None:
        if waiting:
            waiting.pop().cancel()

    for each in _SIGNALS:
        loop.add_signal_handler(each, end)
    try:
        yield
    finally:
        for each in _SIGNALS:
            loop.remove_signal_handler(each)
