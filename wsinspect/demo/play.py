"""The whole demo in a given time: server and hop, a real engine in front of both, two clients talking."""

from __future__ import annotations

import time
from pathlib import Path

from wsinspect.demo.clients import Ports, Tell, converse
from wsinspect.demo.engine import running_engine
from wsinspect.demo.hop import Hop
from wsinspect.demo.server import ChatServer

PING_EVERY = 0.4
STOPPING = 0.7  # seconds that the engine takes to end and the report to be written, about
CHAT, HOP = "chat", "hop"


async def play(capture: Path, seconds: float, tell: Tell) -> None:
    """Record the demo into `capture`; takes about `seconds`, somewhat more where the machine is slow.

    Raises:
        LocalError: the engine did not start.
    """
    started = time.monotonic()
    async with (
        ChatServer(PING_EVERY) as server,
        Hop(server.port) as hop,
        running_engine(capture, {CHAT: server.port, HOP: hop.port}) as ports,
    ):
        tell(f"proxy: port {ports[CHAT]} leads to the chat server, port {ports[HOP]} to the hop before it")
        left = seconds - STOPPING - (time.monotonic() - started)
        await converse(Ports(ports[CHAT], ports[HOP]), left, tell)
