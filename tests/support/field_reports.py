"""What people reported, played: an application, nginx between two taps, and `wsinspect diagnose`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import WebSocketException
from websockets.http11 import Request as Asked
from websockets.http11 import Response
from websockets.typing import Subprotocol

from tests.support.engine import Engine, wsinspect_json
from tests.support.hops import LOOPBACK, nginx
from tests.support.small_servers import free_port
from wsinspect.capture.reader import Capture


def diagnose(folder: Path, *arguments: object) -> tuple[int, dict[str, Any]]:
    """`wsinspect diagnose --json`."""
    return wsinspect_json(folder, "diagnose", *arguments)


def ids(told: dict[str, Any], *severities: str) -> list[str]:
    wanted = severities or ("error", "warning", "note")
    return sorted(one["id"] for one in told["findings"] if one["severity"] in wanted)


def by_path(told: dict[str, Any], capture: Path) -> dict[str, list[str]]:
    """Finding ids by the path of their connection, without the query."""
    with Capture.open(capture) as opened:
        paths = {one.id: (one.path or "").partition("?")[0] for one in opened.connections()}
    found: dict[str, list[str]] = {path: [] for path in paths.values()}
    for one in told["findings"]:
        if one["connection"] is not None:
            found[paths[one["connection"]]].append(one["id"])
    return {path: sorted(set(names)) for path, names in found.items()}


async def application(socket: ServerConnection) -> None:
    """Echoes; `/close/1008` closes with that code, `/abort` breaks off, `/cable` wants a token at once."""
    path = socket.request.path.partition("?")[0] if socket.request else ""
    with contextlib.suppress(WebSocketException, TimeoutError):
        if path.startswith("/close/"):
            await socket.close(int(path.rpartition("/")[2]), "because")
        elif path == "/abort":
            socket.transport.abort()
        elif path == "/cable":
            await asyncio.wait_for(socket.recv(), 20)
            await socket.close(1008, "unauthorized: the token has to come with the handshake")
        else:
            async for message in socket:
                await socket.send(message)


def answer(connection: ServerConnection, request: Asked) -> Response | None:
    """`/500` fails while connecting."""
    if request.path.startswith("/500"):
        return connection.respond(500, "Traceback: KeyError")
    return None


async def converse(
    url: str,
    *,
    says: str = "hello",
    waits: bool = False,
    subprotocols: list[str] | None = None,
    patience: float = 20,
) -> None:
    """A client that says something, and waits to be ended where it is to.

    Args:
        patience: seconds that the opening handshake may take.
    """
    offered = [Subprotocol(name) for name in subprotocols or ()] or None
    with contextlib.suppress(WebSocketException, OSError, TimeoutError):
        async with connect(
            url, subprotocols=offered, ping_interval=None, proxy=None, open_timeout=patience
        ) as socket:
            await socket.send(says)
            await asyncio.wait_for(socket.recv(), 20)
            if waits:
                await asyncio.wait_for(socket.recv(), 20)


Talk = Callable[[str], Any]


async def record(folder: Path, locations: str | None, talk: Talk, *options: str) -> Path:
    """Talk to the application through nginx between two taps, or through one tap alone."""
    async with serve(application, LOOPBACK, 0, ping_interval=None, process_request=answer) as server:
        app = next(iter(server.sockets)).getsockname()[1]
        origin = free_port()
        with contextlib.ExitStack() as stack:
            target, taps = app, []
            if locations is not None:
                hop = stack.enter_context(
                    nginx(folder / "nginx", locations.replace("ORIGIN", f"{LOOPBACK}:{origin}"))
                )
                target, taps = hop.port, ["--tap", f"origin={LOOPBACK}:{origin}=http://{LOOPBACK}:{app}"]
            engine = await asyncio.to_thread(
                lambda: Engine.start(
                    "--tap", f"edge={LOOPBACK}:0=http://{LOOPBACK}:{target}", *taps, *options, folder=folder
                )
            )
            await talk(f"ws://{LOOPBACK}:{engine.port('edge')}")
            await asyncio.to_thread(engine.stop)
    return engine.capture
