"""What Engine.IO's two real servers answer, the package socket.io and python-engineio, at one tap and two.

Behind a hop that takes the upgrade away the package socket.io answers code 3; python-engineio refuses a
WebSocket that it does not want as ASGI has it, with a bare 403.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import engineio
import pytest

from tests.support.app_capture import node
from tests.support.app_uvicorn import running
from tests.support.engine import Engine
from tests.support.hop_taps import Attempt, attempts, record_around
from tests.support.hops import LOOPBACK, NGINX_GOOD, Hop, nginx
from tests.support.sandwich_lab import afterwards, stored, told
from tests.support.threaded_loop import ThreadedLoop
from wsinspect.findings.model import Finding

pytestmark = pytest.mark.lab


def good(folder: Path, origin: int) -> Hop:
    return nginx(folder, f"location / {{ proxy_pass http://{LOOPBACK}:{origin}; {NGINX_GOOD} }}")


def without_upgrade(folder: Path, origin: int) -> Hop:
    return nginx(folder, f"location / {{ proxy_http_version 1.1; proxy_pass http://{LOOPBACK}:{origin}; }}")


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, int]]:
    own = engineio.AsyncServer(async_mode="asgi", cors_allowed_origins=[])
    app = engineio.ASGIApp(own, engineio_path="socket.io")
    with (
        ThreadedLoop() as loop,
        node(loop, "socketio_ways.mjs") as (_, ports),
        running(loop, app, "websockets-sansio") as port,
    ):
        yield {"socket.io": ports["plain"], "python-engineio": port}


async def raw(port: int, query: str, *, upgrade: bool, number: int) -> None:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    lines = [
        f"GET /socket.io/?{query}&transport=websocket HTTP/1.1",
        f"Host: {LOOPBACK}:{port}",
        f"User-Agent: client/{number}",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *(["Upgrade: websocket", "Connection: Upgrade"] if upgrade else ["Connection: close"]),
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    with contextlib.suppress(OSError):
        async with asyncio.timeout(20):
            await _answer(reader)
    writer.close()


async def _answer(reader: asyncio.StreamReader) -> None:
    """Read it whole; a hop keeps the connection for more requests. After a 101 the server ends it."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)\ncontent-length: *(\d+)", head)
    if b" 101 " in head.partition(b"\r\n")[0]:
        await reader.read()
    elif length:
        await reader.readexactly(int(length[1]))
    else:
        assert b"chunked" in head, head
        await reader.readuntil(b"0\r\n\r\n")


def seen_in(engine: Engine) -> list[Attempt]:
    assert told(engine.events) == stored(engine.capture) == afterwards(engine.capture)
    return attempts(engine.capture)


#: Queries, whether the client asks for the upgrade, and what each server's answer is found to be.
ASKED: list[tuple[str, bool, dict[str, tuple[str, str]]]] = [
    ("EIO=4", False, dict.fromkeys(("socket.io", "python-engineio"), ("WS-HS-001", "hop"))),
    (
        "EIO=4&sid=of-another",
        True,
        {"socket.io": ("WS-APP-002", "hop"), "python-engineio": ("WS-HS-010", "server")},
    ),
    ("EIO=3", True, {"socket.io": ("WS-APP-008", "client"), "python-engineio": ("WS-HS-010", "server")}),
    ("EIO=9", True, {"socket.io": ("WS-APP-008", "client"), "python-engineio": ("WS-HS-010", "server")}),
]


def said(findings: list[Finding]) -> list[tuple[str, str]]:
    """Without what is said of one machine that tries again and again."""
    return [(one.id, one.fault_of) for one in findings if not one.id.startswith("WS-RC-")]


async def ask_all(port: int) -> None:
    for number, (query, upgrade, _) in enumerate(ASKED):
        await raw(port, query, upgrade=upgrade, number=number)


@pytest.mark.parametrize("server", ["socket.io", "python-engineio"])
@pytest.mark.parametrize("hop", [None, good], ids=["one tap", "sandwich"])
def test_what_two_real_servers_answer(tmp_path, servers, server, hop):
    engine = asyncio.run(record_around(tmp_path, hop, servers[server], ask_all))
    for (query, _, expected), one in zip(ASKED, seen_in(engine), strict=True):
        assert said(one.one) == [expected[server]], query
        assert said(one.all) == [expected[server]], query
        [cause, *_] = one.one[0].causes or [None]
        if expected[server][0] == "WS-HS-010":
            assert cause is not None
            assert ("session id" if "sid=" in query else "protocol of this client") in cause.cause, query


def test_code_3_for_each_query_is_the_hop_s_that_took_the_upgrade_away(tmp_path, servers):
    engine = asyncio.run(record_around(tmp_path, without_upgrade, servers["socket.io"], ask_all))
    asked, *upgrades = seen_in(engine)
    assert said(asked.one) == [("WS-HS-001", "hop")]
    for one in upgrades:
        assert one.status == 400
        assert one.one[0].fault_of == "hop"
        assert said(one.all) == [("WS-HS-101", "hop")]
