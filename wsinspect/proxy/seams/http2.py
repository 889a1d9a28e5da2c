"""Seam: mitmproxy's HTTP/2 layers (`layers.http.Http2Server`, `Http2Client`), as subclasses that mirror.

Stock mitmproxy announces its own SETTINGS, takes an extended CONNECT (RFC 8441) for a protocol error that
ends the client's whole connection, and a GOAWAY for the end of all streams; it swallows 1xx responses,
reorders pseudo-header fields, and answers a stream that the server reset with a page of its own. Here:

- a client is offered extended CONNECT when, and as soon as, its server offers it;
- a CONNECT that has `:protocol` travels through mitmproxy as a GET whose 2xx is a 101, so that hooks, faults
  and the WebSocket layer see an opening handshake; on both connections it is what it was;
- its DATA frames do not pass the layers: `http2_tunnels`;
- RST_STREAM keeps its code, GOAWAY is passed on as it came and ends no open stream;
- a header block leaves as it came wherever nothing was changed.

What is not mirrored (`set_mode`) is refused with HTTP_1_1_REQUIRED, which sends a client that knows how to
HTTP/1.1. The names are looked up by mitmproxy as globals of `mitmproxy.proxy.layers.http` at call time.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    InformationalResponseReceived,
    RemoteSettingsChanged,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.settings import SettingCodes
from mitmproxy import http
from mitmproxy.net.http import url
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http import GetHttpConnection, HttpLayer, SendHttp
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._http2 import (
    Http2Client,
    Http2Connection,
    Http2Server,
    StreamState,
    format_h2_request_headers,
    format_h2_response_headers,
    split_pseudo_headers,
)

from wsinspect.proxy.seams.http1 import (
    WireHead,
    carry_head,
    error_code_of,
    error_response,
    status_of,
    wire_head,
)
from wsinspect.proxy.seams.http2_tunnels import GoAway, GoAwayReceived, RelayedConnection, Tunnel, code_name
from wsinspect.proxy.seams.transport import Wire

Commands = layer.CommandGenerator[None]
Fields = Sequence[tuple[bytes, bytes]]
Mode = Literal["off", "mirror"]

#: How long a client's SETTINGS wait for those of its server.
SETTINGS_WAIT_SECONDS: Final = 1.0
#: Bytes a client may send before it has our SETTINGS.
_EARLY_BYTES: Final = 1 << 18
#: A server without a limit of its own is given h2's: 100 streams at once.
_MOST_STREAMS: Final = 1000
_ENABLE_CONNECT: Final = SettingCodes.ENABLE_CONNECT_PROTOCOL


class Observer(Protocol):
    """Who is notified of extended CONNECT: what a server allows, and what was refused."""

    def settings(self, context: Context, enable_connect: bool, is_passed_on: bool) -> None:
        """A server's first SETTINGS: do they allow extended CONNECT, and does its client get the offer?"""

    def refused_connect(self, context: Context, head: dict[str, str]) -> None:
        """An extended CONNECT of a client was refused; `head` has its pseudo-header fields and `origin`."""


class _Nobody:
    def settings(self, context: Context, enable_connect: bool, is_passed_on: bool) -> None:
        return

    def refused_connect(self, context: Context, head: dict[str, str]) -> None:
        return


_observer: Observer = _Nobody()
_mode: Mode = "off"


def observe(observer: Observer) -> None:
    """Tell this one from now on, instead of the one before."""
    global _observer
    _observer = observer


def set_mode(mode: Mode) -> None:
    """What to do with WebSockets over HTTP/2: `mirror` what each server offers, or `off`."""
    global _mode
    _mode = mode


# -- between the two sides


@dataclass
class ServerSettings(HttpEvent):
    """The server's SETTINGS came, or changed."""

    enable_connect: int
    max_streams: int | None


@dataclass
class PassGoAway(HttpEvent):
    """The other side's peer sent GOAWAY; `last_stream` in numbers of the receiver's connection."""

    frame: GoAway


@dataclass
class PassInformational(HttpEvent):
    """A 1xx response (RFC 9110 section 15.2)."""

    fields: Fields


