"""One tap before a hop, and a second behind it: what is found of each attempt by the first, and by both."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.engine import Engine
from tests.support.hops import LOOPBACK, NGINX_GOOD, Hop, haproxy, nginx
from tests.support.small_servers import free_port
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.facts import FactReader, diagnose
from wsinspect.diagnosis.hops import Hop as TwoTaps
from wsinspect.diagnosis.hops import diagnose_hop
from wsinspect.findings.model import Finding
from wsinspect.findings.registry import diagnose_connection


class Attempt(NamedTuple):
    """An attempt at the edge.

    Attributes:
        ids: its numbers at the taps.
        one: what the tap at the edge alone finds of it.
        all: what all taps do.
    """

    path: str
    status: int | None
    ids: frozenset[int]
    one: list[Finding]
    all: list[Finding]

    def is_named_in(self, text: str) -> bool:
        return any(f"#{number} " in text for number in self.ids)


def nginx_hop(folder: Path, origin: int) -> Hop:
    """An nginx with all the lines that a WebSocket needs."""
    return nginx(folder, f"location / {{ proxy_pass http://{LOOPBACK}:{origin}; {NGINX_GOOD} }}")


def haproxy_hop(folder: Path, origin: int) -> Hop:
    """A HAProxy that carries WebSockets."""
    return haproxy(folder, f"server app {LOOPBACK}:{origin}", timeouts="timeout tunnel 60s")


#: A test at one tap, and around real hops.
each_hop = pytest.mark.parametrize("hop", [None, nginx_hop, haproxy_hop], ids=["one tap", "nginx", "haproxy"])
with_nginx = pytest.mark.parametrize("hop", [None, nginx_hop], ids=["one tap", "sandwich"])


@contextlib.asynccontextmanager
async def engine_around(
    folder: Path, make_hop: Callable[[Path, int], Hop] | None, app: int, *options: str
) -> AsyncIterator[Engine]:
    """An engine with those options, before an application or around a hop in front of it; stopped at the end.

    Args:
        make_hop: starts a hop of (folder, port of the tap `origin`); None for one tap before the application.
        app: the application's port.
    """
    async with contextlib.AsyncExitStack() as running:
        taps = [f"edge={LOOPBACK}:0=http://{LOOPBACK}:{app}"]
        if make_hop is not None:
            origin = free_port()
            hop = await asyncio.to_thread(make_hop, folder / "hop", origin)
            running.callback(hop.stop)
            taps = [
                f"edge={LOOPBACK}:0=http://{LOOPBACK}:{hop.port}",
                f"origin={LOOPBACK}:{origin}=http://{LOOPBACK}:{app}",
            ]
        named = [part for tap in taps for part in ("--tap", tap)]
        engine = await asyncio.to_thread(lambda: Engine.start(*named, *options, folder=folder / "engine"))
        try:
            yield engine
        finally:
            await asyncio.to_thread(engine.stop)


async def record_around(
    folder: Path,
    make_hop: Callable[[Path, int], Hop] | None,
    app: int,
    talk: Callable[[int], Awaitable[Any]],
) -> Engine:
    """Talk to the port of the tap `edge`; the engine, stopped."""
    async with engine_around(folder, make_hop, app) as engine:
        await talk(engine.port("edge"))
    return engine


def attempts(path: Path) -> list[Attempt]:
    """Each attempt at the edge, in order."""
    with Capture.open(path) as capture:
        reader = FactReader(capture.query)
        sandwich = diagnose_hop(TwoTaps(capture.query), diagnose(capture.query))
        behind = {one.edge.id: one.origin.id for one in sandwich.pairs if one.origin}
        found = []
        for one in capture.connections():
            facts = reader.connection(one.id)
            if one.tap == "edge" and facts is not None:
                ids = frozenset((one.id, behind.get(one.id, one.id)))
                mine = [each for each in sandwich.findings if each.connection in ids]
                found.append(Attempt(one.path or "", one.status, ids, diagnose_connection(facts), mine))
        return found
