"""Data before the 101: of the client, and of the server, at one tap, around a hop and by `diagnose`."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.support.bytes_of_frames import KEY, TEXT, frame
from tests.support.hop_taps import attempts, each_hop, record_around
from tests.support.hops import LOOPBACK
from tests.support.sandwich_lab import afterwards, stored, told
from tests.support.socket_echo import ACCEPTED, HEAD

pytestmark = pytest.mark.lab

SAID = frame(TEXT, b"hello", key=KEY)
SERVERS = frame(TEXT, b"welcome")
CLOSE = b"\x88\x82" + KEY + bytes(a ^ b for a, b in zip(b"\x03\xe8", KEY, strict=False))


async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads the request and a message, greets, and closes properly; one at `/first` greets before its 101."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        head = await reader.readuntil(b"\r\n\r\n")
        if b" /first " in head:
            writer.write(SERVERS + ACCEPTED)
        else:
            writer.write(ACCEPTED)
            await reader.readexactly(len(SAID))
            writer.write(SERVERS)
            await reader.readexactly(len(CLOSE))
            writer.write(b"\x88\x02\x03\xe8")
        await writer.drain()
    writer.close()


async def client(port: int, path: str) -> None:
    """Its message goes with the request, or once the 101 is there."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    head = HEAD.replace(b"GET /echo ", f"GET {path} ".encode(), 1)
    writer.write(head + (SAID if path == "/early" else b""))
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        if path == "/polite":
            writer.write(SAID)
        if path != "/first":
            await reader.readexactly(len(SERVERS))
            writer.write(CLOSE)
            await reader.read()
    writer.close()


@each_hop
def test_who_sends_before_the_101_is_named(tmp_path, hop):
    async def run():
        listening = await asyncio.start_server(server, LOOPBACK, 0)
        async with listening:
            app = listening.sockets[0].getsockname()[1]

            async def talk(port):
                for path in ("/early", "/polite", "/first"):
                    await client(port, path)

            return await record_around(tmp_path, hop, app, talk)

    engine = asyncio.run(run())
    found = {one.path: one for one in attempts(engine.capture)}
    early = found["/early"]
    assert [(one.fault_of, one.severity) for one in early.one if one.id == "WS-HS-072"] == [
        ("client", "warning")
    ]
    assert f"{len(SAID)} bytes" in next(one for one in early.one if one.id == "WS-HS-072").evidence[0]
    assert "WS-HS-072" in {one.id for one in early.all}
    assert {one.fault_of for one in early.all if one.severity != "note"} == {"client"}
    for each in (found["/polite"].one, found["/polite"].all):
        assert [one.id for one in each if one.severity != "note"] == []
    # A server that speaks before its 101 has not answered in HTTP: its first bytes are shown and named.
    for each in (found["/first"].one, found["/first"].all):
        assert "client" not in {one.fault_of for one in each if one.severity == "error"}
        assert "WS-HS-072" not in {one.id for one in each}
        assert [one.id for one in each if one.severity == "error"] != []
    if hop is None:
        (finding,) = [one for one in found["/first"].one if one.severity == "error"]
        assert finding.fault_of == "server"
        assert any(
            "a WebSocket frame, without a handshake before it" in line
            for line in (finding.title, *finding.evidence)
        )
    assert told(engine.events) == stored(engine.capture) == afterwards(engine.capture)