@dataclass
class ServerGone(HttpEvent):
    """The server ended its connection ("fin", "rst", "timeout")."""

    how: str


_BETWEEN: Final = (ServerSettings, PassGoAway, PassInformational, ServerGone)


def head_text(fields: Fields) -> bytes:
    """A header block of HTTP/2 as lines, pseudo-header fields first as they came."""
    lines = [name + b": " + value for name, value in fields]
    # HTTP/2 can carry line breaks inside of values, which are not allowed (RFC 9113 section 8.2.1).
    return b"".join(line.replace(b"\r", b"\\r").replace(b"\n", b"\\n") + b"\r\n" for line in lines) + b"\r\n"


def carry_fields(message: http.Message, fields: Fields, start: bytes = b"") -> WireHead:
    """Keep a message's fields as they came."""
    return carry_head(
        message, WireHead(head_text(fields), message.headers.fields, start, fields2=tuple(fields))
    )


def _start_of(request: http.Request) -> bytes:
    """What a hook may change of a request, apart from its fields."""
    data = request.data
    return b"\n".join((data.method, data.scheme, data.authority, data.path))


def _sent_fields(head: WireHead, pseudo: dict[bytes, bytes], message: http.Message) -> Fields:
    """The fields as they came, with what was changed of them."""
    assert head.fields2 is not None
    kept = [(name, pseudo.get(name, value)) for name, value in head.fields2 if name[:1] == b":"]
    return [*kept, *((name.lower(), value) for name, value in message.headers.fields)]


def _error_event(kind: Any, stream_id: int, message: str, code: int) -> Any:
    """A stream's error, to be passed on as RST_STREAM with this code."""
    name, status = ("CANCEL", 499) if kind is RequestProtocolError else ("GENERIC_SERVER_ERROR", 502)
    event = kind(stream_id, message, error_code_of(name, status))
    event.__dict__["h2_code"] = code
    return event


def _code_of(event: HttpEvent) -> int | None:
    """The code of the RST_STREAM that an error stands for."""
    code: int | None = event.__dict__.get("h2_code")
    return code


def _seen(
    generator: layer.CommandGenerator[bool], look: Callable[[HttpEvent], None]
) -> layer.CommandGenerator[bool]:
    """The commands of `generator`; `look` is shown each event in them before it is handled."""
    while True:
        try:
            command = next(generator)
        except StopIteration as stop:
            return bool(stop.value)
        if isinstance(command, ReceiveHttp):
            look(command.event)
        yield command


