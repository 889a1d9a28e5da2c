"""`--http2-websocket bridge`: a WebSocket over HTTP/2 on one side and over HTTP/1.1 on the other."""

import asyncio
import contextlib
import json
import re
from contextlib import asynccontextmanager

import pytest

from tests.support.certs import client_context, make_certificates
from tests.support.engine import Engine
from tests.support.h1_peers import H1Origin, h1_client
from tests.support.h2_lab import CLOSE, HELLO, OFFERS, WORLD, ends, findings, rows
from tests.support.h2_peers import ENABLE_CONNECT, H2Origin, h2_client
from tests.support.script import ACCEPT
from wsinspect.handshake.negotiation import accept_key


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@asynccontextmanager
async def bridge(folder, origin, scheme="https", *options):
    tap = f"main=127.0.0.1:0={scheme}://127.0.0.1:{origin.port}"
    arguments = ("--insecure", "--http2-websocket", "bridge", "--tap", tap, *options)
    run = await asyncio.to_thread(lambda: Engine.start(*arguments, folder=folder))
    try:
        yield run
    finally:
        await asyncio.to_thread(run.stop)


def switch(head):
    """A correct 101 for a request."""
    (key,) = re.findall("Sec-WebSocket-Key: (.*)\r\n", head)
    accept = accept_key(key.encode()).decode()
    return (
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept}",
    )


def streams(run):
    return [json.loads(one) for (one,) in rows(run, "SELECT detail FROM event WHERE kind = 'h2_streams'")]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_client_of_http2_and_an_origin_of_http1(tmp_path, certificates, scheme):
    context = certificates.server_context() if scheme == "https" else None

    async def play():
        async with (
            H1Origin(context, ["http/1.1"]) as origin,
            bridge(tmp_path, origin, scheme) as run,
        ):
            client = await h2_client(run.port("main"))
            await client.wait(lambda: client.settings)
            mine = client.connect(
                "/chat?a=1", ("cookie", "a=1"), ("cookie", "b=2"), ("sec-websocket-protocol", "x")
            )
            server = await origin.accepted()
            head = await server.head()
            server.send(*switch(head), "Sec-WebSocket-Protocol: x", data=WORLD)
            assert await client.answered(mine) == "200"
            await client.has(mine, WORLD)
            client.send(mine, HELLO)
            await server.has(HELLO)
            # Another one on the same connection is another connection to the server.
            other = client.connect("/other")
            second = await origin.accepted()
            second.send(*switch(await second.head()))
            assert await client.answered(other) == "200"
            server.send(data=CLOSE)
            server.writer.close()
            await client.has_ended(mine)
            client.send(mine, b"", end=True)
            client.send(other, HELLO)
            await second.has(HELLO)
            client.reset(other, 8)
            await second.end()
            run.wait_for_event("close")
            await client.close()
        return client, head, mine, run

    client, head, mine, run = asyncio.run(play())
    assert client.settings[0][ENABLE_CONNECT] == 1
    lines = head.split("\r\n")
    assert lines[:4] == [
        "GET /chat?a=1 HTTP/1.1",
        "Host: localhost",
        "Connection: Upgrade",
        "Upgrade: websocket",
    ]
    assert lines[5:] == ["sec-websocket-version: 13", "cookie: a=1; b=2", "sec-websocket-protocol: x", "", ""]
    assert client.streams[mine].fields == [(":status", "200"), ("sec-websocket-protocol", "x")]
    assert client.streams[mine].data == WORLD + CLOSE
    found = rows(
        run, "SELECT http_version, server_http_version, status, subprotocol FROM connection WHERE id = 1"
    )
    assert found == [("HTTP/2.0", "HTTP/1.1", 101, "x")]
    ((request_in, request_out, response_in, response_out),) = rows(
        run,
        "SELECT request_in, request_out, response_in, response_out FROM handshake WHERE connection_id = 1",
    )
    assert request_in.startswith(b":method: CONNECT\r\n:protocol: websocket\r\n")
    assert request_out.decode() == head
    assert response_in.startswith(b"HTTP/1.1 101 ")
    assert response_out == b":status: 200\r\nsec-websocket-protocol: x\r\n\r\n"
    assert streams(run)[0] == {"client": mine, "server": None}
    assert ("client", "rst", "RST_STREAM CANCEL") in ends(run)
    frames = rows(
        run, "SELECT direction, payload FROM frame WHERE opcode = 1 AND connection_id = 1 ORDER BY id"
    )
    assert frames == [("s2c", b"world"), ("c2s", b"hello")]
    # The client's reset of its second stream alone.
    assert findings(run) == ["WS-DROP-005"]


