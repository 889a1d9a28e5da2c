"""Real clients that reconnect, by libraries and by bad habits, and what they are judged to be."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import time
from collections.abc import Collection, Coroutine, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from ruamel.yaml import YAML
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.support.apps import NodeApp
from tests.support.engine import Engine
from tests.support.threaded_loop import ThreadedLoop
from wsinspect.capture.reader import Capture
from wsinspect.clients.grading import Client, Reason
from wsinspect.control.client import ControlClient
from wsinspect.diagnosis.clients import judged_clients
from wsinspect.errors import CaptureError

#: What an attempt of `websockets` may raise.
FAILS = (ConnectionClosed, InvalidHandshake, OSError, TimeoutError)
#: The client that is not one of tests/node/reconnecting.mjs: `async for` of Python's `websockets`.
ITERATOR = "iterator"
#: By the path of its connections.
KINDS = {
    "/socket.io/": "socketio",
    "/reconnecting": "reconnecting-websocket",
    "/hub": "signalr",
    "/phoenix/websocket": "phoenix",
    "/graphql": "graphql-ws",
    "/naive": "naive",
    "/storm": "storm",
    "/gives-up": "gives-up",
    "/perfect": "perfect",
}


def outage(before: str, length: str, after: str) -> str:
    """A scenario: good for so long, then every connection is reset and tries get 503, then good again."""
    return f"""\
version: 1
seed: 7
rules:
  - {{name: outage, kind: refuse, status: 503, armed: false}}
phases:
  - {{for: {before}}}
  - {{do: {{kind: abort, how: rst}}}}
  - {{for: {length}, rules: [outage]}}
  - {{for: {after}}}
"""


def half_open(before: str, length: str, after: str) -> str:
    """A scenario: good for so long, then nothing gets through and nothing ends, then good again."""
    return f"""\
version: 1
seed: 7
rules:
  - {{name: hole, kind: blackhole, armed: false}}
phases:
  - {{for: {before}}}
  - {{for: {length}, rules: [hole]}}
  - {{for: {after}}}
"""


OUTAGE = outage("2s", "5s", "4s")
HALF_OPEN = half_open("3s", "5s", "2s")

#: The points of a client that resumed.
_WHOLE = 10

#: SignalR's other transports: the server ends them, for rules end WebSockets.
STREAMS = {"/hub": "signalr", "/hub-sse": "signalr-sse", "/hub-polling": "signalr-polling"}
ALL = {**KINDS, **STREAMS, f"/{ITERATOR}": ITERATOR}


@contextlib.contextmanager
def lab(
    folder: Path,
    scenario: str,
    kinds: Collection[str] = KINDS.values(),
    *,
    drop_in: int | None = None,
    patience_s: float = 60.0,
    back: Collection[str] = (),
) -> Iterator[Engine]:
    """A server, an engine, and one client of each kind; then the phases of a scenario, until they are over.

    They begin when all clients are connected: on a busy machine some take longer than any phase.

    Args:
        drop_in: the phase at whose beginning the server ends all connections to its SignalR hub.
        patience_s: how long the phases may take.
        back: clients that have resumed before they are stopped, however long a busy machine takes for it.
    """
    iterating: asyncio.Task[None] | None = None
    with ThreadedLoop() as loop:
        server = loop.run(NodeApp.start("reconnecting.mjs", "server"))
        clients = loop.run(NodeApp.start("reconnecting.mjs", "client"))
        try:
            port = loop.run(server.first_line())["port"]
            target = f"app=127.0.0.1:0=http://127.0.0.1:{port}"
            with (
                Engine.start("--tap", target, folder=folder / "engine") as engine,
                ControlClient.open(engine.ready["control"]) as control,
            ):
                url = f"ws://127.0.0.1:{engine.port('app')}"
                for kind in kinds:
                    if kind == ITERATOR:
                        iterating = loop.run(_begun(by_its_iterator(f"{url}/{ITERATOR}")))
                    else:
                        assert loop.run(clients.ask(start=kind, url=url)) == {"started": kind}
                _wait_for_clients(engine, {path for path, kind in ALL.items() if kind in kinds})
                control.request("PUT", "/v1/scenario", {**YAML(typ="safe").load(scenario), "start": "now"})
                if drop_in is not None:
                    engine.wait_for_event("phase", 60.0, phase=drop_in)
                    loop.run(server.ask(do="drop"))
                engine.wait_for_event("phase", patience_s, phase=None)
                if back:
                    _wait_until_back(
                        engine, back, {path: kind for path, kind in ALL.items() if kind in kinds}
                    )
                loop.run(clients.stop())
                if iterating is not None:
                    loop.run(_ended(iterating))
                yield engine
        finally:
            if clients.process.returncode is None:
                loop.run(clients.stop())
            loop.run(server.stop())


def _wait_for_clients(engine: Engine, paths: Collection[str]) -> None:
    """Until a client has connected to each path: by a WebSocket, or by what a poll brought."""
    deadline = time.monotonic() + 60
    missing = set(paths)
    while missing:
        assert time.monotonic() < deadline, f"no client connected to {missing}"
        with contextlib.suppress(CaptureError), Capture.open(engine.capture) as capture:
            connected = [one.session for one in judged_clients(capture) if one.session.connections]
            missing -= {session.first.path for session in connected}
        time.sleep(0.1)


def _wait_until_back(engine: Engine, names: Collection[str], kinds: Mapping[str, str]) -> None:
    """Until they have resumed. Where one never does, its test says what came of it instead."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = judged(engine, kinds=kinds)
        if all(reason(found[name], "resumes").points == _WHOLE for name in names):
            return
        time.sleep(0.1)


async def _begun(client: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.create_task(client)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def judged(
    engine: Engine, silent_ns: int = 0, kinds: Mapping[str, str] = MappingProxyType(KINDS)
) -> dict[str, Client]:
    """By the names of their kinds.

    Args:
        silent_ns: how long nothing has happened since the last end of a connection.
    """
    with Capture.open(engine.capture) as capture:
        last = max(one.closed_ns or 0 for one in capture.connections())
        found = judged_clients(capture, until_ns=last + silent_ns)
    named = {kinds[one.session.first.path]: one for one in found}
    assert len(named) == len(found) == len(kinds)
    return named


def reason(client: Client, key: str) -> Reason:
    """A criterion as it was judged."""
    return next(one for one in client.grade.reasons if one.key == key)


async def talk(socket: ClientConnection) -> None:
    """Join, and listen for as long as the connection lasts."""
    await socket.send('{"type":"join"}')
    async for _ in socket:
        pass


async def by_its_iterator(url: str) -> None:
    """`async for` of the library's own, fifteen times as fast as it is by default."""
    module = importlib.import_module("websockets.asyncio.client")
    backoff = module.backoff

    def quick() -> Iterator[float]:
        return (delay / 15 for delay in backoff())

    # A parameter in newer versions, a function of the module in older ones.
    is_parameter = "reconnect_delays" in inspect.signature(connect.__init__).parameters
    options: dict[str, Any] = {"reconnect_delays": quick} if is_parameter else {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "backoff", quick)
        async for socket in connect(url, open_timeout=1, close_timeout=0.2, **options):
            with contextlib.suppress(*FAILS):
                await talk(socket)