class _Relaying(Http2Connection):
    """What both sides do alike."""

    side = ""

    def __init__(self, context: Context) -> None:
        super().__init__(context)  # type: ignore[call-arg]
        self.h2_conn: RelayedConnection = RelayedConnection(self.h2_conf)
        self.wire = Wire.of(context)
        self.goaway: GoAway | None = None
        self._write: Any = None

    @property
    def tunnels(self) -> dict[int, Tunnel]:
        return self.h2_conn.tunnels

    @property
    def http_layer(self) -> HttpLayer:
        """The layer that both sides belong to."""
        return next(one for one in reversed(self.context.layers) if isinstance(one, HttpLayer))

    def flush(self) -> None:
        data = self.h2_conn.data_to_send()
        if data:
            if self._write is None:
                self._write = self.wire.writer(self.context, self.conn)
            self._write(data)

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.DataReceived):
            outbox = self.wire.outbox
            outbox.begin()
            try:
                yield from super()._handle_event(event)
            finally:
                outbox.end()
        elif isinstance(event, PassGoAway):
            self.h2_conn.send_goaway(event.frame)
            yield commands.SendData(self.conn, self.h2_conn.data_to_send())
        else:
            yield from super()._handle_event(event)

    def _send_reset(self, stream_id: int, code: int) -> Commands:
        if not self.is_closed(stream_id):
            self.h2_conn.reset_stream(stream_id, code)
            yield commands.SendData(self.conn, self.h2_conn.data_to_send())

    def forget(self, stream_id: int) -> None:
        self.tunnels.pop(stream_id, None)

    def end_connection(self, how: str) -> None:
        carrier = self.wire.carrier(self.context, self.conn)
        frame = GoAway(int(ErrorCodes.NO_ERROR), self.h2_conn.highest_inbound_stream_id, b"")
        detail = str(frame) if how == "goaway" else ""
        tunnels = list(self.tunnels.values())
        self.tunnels.clear()
        for tunnel in tunnels:
            tunnel.on_lost("fin" if how == "goaway" else "rst", detail, is_ours=True)
        if how == "goaway":
            self.h2_conn.send_goaway(frame)
            self.flush()
            self.wire.close(carrier)
        else:
            self.wire.abort([carrier])

    def handle_h2_event(self, event: Event) -> layer.CommandGenerator[bool]:
        tunnel = self.tunnels.get(getattr(event, "stream_id", None) or 0)
        if isinstance(event, GoAwayReceived):
            self.goaway = event.frame
            yield from self.pass_goaway(event.frame)
        elif isinstance(event, StreamReset):
            yield from self._stream_reset(event, tunnel)
        elif tunnel is None or isinstance(event, ResponseReceived | InformationalResponseReceived):
            return (yield from super().handle_h2_event(event))
        elif isinstance(event, DataReceived):
            tunnel.on_data(event.data or b"", event.flow_controlled_length or 0, bool(event.stream_ended))
        elif isinstance(event, TrailersReceived):
            tunnel.on_data(b"", 0, True)
        elif not isinstance(event, StreamEnded):
            return (yield from super().handle_h2_event(event))
        return False

    @abstractmethod
    def pass_goaway(self, frame: GoAway) -> Commands:
        """Send a GOAWAY of this side on to the other one."""

    def _stream_reset(self, event: StreamReset, tunnel: Tunnel | None) -> Commands:
        assert event.stream_id is not None
        code = int(event.error_code or 0)
        if tunnel is not None:
            del self.tunnels[event.stream_id]
            tunnel.on_reset(code)
        if event.stream_id in self.streams or self._is_awaited(event.stream_id):
            who = self.side if event.remote_reset else "wsinspect"
            message = f"{who} reset the stream ({code_name(code)})"
            yield ReceiveHttp(_error_event(self.ReceiveProtocolError, event.stream_id, message, code))
            self.streams.pop(event.stream_id, None)

    def _is_awaited(self, stream_id: int) -> bool:
        """Whether somebody still works for a stream whose END_STREAM and RST_STREAM came in one read."""
        return False

    def close_connection(self, msg: str) -> Commands:
        how = self.wire.end_of(self.wire.carrier(self.context, self.conn))
        detail = str(self.goaway) if self.goaway else msg if msg.startswith("HTTP/2") else ""
        tunnels = list(self.tunnels.values())
        self.tunnels.clear()
        for tunnel in tunnels:
            tunnel.on_lost(how, detail)
        yield from super().close_connection(msg)


