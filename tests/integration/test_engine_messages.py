"""What the capture says of real conversations: messages, inflated data, caps, pings, ends."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import websockets
from websockets.asyncio.client import ClientConnection

from tests.support.engine import Engine
from tests.support.small_servers import echo
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.wire.opcodes import Direction

PAYLOADS = [b"hello " * 50, os.urandom(3000), b"x" * 100_000, b"", b"tail"]


def converse(
    folder: Path, talk: Callable[[ClientConnection], Awaitable[None]], *options: str, **client: object
) -> Path:
    """One conversation with an echo server through the proxy; the finished capture."""

    async def main() -> Path:
        async with websockets.serve(echo, "127.0.0.1", 0, max_size=None) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            reverse = ("--listen", "0", "--reverse", f"http://127.0.0.1:{port}")
            engine = await asyncio.to_thread(Engine.start, *reverse, *options, folder=folder)
            uri = f"ws://127.0.0.1:{engine.port('reverse')}/talk"
            async with websockets.connect(uri, max_size=None, **client) as connection:  # type: ignore[arg-type]
                await talk(connection)
            assert await asyncio.to_thread(engine.stop) == 0
            return engine.capture

    return asyncio.run(main())


async def send_all(connection: ClientConnection) -> None:
    for payload in PAYLOADS:
        await connection.send(payload)
        assert await connection.recv() == payload
    await connection.send([b"in ", b"three ", b"fragments"])
    assert await connection.recv() == b"in three fragments"
    await (await connection.ping(b"are you there?"))


def payloads(capture: Capture, direction: Direction) -> list[bytes]:
    return [
        capture.message_payload(message)
        for message in capture.messages(1, limit=1000)
        if message.direction is direction
    ]


def test_messages_are_inflated_and_joined(tmp_path: Path) -> None:
    path = converse(tmp_path, send_all)
    with Capture.open(path) as capture:
        assert "permessage-deflate" in (capture.connections()[0].extensions or "")
        for direction in Direction:
            assert payloads(capture, direction) == [*PAYLOADS, b"in three fragments"]
        assert all(frame.violation is None for frame in capture.frames(1, limit=1000))


def test_messages_without_compression(tmp_path: Path) -> None:
    path = converse(tmp_path, send_all, compression=None)
    with Capture.open(path) as capture:
        assert capture.connections()[0].extensions is None
        for direction in Direction:
            assert payloads(capture, direction) == [*PAYLOADS, b"in three fragments"]
        fragments = [frame for frame in capture.frames(1, limit=1000) if frame.opcode == 0 or not frame.fin]
        assert len(fragments) >= 3


def test_pings_have_their_pongs_and_a_round_trip(tmp_path: Path) -> None:
    path = converse(tmp_path, send_all)
    with Capture.open(path) as capture:
        (ping,) = [ping for ping in capture.pings(1) if ping.leg == "server"]
        frames = {frame.id: frame for frame in capture.frames(1, limit=1000)}
        assert ping.pong_frame is not None
        assert frames[ping.ping_frame].payload == frames[ping.pong_frame].payload == b"are you there?"
        assert ping.rtt_ns == frames[ping.pong_frame].time_ns - (frames[ping.ping_frame].sent_ns or 0)


def test_a_message_over_the_cap_is_kept_compressed_and_said(tmp_path: Path) -> None:
    path = converse(tmp_path, send_all, "--inflate-cap", "10KiB")
    with Capture.open(path) as capture:
        capped = [message for message in capture.messages(1, limit=1000) if message.problem == "over-cap"]
        assert [message.length for message in capped] == [100_000, 100_000]
        assert all(message.data is None for message in capped)
        rest = [message for message in capture.messages(1, limit=1000) if message.problem is None]
        assert [capture.message_payload(message) for message in rest][-2:] == [b"in three fragments"] * 2


def test_snaplen_cuts_payloads_and_nothing_else(tmp_path: Path) -> None:
    path = converse(tmp_path, send_all, "--snaplen", "16B", compression=None)
    with Capture.open(path) as capture:
        frames = [frame for frame in capture.frames(1, limit=1000) if frame.opcode == 2]
        lengths = [len(payload) for payload in PAYLOADS for _ in range(2)]
        assert [frame.length for frame in frames][: len(lengths)] == lengths
        assert [len(frame.payload) for frame in frames] == [min(16, frame.length) for frame in frames]
        connection: Connection = capture.connections()[0]
        assert connection.c2s_bytes == sum(
            frame.wire_length for frame in capture.frames(1, limit=1000) if frame.direction == 0
        )


def test_a_closing_handshake(tmp_path: Path) -> None:
    async def leave(connection: ClientConnection) -> None:
        await connection.close(4001, "so long")

    path = converse(tmp_path, leave)
    with Capture.open(path) as capture:
        connection = capture.connections()[0]
        assert (connection.client_close_code, connection.client_close_reason) == (4001, "so long")
        assert connection.server_close_code == 4001
        assert (connection.ended_by, connection.how) == ("client", "close-frame")
        assert (connection.js_code, connection.js_was_clean) == (4001, True)
        assert connection.state == "closed"
