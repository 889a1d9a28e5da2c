"""A reader that stops reading stops its sender: in its direction, in bounded memory. Silence ends nothing."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import mitmproxy.version
import pytest

from tests.support.certs import make_certificates
from tests.support.engine import ROOT, Engine
from tests.support.origin import Origin
from tests.support.processes import resident_bytes
from tests.support.rawpeers import Peer
from tests.support.routes import CLIENT_TLS

REQUEST = (
    b"GET /case/%s HTTP/1.1\r\nHost: lab.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
RESPONSE = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
CHUNK = os.urandom(1 << 16)
TOTAL_CHUNKS = 800  # 50 MiB: far more than all socket buffers of the way together


async def opened(engine: Engine, origin: Origin, tap: str, name: bytes, *, tls: bool) -> tuple[Peer, Peer]:
    future = origin.expect(name.decode())
    client = await Peer.connect(engine.port(tap), CLIENT_TLS if tls else None)
    await client.send(REQUEST % name)
    server = await asyncio.wait_for(future, 20)
    await server.send(RESPONSE)
    await client.until(lambda: bytes(client.received).endswith(b"\r\n\r\n"), 10)
    client.received.clear()
    server.received.clear()
    return client, server


async def settled(value: Callable[[], int]) -> int:
    """The value once it has stopped growing for half a second."""
    last, still = -1, 0
    while still < 5:
        now = value()
        still = still + 1 if now == last else 0
        last = now
        await asyncio.sleep(0.1)
    return last


@pytest.mark.parametrize(
    ("stuck", "tap"),
    [
        ("server", "plain"),
        ("client", "secure"),
        pytest.param("server", "secure", marks=pytest.mark.slow),
        pytest.param("client", "plain", marks=pytest.mark.slow),
    ],
)
def test_a_reader_that_stops_stops_its_sender_and_nobody_else(tap: str, stuck: str, tmp_path: Path) -> None:
    """Nothing is lost when it goes on."""

    async def run() -> None:
        async with Origin(make_certificates(tmp_path).server_context()) as origin:
            taps = (
                f"plain=0=http://127.0.0.1:{origin.port}",
                f"secure=0=https://127.0.0.1:{origin.tls_port}",
            )
            options = [part for each in taps for part in ("--tap", each)]
            with Engine.start("--insecure", *options, folder=tmp_path / "engine") as engine:
                pair = await opened(engine, origin, tap, b"pressure", tls=tap == "secure")
                reader, sender = pair[::-1] if stuck == "server" else pair
                await push_against(engine, reader, sender)
                reader.close()
                sender.close()

    asyncio.run(run())


def _ends_with(peer: Peer, end: bytes) -> bool:
    return bytes(peer.received).endswith(end)


async def push_against(engine: Engine, reader: Peer, sender: Peer) -> None:
    sent = 0

    async def push() -> None:
        nonlocal sent
        for _ in range(TOTAL_CHUNKS):
            await sender.send(CHUNK)
            sent += len(CHUNK)

    before = resident_bytes(engine.pid)
    reader.pause()
    pushing = asyncio.create_task(push())
    stopped_at = await settled(lambda: sent)
    assert stopped_at < TOTAL_CHUNKS * len(CHUNK), "the sender was never stopped"
    assert resident_bytes(engine.pid) - before < 40 << 20
    for number in range(20):
        await reader.send(b"still going %d" % number)
        end = b"going %d" % number
        await sender.until(partial(_ends_with, sender, end), 5)
    reader.resume()
    await asyncio.wait_for(pushing, 60)
    await reader.has(TOTAL_CHUNKS * len(CHUNK), 60)
    assert hashlib.sha256(reader.received).digest() == hashlib.sha256(CHUNK * TOTAL_CHUNKS).digest()


def impatient(folder: Path) -> tuple[list[str], dict[str, str]]:
    """Options and environment that make mitmproxy end what is silent for a second."""
    if not mitmproxy.version.VERSION.startswith("11."):
        return ["--set", "tcp_timeout=1"], {}
    # mitmproxy 11 has a constant where 12 has the option.
    (folder / "sitecustomize.py").write_text("import mitmproxy.proxy.server as s; s.TCP_TIMEOUT = 1")
    return [], {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


def test_silence_ends_nothing(tmp_path: Path) -> None:
    """Stock mitmproxy ends a connection that was silent for `tcp_timeout` seconds."""
    options, environment = impatient(tmp_path)

    async def run() -> None:
        async with Origin(make_certificates(tmp_path).server_context()) as origin:
            tap = f"plain=0=http://127.0.0.1:{origin.port}"
            home = tmp_path / "engine"
            with Engine.start("--tap", tap, *options, folder=home, environment=environment) as engine:
                client, server = await opened(engine, origin, "plain", b"silence", tls=False)
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(client.has_ended(60), 1.6)
                await client.send(b"awake")
                await server.until(lambda: server.received == b"awake")
                await server.send(b"too")
                await client.until(lambda: client.received == b"too")
                client.close()
                server.close()

    asyncio.run(run())
