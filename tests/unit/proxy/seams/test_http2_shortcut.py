"""Which reads take the short way past asyncio's stream and mitmproxy's layers, and which do not, and why."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived
from hyperframe.frame import DataFrame, PingFrame, SettingsFrame, WindowUpdateFrame
from mitmproxy import options
from mitmproxy.connection import Client, ConnectionState
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.tls import ServerTLSLayer
from mitmproxy.proxy.tunnel import TunnelState
from OpenSSL import SSL

from tests.support.certs import make_certificates
from wsinspect.proxy.seams.http2_shortcut import Shortcut
from wsinspect.proxy.seams.http2_sides import Relaying, current
from wsinspect.proxy.seams.http2_tunnels import WINDOW_BYTES, RelayedConnection, RunReceived, Tunnel
from wsinspect.proxy.seams.transport import Wire
from wsinspect.wire.data_frames import Run, data_frames

CONFIG: dict[str, Any] = {"validate_inbound_headers": False, "validate_outbound_headers": False}
CHAT, PAGE = 1, 3
CONNECT = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":path", "/")]
GET = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "localhost")]


class Above(layer.Layer):
    """The layers above TLS: what comes here has not taken the short way."""

    def __init__(self, context: Context, take: Callable[[bytes], None]) -> None:
        super().__init__(context)
        self.take = take
        self.closed = 0
        self.asks: commands.OpenConnection | None = None

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.DataReceived):
            self.take(event.data)
        elif isinstance(event, events.ConnectionClosed):
            self.closed += 1
        if self.asks is not None:
            yield self.asks


class Transport(asyncio.Transport):
    """A socket's, which is never full."""

    def __init__(self, protocol: asyncio.BaseProtocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.written = b""
        self.is_closed = False

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def is_closing(self) -> bool:
        return self.is_closed

    def write(self, data: Any) -> None:
        self.written += data


class Io(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Place:
    """A connection to a server with one open WebSocket: socket, TLS and h2 are real, and both ends are here.

    It is mitmproxy's handler (`server_event`, `transports`), the side (`take_run`), its tunnel's owner and
    its receiver.

    Attributes:
        short: what came of the WebSocket on the short way.
        long: what came of it through the layers.
        stream: encrypted bytes that asyncio's stream got, in reads.
    """

    def __init__(self, tls: tuple[SSL.Connection, SSL.Connection]) -> None:
        ours, self.theirs = tls
        self.short: list[bytes] = []
        self.long: list[bytes] = []
        self.stream: list[bytes] = []
        self.client = Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2))
        self.context = Context(self.client, options.Options())
        self.conn = self.context.server
        self.conn.state = ConnectionState.OPEN
        self.tls = ServerTLSLayer(self.context)
        self.tls.tls, self.tls.tunnel_state = ours, TunnelState.OPEN
        self.above = Above(self.context, self.take)
        self.tls.child_layer = self.above
        self.h2_conn = RelayedConnection(H2Configuration(client_side=True, **CONFIG))
        self.server = H2Connection(H2Configuration(client_side=False, **CONFIG))
        self.may_deliver = asyncio.Event()
        self.may_deliver.set()
        self._open_streams()
        reader = asyncio.StreamReader()
        self.protocol = asyncio.StreamReaderProtocol(reader)
        self.transport = Transport(self.protocol)
        self.protocol.connection_made(self.transport)
        writer = asyncio.StreamWriter(self.transport, self.protocol, reader, asyncio.get_running_loop())
        self.transports = {self.conn: Io(reader, writer)}
        self.wire = Wire(self)  # type: ignore[arg-type]
        self.reader = reader
        self.reading = asyncio.create_task(self._read())

    def _open_streams(self) -> None:
        self.server.local_settings.enable_connect_protocol = 1
        self.h2_conn.initiate_connection()
        self.server.initiate_connection()
        for stream_id, fields in ((CHAT, CONNECT), (PAGE, GET)):
            self.h2_conn.send_headers(stream_id, fields)
        self.server.receive_data(self.h2_conn.data_to_send())
        for stream_id in (CHAT, PAGE):
            self.server.send_headers(stream_id, [(":status", "200")])
        self.h2_conn.receive_data(self.server.data_to_send())
        self.server.receive_data(self.h2_conn.data_to_send())

    def open(self) -> Shortcut | None:
        """The CONNECT was answered."""
        self._shortcut: Shortcut | None = None
        me: Any = self
        self.tunnel = Tunnel(me, CHAT, self.wire.outbox)
        self.tunnel.attach(me)
        self.h2_conn.tunnels[CHAT] = self.tunnel
        Relaying.open_tunnel(me, self.tunnel)
        return self._shortcut

    # What mitmproxy does

    async def _read(self) -> None:
        while data := await self.reader.read(65536):
            self.stream.append(data)
            await self.server_event(events.DataReceived(self.conn, data))

    async def server_event(self, event: events.Event) -> None:
        await self.may_deliver.wait()
        for _ in self.tls.handle_event(event):
            pass

    def take(self, data: bytes) -> None:
        for event in self.h2_conn.receive_data(data):
            if isinstance(event, RunReceived):
                self.long.append(event.run.data)
            elif isinstance(event, DataReceived) and event.stream_id == CHAT:
                self.long.append(event.data or b"")

    # What the seam does

    def take_run(self, received: RunReceived) -> None:
        received.tunnel.on_run(received.run)

    def run(self, run: Run) -> None:
        self.short.append(run.data)

    def drained(self) -> None:
        return

    # What the server does

    def cipher(self, plain: bytes) -> bytes:
        self.theirs.sendall(plain)
        return self.theirs.bio_read(1 << 20)

    def receive(self, *frames: bytes) -> None:
        """One read of the socket."""
        self.protocol.data_received(self.cipher(b"".join(frames)))

    async def settle(self) -> None:
        """Until nobody has anything to do."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def arrived(self, *frames: bytes) -> tuple[list[bytes], list[bytes]]:
        """What one read brings on the short way, and on the long one."""
        self.short, self.long = [], []
        self.receive(*frames)
        await self.settle()
        return self.short, self.long

    async def is_short(self) -> bool:
        """Whether the next frame of the WebSocket takes the short way."""
        assert await self.arrived(DATA) in (([b"data"], []), ([], [b"data"]))
        return bool(self.short)


DATA = data_frames(CHAT, [b"data"])
MORE = data_frames(CHAT, [b"more", b"of it"])
PING = PingFrame(0, b"12345678").serialize()


def carry(source: SSL.Connection, sink: SSL.Connection) -> None:
    try:
        while True:
            sink.bio_write(source.bio_read(65536))
    except SSL.WantReadError:
        return


@pytest.fixture
def tls(tmp_path):
    """Our end of a session, and the server's."""
    made = make_certificates(tmp_path)
    context = SSL.Context(SSL.TLS_METHOD)
    context.use_certificate_chain_file(str(made.chain))
    context.use_privatekey_file(str(made.key))
    client, server = SSL.Connection(SSL.Context(SSL.TLS_METHOD)), SSL.Connection(context)
    client.set_connect_state()
    server.set_accept_state()
    for _ in range(4):
        for one, other in ((client, server), (server, client)):
            try:
                one.do_handshake()
            except SSL.WantReadError:
                pass
            carry(one, other)
    return client, server