@pytest.mark.parametrize("is_secure", [True, False])
def test_a_client_of_http1_and_an_origin_of_http2(tmp_path, certificates, is_secure):
    context = client_context() if is_secure else None

    async def play():
        async with (
            H2Origin(certificates.server_context(), OFFERS) as origin,
            bridge(tmp_path, origin) as run,
        ):
            client = await h1_client(run.port("main"), context)
            client.upgrade("/chat", "Sec-WebSocket-Protocol: x", data=HELLO)
            server = await origin.accepted()
            theirs = await server.requested("/chat")
            server.respond(theirs, ("sec-websocket-protocol", "x"))
            server.send(theirs, WORLD)
            head = await client.head()
            await client.has(WORLD)
            await server.has(theirs, HELLO)
            server.send(theirs, CLOSE, end=True)
            await client.has(CLOSE)
            assert await client.end() == "fin"
            client.writer.close()
            await server.has_ended(theirs)
            run.wait_for_event("close")
        return head, server.streams[theirs], theirs, run

    head, stream, theirs, run = asyncio.run(play())
    assert head.split("\r\n") == [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {ACCEPT}",
        "sec-websocket-protocol: x",
        "",
        "",
    ]
    assert stream.fields == [
        (":method", "CONNECT"),
        (":authority", "localhost"),
        (":scheme", "https"),
        (":path", "/chat"),
        (":protocol", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "x"),
    ]
    found = rows(run, "SELECT http_version, server_http_version, status, subprotocol FROM connection")
    assert found == [("HTTP/1.1", "HTTP/2.0", 200, "x")]
    ((request_out, response_out),) = rows(run, "SELECT request_out, response_out FROM handshake")
    assert request_out.startswith(b":method: CONNECT\r\n")
    assert response_out.decode() == head
    assert streams(run) == [{"client": None, "server": theirs}]
    # The client did not wait for the 101.
    assert findings(run) == ["WS-HS-072"]


def test_an_origin_whose_http2_carries_no_websockets_gets_them_over_http1(tmp_path, certificates):
    """As nginx: pages over HTTP/2, WebSockets over HTTP/1.1, on one port."""

    async def play():
        both = H1Origin(certificates.server_context(), ["h2", "http/1.1"])
        async with both as origin, bridge(tmp_path, origin) as run:
            client = await h2_client(run.port("main"))
            mine = client.connect("/chat")
            first = await origin.accepted()
            assert first.alpn == "h2"
            first.send(data=bytes.fromhex("000000040000000000"))  # SETTINGS that allow nothing
            server = await origin.accepted()
            server.send(*switch(await server.head()))
            assert await client.answered(mine) == "200"
            server.send(data=WORLD)
            await client.has(mine, WORLD)
            alpn = server.alpn
            await client.close()
        return alpn, run

    alpn, run = asyncio.run(play())
    assert alpn == "http/1.1"
    assert rows(run, "SELECT http_version, server_http_version FROM connection") == [("HTTP/2.0", "HTTP/1.1")]


def test_what_an_origin_of_http1_does_wrong_reaches_a_client_of_http2(tmp_path):
    answers = {
        "/404": ("HTTP/1.1 404 Not Found", "Content-Length: 2", "", "no"),
        "/wrong": (
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Accept: bm8=",
        ),
        "/bare": ("HTTP/1.1 101 Switching Protocols",),
    }

    async def play():
        seen: dict[str, object] = {}
        async with H1Origin() as origin, bridge(tmp_path, origin, "http") as run:
            client = await h2_client(run.port("main"))
            for path, answer in answers.items():
                mine = client.connect(path)
                server = await origin.accepted()
                await server.head()
                server.send(
                    data="\r\n".join([*answer, "", ""]).encode()
                    if "no" not in answer
                    else "\r\n".join(answer).encode()
                )
                stream = await client.has_ended(mine)
                seen[path] = stream.status, stream.data.decode()
            for path in ("/fin", "/rst"):
                mine = client.connect(path)
                server = await origin.accepted()
                await server.head()
                if path == "/rst":
                    server.abort()
                else:
                    server.writer.close()
                seen[path] = await client.was_reset(mine)
            await client.close()
        return seen, run

    seen, run = asyncio.run(play())
    assert seen == {
        "/404": ("404", "no"),
        "/wrong": ("502", "wsinspect: the server's 101 has a wrong Sec-WebSocket-Accept\n"),
        "/bare": ("502", "wsinspect: the server's 101 has no Upgrade: websocket\n"),
        "/fin": 10,
        "/rst": 10,
    }
    assert "WS-HS-" in " ".join(findings(run))
    assert rows(run, "SELECT state, path FROM connection ORDER BY id") == [
        ("refused", "/404"),
        *[("failed", path) for path in ("/wrong", "/bare", "/fin", "/rst")],
    ]


