"""Modes with a real client and server: what arrives, what is recorded, what a failing hop looks like."""

from __future__ import annotations

import asyncio
import socket
import struct
from pathlib import Path

import pytest
from mitmproxy.proxy.mode_specs import ProxyMode
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import InvalidHandshake, InvalidStatus

from tests.support import warm
from tests.support.certs import client_context, make_certificates
from tests.support.engine import Engine, private_environment
from tests.support.forwarder import Forwarder
from tests.support.small_servers import echo
from wsinspect.capture.reader import Capture
from wsinspect.cli.run import make_taps
from wsinspect.errors import UsageError
from wsinspect.proxy.listening import choose_ports
from wsinspect.proxy.modes import mode_tap
from wsinspect.proxy.taps import Tap

#: Larger than any one read, and not a multiple of anything.
PAYLOAD = bytes(range(256)) * 700
REVERSE = "reverse:https://h.example:443", "127.0.0.1", 8080


def open_socks5(port: int, target: int) -> socket.socket:
    """A socket behind a SOCKS5 proxy (RFC 1928): no authentication, CONNECT to localhost by name."""
    sock = socket.create_connection(("127.0.0.1", port), 10)
    sock.sendall(b"\x05\x01\x00")
    assert sock.recv(2) == b"\x05\x00"
    sock.sendall(b"\x05\x01\x00\x03\x09localhost" + struct.pack("!H", target))
    answer = b""
    while len(answer) < 10:
        answer += sock.recv(10 - len(answer))
    assert answer[:2] == b"\x05\x00"
    return sock


async def converse(url: str, **options) -> None:
    tls = client_context() if url.startswith("wss:") else None
    options.setdefault("proxy", None)
    async with connect(url, ssl=tls, max_size=None, **options) as client:
        for message in ("text", PAYLOAD):
            await client.send(message)
            assert await client.recv() == message


def recorded(engine: Engine) -> list[tuple]:
    """(tap, scheme, state, close code, frames each way) of each connection, after the engine's end."""
    assert engine.stop() == 0, engine.stderr
    with Capture.open(engine.capture) as capture:
        return [
            (one.tap, one.scheme, one.state, one.client_close_code, one.c2s_frames, one.s2c_frames)
            for one in capture.connections()
        ]


@pytest.mark.slow
def test_several_modes_and_taps_at_once(tmp_path):
    context = make_certificates(tmp_path / "certs").server_context()

    async def run() -> None:
        async with (
            serve(echo, "localhost", 0, max_size=None, compression=None) as plain,
            serve(echo, "localhost", 0, ssl=context, max_size=None, compression=None) as secure,
        ):
            ports = [next(iter(server.sockets)).getsockname()[1] for server in (plain, secure)]
            with (
                Engine.start("--listen", "0", "--insecure", folder=tmp_path / "second") as second,
                Engine.start(
                    *("--listen", "0", "--insecure", "--mode", "regular", "--mode", "socks5"),
                    *("--mode", f"upstream:http://127.0.0.1:{second.port('regular')}"),
                    *("--mode", f"upstream:https://localhost:{second.port('regular')}"),
                    *("--mode", f"reverse:ws://localhost:{ports[0]}"),
                    *("--tap", f"edge=0=http://localhost:{ports[0]}"),
                    folder=tmp_path / "first",
                ) as first,
            ):
                await converse_all_ways(first, *ports)
                # `compression=None` on the server: 2 messages and a CLOSE each way.
                assert sorted(recorded(first)) == [
                    ("edge", "ws", "closed", 1000, 3, 3),
                    ("regular", "ws", "closed", 1000, 3, 3),
                    ("regular", "wss", "closed", 1000, 3, 3),
                    ("reverse", "ws", "closed", 1000, 3, 3),
                    ("socks5", "ws", "closed", 1000, 3, 3),
                    ("socks5", "wss", "closed", 1000, 3, 3),
                    ("upstream", "ws", "closed", 1000, 3, 3),
                    ("upstream", "wss", "closed", 1000, 3, 3),
                    ("upstream-2", "ws", "closed", 1000, 3, 3),
                    ("upstream-2", "wss", "closed", 1000, 3, 3),
                ]
                # Half of them came by TLS to the proxy itself: what was asked for counts.
                assert sorted(recorded(second)) == [
                    *[("regular", "ws", "closed", 1000, 3, 3)] * 2,
                    *[("regular", "wss", "closed", 1000, 3, 3)] * 2,
                ]

    asyncio.run(run())


