"""Nothing passes unseen: a WebSocket is recorded whatever pieces its client writes in.

What is passed on unread, what fails on the way to a socket, and who leaves without a byte is an event and a
line.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support import warm
from tests.support.certs import client_context, make_certificates
from tests.support.engine import Engine, private_environment
from wsinspect.capture.reader import Capture
from wsinspect.closing import abort
from wsinspect.errors import UsageError
from wsinspect.proxy.listening import refuse_own_targets
from wsinspect.proxy.taps import Tap

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
CLOSE, CLOSED = b"\x88\x82\0\0\0\0\x03\xe8", b"\x88\x02\x03\xe8"
SWITCH = (
    f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
).encode()


def head(target: str = "/ws?token=abcdef", host: str = "localhost") -> bytes:
    return (
        f"GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server of WebSockets that closes when it is asked to, and echoes what is no HTTP."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        start = await reader.read(4)
        if start != b"GET "[: len(start)] or len(start) < 4:
            writer.write(b"echo " + start)
        else:
            while not start.endswith(b"\r\n\r\n"):
                start += await reader.readexactly(1)
            if b" /ws" not in start:
                writer.write(b"garbage" if b" /garbage" in start else b"")
                await reader.read()
                writer.close()
                return
            writer.write(SWITCH)
            assert await reader.readexactly(len(CLOSE)) == CLOSE
            writer.write(CLOSED)
        await reader.read()
    writer.close()


@asynccontextmanager
async def server(tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    served: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        served[task] = writer
        await answer(reader, writer)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with listening:
        yield listening.sockets[0].getsockname()[1]
        # Each ends by itself once its connection is gone: what is cancelled with the loop complains on 3.11.
        for writer in served.values():
            abort(writer.transport)
        await asyncio.gather(*served, return_exceptions=True)


class Way:
    """A connection to the server through a tap of the engine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def through(cls, engine: Engine, tap: str, target: int) -> Way:
        way = cls(*await asyncio.open_connection("127.0.0.1", engine.port(tap)))
        if tap == "socks5":
            way.writer.write(b"\x05\x01\x00\x05\x01\x00\x03\x09localhost" + struct.pack("!H", target))
            await way.reader.readexactly(2 + 10)
        elif tap != "edge":
            way.writer.write(f"CONNECT localhost:{target} HTTP/1.1\r\n\r\n".encode())
            assert b" 200 " in await way.reader.readuntil(b"\r\n\r\n")
        return way

    async def finish(self, rest: bytes) -> None:
        """Send the rest of the head, and close the WebSocket in order."""
        self.writer.write(rest)
        assert (await self.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        self.writer.write(CLOSE)
        assert await self.reader.readexactly(len(CLOSED)) == CLOSED
        self.writer.close()


async def in_two_pieces(engine: Engine, tap: str, port: int, raw: bytes, cuts: list[int]) -> int:
    """A WebSocket for each cut; the second pieces follow once the engine has surely read the first ones."""
    ways = [await Way.through(engine, tap, port) for _ in cuts]
    for way, cut in zip(ways, cuts, strict=True):
        way.writer.write(raw[:cut])
    await (await Way.through(engine, tap, port)).finish(raw)
    await asyncio.gather(*(way.finish(raw[cut:]) for way, cut in zip(ways, cuts, strict=True)))
    return len(cuts) + 1


def states(engine: Engine) -> list[tuple[str | None, str, int | None]]:
    """(tap, state, close code) of all that was recorded; nothing must have passed unread."""
    assert engine.stop() == 0, engine.stderr
    assert [event for event in engine.events if event["event"] == "passed_unread"] == []
    with Capture.open(engine.capture) as capture:
        return [(one.tap, one.state, one.client_close_code) for one in capture.connections()]


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_a_request_in_two_pieces_cut_anywhere_is_a_recorded_websocket(tmp_path, step):
    raw = head()

    async def run() -> None:
        async with server() as port:
            with (
                Engine.start("--listen", "0", folder=tmp_path / "second") as second,
                Engine.start(
                    *("--listen", "0", "--mode", "regular", "--mode", "socks5"),
                    *("--mode", f"upstream:http://127.0.0.1:{second.port('regular')}"),
                    folder=tmp_path / "first",
                ) as first,
            ):
                every = list(range(1, len(raw), step))
                count = await in_two_pieces(first, "regular", port, raw, every)
                assert second.stop() == 0
                assert not second.capture.exists(), "nobody used it, and so it leaves no capture"
                count_socks = await in_two_pieces(first, "socks5", port, raw, every[: 40 // step])
                assert states(first) == [
                    *[("regular", "closed", 1000)] * count,
                    *[("socks5", "closed", 1000)] * count_socks,
                ]

    asyncio.run(run())


def test_a_request_byte_by_byte_and_one_longer_than_a_segment_are_recorded(tmp_path):
    long = head("/ws?token=" + "x" * 8000)

    async def run() -> None:
        async with server() as port:
            with (
                Engine.start("--listen", "0", folder=tmp_path / "second") as second,
                Engine.start(
                    "--mode",
                    f"upstream:http://127.0.0.1:{second.port('regular')}@0",
                    folder=tmp_path / "first",
                ) as first,
            ):
                count = await in_two_pieces(first, "upstream", port, long, [1448, 4, 5, 8000])
                slow = await Way.through(first, "upstream", port)
                for byte in head()[:-1]:
                    slow.writer.write(bytes([byte]))
                    await slow.writer.drain()
                await slow.finish(head()[-1:])
                assert states(first) == [("upstream", "closed", 1000)] * (count + 1)
                assert states(second) == [("regular", "closed", 1000)] * (count + 1)

    asyncio.run(run())


@pytest.mark.parametrize("tap", ["regular", "socks5", "edge"])
@pytest.mark.parametrize("lines", [b"\r\n", b"\n", b"\r\n\r\n"])
def test_empty_lines_before_the_request_line_pass_as_they_came(tmp_path, tap, lines):
    """RFC 9112 section 2.2: a server ignores them. In one piece with the request, and in two."""
    raw = head()
    received: list[bytes] = []
    served: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            start = await reader.readuntil(b"GET ")
            received.append(start + await reader.readuntil(b"\r\n\r\n"))
            writer.write(SWITCH)
            await reader.readexactly(len(CLOSE))
            writer.write(CLOSED)
            await reader.read()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def run() -> None:
        listening = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        async with listening:
            with Engine.start(
                *("--listen", "0", "--mode", "regular", "--mode", "socks5"),
                *("--tap", f"edge=127.0.0.1:0=http://127.0.0.1:{port}"),
                folder=tmp_path,
            ) as engine:
                count = await in_two_pieces(engine, tap, port, lines + raw, [1, len(lines), len(lines) + 2])
                assert states(engine) == [(tap, "closed", 1000)] * count
            # Before Python 3.12 a server does not wait for those it serves.
            await asyncio.gather(*filter(None, served))
        assert received == [lines + raw] * count
        with Capture.open(engine.capture) as capture:
            for one in capture.connections():
                shake = capture.handshake(one.id)
                assert shake is not None
                assert (one.path, shake.request_in, shake.request_out) == (
                    "/ws?token=abcdef",
                    lines + raw,
                    lines + raw,
                )

    asyncio.run(run())


def test_what_is_not_http_after_an_empty_line_passes_as_it_came(tmp_path):
    async def run() -> None:
        async with server() as port:
            with Engine.start("--listen", "0", folder=tmp_path) as engine:
                way = await Way.through(engine, "regular", port)
                way.writer.write(b"\r\nHELO there\r\n")
                assert await way.reader.readexactly(5) == b"echo "
                abort(way.writer.transport)
                assert engine.stop() == 0
                (event,) = [one for one in engine.events if one["event"] == "passed_unread"]
                assert event["reason"] == "it is not HTTP"

    asyncio.run(run())


def client_hello(context: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        session.do_handshake()
    return session, incoming, outgoing


@pytest.mark.parametrize("tap", ["regular", "socks5", "edge"])
def test_a_tls_greeting_in_pieces_is_taken_for_tls(tmp_path, tap):
    certificates = make_certificates(tmp_path / "certs")

    async def converse(engine: Engine, port: int, cut: int) -> None:
        way = await Way.through(engine, tap, port)
        session, incoming, outgoing = client_hello(client_context())
        hello = outgoing.read()
        way.writer.write(hello[:cut])
        await ask(engine.port("regular"), b"GET foo://read-since/ HTTP/1.1\r\n\r\n")
        way.writer.write(hello[cut:])
        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                way.writer.write(outgoing.read())
                data = await way.reader.read(65536)
                assert data, "the connection ended during the handshake"
                incoming.write(data)
        session.write(head())
        way.writer.write(outgoing.read())
        plain = b""
        while not plain.endswith(b"\r\n\r\n"):
            incoming.write(await way.reader.read(65536))
            with contextlib.suppress(ssl.SSLWantReadError):
                plain += session.read(65536)
        assert plain.startswith(b"HTTP/1.1 101")
        session.write(CLOSE)
        way.writer.write(outgoing.read())
        incoming.write(await way.reader.read(65536))
        assert session.read(100) == CLOSED
        way.writer.close()

    async def run() -> None:
        async with server(certificates.server_context()) as port:
            with Engine.start(
                *("--listen", "0", "--mode", "regular", "--mode", "socks5", "--ca", str(certificates.ca)),
                *("--tap", f"edge=0=https://localhost:{port}"),
                folder=tmp_path / "engine",
            ) as engine:
                for cut in (1, 2, 3, 5, 6, 43):
                    await converse(engine, port, cut)
                assert [row for row in states(engine) if row[1] != "closed" or row[0] != tap] == []

    asyncio.run(run())


def test_a_tunnel_without_http_is_passed_on_at_once_and_reported(tmp_path):
    async def run() -> None:
        async with server() as port:
            with Engine.start(
                "--listen", "0", "--mode", "regular", "--mode", "socks5", folder=tmp_path
            ) as engine:
                for tap, data in (
                    ("regular", b"\x00\x01raw"),
                    ("socks5", b"SSH-2.0-x\r\n"),
                    ("socks5", b"HELO"),
                ):
                    way = await Way.through(engine, tap, port)
                    way.writer.write(data)
                    assert await way.reader.readexactly(9) == b"echo " + data[:4]
                    told = engine.wait_for_event("passed_unread", tap=tap)
                    assert told["server"] == f"localhost:{port}"
                    assert told["reason"] == "it is not HTTP"
                    way.writer.close()
                assert engine.stop() == 0
                with Capture.open(engine.capture) as capture:
                    unread = [
                        note.detail["first"] for note in capture.events() if note.kind == "passed_unread"
                    ]
                assert unread == ["\x00\x01raw", "SSH-2.0-x\r\n", "HELO"]

    asyncio.run(run())


@pytest.mark.slow
def test_a_request_line_that_never_ends_is_passed_on_after_a_while(tmp_path):
    async def run() -> None:
        async with server() as port:
            with Engine.start("--listen", "0", folder=tmp_path) as engine:
                way = await Way.through(engine, "regular", port)
                way.writer.write(b"PUT")
                assert await way.reader.readexactly(8) == b"echo PUT"
                assert "no complete request line" in engine.wait_for_event("passed_unread")["reason"]
                way.writer.close()

    asyncio.run(run())


def test_a_client_that_leaves_without_a_byte_is_reported(tmp_path):
    with Engine.start("--listen", "0", folder=tmp_path) as engine:
        address = "127.0.0.1", engine.port("regular")
        with socket.create_connection(address) as sock:
            sock.sendall(b"G")
        with socket.create_connection(address) as sock:
            fin = "{}:{}".format(*sock.getsockname())
        with socket.create_connection(address) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            rst = "{}:{}".format(*sock.getsockname())
        assert engine.wait_for_event("client_left", client=fin)["how"] == "fin"
        assert engine.wait_for_event("client_left", client=rst)["how"] == "rst"
        assert engine.stop() == 0
        assert len([event for event in engine.events if event["event"] == "client_left"]) == 2


@pytest.mark.parametrize(("path", "by"), [("/hang", "client"), ("/garbage", "server")])
def test_a_client_that_gives_up_before_any_answer_ended_it(tmp_path, path, by):
    async def run() -> None:
        async with server() as port:
            with Engine.start("--tap", f"edge=0=http://127.0.0.1:{port}", folder=tmp_path) as engine:
                way = await Way.through(engine, "edge", port)
                way.writer.write(head(path))
                engine.wait_for_event("attempt")  # the server is asked by now, on every mitmproxy
                way.writer.write_eof()
                await way.reader.read()
                way.writer.close()
                engine.wait_for_event("refused")
                assert engine.stop() == 0
                with Capture.open(engine.capture) as capture:
                    (one,) = capture.connections()
                    assert (one.ended_by, one.state) == (by, "failed")

    asyncio.run(run())


@pytest.mark.parametrize("way_taken", [(), ("--no-splice",)], ids=["short way", "layers"])
def test_an_attempt_that_waits_when_the_proxy_stops_is_nobodys_fault(tmp_path, way_taken):
    async def run() -> None:
        async with server() as port:
            tap = f"edge=0=http://127.0.0.1:{port}"
            with Engine.start("--tap", tap, *way_taken, folder=tmp_path) as engine:
                way = await Way.through(engine, "edge", port)
                way.writer.write(head("/hang"))
                engine.wait_for_event("attempt")
                assert engine.stop() == 0
                way.writer.close()
                refused = engine.wait_for_event("refused")
                assert refused["error"] == "wsinspect stopped before the server answered"
                assert "finding" not in [event["event"] for event in engine.events]
                with Capture.open(engine.capture) as capture:
                    (one,) = capture.connections()
                    assert (one.ended_by, one.state) == ("proxy", "failed")

    asyncio.run(run())


async def ask(port: int, raw: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    answered = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return answered


def test_our_own_answers_to_plain_requests_are_recorded_and_explained(tmp_path):
    certificates = make_certificates(tmp_path / "certs")

    async def run() -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))  # bound and not listening: a connection to it is refused
            dead = closed.getsockname()[1]
            async with server(certificates.server_context()) as port:
                with Engine.start(
                    *("--listen", "0", "--mode", "regular", "--tap", f"edge=0=https://localhost:{port}"),
                    folder=tmp_path / "engine",
                ) as engine:
                    url = f"http://localhost:{dead}/page?secret=1"
                    body = await ask(engine.port("regular"), f"GET {url} HTTP/1.1\r\n\r\n".encode())
                    assert body.startswith(b"HTTP/1.1 502")
                    assert b"cannot connect" in body
                    told = engine.wait_for_event("request_failed", where="connect")
                    assert (told["url"], told["status"]) == (f"http://localhost:{dead}/page", 502)

                    body = await ask(engine.port("edge"), b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    assert body.startswith(b"HTTP/1.1 502")
                    assert b"--ca FILE" in body
                    assert b"--insecure" in body
                    told = engine.wait_for_event("request_failed", where="tls-server")
                    assert "verify failed" in told["error"]

                    body = await ask(engine.port("regular"), b"GET foo://localhost/ HTTP/1.1\r\n\r\n")
                    assert body.startswith(b"HTTP/1.1 400")
                    told = engine.wait_for_event("request_failed", where="head")
                    assert (told["method"], told["status"]) == ("GET", 400)

                    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"
                    body = await ask(engine.port("edge"), preface)
                    assert body.startswith(b"HTTP/1.1 400")
                    told = engine.wait_for_event("request_failed", method="PRI")
                    assert "HTTP/2 without TLS" in told["error"]
                    found = engine.wait_for_event("finding", id="WS-H2-015")
                    assert (found["severity"], found["fault_of"]) == ("warning", "client")

    asyncio.run(run())


@pytest.mark.parametrize("scheme", ["ws", "WS", "http"])
def test_a_proxy_request_for_a_websocket_url_is_an_opening_handshake(tmp_path, scheme):
    async def run() -> None:
        async with server() as port:
            with Engine.start("--listen", "0", folder=tmp_path) as engine:
                way = Way(*await asyncio.open_connection("127.0.0.1", engine.port("regular")))
                raw = head(f"{scheme}://localhost:{port}/ws", f"localhost:{port}")
                await way.finish(raw)
                assert states(engine) == [("regular", "closed", 1000)]
                with Capture.open(engine.capture) as capture:
                    (one,) = capture.connections()
                    assert (one.scheme, one.port, one.path) == ("ws", port, "/ws")
                    handshake = capture.handshake(one.id)
                    assert handshake
                    assert handshake.request_in == raw

    asyncio.run(run())


def test_a_private_authority_is_trusted_with_the_usual_ones(tmp_path):
    certificates = make_certificates(tmp_path / "certs")

    async def run() -> None:
        async with server(certificates.server_context()) as port:
            with Engine.start(
                *("--listen", "0", "--tap", f"edge=0=https://localhost:{port}", "--ca", str(certificates.ca)),
                folder=tmp_path / "engine",
            ) as engine:
                await (await Way.through(engine, "edge", port)).finish(head())
                assert states(engine) == [("edge", "closed", 1000)]

    asyncio.run(run())


OWN = Tap("regular", host="127.0.0.1", port=8080)
ANY = Tap("regular", host="0.0.0.0", port=8080)


def reverse(url: str, port: int = 9000) -> Tap:
    return Tap.reverse(url, name="edge", host="127.0.0.1", port=port, is_named=True)


@pytest.mark.parametrize(
    "taps",
    [
        [reverse("http://127.0.0.1:9000")],
        [reverse("ws://localhost:9000/ws")],
        [OWN, reverse("http://localhost:8080")],
        [ANY, reverse("http://127.0.0.1:8080")],
        [ANY, reverse("http://127.0.0.2:8080")],
        [reverse("http://127.0.0.1", port=80)],
        [OWN, Tap("upstream", "upstream:http://127.0.0.1:8080", port=9000)],
        [OWN, Tap("raw", "reverse:tcp://127.0.0.1:8080", port=9000)],
    ],
)
def test_a_tap_aimed_at_a_listener_of_the_same_proxy_is_refused(taps):
    with pytest.raises(UsageError):
        refuse_own_targets(taps)


@pytest.mark.parametrize(
    "taps",
    [
        [OWN, reverse("http://127.0.0.1:8081")],
        [OWN, reverse("http://127.0.0.2:8080")],
        [OWN, reverse("http://no-such-host.invalid:8080")],
        [ANY, reverse("http://192.0.2.1:8080")],
        [OWN, Tap("socks5", "socks5", port=1080)],
    ],
)
def test_a_tap_aimed_elsewhere_is_not(taps):
    refuse_own_targets(taps)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--listen", "127.0.0.1:8099", "--reverse", "http://localhost:8099"], "is itself"),
        (["--ca", "missing.pem"], "--ca missing.pem: No such file"),
        (["--ca", "empty.pem"], "--ca empty.pem: no certificate in it"),
    ],
)
def test_what_cannot_work_is_refused_at_start(options, words, tmp_path: Path):
    (tmp_path / "empty.pem").write_text("nothing")
    arguments = ["run", "--headless", *options]
    done = warm.run(arguments, folder=tmp_path, environment=private_environment(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
