"""Refused and broken handshakes of real software: Node's package ws, `websockets`, and a forward proxy."""

import asyncio
import contextlib
import socket

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import WebSocketException

from tests.support.app_capture import node
from tests.support.engine import Engine
from tests.support.finding_lab import LOOPBACK, by_path, found_in, in_time, record, record_port
from tests.support.small_servers import mute
from tests.support.threaded_loop import ThreadedLoop

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
FIELDS = {
    "Host": "app.test",
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


async def raw(base, path, method="GET", **changes):
    """Send a request with changed fields (None leaves one out), and read until the server is done."""
    reader, writer = await asyncio.open_connection(LOOPBACK, int(base.rpartition(":")[2]))
    fields = {**FIELDS, **{name.replace("_", "-"): value for name, value in changes.items()}}
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    writer.write("\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode())
    with contextlib.suppress(OSError, TimeoutError):
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        if b" 101 " in head.split(b"\r\n")[0]:
            writer.write(b"\x88\x82\0\0\0\0\x03\xe8")
        await asyncio.wait_for(reader.read(), 0.5)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def talk(url, **options):
    with contextlib.suppress(WebSocketException, OSError, TimeoutError, ValueError):
        async with connect(url, ping_interval=None, proxy=None, open_timeout=4, **options) as socket:
            await socket.send("hello")
            await asyncio.wait_for(socket.recv(), 20)


@pytest.mark.lab
@pytest.mark.parametrize(("way", "expected"), [("both", ["WS-HS-029"]), ("dispatch", [])])
def test_two_upgrade_handlers_on_one_node_server(tmp_path, way, expected):
    with ThreadedLoop() as loop, node(loop, "two_handlers.mjs", way) as (_, said):
        capture = loop.run(
            record_port(tmp_path, said["port"], lambda base: asyncio.gather(talk(f"{base}/app")))
        )
    assert by_path(capture) == {"/app": expected}
    if expected:
        (found,) = found_in(capture)
        assert "HTTP/1.1 400 Bad Request" in found.evidence[0]
        assert "only one handler" in found.fixes[-1].text.lower()


@pytest.mark.lab
def test_requests_that_node_s_ws_refuses(tmp_path):
    async def requests(base):
        await asyncio.gather(
            raw(base, "/good"),
            raw(base, "/head", "HEAD"),
            raw(base, "/no-key", Sec_WebSocket_Key=None),
            raw(base, "/short-key", Sec_WebSocket_Key="c2hvcnQ="),
            raw(base, "/version", Sec_WebSocket_Version="12"),
            raw(base, "/no-upgrade", Upgrade=None, Connection="keep-alive"),
            raw(base, "/firefox", Connection="keep-alive, Upgrade"),
        )

    with ThreadedLoop() as loop, node(loop, "ws_server.mjs") as (_, said):
        capture = loop.run(record_port(tmp_path, said["port"], requests))
    assert by_path(capture) == {
        "/good": [],
        "/head": ["WS-HS-031"],
        "/no-key": ["WS-HS-030"],
        "/short-key": ["WS-HS-030"],
        "/version": ["WS-HS-018"],
        "/no-upgrade": ["WS-HS-001"],
        "/firefox": [],
    }


async def application(socket):
    with contextlib.suppress(WebSocketException):
        async for message in socket:
            await socket.send(message)


def answer(connection, request):
    path = request.path
    if path == "/429":
        response = connection.respond(429, "slow down")
        response.headers["Retry-After"] = "5"
        return response
    if path == "/hints":
        return None
    status = path.strip("/")
    return connection.respond(int(status), "no") if status.isdigit() else None


STATUSES = {
    "/400": ["WS-HS-012"],
    "/401": ["WS-HS-009"],
    "/403": ["WS-HS-010"],
    "/404": ["WS-HS-011"],
    "/405": ["WS-HS-013"],
    "/418": ["WS-HS-023"],
    "/421": ["WS-HS-016"],
    "/426": ["WS-HS-002"],
    "/429": ["WS-HS-017"],
    "/431": ["WS-HS-015"],
    "/500": ["WS-HS-019"],
    "/501": ["WS-HS-019"],
    "/502": ["WS-HS-020"],
    "/503": ["WS-HS-021"],
    "/504": ["WS-HS-022"],
    "/505": ["WS-HS-014"],
}


def test_each_status_has_one_finding(tmp_path):
    async def statuses(base):
        await asyncio.gather(*(talk(base + path) for path in (*STATUSES, "/fine")))

    capture = asyncio.run(record(tmp_path, application, statuses, process_request=answer))
    assert by_path(capture) == {**STATUSES, "/fine": []}


def test_subprotocols(tmp_path):
    """The library that answers is a real one; Chromium would fail where this client goes on."""

    def choose(socket, offered):
        return "v1" if "v1" in offered else None

    async def offers(base):
        await talk(f"{base}/none")
        await talk(f"{base}/agreed", subprotocols=["v2", "v1"])
        await talk(f"{base}/silent", subprotocols=["v2"])

    capture = asyncio.run(record(tmp_path, application, offers, select_subprotocol=choose))
    assert by_path(capture) == {"/none": [], "/agreed": [], "/silent": ["WS-HS-026"]}
    (found,) = found_in(capture)
    assert found.fixes[0].for_ == "websockets"


class ForwardProxy:
    """An HTTP proxy that lets nobody through, or only those with a password."""

    def __init__(self, status):
        self.status = status

    async def __call__(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            more = "Proxy-Authenticate: Basic\r\n" if self.status == 407 else ""
            writer.write(f"HTTP/1.1 {self.status} No\r\n{more}Content-Length: 0\r\n\r\n".encode())
            await writer.drain()
        writer.close()


@pytest.mark.parametrize("status", [403, 405, 407])
def test_a_forward_proxy_that_refuses_connect(tmp_path, status):
    async def play():
        async with (
            await asyncio.start_server(ForwardProxy(status), LOOPBACK, 0) as proxy,
            serve(application, LOOPBACK, 0, ping_interval=None) as server,
        ):
            port = proxy.sockets[0].getsockname()[1]
            app = next(iter(server.sockets)).getsockname()[1]
            engine = await asyncio.to_thread(
                lambda: Engine.start(
                    "--mode", f"upstream:http://{LOOPBACK}:{port}@{LOOPBACK}:0", folder=tmp_path
                )
            )
            listener = engine.ready["listeners"][0]["port"]
            with contextlib.suppress(WebSocketException, OSError, TimeoutError, EOFError):
                async with connect(
                    f"ws://{LOOPBACK}:{app}/ws", proxy=f"http://{LOOPBACK}:{listener}", open_timeout=5
                ):
                    pass
            await asyncio.to_thread(engine.stop)
        return engine.capture

    found = found_in(asyncio.run(play()))
    assert [one.id for one in found] == ["WS-HS-037"]
    assert str(status) in found[0].evidence[0]


async def leave(base):
    """Ask, and leave after 2.5 s."""
    with contextlib.suppress(WebSocketException, OSError, TimeoutError):
        await connect(f"{base}/late", proxy=None, open_timeout=2.5).__aenter__()


@pytest.mark.slow
def test_a_server_whose_queue_is_full_is_not_one_that_refuses(tmp_path):
    with socket.create_server((LOOPBACK, 0), backlog=0) as server, contextlib.ExitStack() as waiting:
        place = server.getsockname()
        for _ in range(4):  # one is in the queue; the kernel drops the others' SYNs without an answer
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.connect(place)
        capture = in_time(tmp_path, lambda folder: asyncio.run(record_port(folder, place[1], leave)))
    (found,) = found_in(capture)
    assert (found.id, found.fault_of) == ("WS-HS-036", "network")
    assert found.title.endswith("while the connection to the server was not open yet")


@pytest.mark.slow
def test_a_server_that_never_says_hello_has_not_closed(tmp_path):
    async def work():
        async with await asyncio.start_server(mute, LOOPBACK, 0) as server:
            port = server.sockets[0].getsockname()[1]
            tap = f"--tap=tls={LOOPBACK}:0=https://{LOOPBACK}:{port}"
            engine = await asyncio.to_thread(lambda: Engine.start(tap, folder=tmp_path / "engine"))
            try:
                await leave(f"ws://{LOOPBACK}:{engine.port('tls')}")
            finally:
                await asyncio.to_thread(engine.stop)
            return engine.capture

    (found,) = found_in(asyncio.run(work()))
    assert (found.id, found.fault_of) == ("WS-HS-036", "server")
    assert found.title.endswith("while TLS with the server was not finished yet")