async def converse_all_ways(engine: Engine, plain: int, secure: int) -> None:
    for tap in ("regular", "upstream", "upstream-2"):
        proxy = f"http://127.0.0.1:{engine.port(tap)}"
        await converse(f"ws://localhost:{plain}/", proxy=proxy)
        await converse(f"wss://localhost:{secure}/", proxy=proxy)
    for url, port in ((f"ws://localhost:{plain}/", plain), (f"wss://localhost:{secure}/", secure)):
        sock = await asyncio.to_thread(open_socks5, engine.port("socks5"), port)
        await converse(url, sock=sock)
    for tap in ("reverse", "edge"):
        await converse(f"ws://localhost:{engine.port(tap)}/")


class Refusing(Forwarder):
    """A proxy that wants a password."""

    async def _serve(self, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with client:
            await loop.sock_recv(client, 65536)
            await loop.sock_sendall(
                client, b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
            )


def test_a_second_proxy_that_refuses_or_is_missing_is_named_in_the_error(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: a connection to it is refused

        async def run() -> None:
            async with Refusing(0) as refusing:
                with Engine.start(
                    "--listen",
                    "0",
                    *("--mode", f"upstream:http://127.0.0.1:{refusing.port}"),
                    *("--mode", f"upstream:http://127.0.0.1:{closed.getsockname()[1]}"),
                    folder=tmp_path,
                ) as engine:
                    for tap, words in (("upstream", "407"), ("upstream-2", "onnect")):
                        with pytest.raises(InvalidHandshake) as caught:
                            await converse("ws://localhost:1/x", proxy=f"http://127.0.0.1:{engine.port(tap)}")
                        assert isinstance(caught.value, InvalidStatus)
                        assert caught.value.response.status_code == 502
                        attempt = engine.wait_for_event("attempt", tap=tap)
                        told = engine.wait_for_event("refused", connection=attempt["connection"])
                        assert words in told["error"]

        asyncio.run(run())


def test_ignored_hosts_pass_through_unread(tmp_path):
    certificates = make_certificates(tmp_path / "certs")

    async def run() -> None:
        async with (
            serve(echo, "localhost", 0, ssl=certificates.server_context(), max_size=None) as ignored,
            serve(echo, "localhost", 0, max_size=None) as seen,
        ):
            port = next(iter(ignored.sockets)).getsockname()[1]
            with Engine.start(
                *("--listen", "0", "--ignore-host", f"^localhost:{port}$", "--ignore-host", "never"),
                folder=tmp_path / "engine",
            ) as engine:
                proxy = f"http://127.0.0.1:{engine.port('regular')}"
                trusting = client_context()
                trusting.load_verify_locations(certificates.ca)
                trusting.check_hostname = True
                trusting.verify_mode = 2  # type: ignore[assignment]  # CERT_REQUIRED: the server's own certificate
                async with connect(f"wss://localhost:{port}/", ssl=trusting, proxy=proxy) as client:
                    await client.send("unseen")
                    assert await client.recv() == "unseen"
                await converse(f"ws://localhost:{next(iter(seen.sockets)).getsockname()[1]}/", proxy=proxy)
                assert [row[:3] for row in recorded(engine)] == [("regular", "ws", "closed")]

    asyncio.run(run())


MODES = " (docs/modes.md lists the modes)"


@pytest.mark.parametrize(
    ("modes", "line"),
    [
        (["nope"], "--mode nope: unknown mode" + MODES),
        (["regular:3"], "--mode regular:3: mode takes no arguments" + MODES),
        (["local:!"], "--mode local:!: invalid intercept spec: !" + MODES),
        (["socks5@x"], "--mode socks5@x: invalid port: x" + MODES),
        (["upstream:socks5://h:1"], "--mode upstream:socks5://h:1: Invalid server scheme: socks5" + MODES),
        (["local@80"], "--mode local@80: local mode has no port to listen on (leave out @...)"),
        (
            ["socks5", "SOCKS5"],
            "two taps listen on 127.0.0.1:1080 (give each its own port (for a mode: MODE@PORT))",
        ),
        (["local", "local"], "--mode local is given twice"),
    ],
)
def test_a_bad_mode_is_one_line(modes, line):
    with pytest.raises(UsageError) as caught:
        choose_ports(make_taps(None, None, (), None, tuple(modes)))
    assert str(caught.value) == line


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--mode", "socks5@9", "--mode", "regular@9"], "two taps listen on 127.0.0.1:9"),
        (["--mode", "socks5", "--tap", "socks5=0=http://h"], "two taps are called 'socks5'"),
        (
            ["--ignore-host", "("],
            "invalid value for '--ignore-host': invalid regular expression '(': missing )",
        ),
    ],
)
def test_wrong_usage_leaves_nothing(options, line, tmp_path):
    words = ["run", "--headless", *options]
    done = warm.run(words, folder=tmp_path, environment=private_environment(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"wsinspect: {line}")
    assert done.stderr.count("\n") == 1
    captures: Path = tmp_path / "data/wsinspect/captures"
    assert not captures.is_dir() or list(captures.iterdir()) == []


@pytest.mark.parametrize(
    ("spec", "listen", "tap"),
    [
        ("Regular", None, Tap("regular", "regular", "127.0.0.1", 8080)),
        ("socks5", None, Tap("socks5", "socks5", "127.0.0.1", 1080)),
        ("socks5", ("::1", 0), Tap("socks5", "socks5", "::1", 0)),
        ("socks5@9", ("::1", 0), Tap("socks5", "socks5", "127.0.0.1", 9)),
        ("transparent@0.0.0.0:9", None, Tap("transparent", "transparent", "0.0.0.0", 9)),
        ("regular@[::1]:9", None, Tap("regular", "regular", "::1", 9)),
        ("upstream:proxy:3128", None, Tap("upstream", "upstream:proxy:3128", "127.0.0.1", 8080)),
        ("reverse:wss://h.example", None, Tap("reverse", *REVERSE, "https://h.example:443", True)),
        ("reverse:https://h.example@8080", None, Tap("reverse", *REVERSE, "https://h.example:443", True)),
        ("reverse:tcp://h:1", None, Tap("reverse", "reverse:tcp://h:1", "127.0.0.1", 8080)),
        ("local:curl", None, Tap("local", "local:curl", "", 0, listens=False)),
        ("tun", ("::1", 0), Tap("tun", "tun", "", 0, listens=False)),
        ("wireguard:/x.conf", None, Tap("wireguard", "wireguard:/x.conf", "127.0.0.1", 51820)),
    ],
)
def test_a_mode_becomes_a_tap(spec, listen, tap):
    assert mode_tap(spec, listen=listen) == tap
    assert ProxyMode.parse(tap.spec).full_spec == tap.spec


def test_an_ipv6_address_can_be_listened_on(tmp_path):
    options = ["--listen", "[::1]:0", "--mode", "socks5", "--mode", "regular@[::1]:0"]
    with Engine.start(*options, folder=tmp_path) as engine:
        for tap in ("socks5", "regular"):
            with socket.create_connection(("::1", engine.port(tap)), 10):
                pass
