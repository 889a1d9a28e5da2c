"""Compression contexts that get lost, with real peers: at one tap, around a hop and by `diagnose`."""

from __future__ import annotations

import asyncio
import contextlib
import zlib

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.support.hop_taps import attempts, haproxy_hop, nginx_hop, record_around
from tests.support.hops import LOOPBACK
from tests.support.sandwich_lab import afterwards, stored, told
from wsinspect.handshake.negotiation import accept_key

pytestmark = pytest.mark.lab

WORDS = b"the same words, said again and again"
#: By path: what the 101 says behind permessage-deflate.
ANSWERS = {
    "/keeps": "; server_no_context_takeover",
    "/forgets": "",
    "/resets": "",
    "/well": "",
}


async def message(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """First byte and payload of a short masked frame."""
    first, length = await reader.readexactly(2)
    key = await reader.readexactly(4)
    data = await reader.readexactly(length & 0x7F)
    return first, bytes(byte ^ key[n % 4] for n, byte in enumerate(data))


async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says every message again. `/keeps` agrees to reset its compressor and does not; `/resets` does without
    having to; `/forgets` inflates each message with an empty window, as Kitura did."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        path = head.split()[1]
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        key = next(
            line.split(": ", 1)[1]
            for line in head.split("\r\n")
            if line.lower().startswith("sec-websocket-key")
        )
        assert "permessage-deflate" in fields["sec-websocket-extensions"]
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept_key(key.encode()) + b"\r\n"
            b"Sec-WebSocket-Extensions: permessage-deflate" + ANSWERS[path].encode() + b"\r\n\r\n"
        )
        compressor, inflater = zlib.compressobj(wbits=-15), zlib.decompressobj(wbits=-15)
        while True:
            first, data = await message(reader)
            if first & 15 == 8:
                writer.write(bytes([0x88, len(data)]) + data)
                break
            if path == "/forgets":
                inflater = zlib.decompressobj(wbits=-15)
            if path == "/resets":
                compressor = zlib.compressobj(wbits=-15)
            try:
                plain = inflater.decompress(data + b"\0\0\xff\xff")
            except zlib.error:
                writer.write(b"\x88\x02\x03\xef")
                await message(reader)
                break
            made = (compressor.compress(plain) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
            writer.write(bytes([0xC1, len(made)]) + made)
        await writer.drain()
    writer.close()


async def client(port: int, path: str) -> None:
    """The library `websockets`: three messages that are alike, and their echoes."""
    with contextlib.suppress(WebSocketException):
        async with connect(f"ws://{LOOPBACK}:{port}{path}", ping_interval=None, proxy=None) as socket:
            for _ in range(3):
                await socket.send(WORDS, text=True)
                assert await socket.recv(decode=False) == WORDS


@pytest.mark.parametrize("hop", [None, nginx_hop, haproxy_hop], ids=["one tap", "nginx", "haproxy"])
def test_who_lost_the_context_is_named(tmp_path, hop):
    async def run():
        listening = await asyncio.start_server(server, LOOPBACK, 0)
        async with listening:
            app = listening.sockets[0].getsockname()[1]

            async def talk(port):
                for path in ANSWERS:
                    await client(port, path)

            return await record_around(tmp_path, hop, app, talk)

    engine = asyncio.run(run())
    found = {one.path: one for one in attempts(engine.capture)}
    for each in (found["/keeps"].one, found["/keeps"].all):
        one = next(one for one in each if one.id == "WS-MS-002")
        assert (one.fault_of, one.confidence) == ("server", "high")
        assert "server_no_context_takeover was agreed" in one.title
        assert {one.fault_of for one in each if one.severity == "error"} == {"server"}
    for each in (found["/forgets"].one, found["/forgets"].all):
        one = next(one for one in each if one.id == "WS-MS-004")
        assert one.fault_of == "server"
        assert {one.fault_of for one in each if one.severity == "error"} == {"server"}
    for path in ("/resets", "/well"):
        assert [one.id for one in (*found[path].one, *found[path].all) if one.severity != "note"] == []
    assert told(engine.events) == stored(engine.capture) == afterwards(engine.capture)
