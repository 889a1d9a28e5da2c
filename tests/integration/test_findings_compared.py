"""A 101 that is taken back is not an accepted attempt, and is itself compared with those that stayed open."""

import asyncio
import contextlib

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import WebSocketException

from tests.support.engine import Engine
from tests.support.hops import LOOPBACK, NGINX_GOOD, nginx
from tests.support.sandwich_lab import afterwards, stored, told
from tests.support.small_servers import free_port
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.facts import FactReader, diagnose
from wsinspect.diagnosis.hops import Hop, diagnose_hop
from wsinspect.findings.registry import diagnose_connection

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
            await asyncio.wait_for(socket.recv(), 8)


async def _play(folder, paths, *, has_hop):
    async with serve(refuse_after, LOOPBACK, 0, process_request=refuse_before, ping_interval=None) as server:
        app = next(iter(server.sockets)).getsockname()[1]
        taps = ["--tap", f"edge={LOOPBACK}:0=http://{LOOPBACK}:{app}"]
        async with contextlib.AsyncExitStack() as running:
            if has_hop:
                origin = free_port()
                config = f"location / {{ proxy_pass http://{LOOPBACK}:{origin}; {NGINX_GOOD} }}"
                hop = await asyncio.to_thread(nginx, folder / "hop", config)
                running.callback(hop.stop)
                taps = ["--tap", f"edge={LOOPBACK}:0=http://{LOOPBACK}:{hop.port}"]
                taps += ["--tap", f"origin={LOOPBACK}:{origin}=http://{LOOPBACK}:{app}"]
            engine = await asyncio.to_thread(lambda: Engine.start(*taps, folder=folder / "engine"))
            try:
                port = engine.port("edge")
                for path in paths:
                    await ask(port, path)
                    await ask(port, path, "https://evil.example")
                    await ask(port, path, Cookie="sid=1")
            finally:
                await asyncio.to_thread(engine.stop)
    return engine


def by_attempt(capture_path):
    """For each attempt: its path, its numbers at the taps, what one tap finds, and what all of them do."""
    with Capture.open(capture_path) as capture:
        reader = FactReader(capture.query)
        sandwich = diagnose_hop(Hop(capture.query), diagnose(capture.query))
        behind = {one.edge.id: one.origin.id for one in sandwich.pairs if one.origin}
        seen = []
        for one in capture.connections():
            if one.tap == "edge":
                ids = {one.id, behind.get(one.id, one.id)}
                found = [each for each in sandwich.findings if each.connection in ids]
                facts = reader.connection(one.id)
                assert facts is not None
                seen.append((one.path, ids, diagnose_connection(facts), found))
        return seen


def names(text, ids):
    return any(f"#{number} " in text for number in ids)


@pytest.mark.lab
@pytest.mark.parametrize("has_hop", [False, True], ids=["one tap", "sandwich"])
def test_only_who_stayed_is_what_a_refusal_is_compared_with(tmp_path, has_hop):
    paths = ["/room", "/crash", "/broken", "/returns", "/cut"]
    engine = asyncio.run(_play(tmp_path, paths, has_hop=has_hop))
    assert told(engine.events) == stored(engine.capture) == afterwards(engine.capture)
    seen = by_attempt(engine.capture)
    for path in paths:
        (_, late, *of_late), (_, _, *of_refused), (_, good, *of_good) = [
            one for one in seen if one[0] == path
        ]
        assert of_good == [[], []], "the healthy one"
        for found in of_refused:  # by one tap, and by both
            (one,) = [one for one in found if one.severity == "error"]
            assert one.id == "WS-HS-010"
            lines = [line for line in one.evidence if "to the same path was accepted" in line]
            assert len(lines) == 1
            assert not names(lines[0], late), "its 101 was taken back"
            assert names(lines[0], good)
            assert "Origin" in one.title
            assert one.causes[0].cause == "the Origin: an attempt that differs there was accepted"
        for found in of_late:
            ids = [one.id for one in found]
            if path == "/room":
                assert "WS-CL-030" in ids
                (one,) = [one for one in found if one.id == "WS-CL-030"]
                assert "stayed open with Cookie" in one.title
                assert names(one.title, good)
            else:
                assert not any("stayed open" in one.title for one in found), ids
