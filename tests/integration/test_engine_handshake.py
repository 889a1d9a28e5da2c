"""The opening handshake on record: heads as received and as forwarded, TLS on both legs, times, refusals."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.support.certs import make_certificates
from tests.support.engine import Engine
from tests.support.origin import Origin
from tests.support.rawpeers import Peer
from tests.support.recorder_rig import wait_for
from tests.support.routes import CLIENT_TLS
from tests.support.threaded_loop import ThreadedLoop
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection, Handshake
from wsinspect.proxy.seams.http1 import MAX_HEAD_BYTES

KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade:   WebSocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-Odd:\t one  two \r\n\r\n"
)


def request(name: str, *, target: str = "", host: str = "app.example:8443", more: bytes = b"") -> bytes:
    line = f"GET {target}/case/{name}?token=abc%20d HTTP/1.1\r\nhOsT: {host}\r\n".encode()
    return line + b"Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" + KEY + more + b"\r\n"


class Bench:
    """The engine with a regular listener, a plain and a TLS tap, and the origin behind them."""

    def __init__(self, engine: Engine, origin: Origin) -> None:
        self.engine, self.origin = engine, origin

    async def attempt(
        self, tap: str, name: str, serve: Callable[[Peer], Awaitable[None]], head: bytes, *, tls: bool = False
    ) -> bytes:
        """Make one attempt, and return all that the client got."""
        expected = self.origin.expect(name)
        client = await Peer.connect(self.engine.port(tap), CLIENT_TLS if tls else None)
        await client.send(head)
        server = await asyncio.wait_for(expected, 20)
        await serve(server)
        await client.has_ended(10)
        client.close()
        server.close()
        return bytes(client.received)

    def recorded(self, path_part: str) -> tuple[Connection, Handshake]:
        event = self.engine.wait_for(
            lambda event: (
                event["event"] in ("close", "refused")
                and self._path(event.get("connection")).startswith(f"/{path_part}")
            )
        )
        number = event["connection"]

        def is_over() -> bool:  # a refusal is an event before the connection has ended
            with Capture.open(self.engine.capture) as capture:
                one = capture.connection(number)
            return one is not None and one.closed_ns is not None

        wait_for(is_over, "the end of the connection")
        with Capture.open(self.engine.capture) as capture:
            connection, handshake = capture.connection(number), capture.handshake(number)
        assert connection
        assert handshake
        return connection, handshake

    def _path(self, number: object) -> str:
        attempts = [e for e in self.engine.events if e["event"] == "attempt" and e["connection"] == number]
        return attempts[0]["url"].split("/", 3)[3].join(("/", "")) if attempts else ""


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[Callable[[Bench], Awaitable[None]]], None]]:
    """Runs a test with the one bench of all; each makes attempts to a path of its own."""
    folder: Path = tmp_path_factory.mktemp("handshake")
    context = make_certificates(folder).server_context()
    with ThreadedLoop() as loop:
        origin = loop.run(_open(context))
        options = [
            *("--listen", "0", "--insecure"),
            *("--tap", f"plain=0=http://127.0.0.1:{origin.port}"),
            *("--tap", f"secure=0=https://127.0.0.1:{origin.tls_port}"),
        ]
        try:
            with Engine.start(*options, folder=folder / "engine") as engine:
                bench = Bench(engine, origin)

                async def call(test: Callable[[Bench], Awaitable[None]]) -> None:
                    await test(bench)

                yield lambda test: loop.run(call(test))
        finally:
            loop.run(origin.__aexit__())


async def _open(context: ssl.SSLContext) -> Origin:
    return await Origin(context).__aenter__()


async def accept(server: Peer) -> None:
    await server.send(ACCEPTED)
    server.fin()
    await server.has_ended(10)


async def accept_and_end(server: Peer) -> None:
    await server.send(ACCEPTED)
    server.rst()


def test_header_blocks_are_kept_byte_for_byte_on_both_sides(run) -> None:
    async def test(bench: Bench) -> None:
        head = request("same", more=b"X-Twice: a\r\nX-Twice:  b\t\r\nCookie: k=v; j=w\r\n")
        got = await bench.attempt("plain", "same", accept_and_end, head)
        assert got == ACCEPTED
        connection, handshake = bench.recorded("case/same")
        assert handshake.request_in == handshake.request_out == head
        assert handshake.response_in == handshake.response_out == ACCEPTED
        assert (connection.scheme, connection.host, connection.port) == ("ws", "app.example", 8443)
        assert connection.path == "/case/same?token=abc%20d"
        assert (connection.tap, connection.status, connection.http_version) == ("plain", 101, "HTTP/1.1")
        assert connection.server == f"127.0.0.1:{bench.origin.port}"
        assert handshake.client_tls is None
        assert handshake.server_tls is None
        times = [
            handshake.tcp_ns,
            handshake.request_in_ns,
            handshake.server_tcp_start_ns,
            handshake.server_tcp_done_ns,
            handshake.request_out_ns,
            handshake.response_in_ns,
            handshake.response_out_ns,
        ]
        assert None not in times
        assert times == sorted(time for time in times if time)

    run(test)


def test_a_regular_proxy_changes_the_request_line_alone(run) -> None:
    async def test(bench: Bench) -> None:
        authority = f"127.0.0.1:{bench.origin.port}"
        head = request("absolute", target=f"http://{authority}", host=authority)
        await bench.attempt("regular", "absolute", accept_and_end, head)
        _, handshake = bench.recorded("case/absolute")
        assert handshake.request_in == head
        assert handshake.request_out == head.replace(f"http://{authority}".encode(), b"", 1)

    run(test)


def test_tls_facts_of_both_legs(run) -> None:
    async def test(bench: Bench) -> None:
        await bench.attempt("secure", "tls", accept_and_end, request("tls"), tls=True)
        connection, handshake = bench.recorded("case/tls")
        assert connection.scheme == "wss"
        client, server = handshake.client_tls, handshake.server_tls
        assert client
        assert server
        assert client["version"] == server["version"] == "TLSv1.3"
        assert client["sni"] == "localhost"
        assert server["certificate"]["sha256"]
        assert "localhost" in server["certificate"]["sans"]
        assert server["certificate"]["not_before"] < server["certificate"]["not_after"]
        assert server["verified"] is False
        assert server["verify_error"]
        assert handshake.tls_ns
        assert handshake.server_tls_done_ns

    run(test)


def test_alpn_offered_and_chosen(run) -> None:
    async def test(bench: Bench) -> None:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["http/1.1"])
        expected = bench.origin.expect("alpn")
        client = await Peer.connect(bench.engine.port("plain"), context)
        await client.send(request("alpn"))
        server = await asyncio.wait_for(expected, 20)
        await accept_and_end(server)
        await client.has_ended(10)
        client.close()
        connection, handshake = bench.recorded("case/alpn")
        assert handshake.client_tls
        assert handshake.client_tls["alpn_offered"] == ["http/1.1"]
        assert handshake.client_tls["alpn"] == connection.client_alpn == "http/1.1"
        assert connection.server_alpn is None

    run(test)


def test_a_refusal_is_kept_with_the_beginning_of_its_body(run) -> None:
    body = b"<h1>no</h1>" * 20000

    async def refuse(server: Peer) -> None:
        await server.send(b"HTTP/1.1 403 Forbidden\r\nServer: nginx\r\nContent-Length: %d\r\n" % len(body))
        await server.send(b"Connection: close\r\n\r\n" + body)
        server.fin()

    async def test(bench: Bench) -> None:
        got = await bench.attempt("plain", "refused", refuse, request("refused"))
        assert got.endswith(body)
        connection, handshake = bench.recorded("case/refused")
        assert (connection.state, connection.status) == ("refused", 403)
        assert (connection.js_code, connection.js_was_clean) == (1006, False)
        assert handshake.body == body[: 64 << 10]
        assert handshake.response_in == handshake.response_out
        assert handshake.response_in
        assert b"Server: nginx" in handshake.response_in

    run(test)


def test_informational_responses_reach_the_client_before_the_101(run) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"

    async def hint(server: Peer) -> None:
        await server.send(hints)
        await accept_and_end(server)

    async def test(bench: Bench) -> None:
        assert await bench.attempt("plain", "hints", hint, request("hints")) == hints + ACCEPTED
        _, handshake = bench.recorded("case/hints")
        assert handshake.informational == hints

    run(test)


@pytest.mark.parametrize(("how", "words"), [("fin", "fin"), ("rst", "rst")])
def test_a_server_that_ends_without_a_response(run, how: str, words: str) -> None:
    async def end(server: Peer) -> None:
        (server.fin if how == "fin" else server.rst)()

    async def test(bench: Bench) -> None:
        assert await bench.attempt("plain", f"mute-{how}", end, request(f"mute-{how}")) == b""
        connection, handshake = bench.recorded(f"case/mute-{how}")
        assert connection.state == "failed"
        assert connection.error
        assert words in connection.error
        assert handshake.response_in is None

    run(test)


@pytest.mark.parametrize(
    ("name", "answer"),
    [("garbage", b"\x15\x03\x01\x00\x02\x02\x46"), ("nohttp", b"SSH-2.0-OpenSSH_9.2\r\n\r\n")],
)
def test_an_answer_that_is_not_http_is_kept_all_the_same(run, name: str, answer: bytes) -> None:
    async def speak(server: Peer) -> None:
        await server.send(answer)
        server.fin()

    async def test(bench: Bench) -> None:
        assert await bench.attempt("plain", name, speak, request(name)) == answer
        connection, handshake = bench.recorded(f"case/{name}")
        assert connection.state == "failed"
        assert handshake.response_in == answer

    run(test)


GREETING = b"220 mx1.example.org ESMTP Postfix\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\n\r\n"
OPEN_HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize(
    ("name", "pieces", "passes"),
    [
        ("whole", [GREETING], GREETING),
        ("pieces", [bytes([one]) for one in GREETING], GREETING),
        # Half a header block waits for the rest; the hints show that it has been read.
        ("half", [HINTS + OPEN_HEAD], HINTS),
    ],
)
def test_what_is_no_answer_is_kept_where_the_client_gives_up(
    run, how: str, name: str, pieces: list[bytes], passes: bytes
) -> None:
    """A greeting reaches the client while its server waits."""
    name = f"gives-up-{name}-{how}"

    async def test(bench: Bench) -> None:
        expected = bench.origin.expect(name)
        client = await Peer.connect(bench.engine.port("plain"))
        await client.send(request(name))
        server = await asyncio.wait_for(expected, 20)
        for one in pieces:
            await server.send(one)
        await client.until(lambda: client.received == passes, 10)
        (client.fin if how == "fin" else client.rst)()
        await server.has_ended(10)
        server.close()
        client.close()
        connection, handshake = bench.recorded(f"case/{name}")
        assert connection.state == "failed"
        assert handshake.response_in == b"".join(pieces).removeprefix(HINTS)

    run(test)


def test_of_bytes_that_are_not_http_all_pass_and_the_beginning_is_kept(run) -> None:
    noise = bytes(range(1, 256)) * 8000

    async def speak(server: Peer) -> None:
        await server.send(noise)
        server.fin()

    async def test(bench: Bench) -> None:
        assert await bench.attempt("plain", "noise", speak, request("noise")) == noise
        _, handshake = bench.recorded("case/noise")
        assert handshake.response_in == noise[:1024]

    run(test)


def test_a_header_block_that_does_not_end_is_refused(run) -> None:
    endless = ACCEPTED[:-2] + b"X: " + b"a" * MAX_HEAD_BYTES

    async def speak(server: Peer) -> None:
        await server.send(endless)
        await server.has_ended(10)

    async def test(bench: Bench) -> None:
        client = await Peer.connect(bench.engine.port("plain"))
        head = request("endless")[:-2] + b"X: "
        await client.send(head + b"a" * (MAX_HEAD_BYTES + 1 - len(head)))
        await client.has_ended(10)
        client.close()
        assert client.received.startswith(b"HTTP/1.1 431 ")
        assert client.received.endswith(b"wsinspect: the request header block is larger than 1 MiB\n")

        got = await bench.attempt("plain", "endless-answer", speak, request("endless-answer"))
        assert got.startswith(b"HTTP/1.1 502 ")
        assert got.endswith(b"wsinspect: server's response header block is larger than 1 MiB\n")
        connection, handshake = bench.recorded("case/endless-answer")
        assert connection.state == "failed"
        assert connection.error == "server's response header block is larger than 1 MiB"
        assert handshake.response_in == endless[:MAX_HEAD_BYTES]

    run(test)


def test_large_header_blocks_in_many_pieces_pass_with_what_follows_them(run) -> None:
    field = b"X-Large: " + b"a" * (MAX_HEAD_BYTES // 2) + b"\r\n"
    answer = ACCEPTED[:-2] + field + b"\r\n"
    early = bytes(range(256)) * 1024  # read in several pieces before there is an answer

    async def speak(server: Peer) -> None:
        await server.send(answer + early)
        await server.until(lambda: server.received.endswith(early), 10)
        server.fin()

    async def test(bench: Bench) -> None:
        head = request("large", more=field)
        assert await bench.attempt("plain", "large", speak, head + early) == answer + early
        _, handshake = bench.recorded("case/large")
        assert handshake.request_in == handshake.request_out == head
        assert handshake.response_in == handshake.response_out == answer

    run(test)


def test_an_unreachable_server_is_a_502_that_says_so(run) -> None:
    async def test(bench: Bench) -> None:
        target = "http://127.0.0.1:1"
        client = await Peer.connect(bench.engine.port("regular"))
        await client.send(request("nobody", target=target, host="127.0.0.1:1"))
        await client.has_ended(10)
        head, _, body = bytes(client.received).partition(b"\r\n\r\n")
        client.close()
        assert head.startswith(b"HTTP/1.1 502 ")
        assert b"Server: wsinspect" in head
        assert body == b"wsinspect: cannot connect to 127.0.0.1:1: connection refused\n"
        connection, handshake = bench.recorded("case/nobody")
        assert (connection.state, connection.status) == ("failed", 502)
        assert handshake.response_in is None
        assert handshake.response_out
        assert handshake.response_out.startswith(b"HTTP/1.1 502 ")

    run(test)


def test_a_server_that_does_not_speak_tls(run) -> None:
    async def test(bench: Bench) -> None:
        authority = f"127.0.0.1:{bench.origin.port}"
        client = await Peer.connect(bench.engine.port("regular"))
        await client.send(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        await client.until(lambda: b"\r\n\r\n" in client.received, 10)
        assert client.received.startswith(b"HTTP/1.1 200")
        client.received.clear()
        await client.start_tls(CLIENT_TLS, server=False)
        await client.send(request("notls", host=authority))
        await client.has_ended(10)
        assert client.received.startswith(b"HTTP/1.1 502 ")
        client.close()
        connection, _ = bench.recorded("case/notls")
        assert connection.state == "failed"
        assert connection.error
        assert "TLS" in connection.error

    run(test)


def test_a_client_that_gives_up(run) -> None:
    async def test(bench: Bench) -> None:
        expected = bench.origin.expect("impatient")
        client = await Peer.connect(bench.engine.port("plain"))
        await client.send(request("impatient"))
        server = await asyncio.wait_for(expected, 20)
        client.rst()
        await server.has_ended(10)
        server.close()
        connection, _ = bench.recorded("case/impatient")
        assert connection.state == "failed"

    run(test)


def test_a_client_that_does_not_trust_us(run) -> None:
    async def test(bench: Bench) -> None:
        reader = asyncio.open_connection(
            "127.0.0.1",
            bench.engine.port("secure"),
            ssl=ssl.create_default_context(),
            server_hostname="localhost",
        )
        with pytest.raises(ssl.SSLError):
            await reader
        for _ in range(100):
            with Capture.open(bench.engine.capture) as capture:
                failed = [event for event in capture.events() if event.kind == "tls_failed"]
            events = [event for event in failed if event.detail["tap"] == "secure"]
            if events:
                break
            await asyncio.sleep(0.05)
        assert events[0].detail["sni"] == "localhost"
        assert events[0].detail["error"]

    run(test)


@pytest.mark.parametrize(("policy", "is_kept"), [(None, True), ("keep", True), ("rewrite", False)])
def test_the_host_header(policy: str | None, is_kept: bool, tmp_path: Path) -> None:
    async def main() -> None:
        async with Origin(make_certificates(tmp_path).server_context()) as origin:
            options = ["--listen", "0", "--reverse", f"http://127.0.0.1:{origin.port}"]
            options += ["--host", policy] if policy else []
            with Engine.start(*options, folder=tmp_path / "engine") as engine:
                bench = Bench(engine, origin)
                await bench.attempt("reverse", "host", accept_and_end, request("host"))
                _, handshake = bench.recorded("case/host")
                new = f"hOsT: 127.0.0.1:{origin.port}\r\n".encode()
                sent = (
                    request("host")
                    if is_kept
                    else request("host").replace(b"hOsT: app.example:8443\r\n", new)
                )
                assert handshake.request_out
                assert handshake.request_out == sent
                with Capture.open(engine.capture) as capture:
                    assert capture.meta["taps"][0]["host"] == ("keep" if is_kept else "rewrite")

    asyncio.run(main())
