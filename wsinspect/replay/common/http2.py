"""HTTP/2 under a `Conduit`: each WebSocket is a stream, and looks like a connection of HTTP/1.1 (RFC 8441).

A player writes and reads header blocks of HTTP/1.1 and the bytes of frames; `StreamTransport` is the
transport that it writes to, and `Http2Session` the protocol of the one real connection. An opening handshake
leaves as an extended CONNECT and arrives as an upgrade, with `handshake.bridging`; END_STREAM is FIN, and
RST_STREAM is RST.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from wsinspect.errors import LocalError
from wsinspect.handshake.bridging import (
    connect_fields,
    response_fields,
    success_fields,
    switch_fields,
    upgrade_fields,
)
from wsinspect.handshake.heads import RawHead
from wsinspect.replay.common.conduit import Conduit

_END: Final = b"\r\n\r\n"
#: Bytes that may wait for a window before the player has to wait, and how few until it continues.
_HIGH, _LOW = 1 << 16, 1 << 14
_ENABLE_CONNECT: Final = SettingCodes.ENABLE_CONNECT_PROTOCOL


class Negotiated(asyncio.Protocol):
    """Hands a TLS connection over to what ALPN agreed on.

    Args:
        conduit: makes what gets a connection of HTTP/1.1.
        session: gets one of HTTP/2.
    """

    def __init__(self, conduit: Callable[[], Conduit], session: Http2Session) -> None:
        self._conduit = conduit
        self._session = session

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        tls = transport.get_extra_info("ssl_object")
        is_http2 = tls is not None and tls.selected_alpn_protocol() == "h2"
        chosen: asyncio.Protocol = self._session if is_http2 else self._conduit()
        cast(asyncio.Transport, transport).set_protocol(chosen)
        chosen.connection_made(transport)


class StreamTransport(asyncio.Transport):
    """The transport of a `Conduit` that is one stream.

    Args:
        session: the connection.
        conduit: what reads.
        stream: its number; None until the request has been written.
    """

    def __init__(self, session: Http2Session, conduit: Conduit, stream: int | None = None) -> None:
        super().__init__()
        self.conduit = conduit
        self.stream = stream
        self.key = b""
        self._session = session
        self._head: bytearray | None = bytearray()
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._has_ended = False
        self._is_closing = False
        self._is_full = False
        self._is_over = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """A header block first, then what follows it."""
        if self._has_ended or self._is_over:
            return
        rest = bytes(data)
        if self._head is not None:
            self._head += rest
            end = self._head.find(_END)
            if end < 0:
                return
            head, rest = bytes(self._head[: end + 4]), bytes(self._head[end + 4 :])
            self._head = None
            self._session.send_head(self, RawHead.parse(head))
        if rest:
            self._waiting.append(rest)
            self._size += len(rest)
        self.pump()
        if self._size > _HIGH and not self._is_full:
            self._is_full = True
            self.conduit.pause_writing()

    def pump(self) -> None:
        """Send what the peer's windows take."""
        h2, stream = self._session.h2, self.stream
        if stream is None or self._is_over:
            return
        while self._waiting:
            room = min(h2.local_flow_control_window(stream), h2.max_outbound_frame_size)
            if room <= 0:
                break
            data = self._waiting.popleft()
            if len(data) > room:
                self._waiting.appendleft(data[room:])
                data = data[:room]
            self._size -= len(data)
            h2.send_data(stream, data)
        if self._is_full and self._size <= _LOW:
            self._is_full = False
            self.conduit.resume_writing()
        if self._has_ended and not self._waiting:
            self._is_over = True
            h2.end_stream(stream)
            self._session.flush()
            if self._is_closing:
                self._session.drop(self)
        self._session.flush()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """END_STREAM behind what was written."""
        self._has_ended = True
        self.pump()

    def close(self) -> None:
        """END_STREAM behind what was written; what still comes is dropped."""
        self._is_closing = True
        if self._is_over or self.stream is None:
            self._session.drop(self)
        else:
            self.write_eof()

    def abort(self) -> None:
        """RST_STREAM now; what was not sent is lost."""
        if self.stream is not None and not self._is_over:
            self._is_over = True
            self._session.reset(self.stream)
        self._session.drop(self)

    def lost(self) -> None:
        """The stream is over, whatever was still to be sent."""
        self._is_over = True
        self._waiting.clear()
        self._size = 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def get_write_buffer_size(self) -> int:
        return self._size

    def is_closing(self) -> bool:
        return self._is_closing


