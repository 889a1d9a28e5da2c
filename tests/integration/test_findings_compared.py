"""A 101 that is taken back is not an accepted attempt, and is itself compared with those that stayed open."""

import asyncio
import contextlib

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import WebSocketException

from tests.support.hop_taps import attempts, nginx_hop, record_around
from tests.support.hops import LOOPBACK
from tests.support.sandwich_lab import afterwards, stored, told

GOOD = "https://app.example"


def refuse_before(connection, request):
    """What is decided before the 101."""
    return connection.respond(403, "no\n") if request.headers.get("Origin") != GOOD else None


async def refuse_after(connection):
    """What is decided behind it: without a cookie a refusal or, for `crash`, no life at all."""
    with contextlib.suppress(WebSocketException):
        if "Cookie" not in connection.request.headers:
            ways = {"/crash": 1011, "/broken": 1002, "/returns": 1000}
            if connection.request.path == "/cut":
                connection.transport.close()
            else:
                await connection.close(ways.get(connection.request.path, 4401), "")
        async for message in connection:
            await connection.send(message)


async def ask(port, path, origin=GOOD, **headers):
    with contextlib.suppress(WebSocketException, OSError, TimeoutError):
        async with connect(
            f"ws://{LOOPBACK}:{port}{path}",
            ping_interval=None,
            proxy=None,
            origin=origin,
            additional_headers=headers,
        ) as socket:
            if headers:
                await socket.send("hello")
            await asyncio.wait_for(socket.recv(), 20)


async def _play(folder, paths, hop):
    async def talk(port):
        for path in paths:
            await ask(port, path)
            await ask(port, path, "https://evil.example")
            await ask(port, path, Cookie="sid=1")

    async with serve(refuse_after, LOOPBACK, 0, process_request=refuse_before, ping_interval=None) as server:
        app = next(iter(server.sockets)).getsockname()[1]
        return await record_around(folder, hop, app, talk)


@pytest.mark.lab
@pytest.mark.parametrize("hop", [None, nginx_hop], ids=["one tap", "sandwich"])
def test_only_who_stayed_is_what_a_refusal_is_compared_with(tmp_path, hop):
    paths = ["/room", "/crash", "/broken", "/returns", "/cut"]
    engine = asyncio.run(_play(tmp_path, paths, hop))
    assert told(engine.events) == stored(engine.capture) == afterwards(engine.capture)
    seen = attempts(engine.capture)
    for path in paths:
        late, refused, good = [one for one in seen if one.path == path]
        assert good.one == good.all == [], "the healthy one"
        for found in (refused.one, refused.all):
            (one,) = [one for one in found if one.severity == "error"]
            assert one.id == "WS-HS-010"
            (line,) = [line for line in one.evidence if "to the same path was accepted" in line]
            assert not late.is_named_in(line), "its 101 was taken back"
            assert good.is_named_in(line)
            assert one.causes[0].cause == "the Origin: an attempt that differs there was accepted"
        for found in (late.one, late.all):
            stayed = [one.id for one in found if "stayed open with Cookie" in one.title]
            assert stayed == (["WS-CL-030"] if path == "/room" else [])
            assert all(good.is_named_in(one.title) for one in found if one.id in stayed)
