"""Ordinary requests next to WebSockets on HTTP/2: what passes as it is, and bodies nobody takes."""

import asyncio
import contextlib
import json

import pytest
from hyperframe.frame import AltSvcFrame

from tests.support.certs import make_certificates
from tests.support.engine import Engine
from tests.support.h1_peers import H1Origin
from tests.support.h2_lab import HELLO, WORLD, findings, h2_lab, rows
from tests.support.h2_peers import h2_client
from wsinspect.closing import abort

LIMIT = 32 << 20


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def head(path, method="GET"):
    return [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path)]


async def send_until_stopped(sender, stream, piece=bytes(16384)):
    """Bytes sent until the window is used up and stays so."""
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < LIMIT:
            async with asyncio.timeout(1):
                await sender.wait(lambda: sender.h2.local_flow_control_window(stream) >= len(piece))
            sender.send(stream, piece)
            sent += len(piece)
    return sent


@pytest.mark.parametrize("direction", ["response", "request"])
def test_a_body_that_nobody_takes_stops_its_sender_alone(tmp_path, certificates, direction):
    async def play():
        async with h2_lab(tmp_path, certificates) as place:
            client, server = await place.connect()
            chat = await client.opened("/chat", server)
            mine = client.request(head("/big", "POST"), end=direction == "response")
            theirs = await server.requested("/big")
            if direction == "response":
                server.respond(theirs)
                await client.answered(mine)
            sender, stream, reader, there = (
                (server, theirs, client, mine) if direction == "response" else (client, mine, server, theirs)
            )
            reader.reads = False
            # Its own window for the whole connection is large: only that stream is not taken.
            reader.h2.increment_flow_control_window(1 << 30)
            reader.flush()
            sent = await send_until_stopped(sender, stream)
            client.send(chat[0], HELLO)
            await server.has(chat[1], HELLO)
            server.send(chat[1], WORLD)
            await client.has(chat[0], WORLD)
            reader.h2.increment_flow_control_window(1 << 30, there)
            reader.reads = True
            reader.flush()
            await reader.wait(lambda: reader.streams[there].size == sent)
            # The window that the reader gives comes on its way back.
            await sender.wait(lambda: sender.h2.local_flow_control_window(stream) >= len(b"last"))
            sender.send(stream, b"last", end=True)
            await reader.has_ended(there)
            return sent, len(reader.streams[there].data)

    sent, received = asyncio.run(play())
    assert received == sent + 4
    # The window, and what waits.
    assert 1 << 20 <= sent < 4 << 20


def test_a_body_of_an_origin_of_http1_is_not_read_further_than_its_client_takes(tmp_path):
    piece = bytes(1 << 16)

    async def play():
        async with H1Origin() as origin:
            tap = f"main=127.0.0.1:0=http://127.0.0.1:{origin.port}"
            options = ("--http2-websocket", "bridge", "--tap", tap)
            run = await asyncio.to_thread(lambda: Engine.start(*options, folder=tmp_path))
            try:
                client = await h2_client(run.port("main"))
                client.reads = False
                mine = client.request(head("/big"), end=True)
                server = await origin.accepted()
                await server.head()
                server.send("HTTP/1.1 200 OK", f"Content-Length: {LIMIT}")
                sent = 0
                with contextlib.suppress(TimeoutError):
                    while sent < LIMIT:
                        server.writer.write(piece)
                        sent += len(piece)
                        await asyncio.wait_for(server.writer.drain(), 1)
                stopped_at = sent
                client.h2.increment_flow_control_window(1 << 30)
                client.h2.increment_flow_control_window(1 << 30, mine)
                client.reads = True
                client.flush()
                while sent < LIMIT:
                    server.writer.write(piece)
                    sent += len(piece)
                    await server.writer.drain()
                await client.has_ended(mine)
                await client.close()
                return stopped_at, len(client.streams[mine].data)
            finally:
                await asyncio.to_thread(run.stop)

    stopped_at, received = asyncio.run(play())
    # What the kernel's buffers take counts, too.
    assert stopped_at < LIMIT // 2
    assert received == LIMIT