class MirroringServer(_Relaying, Http2Server):
    """The client's side of the proxy."""

    side = "client"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._early: list[events.Event] | None = None
        self._early_bytes = 0
        self._unanswered: dict[int, WireHead] = {}
        self._ending = ""
        self._patience = 0.005

    # SETTINGS

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.Start):
            yield from self._begin(event)
        elif isinstance(event, ServerSettings):
            yield from self._mirror_settings(event)
        elif isinstance(event, events.Wakeup):
            yield from self._start()
            if self._ending:
                yield from self._end_like(self._ending)
        elif self._early is not None:
            yield from self._hold(event)
        elif isinstance(event, ResponseHeaders):
            yield from self._send_response(event)
        elif isinstance(event, ResponseEndOfMessage) and self._is_opening(event.stream_id):
            self.tunnels[event.stream_id].is_open = True
            self.streams.pop(event.stream_id, None)
        elif isinstance(event, ResponseProtocolError):
            yield from self._send_error(event)
        elif isinstance(event, PassInformational):
            if self.is_open_for_us(event.stream_id):
                self.h2_conn.send_headers(event.stream_id, event.fields)
                yield commands.SendData(self.conn, self.h2_conn.data_to_send())
        elif isinstance(event, ServerGone):
            self._ending = event.how
            yield from self._end_like(event.how)
        else:
            yield from super()._handle_event(event)

    @property
    def _mirrors(self) -> bool:
        server = self.context.server
        return _mode == "mirror" and (server.alpn == b"h2" or not server.connected)

    def _begin(self, start: events.Start) -> Commands:
        """Our SETTINGS are those of the server: wait for them, where there is one that speaks HTTP/2."""
        server = self.context.server
        if not (_mode == "mirror" and server.alpn == b"h2" and server.connected and server.address):
            yield from super()._handle_event(start)
            return
        self._early = []
        yield commands.RequestWakeup(SETTINGS_WAIT_SECONDS)
        yield GetHttpConnection(server.address, server.tls, server.via, server.transport_protocol)

    def _hold(self, event: events.Event) -> Commands:
        assert self._early is not None
        self._early.append(event)
        self._early_bytes += len(event.data) if isinstance(event, events.DataReceived) else 0
        if isinstance(event, events.ConnectionClosed) or self._early_bytes > _EARLY_BYTES:
            yield from self._start()

    def _start(self) -> Commands:
        early, self._early = self._early, None
        if early is None:
            return
        yield from super()._handle_event(events.Start())
        for event in early:
            yield from self._handle_event(event)

    def _mirror_settings(self, event: ServerSettings) -> Commands:
        local = self.h2_conn.local_settings
        wanted: dict[SettingCodes | int, int] = {}
        if event.enable_connect != local.get(_ENABLE_CONNECT, 0):
            wanted[_ENABLE_CONNECT] = event.enable_connect
        if event.max_streams is not None:
            streams = min(event.max_streams, _MOST_STREAMS)
            if streams != local.max_concurrent_streams:
                wanted[SettingCodes.MAX_CONCURRENT_STREAMS] = streams
        if self._early is not None:
            local.update(wanted)
            local.acknowledge()
            yield from self._start()
        elif wanted and not self.h2_conn.is_closed:
            self.h2_conn.update_settings(wanted)
            yield commands.SendData(self.conn, self.h2_conn.data_to_send())

    # Requests

    def handle_h2_event(self, event: Event) -> layer.CommandGenerator[bool]:
        if not isinstance(event, RequestReceived):
            return (yield from super().handle_h2_event(event))
        fields: Fields = event.headers or ()
        assert event.stream_id is not None
        if dict(fields).get(b":method") == b"CONNECT":
            yield from self._receive_connect(event.stream_id, fields, bool(event.stream_ended))
            return False

        def look(received: HttpEvent) -> None:
            if isinstance(received, RequestHeaders):
                head = carry_fields(received.request, fields, _start_of(received.request))
                self._unanswered[received.stream_id] = head
                if not received.end_stream:
                    self.h2_conn.widen(received.stream_id)

        return (yield from _seen(super().handle_h2_event(event), look))

    def _is_awaited(self, stream_id: int) -> bool:
        return stream_id in self.http_layer.streams

    def _receive_connect(self, stream_id: int, fields: Fields, has_ended: bool) -> Commands:
        try:
            pseudo, headers = split_pseudo_headers(fields)
            authority = pseudo.get(b":authority", b"")
            host, port = url.parse_authority(authority, check=True) if authority else ("", 0)
        except ValueError:
            self.h2_conn.reset_stream(stream_id, ErrorCodes.PROTOCOL_ERROR)
            return
        if not self._mirrors:
            self.h2_conn.reset_stream(stream_id, ErrorCodes.HTTP_1_1_REQUIRED)
            if b":protocol" in pseudo:
                _observer.refused_connect(self.context, _pseudo_fields(fields))
            return
        now = time.time()
        request = http.Request(
            host=host,
            port=port or 443,
            method=b"GET",
            scheme=pseudo.get(b":scheme", b"https"),
            authority=authority,
            path=pseudo.get(b":path", b"/"),
            http_version=b"HTTP/2.0",
            headers=headers,
            content=b"",
            trailers=None,
            timestamp_start=now,
            timestamp_end=now,
        )
        head = carry_fields(request, fields, _start_of(request))
        head.protocol = pseudo.get(b":protocol", b"")
        head.tunnel = tunnel = Tunnel(self, stream_id, self.wire.outbox)
        self.tunnels[stream_id] = tunnel
        self._unanswered[stream_id] = head
        if has_ended:
            tunnel.on_data(b"", 0, True)
        self.streams[stream_id] = StreamState.HEADERS_RECEIVED
        yield ReceiveHttp(RequestHeaders(stream_id, request, end_stream=True))
        yield ReceiveHttp(RequestEndOfMessage(stream_id))

    def _stream_reset(self, event: StreamReset, tunnel: Tunnel | None) -> Commands:
        code = int(event.error_code or 0)
        head = self._unanswered.pop(event.stream_id or 0, None)
        if head is not None and head.ended:
            head.ended("rst", f"RST_STREAM {code_name(code)}")
        if tunnel is not None and not tunnel.is_open and tunnel.peer is not None:
            tunnel.peer.reset(code)
        yield from super()._stream_reset(event, tunnel)

    # Responses

    def _is_opening(self, stream_id: int) -> bool:
        tunnel = self.tunnels.get(stream_id)
        return tunnel is not None and tunnel.peer is not None and tunnel.peer.is_open

    def _send_response(self, event: ResponseHeaders) -> Commands:
        stream_id, response = event.stream_id, event.response
        if not self.is_open_for_us(stream_id):
            return
        head = wire_head(response)
        if response.status_code == 101 or response.status_code >= 200:
            self._unanswered.pop(stream_id, None)
        is_switch = response.status_code == 101 and self._is_opening(stream_id)
        if head is None or head.fields2 is None:
            fields: Fields = yield from format_h2_response_headers(self.context, event)
        elif response.headers.fields == head.fields and head.start == b"%d" % response.status_code:
            fields = head.fields2
        else:
            changed = {} if is_switch else {b":status": b"%d" % response.status_code}
            fields = _sent_fields(head, changed, response)
        self.h2_conn.send_headers(stream_id, fields, end_stream=event.end_stream and not is_switch)
        yield commands.SendData(self.conn, self.h2_conn.data_to_send())
        if head and head.forwarded:
            head.forwarded(head_text(fields))

    def _send_error(self, event: ResponseProtocolError) -> Commands:
        """Our own answer where the server gives none, in words for whoever reads it."""
        head = self._unanswered.pop(event.stream_id, None)
        if (code := _code_of(event)) is not None:
            yield from self._send_reset(event.stream_id, code)
            return
        status = status_of(event.code)
        stream = self.h2_conn.streams.get(event.stream_id)
        if (
            status is None
            or stream is None
            or not self.is_open_for_us(event.stream_id)
            or stream.state_machine.headers_sent
        ):
            yield from super()._handle_event(event)
            return
        raw = error_response(status, (head.error if head else "") or event.message)
        body = raw.partition(b"\r\n\r\n")[2]
        fields = [
            (b":status", b"%d" % status),
            (b"server", b"wsinspect"),
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(body)),
        ]
        self.h2_conn.send_headers(event.stream_id, fields)
        self.h2_conn.send_data(event.stream_id, body, end_stream=True)
        yield commands.SendData(self.conn, self.h2_conn.data_to_send())
        if head and head.answered:
            head.answered(head_text(fields))

    # Ends

    def pass_goaway(self, frame: GoAway) -> Commands:
        server = self.http_layer.connections.get(self.context.server)
        if server is not None and self.context.server.alpn == b"h2":
            yield SendHttp(PassGoAway(0, frame), self.context.server)

    def _end_like(self, how: str) -> Commands:
        """The server ended the connection: so do we, once all that it sent has been passed on."""
        if self.http_layer.streams or self.h2_conn.has_unsent:
            yield commands.RequestWakeup(self._patience)
            self._patience = min(2 * self._patience, 1.0)
            return
        if how in ("rst", "timeout"):
            self.wire.abort([self.wire.carrier(self.context, self.conn)])
        else:
            yield commands.CloseConnection(self.conn)