def test_what_waits_for_a_stream_hears_of_the_end_of_its_server(tmp_path, certificates):
    """A server that takes one request at once, and ends with others in the queue, in each way."""
    page = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/")]

    def break_http2(server, stream):
        server.send_raw(stream, b"a body before its header block")

    def end(server, stream):
        server.writer.close()

    def reset(server, stream):
        server.abort()

    async def pinged(peer):
        """The answer comes behind what was handled before it."""
        before = peer.pongs
        peer.h2.ping(b"12345678")
        peer.flush()
        await peer.wait(lambda: peer.pongs > before)

    async def one(run, origin, how):
        client = await h2_client(run.port("main"))
        first = client.request(page, end=True)
        server = await origin.accepted()
        theirs = await server.requested("/")
        await pinged(client)
        # From here on the proxy knows the limit, and its client does not: it reads nothing.
        client.writer.transport.pause_reading()
        server.change_settings({3: 1})
        await pinged(server)
        waiting = client.request(page, end=True), client.connect("/chat")
        client.writer.transport.resume_reading()
        await pinged(client)
        how(server, theirs)
        codes = [await client.was_reset(each) for each in waiting]
        await client.wait(lambda: client.streams[first].reset is not None or client.streams[first].status)
        await client.close()
        return codes

    async def play():
        async with (
            H2Origin(certificates.server_context(), OFFERS) as origin,
            bridge(tmp_path, origin) as run,
        ):
            return [await one(run, origin, how) for how in (break_http2, end, reset)], run

    codes, run = asyncio.run(play())
    assert codes == [[7, 7]] * 3
    assert rows(run, "SELECT state, ended_by FROM connection") == [("failed", "server")] * 3


@pytest.mark.parametrize("direction", ["c2s", "s2c"])
def test_a_slow_reader_stops_the_sender_across_versions(tmp_path, direction):
    """Both ways round a bridge: a stream's window, and a socket's buffers."""
    limit = 48 << 20
    # One frame that is larger than all that is sent.
    block = (b"\x82\x7f" + (1 << 40).to_bytes(8, "big")).ljust(16384, b"\0")

    async def to_client(client, mine, server):
        """Write until nobody takes it."""
        sent = 0
        client.reads = False
        with contextlib.suppress(TimeoutError):
            while sent < limit:
                server.writer.write(bytes(16384) if sent else block)
                sent += len(block)
                await asyncio.wait_for(server.writer.drain(), 1)
        client.reads = True
        client.h2.increment_flow_control_window(1 << 30)
        client.h2.increment_flow_control_window(1 << 30, mine)
        client.flush()
        await client.wait(lambda: client.streams[mine].size >= sent)
        return sent

    async def to_server(client, mine, server):
        """Send until the window is used up and is not given back."""
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < limit:
                client.send(mine, bytes(16384) if sent else block)
                sent += 16384
                async with asyncio.timeout(1):
                    await client.wait(lambda: client.h2.local_flow_control_window(mine) >= 16384)
        await server.has(block + bytes(16384 * (sent // 16384 - 1)))
        return sent

    async def play():
        async with H1Origin() as origin, bridge(tmp_path, origin, "http") as run:
            client = await h2_client(run.port("main"))
            mine = client.connect("/chat")
            server = await origin.accepted()
            server.send(*switch(await server.head()))
            await client.answered(mine)
            move = to_client if direction == "s2c" else to_server
            sent = await move(client, mine, server)
            await client.close()
        return sent

    assert asyncio.run(play()) < limit