def test_an_upload_that_a_server_of_http1_does_not_take_stops_its_client(tmp_path):
    """With `bridge` a client of HTTP/2 has a window, and its server a socket that nobody reads."""

    async def play():
        async with H1Origin() as origin:
            tap = f"main=127.0.0.1:0=http://127.0.0.1:{origin.port}"
            options = ("--insecure", "--tap", tap, "--http2-websocket", "bridge")
            run = await asyncio.to_thread(lambda: Engine.start(*options, folder=tmp_path))
            try:
                client = await h2_client(run.port("main"))
                mine = client.request(head("/up", "POST"))
                server = await origin.accepted()
                text = await server.head()
                # The origin's StreamReader stops reading at twice its limit.
                sent = await send_until_stopped(client, mine)
                other = client.connect("/chat")
                second = await origin.accepted()
                assert (await second.head()).startswith("GET /chat ")
                client.send(mine, b"", end=True)
                body = bytearray()
                while not body.endswith(b"\r\n0\r\n\r\n"):
                    body += await asyncio.wait_for(server.reader.read(1 << 20), 20)
                client.reset(other, 8)
                await client.close()
                abort(client.writer.transport)
                await asyncio.sleep(0)
                return text, sent, body.count(b"\0")
            finally:
                await asyncio.to_thread(run.stop)

    text, sent, received = asyncio.run(play())
    assert "transfer-encoding: chunked" in text.lower()
    assert sent < LIMIT // 2
    assert received == sent


def test_a_request_of_http2_stays_one_request_of_http1(tmp_path):
    """HTTP/2 frames it, and ends its lines, by other means; nothing in it may begin another one."""
    evil = b"GET /evil HTTP/1.1\r\nHost: localhost\r\n\r\n"

    async def play():
        async with H1Origin() as origin:
            tap = f"main=127.0.0.1:0=http://127.0.0.1:{origin.port}"
            options = ("--tap", tap, "--http2-websocket", "bridge")
            run = await asyncio.to_thread(lambda: Engine.start(*options, folder=tmp_path))
            try:
                client = await h2_client(run.port("main"))
                fields = [
                    *head("/a b\r\nX: 1", "POST"),
                    ("x-a", "1\r\nx-evil: 1"),
                    ("transfer-encoding", "x"),
                ]
                mine = client.request(fields)
                server = await origin.accepted()
                client.send(mine, evil)
                client.send(mine, b"")
                client.send(mine, b"end")
                client.h2.send_headers(mine, [("x-trailer", "1\r\n\r\nGET /evil")], end_stream=True)
                client.flush()
                text = await server.head()
                body = await asyncio.wait_for(server.reader.readuntil(b"\r\n0\r\n"), 20)
                body += await asyncio.wait_for(server.reader.readuntil(b"\r\n\r\n"), 20)
                server.send("HTTP/1.1 200 OK", "Content-Length: 2", data=b"ok")
                stream = await client.has_ended(mine)
                # Without a body nothing is added.
                other = client.request(head("/plain"), end=True)
                server = await origin.accepted()
                second = await server.head()
                server.send("HTTP/1.1 204 No Content")
                await client.has_ended(other)
                await client.close()
                abort(client.writer.transport)
                await asyncio.sleep(0)
                return text, body, stream, second
            finally:
                await asyncio.to_thread(run.stop)

    text, body, stream, second = asyncio.run(play())
    assert text.split("\r\n") == [
        "POST /a%20b%0D%0AX:%201 HTTP/1.1",
        "Host: localhost",
        "x-a: 1  x-evil: 1",
        "Transfer-Encoding: chunked",
        "",
        "",
    ]
    assert body == b"%x\r\n%s\r\n3\r\nend\r\n0\r\nx-trailer: 1    GET /evil\r\n\r\n" % (len(evil), evil)
    assert (stream.status, stream.data) == ("200", b"ok")
    assert second == "GET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize("options", [(), ("--strip-alt-svc",)])
def test_altsvc_frames_are_passed_on_or_taken_away(tmp_path, certificates, options):
    async def play():
        async with h2_lab(tmp_path, certificates, *options) as place:
            client, server = await place.connect()
            mine = client.request(head("/"), end=True)
            theirs = await server.requested("/")
            server.send_frame(AltSvcFrame(0, b"https://localhost", b'h3=":443"'))
            server.send_frame(AltSvcFrame(theirs, b"", b'h3=":8443"'))
            server.send_frame(AltSvcFrame(theirs, b"", b"clear"))
            server.respond(theirs, end=True)
            await client.answered(mine)
        return [(one.origin, one.value) for one in client.alt_svcs], place.run

    seen, run = asyncio.run(play())
    offers = [] if options else [(b"https://localhost", b'h3=":443"'), (b"", b'h3=":8443"')]
    assert seen == [*offers, (b"", b"clear")]
    found = [json.loads(one) for (one,) in rows(run, "SELECT detail FROM event WHERE kind = 'alt_svc'")]
    assert [one["stripped"] for one in found] == [bool(options)] * 2
    assert findings(run) == ([] if options else ["WS-H2-006"])
