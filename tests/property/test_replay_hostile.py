"""Replay with hostile recordings and hostile peers: an answer in bounded time, never an exception of ours."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.support.chats import chat_capture, random_capture
from tests.support.examples import examples
from wsinspect.capture.reader import Capture
from wsinspect.decoders.engineio_payload import decode, encode
from wsinspect.errors import WsinspectError
from wsinspect.formats.transcript import Said
from wsinspect.replay.as_client.client import ClientOptions, replay_client
from wsinspect.replay.as_server.gates import MATCHES, Gates
from wsinspect.replay.as_server.server import ReplayServer, ServerOptions
from wsinspect.replay.common.handshake import Target
from wsinspect.replay.common.incoming import MessageReceiver
from wsinspect.replay.common.matching import Matcher, Message
from wsinspect.replay.common.report import describe
from wsinspect.replay.common.script import Send, Style, steps
from wsinspect.replay.common.values import Place, diff, is_similar, volatile
from wsinspect.replay.socketio.engine_client import EngineClient
from wsinspect.replay.socketio.engineio import EngineIo, facts_of, version_of
from wsinspect.replay.socketio.polled import polled
from wsinspect.wire.opcodes import Direction

SOME = examples(25)
MANY = examples(150)
JSON_LIKE = st.text(alphabet='{}[]":,0123456789.eE-truefalsn \\"aid', max_size=40).map(str.encode)
BYTES = st.binary(max_size=60) | JSON_LIKE
CONNECTS = JSON_LIKE.map(lambda body: b"40" + body)
VALUES = st.none() | st.integers(-(1 << 63), (1 << 63) - 1) | st.binary(max_size=9) | st.text(max_size=9)
PLACES = (Place.parse("json:$..id"), Place.parse("json:$.a[*].id"))


@MANY
@given(first=BYTES, second=BYTES)
def test_any_two_messages_are_compared(first, second):
    list(volatile(first, second))
    is_similar(first, second)
    diff(first, second)
    matcher = Matcher(PLACES)
    matcher.expect(Message(1, first))
    found = matcher.take(Message(1, second)) + matcher.finish()
    assert sum(matcher.tally.counts.values()) in (1, 2)
    for one in found:
        one.as_json()


@MANY
@given(recorded=st.lists(BYTES, max_size=4), live=st.lists(BYTES, max_size=4), match=st.sampled_from(MATCHES))
def test_any_gates_with_any_messages(recorded, live, match):
    gates = Gates(PLACES, match, {})
    for one in recorded:
        gates.expect(Message(1, one))
    for one in live:
        gates.take(Message(1, one))
    gates.finish()
    counts = gates.tally.counts
    assert sum(counts.values()) <= len(recorded) + len(live)


@MANY
@given(
    packets=st.lists(
        BYTES | JSON_LIKE.map(lambda body: b"0" + body) | JSON_LIKE.map(lambda body: b"40" + body)
    )
)
def test_any_packets_of_engine_io(packets):
    said = [Said(0, side, 1, 0, data, False, None, None, 0) for data in packets for side in Direction]
    for path in ("/?EIO=4", "/?EIO=3&sid=abcdef"):
        facts = facts_of(path, said)
        session, client = EngineIo(version_of(path) or 4, lambda: "new", facts), EngineClient(4, facts)
        session.greeting(may_upgrade=True)
        for packet in packets:
            session.outgoing(packet)
            session.incoming(packet)
            client.incoming(packet)
            client.outgoing(Send(packet, 0, None, 1, True, packet))


@MANY
@given(
    body=BYTES | st.text(alphabet="0123456789:b4=A\x1e\U0001f600").map(str.encode),
    version=st.sampled_from([3, 4]),
)
def test_any_body_of_long_polling(body, version):
    try:
        packets = decode(body, version)
    except ValueError:
        return
    assert decode(encode(packets, version), version) == packets


POLLS = st.sampled_from(
    [
        b"GET /room?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /room?EIO=4&transport=polling&sid=abcdef HTTP/1.1\r\nContent-Length: 3\r\n\r\n",
        b"OPTIONS /room?EIO=4&transport=polling HTTP/1.1\r\nOrigin: http://localhost\r\n\r\n",
        b"GET /room?EIO=4&transport=websocket&sid=abcdef HTTP/1.1\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    ]
)


@MANY
@given(chunks=st.lists(st.binary(max_size=80), max_size=6), side=st.sampled_from(Direction))
def test_any_bytes_of_a_peer(chunks, side):
    receiver = MessageReceiver(side)
    for chunk in chunks:
        receiver.feed(chunk)


@SOME
@given(seed=st.integers(0, 1 << 32), normalise=st.booleans(), side=st.sampled_from(Direction))
def test_any_traffic_becomes_steps(seed, normalise, side):
    with tempfile.TemporaryDirectory() as folder:
        path = random_capture(Path(folder) / "a.db", seed, chunks=60)
        with Capture.open(path) as capture:
            for one in capture.connections():
                for step in steps(capture, one, side, Style(normalise=normalise), polled(capture, one)):
                    assert isinstance(step.data, bytes)


async def _hostile_server(answer: bytes, after: bytes, capture: Capture, connection: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer + after)
            await writer.drain()
            await asyncio.sleep(0.02)
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    options = ClientOptions(target=Target("ws", "127.0.0.1", port, None), timeout_s=0.1)
    one = capture.connection(connection)
    assert one is not None
    try:
        reports = await asyncio.to_thread(_in_thread, capture.path, connection, options)
    finally:
        server.close()
    assert len(reports) == 1
    for report in reports:
        for what in [*report.divergences, *report.problems]:
            list(describe(report, what))


def _in_thread(path: Path, connection: int, options: ClientOptions) -> list:
    with Capture.open(path) as capture:
        one = capture.connection(connection)
        assert one is not None
        return replay_client(capture, [one], options)


HEADS = st.sampled_from(
    [b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b""]
)


@examples(15)
@given(head=HEADS | st.binary(max_size=80), after=st.binary(max_size=200))
def test_any_server(head, after):
    with tempfile.TemporaryDirectory() as folder:
        path = chat_capture(Path(folder) / "a.db")
        with Capture.open(path) as capture:
            asyncio.run(_hostile_server(head, after, capture, 1))


@examples(15)
@given(head=st.binary(max_size=80) | POLLS, after=st.binary(max_size=200), is_handshake=st.booleans())
def test_any_client(head, after, is_handshake):
    request = (
        b"GET /room HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )

    async def talk(path: Path) -> None:
        with Capture.open(path) as capture:
            server = ReplayServer(capture, capture.connections(), ServerOptions(speed=None, loop=True))
            port = await server.start("127.0.0.1", 0)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write((request if is_handshake else head) + after)
            writer.write_eof()
            try:
                await asyncio.wait_for(reader.read(), 20)
            except OSError:
                pass
            writer.close()
            await server.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(talk(chat_capture(Path(folder) / "a.db")))


@SOME
@given(
    table=st.sampled_from(["frame", "connection", "handshake", "event"]),
    data=st.data(),
)
def test_recordings_that_were_tampered_with(table, data):
    with tempfile.TemporaryDirectory() as folder:
        path = chat_capture(Path(folder) / "a.db")
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})") if not row[5]]
            column = data.draw(st.sampled_from(columns))
            value = data.draw(
                st.none()
                | st.integers(-(1 << 63), (1 << 63) - 1)
                | st.binary(max_size=9)
                | st.text(max_size=9)
            )
            try:
                database.execute(f"UPDATE {table} SET {column} = ?", (value,))
            except (sqlite3.IntegrityError, UnicodeEncodeError):
                return
        options = ClientOptions(target=Target("ws", "127.0.0.1", 1, None), timeout_s=0.1)
        try:
            _in_thread(path, 1, options)
            with Capture.open(path) as capture:
                one = capture.connection(1)
                assert one is not None
                for side in Direction:
                    list(steps(capture, one, side, Style(), polled(capture, one)))
        except WsinspectError:
            return