def play(tls: Any, work: Callable[[Place], Awaitable[None]]) -> None:
    async def run() -> None:
        place = Place(tls)
        try:
            await place.settle()
            await work(place)
        finally:
            place.transport.is_closed = True
            place.reading.cancel()
            await asyncio.gather(place.reading, return_exceptions=True)

    asyncio.run(run())


def test_a_read_of_an_open_websocket_alone_takes_the_short_way(tls):
    async def work(place: Place) -> None:
        place.open()
        for _ in range(3):
            assert await place.arrived(DATA, MORE) == ([b"datamoreof it"], [])
        # A frame may end in the next read, and its TLS record in the one after that.
        raw = DATA + MORE
        for end in range(1, len(raw)):
            place.short.clear()
            place.receive(raw[:end])
            place.receive(raw[end:])
            assert b"".join(place.short) == b"datamoreof it"
        record = place.cipher(DATA)
        place.short.clear()
        for at in range(len(record)):
            place.protocol.data_received(record[at : at + 1])
        assert place.short == [b"data"]
        await place.settle()
        assert (place.long, place.stream) == ([], [])

    play(tls, work)


def padded() -> bytes:
    frame = DataFrame(CHAT, b"data", flags=["PADDED"])
    frame.pad_length = 3
    return frame.serialize()


#: What is not a plain DATA frame of the WebSocket, and what the layers get of it.
OTHERS = {
    "PING": (PING, []),
    "SETTINGS": (SettingsFrame(0, {5: 20_000}).serialize(), []),
    "WINDOW_UPDATE": (WindowUpdateFrame(CHAT, window_increment=9).serialize(), []),
    "an unknown type": (b"\0\0\x01\xbe\0\0\0\0\x01x", []),
    "padding": (padded(), [b"data"]),
    "an empty frame": (data_frames(CHAT, [b""]), [b""]),
    "another stream": (data_frames(PAGE, [b"a page"]), []),
}


@pytest.mark.parametrize("other", OTHERS)
def test_from_another_frame_on_a_read_goes_through_the_layers_and_the_next_one_does_not(tls, other):
    frame, found = OTHERS[other]

    async def work(place: Place) -> None:
        place.open()
        for _ in range(2):
            assert await place.is_short()
            assert await place.arrived(MORE, frame, DATA) == ([b"moreof it"], [*found, b"data"])
            assert await place.is_short()
            assert await place.arrived(frame) == ([], found)
        assert await place.is_short()
        # Decrypted once: asyncio's stream, which TLS reads, got nothing of it.
        assert place.stream == []

    play(tls, work)