class MirroringClient(_Relaying, Http2Client):
    """The server's side of the proxy."""

    side = "server"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        # As stock mitmproxy does, which has done it to the connection that was replaced.
        self.h2_conn.local_settings.enable_push = 0
        self.h2_conn.local_settings.acknowledge()
        self._has_reported = False
        self._forgotten: tuple[int, int] = (0, 0)

    def forget(self, stream_id: int) -> None:
        super().forget(stream_id)
        theirs = self.their_stream_id.pop(stream_id, None)
        if theirs is not None:
            self.our_stream_id.pop(theirs, None)
            self._forgotten = max(self._forgotten, (stream_id, theirs))

    @property
    def _has_h2_client(self) -> bool:
        return self.context.client.alpn == b"h2"

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, _BETWEEN):
            yield from _Relaying._handle_event(self, event)
        elif isinstance(event, RequestProtocolError) and event.stream_id in self.stream_queue:
            del self.stream_queue[event.stream_id]  # it was never sent
        elif isinstance(event, HttpEvent) and self._is_late(event):
            code = int(ErrorCodes.REFUSED_STREAM)
            yield ReceiveHttp(
                _error_event(ResponseProtocolError, event.stream_id, f"server sent {self.goaway}", code)
            )
        else:
            yield from super()._handle_event(event)

    def _is_late(self, event: HttpEvent) -> bool:
        """A request that came after the server's GOAWAY."""
        return (
            self.goaway is not None
            and isinstance(event, RequestHeaders)
            and event.stream_id not in self.our_stream_id
        )

    def _handle_event2(self, event: events.Event) -> Commands:
        head = wire_head(event.request) if isinstance(event, RequestHeaders) else None
        if isinstance(event, RequestHeaders) and head is not None and head.fields2 is not None:
            yield from self._send_request(event, head)
        elif isinstance(event, RequestEndOfMessage) and event.stream_id in self.tunnels:
            return
        elif isinstance(event, RequestProtocolError) and (code := _code_of(event)) is not None:
            yield from self._send_reset(event.stream_id, code)
        else:
            yield from super()._handle_event2(event)

    def _send_request(self, event: RequestHeaders, head: WireHead) -> Commands:
        self.last_activity = time.time()
        request = event.request
        if request.headers.fields == head.fields and _start_of(request) == head.start:
            assert head.fields2 is not None
            fields = head.fields2
        elif head.tunnel is None:
            fields = yield from format_h2_request_headers(self.context, event)
        else:
            data = request.data
            fields = _sent_fields(head, {b":authority": data.authority, b":path": data.path}, request)
        if head.tunnel is not None:
            tunnel = Tunnel(self, event.stream_id, self.wire.outbox)
            tunnel.peer, head.tunnel.peer = head.tunnel, tunnel
            self.tunnels[event.stream_id] = tunnel
        self.h2_conn.send_headers(
            event.stream_id, fields, end_stream=event.end_stream and head.tunnel is None
        )
        self.streams[event.stream_id] = StreamState.EXPECTING_HEADERS
        yield commands.SendData(self.conn, self.h2_conn.data_to_send())
        head.is_forwarded = True
        if head.forwarded:
            head.forwarded(head_text(fields))

    def handle_h2_event(self, event: Event) -> layer.CommandGenerator[bool]:
        if isinstance(event, RemoteSettingsChanged):
            yield from self._receive_settings()
        elif isinstance(event, InformationalResponseReceived):
            if self._has_h2_client and event.stream_id in self.their_stream_id:
                stream_id = self.their_stream_id[event.stream_id]
                yield SendHttp(PassInformational(stream_id, event.headers or ()), self.context.client)
            return False
        elif isinstance(event, ResponseReceived) and event.stream_id in self.streams:
            return (yield from self._receive_response(event))
        is_done = yield from super().handle_h2_event(event)
        if isinstance(event, StreamEnded | StreamReset) and event.stream_id not in self.tunnels:
            assert event.stream_id is not None
            if self.is_closed(event.stream_id):
                self.forget(event.stream_id)
        return is_done

    def _receive_settings(self) -> Commands:
        remote = self.h2_conn.remote_settings
        enabled = remote.get(_ENABLE_CONNECT, 0)
        is_passed_on = _mode == "mirror" and self._has_h2_client
        if not self._has_reported:
            self._has_reported = True
            _observer.settings(self.context, bool(enabled), bool(enabled) and is_passed_on)
        if is_passed_on:
            limit = remote.get(SettingCodes.MAX_CONCURRENT_STREAMS)
            yield SendHttp(ServerSettings(0, enabled, limit), self.context.client)

    def _receive_response(self, event: ResponseReceived) -> layer.CommandGenerator[bool]:
        fields: Fields = event.headers or ()
        stream_id = event.stream_id
        assert stream_id is not None
        tunnel = self.tunnels.get(stream_id)
        status = dict(fields).get(b":status", b"")
        is_switch = tunnel is not None and status[:1] == b"2" and self.streams[stream_id] is _EXPECTED

        def look(received: HttpEvent) -> None:
            if not isinstance(received, ResponseHeaders):
                return
            response = received.response
            if is_switch:
                response.status_code = 101
                received.end_stream = False
            head = carry_fields(response, fields, b"%d" % response.status_code)
            head.tunnel = tunnel
            if not event.stream_ended and not is_switch:
                self.h2_conn.widen(stream_id)

        if (yield from _seen(super().handle_h2_event(event), look)):
            return True
        if tunnel is not None and is_switch:
            tunnel.is_open = True
            self.streams.pop(stream_id, None)
            yield ReceiveHttp(ResponseEndOfMessage(stream_id))
            if event.stream_ended:
                tunnel.on_data(b"", 0, True)
        elif tunnel is not None:
            # Refused: a body is an ordinary one, and what the client still sends goes nowhere.
            self.tunnels.pop(stream_id, None)
        return False

    def pass_goaway(self, frame: GoAway) -> Commands:
        known = [*self.their_stream_id.items(), self._forgotten]
        kept = [theirs for ours, theirs in known if ours <= frame.last_stream]
        if self._has_h2_client:
            last = frame.last_stream if frame.last_stream == _NO_LIMIT else max(kept, default=0)
            yield SendHttp(PassGoAway(0, frame._replace(last_stream=last)), self.context.client)
        code = int(ErrorCodes.REFUSED_STREAM)
        for stream_id in [one for one in self.streams if one > frame.last_stream]:
            del self.streams[stream_id]
            message = f"server sent {frame}"
            yield ReceiveHttp(_error_event(ResponseProtocolError, stream_id, message, code))

    def close_connection(self, msg: str) -> Commands:
        how = self.wire.end_of(self.wire.carrier(self.context, self.conn))
        yield from super().close_connection(msg)
        if self._has_h2_client and _mode == "mirror":
            yield SendHttp(ServerGone(0, how), self.context.client)


_EXPECTED: Final = StreamState.EXPECTING_HEADERS
_NO_LIMIT: Final = (1 << 31) - 1


def drop_stream(context: Context, stream_id: int) -> None:
    """Forget a WebSocket that is over; `context` is its HttpStream's."""
    http_layer = next((one for one in reversed(context.layers) if isinstance(one, HttpLayer)), None)
    if http_layer is not None:
        http_layer.streams.pop(stream_id, None)


def _pseudo_fields(fields: Iterable[Any]) -> dict[str, str]:
    """Pseudo-header fields, and `origin`, as text."""
    found: dict[str, str] = {}
    for name, value in fields:
        key = bytes(name).decode("latin-1").lower()
        if key.startswith(":") or key == "origin":
            found.setdefault(key, bytes(value).decode("latin-1"))
    return found


def install_http2() -> None:
    """Rebind the names that HttpLayer and HttpClient look up."""
    names = vars(http_layers)
    names["Http2Server"], names["Http2Client"] = MirroringServer, MirroringClient
