"""Both ends of HTTP/2 over TLS that do what a test says: streams, settings and ends one by one.

A `H2Peer` reads all the time and keeps what came; a test sends, and waits for what it expects. Windows are
given back at once unless a test says that a peer does not read.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Sequence
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    InformationalResponseReceived,
    PingAckReceived,
    RemoteSettingsChanged,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.settings import SettingCodes
from hyperframe.frame import AltSvcFrame, DataFrame, Frame, GoAwayFrame

from tests.support.h1_peers import connected
from wsinspect.closing import abort

SECONDS = 10.0
ENABLE_CONNECT = SettingCodes.ENABLE_CONNECT_PROTOCOL
Fields = Sequence[tuple[str, str]]


class Stream:
    """What came on one stream.

    Attributes:
        fields: of the request or response; `informational` of 1xx responses, `trailers` at the end.
        chunks: the DATA frames with bytes, each with whether it had END_STREAM.
        size: of all their bytes; what waits for megabytes asks for it at every read, and joins nothing.
        reset: the code of RST_STREAM.
    """

    def __init__(self) -> None:
        self.fields: list[tuple[str, str]] | None = None
        self.informational: list[list[tuple[str, str]]] = []
        self.trailers: list[tuple[str, str]] | None = None
        self.chunks: list[tuple[bytes, bool]] = []
        self.size = 0
        self.has_ended = False
        self.reset: int | None = None

    @property
    def data(self) -> bytes:
        return b"".join(data for data, _ in self.chunks)

    @property
    def status(self) -> str | None:
        return dict(self.fields or ()).get(":status")


def _texts(fields: Any) -> list[tuple[str, str]]:
    return [(name, value) for name, value in fields or ()]


class AltSvc(Event):
    """An ALTSVC frame as it came."""

    def __init__(self, stream: int, origin: bytes, value: bytes) -> None:
        self.stream = stream
        self.origin = origin
        self.value = value


class LastingConnection(H2Connection):
    """Streams outlive GOAWAY (RFC 9113 section 6.8), which h2 takes for the end of the connection."""

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Any], list[Event]]:
        event = ConnectionTerminated()
        event.error_code, event.last_stream_id = frame.error_code, frame.last_stream_id
        event.additional_data = frame.additional_data
        return [], [event]

    def _receive_alt_svc_frame(self, frame: AltSvcFrame) -> tuple[list[Any], list[Event]]:
        return [], [AltSvc(frame.stream_id, frame.origin, frame.field)]


class H2Peer:
    """One end of a connection.

    Attributes:
        settings: each SETTINGS frame with values, in order.
        goaways: code, last stream and data of each GOAWAY.
        alt_svcs: ALTSVC frames.
        pongs: how many PINGs of its own were answered.
        ended: "fin" or "rst", once the other end has ended.
        reads: whether DATA is acknowledged.
    """

    def __init__(self, reader: Any, writer: Any, *, is_client: bool, settings: dict[int, int] | None) -> None:
        self.writer = writer
        self.h2 = LastingConnection(
            H2Configuration(
                client_side=is_client,
                header_encoding="utf-8",
                validate_outbound_headers=False,
                validate_inbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        if settings:
            self.h2.local_settings.update(settings)
            self.h2.local_settings.acknowledge()
        self.settings: list[dict[int, int]] = []
        self.goaways: list[tuple[int, int, bytes]] = []
        self.alt_svcs: list[AltSvc] = []
        self.pongs = 0
        self.streams: dict[int, Stream] = {}
        self.ended: str | None = None
        self.error = ""
        self.reads = True
        self._arrived = asyncio.Event()
        self._reader = reader
        self.h2.initiate_connection()
        self.flush()
        self._task = asyncio.get_running_loop().create_task(self._read())

    @property
    def alpn(self) -> str | None:
        return self.writer.get_extra_info("ssl_object").selected_alpn_protocol()

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(65536):
                for event in self.h2.receive_data(data):
                    self._take(event)
                self.flush()
                self._arrived.set()
            self.ended = "fin"
        except ConnectionError:
            self.ended = "rst"
        except Exception as error:  # what a test waits for will not come: it says why
            self.error = repr(error)
            raise
        finally:
            self._arrived.set()

    def _take(self, event: Event) -> None:
        if isinstance(event, RemoteSettingsChanged):
            self.settings.append({int(key): one.new_value for key, one in event.changed_settings.items()})
        elif isinstance(event, ConnectionTerminated):
            self.goaways.append(
                (int(event.error_code or 0), event.last_stream_id or 0, event.additional_data or b"")
            )
        elif isinstance(event, PingAckReceived):
            self.pongs += 1
        elif isinstance(event, AltSvc):
            self.alt_svcs.append(event)
        stream_id = getattr(event, "stream_id", None)
        if not stream_id:
            return
        stream = self.streams.setdefault(stream_id, Stream())
        if isinstance(event, RequestReceived | ResponseReceived):
            stream.fields = _texts(event.headers)
        elif isinstance(event, InformationalResponseReceived):
            stream.informational.append(_texts(event.headers))
        elif isinstance(event, TrailersReceived):
            stream.trailers = _texts(event.headers)
        elif isinstance(event, DataReceived):
            if event.data or event.stream_ended:
                stream.chunks.append((event.data or b"", bool(event.stream_ended)))
                stream.size += len(event.data or b"")
            if self.reads:
                self.h2.acknowledge_received_data(event.flow_controlled_length or 0, stream_id)
        elif isinstance(event, StreamEnded):
            stream.has_ended = True
        elif isinstance(event, StreamReset):
            stream.reset = int(event.error_code or 0)

    async def hand_over(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Read nothing any more: whoever has reader and writer speaks HTTP/2 from now on, without h2."""
        self.flush()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        return self._reader, self.writer

    def flush(self) -> None:
        data = self.h2.data_to_send()
        if data:
            self.writer.write(data)

    def send_frame(self, frame: Frame) -> None:
        """Bytes that h2 would not write."""
        self.flush()
        self.writer.write(frame.serialize())

    def send_raw(self, stream_id: int, data: bytes, *, end: bool = False) -> None:
        """A DATA frame past h2's state of the stream."""
        frame = DataFrame(stream_id, data)
        if end:
            frame.flags.add("END_STREAM")
        self.send_frame(frame)

    async def wait(self, what: Callable[[], Any]) -> Any:
        """Until `what` is true; its value."""
        async with asyncio.timeout(SECONDS):
            while not (found := what()):
                if self.error:
                    raise AssertionError(self.error)
                self._arrived.clear()
                await self._arrived.wait()
        return found

    # Streams

    def request(self, fields: Fields, *, end: bool = False) -> int:
        """Send a request header block; the stream's number."""
        stream_id = self.h2.get_next_available_stream_id()
        self.streams[stream_id] = Stream()
        self.h2.send_headers(stream_id, list(fields), end_stream=end)
        self.flush()
        return stream_id

    def connect(self, path: str, *fields: tuple[str, str], protocol: str = "websocket") -> int:
        """Send an extended CONNECT."""
        pseudo = [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "https")]
        pseudo += [(":path", path), (":authority", "localhost")]
        return self.request([*pseudo, ("sec-websocket-version", "13"), *fields])

    def respond(
        self, stream_id: int, *fields: tuple[str, str], status: str = "200", end: bool = False
    ) -> None:
        self.h2.send_headers(stream_id, [(":status", status), *fields], end_stream=end)
        self.flush()

    def send(self, stream_id: int, data: bytes, *, end: bool = False) -> None:
        self.h2.send_data(stream_id, data, end_stream=end)
        self.flush()

    def reset(self, stream_id: int, code: int) -> None:
        self.h2.reset_stream(stream_id, code)
        self.flush()

    def change_settings(self, settings: dict[int, int]) -> None:
        self.h2.update_settings(settings)
        self.flush()

    async def requested(self, path: str) -> int:
        """The stream on which a path was asked for."""

        def find() -> int:
            for stream_id, stream in self.streams.items():
                if dict(stream.fields or ()).get(":path") == path:
                    return stream_id
            return 0

        found: int = await self.wait(find)
        return found

    async def answered(self, stream_id: int) -> str:
        """The status of a response."""
        status: str = await self.wait(lambda: self.streams[stream_id].status)
        return status

    async def was_reset(self, stream_id: int) -> int:
        """The code of the RST_STREAM that comes."""
        await self.wait(lambda: self.streams[stream_id].reset is not None)
        code = self.streams[stream_id].reset
        assert code is not None
        return code

    async def has_ended(self, stream_id: int) -> Stream:
        """The whole of a stream, once END_STREAM has come."""
        await self.wait(lambda: self.streams[stream_id].has_ended)
        return self.streams[stream_id]

    async def has(self, stream_id: int, data: bytes) -> None:
        """Until exactly these bytes have come."""
        try:
            await self.wait(lambda: self.streams[stream_id].size >= len(data))
        except TimeoutError:
            pass  # the comparison shows what is missing
        assert self.streams[stream_id].data == data

    async def opened(self, path: str, server: H2Peer, *fields: tuple[str, str]) -> tuple[int, int]:
        """A WebSocket through to `server`: the streams of both."""
        mine = self.connect(path, *fields)
        theirs = await server.requested(path)
        server.respond(theirs)
        assert await self.answered(mine) == "200"
        return mine, theirs

    def abort(self) -> None:
        """End with a RST."""
        self.writer.transport.get_extra_info("socket").setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")
        abort(self.writer.transport)

    async def close(self) -> None:
        self._task.cancel()
        self.writer.close()
        with contextlib.suppress(Exception, asyncio.CancelledError):
            await self._task