class Http2Session(asyncio.Protocol):
    """One connection.

    Args:
        accept: makes the conduit of each stream that a client opens; None for the client's side.

    Attributes:
        settled: set once the peer's SETTINGS have come, or will not.
    """

    def __init__(self, accept: Callable[[], Conduit] | None = None) -> None:
        self._accept = accept
        self.settled = asyncio.Event()
        self._streams: dict[int, StreamTransport] = {}
        self._transport: asyncio.Transport | None = None
        config = H2Configuration(
            client_side=accept is None, header_encoding=False, validate_outbound_headers=False
        )
        self.h2 = H2Connection(config)
        if accept is not None:
            self.h2.local_settings.update({_ENABLE_CONNECT: 1})
            self.h2.local_settings.acknowledge()

    @property
    def is_used(self) -> bool:
        """Whether TLS agreed on HTTP/2."""
        return self._transport is not None

    @property
    def allows_connect(self) -> bool:
        """Whether the peer's SETTINGS allow extended CONNECT."""
        return bool(self.h2.remote_settings.get(_ENABLE_CONNECT, 0))

    def open(self, conduit: Conduit) -> None:
        """Give a client's conduit a stream of this connection."""
        conduit.connection_made(StreamTransport(self, conduit))

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.h2.initiate_connection()
        self.flush()

    def data_received(self, data: bytes) -> None:
        try:
            for event in self.h2.receive_data(data):
                self._take(event)
        except ProtocolError:
            self.flush()
            self.close()
            return
        self.flush()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.settled.set()
        for stream in list(self._streams.values()):
            stream.lost()
            stream.conduit.connection_lost(exc)
        self._streams.clear()

    # What comes

    def _take(self, event: Event) -> None:
        if isinstance(event, RemoteSettingsChanged):
            self.settled.set()
            self._pump()
            return
        if isinstance(event, ConnectionTerminated):
            self.settled.set()
            return
        number = getattr(event, "stream_id", None) or 0
        if isinstance(event, RequestReceived) and self._accept is not None:
            self._request(number, event.headers or ())
            return
        stream = self._streams.get(number)
        if isinstance(event, WindowUpdated):
            self._pump()
        elif isinstance(event, DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length or 0, number)
            if stream is not None and event.data:
                stream.conduit.data_received(event.data)
        elif stream is None:
            return
        elif isinstance(event, ResponseReceived):
            self._response(stream, event.headers or ())
        elif isinstance(event, StreamEnded):
            stream.conduit.eof_received()
        elif isinstance(event, StreamReset):
            del self._streams[number]
            stream.lost()
            stream.conduit.connection_lost(ConnectionResetError(f"RST_STREAM {event.error_code}"))

    def _pump(self) -> None:
        for stream in list(self._streams.values()):
            stream.pump()

    def _request(self, number: int, headers: Sequence[Any]) -> None:
        assert self._accept is not None
        pseudo, fields = _split(headers)
        stream = StreamTransport(self, self._accept(), number)
        self._streams[number] = stream
        stream.conduit.connection_made(stream)
        path, authority = pseudo.get(b":path", b"/"), pseudo.get(b":authority", b"")
        if pseudo.get(b":protocol") == b"websocket":
            stream.key = base64.b64encode(secrets.token_bytes(16))
            method, fields = b"GET", upgrade_fields(authority, fields, stream.key)
        else:
            method = pseudo.get(b":method", b"GET")
            fields = [(b"Host", authority), *fields]
        stream.conduit.data_received(_head(b" ".join((method, path, b"HTTP/1.1")), fields))

    def _response(self, stream: StreamTransport, headers: Sequence[Any]) -> None:
        pseudo, fields = _split(headers)
        status = pseudo.get(b":status", b"")
        if status[:1] == b"2":
            line, fields = b"HTTP/1.1 101 Switching Protocols", switch_fields(fields, stream.key)
        else:
            line = b"HTTP/1.1 " + status + b" -"
        stream.conduit.data_received(_head(line, fields))

    # What goes

    def send_head(self, stream: StreamTransport, head: RawHead) -> None:
        """A header block of HTTP/1.1, as HTTP/2 says it."""
        fields = [(one.name, one.value) for one in head.fields if one.name]
        if stream.stream is None:
            stream.key = head.get("sec-websocket-key") or b""
            stream.stream = self.h2.get_next_available_stream_id()
            self._streams[stream.stream] = stream
            sent = connect_fields(b"https", head.get("host") or b"", head.target, fields)
        elif head.status == 101:
            sent = success_fields(fields)
        else:
            sent = response_fields(b"%d" % (head.status or 500), fields)
        self.h2.send_headers(stream.stream, sent)
        self.flush()

    def reset(self, number: int) -> None:
        """RST_STREAM, where the stream still exists."""
        stream = self.h2.streams.get(number)
        if stream is not None and not stream.closed:
            self.h2.reset_stream(number, ErrorCodes.CANCEL)
        self.flush()

    def drop(self, stream: StreamTransport) -> None:
        """A stream's conduit has closed it; a client's connection has no other."""
        self._streams.pop(stream.stream or 0, None)
        asyncio.get_running_loop().call_soon(stream.conduit.connection_lost, None)
        if self._accept is None:
            self.close()

    def close(self) -> None:
        """End the connection, once what was written has left."""
        if self._transport is not None:
            self._transport.close()

    def flush(self) -> None:
        """Write what is ready."""
        data = self.h2.data_to_send()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


def _split(headers: Sequence[Any]) -> tuple[dict[bytes, bytes], list[tuple[bytes, bytes]]]:
    found = [(bytes(name), bytes(value)) for name, value in headers]
    pseudo = {name: value for name, value in found if name[:1] == b":"}
    return pseudo, [(name, value) for name, value in found if name[:1] != b":"]


def _head(line: bytes, fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    # HTTP/2 can carry line breaks inside of values, which are not allowed (RFC 9113 section 8.2.1).
    lines = [name + b": " + value.replace(b"\r", b"").replace(b"\n", b"") for name, value in fields]
    return b"\r\n".join([line.replace(b"\r", b"").replace(b"\n", b""), *lines, b"", b""])


def server_context(pem: Path) -> ssl.SSLContext:
    """TLS for a server that speaks both versions.

    Args:
        pem: its certificate, with what else clients need of the chain, and its key.

    Raises:
        LocalError: they cannot be read, or do not belong together.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(pem)
    except (OSError, ssl.SSLError) as error:
        raise LocalError(f"cannot use {pem}: {error}", hint="give a PEM file with both") from None
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context
