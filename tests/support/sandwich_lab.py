"""A hop between two taps of one engine: clients before it, an echo server behind it, and what was found.

`play` plays cases, each a path, and then tells for each the findings of the edge's tap alone and those of the
sandwich. It holds every lab to one thing besides: what was printed while traffic passed, what is in the
capture's table, and what `diagnose` says afterwards are the same findings.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import WebSocketException

from tests.support.engine import Engine
from tests.support.hops import LOOPBACK, Hop
from tests.support.small_servers import free_port
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.facts import FactReader, diagnose
from wsinspect.diagnosis.hops import Hop as TwoTaps
from wsinspect.diagnosis.hops import diagnose_hop
from wsinspect.findings.model import Finding
from wsinspect.findings.registry import diagnose_connection
from wsinspect.findings.sandwich import PairFacts

MakeHop = Callable[[int, Path], Hop]


@dataclass
class Seen:
    """What was found of one case."""

    status: int | None
    edge: list[Finding]
    sandwich: list[Finding]
    pair: PairFacts | None

    @property
    def edge_ids(self) -> list[str]:
        return sorted(one.id for one in self.edge)

    @property
    def sandwich_ids(self) -> list[str]:
        return sorted(one.id for one in self.sandwich)


async def echo(socket: ServerConnection) -> None:
    """Says everything again, until the client goes; paths ask for other ends."""
    path = socket.request.path if socket.request else ""
    if "/1011" in path:
        await socket.close(1011, "it broke")
        return
    with contextlib.suppress(WebSocketException):
        async for message in socket:
            await socket.send(message)


@contextlib.asynccontextmanager
async def echo_server() -> AsyncIterator[tuple[Server, int]]:
    async with serve(echo, LOOPBACK, 0, ping_interval=None) as server:
        yield server, next(iter(server.sockets)).getsockname()[1]


async def talk(url: str, *, waits: bool = False) -> None:
    """A client: one message and its echo, then a proper close; or waiting until it is ended."""
    with contextlib.suppress(WebSocketException, OSError, TimeoutError):
        async with connect(url, ping_interval=None, proxy=None, open_timeout=20) as socket:
            await socket.send("hello")
            await asyncio.wait_for(socket.recv(), 20)
            if waits:
                await asyncio.wait_for(socket.recv(), 20)


async def _play(
    make_hop: MakeHop, paths: Sequence[str], waiting: Sequence[str], folder: Path, scheme: str
) -> Engine:
    async with echo_server() as (_, app):
        origin = free_port()
        hop = await asyncio.to_thread(make_hop, origin, folder / "hop")
        with hop:
            taps = (
                f"edge=127.0.0.1:0={scheme}://{LOOPBACK}:{hop.port}",
                f"origin=127.0.0.1:{origin}=http://{LOOPBACK}:{app}",
            )
            engine = await asyncio.to_thread(
                lambda: Engine.start(
                    "--insecure", "--tap", taps[0], "--tap", taps[1], folder=folder / "engine"
                )
            )
            try:
                port = engine.port("edge")
                await asyncio.gather(
                    *(talk(f"ws://{LOOPBACK}:{port}{path}", waits=path in waiting) for path in paths)
                )
            finally:
                await asyncio.to_thread(engine.stop)
    return engine


def play(
    make_hop: MakeHop,
    paths: Sequence[str],
    folder: Path,
    *,
    waiting: Sequence[str] = (),
    scheme: str = "http",
) -> dict[str, Seen]:
    """Play all paths at once through the hop that `make_hop(port of the origin's tap, folder)` starts."""
    engine = asyncio.run(_play(make_hop, paths, waiting, folder, scheme))
    seen = look(engine.capture)
    assert told(engine.events) == stored(engine.capture) == afterwards(engine.capture)
    return seen


def told(events: Sequence[dict[str, Any]]) -> set[tuple[str, int | None]]:
    """The findings that `run` printed, without those that a later one replaced or that were withdrawn."""
    return set(standing(events))


def standing(events: Sequence[dict[str, Any]]) -> dict[tuple[str, int | None], dict[str, Any]]:
    """The events of those findings: of one that was said again because something became known, the last."""
    return {place: events[-1] for place, events in _standing(events).items()}


def _standing(events: Sequence[dict[str, Any]]) -> dict[tuple[str, int | None], list[dict[str, Any]]]:
    said: dict[tuple[str, int | None], list[dict[str, Any]]] = {}
    for event in events:
        if event["event"] == "withdrawn":
            said.pop((event["id"], event["connection"]), None)
        if event["event"] == "finding":
            for one in event.get("replaces", ()):
                said.pop((one["id"], one["connection"]), None)
            said.setdefault((event["id"], event["connection"]), []).append(event)
    return said


def times_said(events: Sequence[dict[str, Any]], path: Path) -> list[Counter[tuple[str, int | None]]]:
    """How often each is said by the lines that were printed, by the capture's table, and by `diagnose`."""
    with Capture.open(path) as capture:
        rows = capture.query("SELECT rule, connection_id FROM finding")
        found = diagnose_hop(TwoTaps(capture.query), diagnose(capture.query)).findings
    printed = {place: len(lines) for place, lines in _standing(events).items()}
    return [Counter(printed), Counter(rows), Counter((one.id, one.connection) for one in found)]


def stored(path: Path) -> set[tuple[str, int | None]]:
    """The findings in a capture's table."""
    with Capture.open(path) as capture:
        return set(capture.query("SELECT rule, connection_id FROM finding"))


def afterwards(path: Path) -> set[tuple[str, int | None]]:
    """The findings of `diagnose`."""
    with Capture.open(path) as capture:
        sandwich = diagnose_hop(TwoTaps(capture.query), diagnose(capture.query))
    return {(one.id, one.connection) for one in sandwich.findings}


def look(path: Path) -> dict[str, Seen]:
    """What is found in a capture with the taps edge and origin, by path."""
    with Capture.open(path) as capture:
        reader = FactReader(capture.query)
        sandwich = diagnose_hop(TwoTaps(capture.query), diagnose(capture.query))
        pairs = {pair.edge.id: pair for pair in sandwich.pairs}
        seen: dict[str, Seen] = {}
        for one in capture.connections():
            facts = reader.connection(one.id)
            if one.tap != "edge" or facts is None:
                continue
            pair = pairs.get(one.id)
            ids = {one.id, pair.origin.id if pair and pair.origin else one.id}
            findings = [found for found in sandwich.findings if found.connection in ids]
            seen[one.path or ""] = Seen(one.status, diagnose_connection(facts), findings, pair)
    return seen