class H2Origin:
    """Listens with TLS on a free port of 127.0.0.1; each connection that agrees on h2 becomes a peer."""

    def __init__(self, context: ssl.SSLContext, settings: dict[int, int] | None = None) -> None:
        context.set_alpn_protocols(["h2"])
        self._context = context
        self.settings = settings
        self.peers: asyncio.Queue[H2Peer] = asyncio.Queue()
        self._all: list[H2Peer] = []

    async def __aenter__(self) -> H2Origin:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._context)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = H2Peer(reader, writer, is_client=False, settings=self.settings)
        self._all.append(peer)
        self.peers.put_nowait(peer)

    async def accepted(self) -> H2Peer:
        return await asyncio.wait_for(self.peers.get(), SECONDS)

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for peer in self._all:
            await peer.close()
            # Whatever TLS still waits for, nobody will say it.
            abort(peer.writer.transport)
        await asyncio.sleep(0)


async def h2_client(
    port: int,
    *,
    settings: dict[int, int] | None = None,
    offers: Sequence[str] = ("h2", "http/1.1"),
    proxy: int | None = None,
) -> H2Peer:
    """A client of a server on 127.0.0.1 that speaks HTTP/2, also through a forward proxy."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(list(offers))
    return H2Peer(*await connected(port, context, proxy), is_client=True, settings=settings)
