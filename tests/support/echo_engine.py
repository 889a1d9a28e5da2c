"""A Python `websockets` echo server, and the engine in front of it with faults."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.support.engine import Engine
from wsinspect.capture.reader import Capture
from wsinspect.control.client import ControlClient

#: "5 s good; abort all; 503 for 8 s; then 300 ms latency": a scenario file.
OUTAGE = """
version: 1
rules:
  - {name: outage, kind: refuse, status: 503, armed: false}
  - {name: slow, kind: latency, direction: s2c, latency: 300ms, armed: false}
phases:
  - {for: 5s}
  - {do: {kind: abort, how: rst}}
  - {for: 8s, rules: [outage]}
  - {for: 60s, rules: [slow]}
"""


class EchoEngine:
    """What a test holds in its hands.

    Attributes:
        heard: messages that the server got.
        seen: how each of the server's connections ended: code, or None without a CLOSE frame.
        ended: that one of them did.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.heard: list[str | bytes] = []
        self.seen: list[int | None] = []
        self.ended = asyncio.Event()
        self._control: ControlClient | None = None

    def url(self, path: str = "/chat", tap: str = "reverse") -> str:
        return f"ws://127.0.0.1:{self.engine.port(tap)}{path}"

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        if self._control is None:
            self._control = ControlClient.open(self.engine.ready["control"])
        return await asyncio.to_thread(self._control.request, method, path, body)

    def hang_up(self) -> None:
        """Close the connection to the control API."""
        if self._control is not None:
            self._control.close()

    async def event(self, name: str, **fields: Any) -> dict[str, Any]:
        return await asyncio.to_thread(self.engine.wait_for_event, name, **fields)

    async def stop(self) -> Capture:
        """End the engine; the capture is complete then."""
        self.hang_up()
        await asyncio.to_thread(self.engine.stop)
        return Capture.open(self.engine.capture)


@contextlib.asynccontextmanager
async def echo_engine(
    folder: Path,
    *options: str,
    compression: str | None = "deflate",
    ping_interval: float | None = None,
    subprotocol: Any = None,
) -> AsyncIterator[EchoEngine]:
    """An engine with the tap `reverse` before an echo server; `options` as for `wsinspect run`.

    Args:
        subprotocol: what the server chooses where it is offered.
    """
    found: list[EchoEngine] = []

    async def echo(socket: ServerConnection) -> None:
        here = found[0]
        try:
            async for message in socket:
                here.heard.append(message)
                await socket.send(message)
        except ConnectionClosed as error:
            here.seen.append(error.rcvd.code if error.rcvd else None)
        else:
            here.seen.append(socket.close_code)
        here.ended.set()

    def choose(_socket: ServerConnection, offered: Sequence[Any]) -> Any:
        return subprotocol if subprotocol in offered else None

    settings: dict[str, Any] = {"compression": compression, "ping_interval": ping_interval}
    async with serve(echo, "127.0.0.1", 0, close_timeout=1, select_subprotocol=choose, **settings) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        target = ("--reverse", f"http://127.0.0.1:{port}")
        usual = [] if "--listen" in options else ["--listen", "127.0.0.1:0"]
        # With a name of its own it is kept, also where no client came.
        usual += [] if "--capture" in options else ["--capture", str(folder / "echo.db")]
        engine = await asyncio.to_thread(Engine.start, *usual, *target, *options, folder=folder / "engine")
        found.append(EchoEngine(engine))
        try:
            yield found[0]
        finally:
            found[0].hang_up()
            await asyncio.to_thread(engine.stop)