def test_what_comes_while_the_layers_are_busy_does_not_overtake_it(tls):
    async def work(place: Place) -> None:
        place.open()
        place.may_deliver.clear()
        place.receive(DATA, PING, DATA)
        place.receive(MORE)
        assert place.short == [b"data"]
        place.may_deliver.set()
        await place.settle()
        assert (place.short, place.long) == ([b"data"], [b"data", b"moreof it"])
        assert await place.is_short()

    play(tls, work)


def test_the_frame_that_is_more_than_the_window_is_the_layers_to_judge(tls):
    async def work(place: Place) -> None:
        place.open()
        most = [bytes(1 << 14)] * (WINDOW_BYTES >> 14)
        short, long = await place.arrived(data_frames(CHAT, [*most[:-1], b"1"]))
        assert (sum(map(len, short)), long) == (WINDOW_BYTES - (1 << 14) + 1, [])
        assert await place.arrived(data_frames(CHAT, most[:1])) == ([], [])
        assert place.h2_conn.is_closed

    play(tls, work)


Step = Callable[[Place], Any]


def close_stream(place: Place) -> None:
    place.h2_conn.tunnels.clear()


def reopen(place: Place) -> None:
    place.h2_conn.tunnels[CHAT] = place.tunnel


def pause(place: Place) -> None:
    """A layer waits for the answer to what it asked, as for a hook."""
    place.above.asks = commands.OpenConnection(place.conn)
    list(place.above.handle_event(events.Wakeup(commands.RequestWakeup(0))))


def proceed(place: Place) -> None:
    asked, place.above.asks = place.above.asks, None
    assert asked is not None
    list(place.above.handle_event(events.OpenConnectionCompleted(asked, None)))


def fill(place: Place) -> None:
    place.protocol.pause_writing()


def drain(place: Place) -> None:
    place.protocol.resume_writing()


#: What sends a read the long way, and what ends that.
REASONS: dict[str, tuple[Step, Step]] = {
    "no WebSocket is open": (close_stream, reopen),
    "a receiver is slow": (fill, drain),
    "a layer waits": (pause, proceed),
}


@pytest.mark.parametrize("reason", REASONS)
def test_the_short_way_is_left_for_a_reason_and_taken_again_without_it(tls, reason):
    begin, end = REASONS[reason]

    async def work(place: Place) -> None:
        place.open()
        assert await place.is_short()
        begin(place)
        place.short, place.long = [], []
        place.receive(DATA)
        await place.settle()
        assert place.short == []
        assert len(place.stream) == 1
        end(place)
        await place.settle()
        # A tunnel that is none is h2's.
        assert place.long == [b"data"]
        assert await place.is_short()

    play(tls, work)


def end_of_stream(place: Place) -> None:
    place.protocol.eof_received()


def broken(place: Place) -> None:
    place.h2_conn.receive_data(data_frames(0, [b"on no stream"]))
    assert place.h2_conn.is_closed


def closing(place: Place) -> None:
    place.transport.is_closed = True


def unread(place: Place) -> None:
    """Somebody has fed the stream, and its reader has not had its turn."""
    place.reader.feed_data(place.cipher(DATA))


def no_reader(place: Place) -> None:
    place.reading.cancel()


@pytest.mark.parametrize("reason", [end_of_stream, broken, closing, unread, no_reader])
def test_the_short_way_ends_with_what_it_needs(tls, reason):
    async def work(place: Place) -> None:
        place.open()
        assert await place.is_short()
        place.short.clear()
        reason(place)
        if reason is not unread:
            await place.settle()
        if reason is not end_of_stream:
            # After a FIN no read comes: the layers are told of it, and the stream is not quiet.
            place.receive(DATA)
        await place.settle()
        assert place.short == []
        if reason is unread:
            assert b"".join(place.long) == b"datadata"
            assert await place.is_short()

    play(tls, work)


def test_close_notify_is_handed_to_the_layers(tls):
    async def work(place: Place) -> None:
        place.open()
        assert await place.is_short()
        place.theirs.sendall(DATA)
        place.theirs.shutdown()
        place.short.clear()
        place.protocol.data_received(place.theirs.bio_read(1 << 16))
        await place.settle()
        assert (place.short, place.above.closed) == ([b"data"], 1)

    play(tls, work)


def test_where_there_is_no_short_way(tls, monkeypatch):
    async def work(place: Place) -> None:
        monkeypatch.setattr(current, "may_shortcut", False)  # run --no-splice
        assert place.open() is None
        assert not await place.is_short()
        monkeypatch.undo()
        place.tls.tls = None  # type: ignore[assignment]
        assert place.open() is None  # without TLS it is not HTTP/2
        place.tls.tls = tls[0]
        place.wire.endpoints.clear()
        kept = dict(place.transports)
        place.transports.clear()
        assert place.open() is None  # the socket has gone
        place.transports.update(kept)
        assert place.open() is not None
        assert await place.is_short()

    play(tls, work)
