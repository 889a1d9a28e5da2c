"""What the fixes say of applications, done with the real server: FastAPI, python-socketio and graphql-ws."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import fastapi
import pytest
import socketio
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.support.app_capture import node
from tests.support.app_uvicorn import running
from tests.support.hops import LOOPBACK
from tests.support.threaded_loop import ThreadedLoop
from wsinspect.findings.fixes import FIXES

#: Seconds between the server's heartbeats; the next one comes only after an answer.
BEAT = 0.1
#: Long enough for an answer from a busy machine.
PING_TIMEOUT = 3
#: So long a test waits for what has to come.
PATIENCE = 30


@pytest.fixture(scope="module")
def loop() -> Iterator[ThreadedLoop]:
    with ThreadedLoop() as one:
        yield one


@pytest.fixture(scope="module")
def fast_api(loop: ThreadedLoop) -> Iterator[int]:
    app = fastapi.FastAPI()

    @app.websocket("/ws")
    async def plain(socket: fastapi.WebSocket) -> None:
        await socket.accept()
        await socket.close()

    @app.websocket("/private")
    async def private(socket: fastapi.WebSocket, token: str) -> None:
        await socket.accept(subprotocol=token or None)
        await socket.close()

    plain.__annotations__["socket"] = private.__annotations__["socket"] = fastapi.WebSocket
    with running(loop, app, "websockets-sansio") as port:
        yield port


@pytest.fixture(scope="module")
def socket_io(loop: ThreadedLoop) -> Iterator[int]:
    server = socketio.AsyncServer(async_mode="asgi", ping_interval=BEAT, ping_timeout=PING_TIMEOUT)

    async def connected(_sid: str, _environ: Any, auth: Any = None) -> None:
        if auth == {"do": "raise"}:
            raise RuntimeError("the list of users is lost")
        if auth == {"do": "refuse"}:
            raise socketio.exceptions.ConnectionRefusedError("not you")

    server.on("connect", connected)
    with running(loop, socketio.ASGIApp(server), "websockets-sansio") as port:
        yield port
        loop.run(server.shutdown())


async def status(url: str) -> int:
    try:
        async with connect(url, proxy=None):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


def test_asgi_route(loop, fast_api):
    assert "@app.websocket('/ws')" in FIXES["asgi-route"]["general"]
    paths = {"/ws": 101, "/ws/": 403, "/api/ws": 403, "/private": 403, "/private?token=": 101}
    said = {path: loop.run(status(f"ws://{LOOPBACK}:{fast_api}{path}")) for path in paths}
    assert said == paths


def url_of(port: int) -> str:
    return f"ws://{LOOPBACK}:{port}/socket.io/?EIO=4&transport=websocket"


async def converse(port: int, first: str, *, beat: str = "", beats: int = 3) -> list[str]:
    """What the server says until it has sent so many heartbeats, or ends it (then None is the last)."""
    said: list[str] = []
    async with asyncio.timeout(PATIENCE), connect(url_of(port), proxy=None) as socket:
        try:
            await socket.send(first)
            while said.count("2") < beats:
                said.append(str(await socket.recv()))
                if said[-1] == "2" and beat == "pong":
                    await socket.pong()
                elif said[-1] == "2" and beat:
                    await socket.send(beat)
        except ConnectionClosed:
            said.append("closed")
    return said


@pytest.mark.parametrize(("beat", "stays"), [("3", True), ("", False), ("pong", False)])
def test_eio_heartbeat(loop, socket_io, beat, stays):
    assert "each '2' of the server's with '3'" in FIXES["eio-heartbeat"]["general"]
    said = loop.run(converse(socket_io, "40", beat=beat, beats=5))
    assert (said[-1] != "closed") is stays


def test_plain_client(loop, socket_io):
    assert FIXES["plain-client"]["socketio"].startswith("Use Socket.IO's client")
    assert loop.run(converse(socket_io, "hello"))[-1] == "closed"

    async def own() -> bool:
        async with socketio.AsyncSimpleClient() as client:
            await client.connect(f"http://{LOOPBACK}:{socket_io}", wait_timeout=PATIENCE)
            return bool(client.connected)

    assert loop.run(own())


@pytest.mark.parametrize(
    ("do", "answer"),
    [("accept", '40{"sid":'), ("refuse", '44{"message":"not you"}'), ("raise", None)],
)
def test_connect_handler(loop, socket_io, do, answer, caplog):
    assert "ConnectionRefusedError" in FIXES["connect-handler"]["socketio"]
    said = loop.run(converse(socket_io, f'40{{"do":"{do}"}}', beat="3"))
    answers = [one for one in said if one.startswith("4")]
    if answer is None:
        assert answers == []
        assert "the list of users is lost" in caplog.text  # where the fix says it is
    else:
        assert len(answers) == 1
        assert answers[0].startswith(answer)


def test_socketio_opening(socket_io):
    asked = FIXES["socketio-opening"]["general"].split()[4].rstrip(":")
    with urllib.request.urlopen(f"http://{LOOPBACK}:{socket_io}/socket.io/{asked}", timeout=PATIENCE) as said:
        assert (said.status, said.read(8)) == (200, b'0{"sid":')


async def operation(port: int, query: str) -> dict[str, Any]:
    """The first answer to it."""
    async with (
        asyncio.timeout(PATIENCE),
        connect(
            f"ws://{LOOPBACK}:{port}/", subprotocols=[Subprotocol("graphql-transport-ws")], proxy=None
        ) as socket,
    ):
        await socket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": query}}))
        return dict(json.loads(await socket.recv()))


@pytest.mark.lab
def test_graphql_operation(loop):
    assert "names the field, argument or variable" in FIXES["graphql-operation"]["general"]
    named = {
        "{ helo }": "helo",
        "subscription { count }": "to",
        'subscription { count(to: "one") }': "one",
        "query($n: Int) { hello }": "$n",
    }
    with node(loop, "graphql_ws.mjs", "server") as (_, said):
        for query, name in named.items():
            answer = loop.run(operation(said["port"], query))
            assert answer["type"] == "error"
            assert name in answer["payload"][0]["message"]
        for query in ("{ hello }", "subscription { count(to: 1) }"):
            assert loop.run(operation(said["port"], query))["type"] == "next"
