"""A single FIN after a silence: whose it was decides, at one tap, around a real nginx and by `diagnose`.

Real silences of a second are stretched to 60 s, which is a known limit of many hops.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import WebSocketException

from tests.support.engine import Engine
from tests.support.finding_lab import factor_for, stretched
from tests.support.hop_taps import attempts, record_around
from tests.support.hops import LOOPBACK, NGINX_GOOD, Hop, nginx
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.facts import FactReader
from wsinspect.findings.registry import diagnose_connection

pytestmark = pytest.mark.lab


def patient(folder: Path, origin: int) -> Hop:
    return nginx(folder, f"location / {{ proxy_pass http://{LOOPBACK}:{origin}; {NGINX_GOOD} }}")


def impatient(folder: Path, origin: int) -> Hop:
    """It ends what its server was silent on for a second, and says on whose behalf it asks."""
    more = "proxy_read_timeout 1s; proxy_set_header X-Forwarded-For $remote_addr;"
    return nginx(folder, f"location / {{ proxy_pass http://{LOOPBACK}:{origin}; {NGINX_GOOD} {more} }}")


async def echo(socket: ServerConnection) -> None:
    with contextlib.suppress(WebSocketException):
        async for message in socket:
            await socket.send(message)


async def _play(folder: Path, hop: object, *, leaves: bool) -> Engine:
    async def talk(port: int) -> None:
        async with connect(f"ws://{LOOPBACK}:{port}/left", ping_interval=None, proxy=None) as socket:
            await socket.send("hello")
            await socket.recv()
            if leaves:
                await asyncio.sleep(1.2)
                socket.transport.close()
            await asyncio.wait_for(socket.wait_closed(), 20)

    async with serve(echo, LOOPBACK, 0, ping_interval=None) as server:
        app = next(iter(server.sockets)).getsockname()[1]
        return await record_around(folder, hop, app, talk)  # type: ignore[arg-type]


def minutes(engine: Engine) -> Path:
    return stretched(engine.capture, factor_for(engine.capture, "/left", 60.05))


@pytest.mark.parametrize("hop", [None, patient], ids=["one tap", "sandwich"])
def test_a_client_that_leaves_after_a_minute_is_no_hop_s_timeout(tmp_path, hop):
    engine = asyncio.run(_play(tmp_path, hop, leaves=True))
    (one,) = attempts(minutes(engine))
    for found in (one.one, one.all):
        assert [(each.id, each.fault_of, each.severity) for each in found] == [
            ("WS-DROP-007", "client", "note")
        ]


def test_a_hop_that_ends_after_a_minute_is_blamed_by_each_tap_and_by_both(tmp_path):
    path = minutes(asyncio.run(_play(tmp_path, impatient, leaves=False)))
    (one,) = attempts(path)
    assert [(each.id, each.fault_of) for each in one.one] == [("WS-DROP-002", "hop")]
    assert [(each.id, each.fault_of) for each in one.all] == [("WS-DROP-101", "hop")]
    with Capture.open(path) as capture:
        (behind,) = [each.id for each in capture.connections() if each.tap == "origin"]
        facts = FactReader(capture.query).connection(behind)
        assert facts is not None
        assert facts.ended_by == "client"
        # The client of this tap is the hop, as its X-Forwarded-For says.
        found = diagnose_connection(facts)
    assert [(each.id, each.fault_of, each.severity) for each in found] == [("WS-DROP-002", "hop", "error")]
