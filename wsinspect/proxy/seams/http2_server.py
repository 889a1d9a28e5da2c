"""Seam: the client's side of the proxy, over HTTP/2 (see `http2`)."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Final

from h2.errors import ErrorCodes
from h2.events import (
    Event,
    RequestReceived,
    StreamReset,
)
from h2.settings import SettingCodes
from mitmproxy import http
from mitmproxy.net.http import url
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import GetHttpConnection, SendHttp
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    RequestEndOfMessage,
    RequestHeaders,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._http2 import (
    Http2Server,
    StreamState,
    format_h2_response_headers,
    split_pseudo_headers,
)

from wsinspect.handshake.bridging import success_fields
from wsinspect.proxy.seams.http1 import (
    PassInformational,
    WireHead,
    error_response,
    status_of,
    wire_head,
)
from wsinspect.proxy.seams.http2_client import MirroringClient
from wsinspect.proxy.seams.http2_sides import (
    ENABLE_CONNECT,
    SETTINGS_WAIT_SECONDS,
    Commands,
    Fields,
    PassAltSvc,
    PassGoAway,
    Relaying,
    ServerGone,
    ServerSettings,
    carry_fields,
    code_of,
    current,
    head_text,
    seen,
    sent_fields,
    side_of,
    start_of,
)
from wsinspect.proxy.seams.http2_tunnels import AltSvcReceived, GoAway, Tunnel, code_name
from wsinspect.proxy.seams.transport import Endpoint

#: Bytes a client may send before it has our SETTINGS.
_EARLY_BYTES: Final = 1 << 18
#: A server without a limit of its own is given h2's: 100 streams at once.
_MOST_STREAMS: Final = 1000
#: Pieces of a request's body that may wait for a connection to its server.
_MOST_EVENTS: Final = 64


class MirroringServer(Relaying, Http2Server):
    """The client's side of the proxy."""

    side = "client"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._early: list[events.Event] | None = None
        self._early_bytes = 0
        self._unanswered: dict[int, WireHead] = {}
        self._held: dict[int, Endpoint] = {}
        self._ending = ""
        self._patience = 0.005

    # SETTINGS

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.Start):
            yield from self._begin(event)
        elif isinstance(event, ServerSettings):
            yield from self._mirror_settings(event)
        elif isinstance(event, events.Wakeup) and not self._is_turn(event):
            yield from self._start()
            if self._ending:
                yield from self._end_like(self._ending)
        elif self._early is not None:
            yield from self._hold(event)
        elif isinstance(event, ResponseHeaders):
            yield from self._send_response(event)
        elif isinstance(event, ResponseEndOfMessage) and self._is_opening(event.stream_id):
            self.open_tunnel(self.tunnels[event.stream_id])
            self.streams.pop(event.stream_id, None)
        elif isinstance(event, ResponseProtocolError):
            yield from self._send_error(event)
        elif isinstance(event, PassInformational):
            if self.is_open_for_us(event.stream_id):
                self.h2_conn.send_headers(event.stream_id, event.fields)
                yield commands.SendData(self.conn, self.h2_conn.data_to_send())
        elif isinstance(event, PassAltSvc):
            self.h2_conn.send_alt_svc(event.frame)
            yield commands.SendData(self.conn, self.h2_conn.data_to_send())
        elif isinstance(event, ResponseData):
            yield from super()._handle_event(event)
            if self.h2_conn.is_crowded(event.stream_id):
                self._hold_source(event.stream_id)
        elif isinstance(event, ServerGone):
            self._ending = event.how
            yield from self._end_like(event.how)
        else:
            yield from super()._handle_event(event)

    @property
    def _mirrors(self) -> bool:
        server = self.context.server
        is_for_server = server.alpn == b"h2" or not server.connected
        return current.mode == "bridge" or (current.mode == "mirror" and is_for_server)

    def _begin(self, start: events.Start) -> Commands:
        """Our SETTINGS are those of the server: wait for them, where there is one that speaks HTTP/2."""
        server = self.context.server
        if current.mode == "bridge" or (current.answers_connects and not server.connected):
            # Whatever the server speaks, this client's WebSockets get there, or to another one.
            self.h2_conn.local_settings.update({ENABLE_CONNECT: 1})
            self.h2_conn.local_settings.acknowledge()
        if not (current.mode == "mirror" and server.alpn == b"h2" and server.connected and server.address):
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
        if current.mode != "bridge" and event.enable_connect != local.get(ENABLE_CONNECT, 0):
            wanted[ENABLE_CONNECT] = event.enable_connect
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
        if isinstance(event, AltSvcReceived):
            return False  # a server ignores it (RFC 7838 section 4)
        if not isinstance(event, RequestReceived):
            return (yield from super().handle_h2_event(event))
        fields: Fields = event.headers or ()
        assert event.stream_id is not None
        if dict(fields).get(b":method") == b"CONNECT":
            yield from self._receive_connect(event.stream_id, fields, bool(event.stream_ended))
            return False

        def look(received: HttpEvent) -> None:
            if isinstance(received, RequestHeaders):
                head = carry_fields(received.request, fields, start_of(received.request))
                self._unanswered[received.stream_id] = head

        return (yield from seen(super().handle_h2_event(event), look))

    def is_held_up(self, stream_id: int) -> bool:
        stream = self.http_layer.streams.get(stream_id)
        if stream is None:
            return False
        if len(stream._paused_event_queue) > _MOST_EVENTS:
            return True
        server = side_of(self.http_layer, stream.context.server)
        if not isinstance(server, MirroringClient):
            endpoint = self.wire.watch(self.wire.carrier(self.context, stream.context.server))
            return endpoint is not None and not endpoint.transport.is_closing() and endpoint.is_write_paused
        ours = server.our_stream_id.get(stream_id)
        if ours is None:
            return len(server.stream_queue.get(stream_id, ())) > _MOST_EVENTS
        return server.h2_conn.is_crowded(ours)

    def _hold_source(self, stream_id: int) -> None:
        """The client takes no more of a body that comes over HTTP/1.1: do not read its server for now."""
        stream = self.http_layer.streams.get(stream_id)
        if stream is None or stream_id in self._held or stream.context.server.alpn == b"h2":
            return
        endpoint = self.wire.watch(self.wire.carrier(self.context, stream.context.server))
        if endpoint is not None and not endpoint.transport.is_closing():
            endpoint.transport.pause_reading()
            self._held[stream_id] = endpoint
            self.look_later()

    def _look(self) -> None:
        for stream_id in [one for one in self._held if not self.h2_conn.is_crowded(one)]:
            endpoint = self._held.pop(stream_id)
            if not endpoint.transport.is_closing():
                endpoint.transport.resume_reading()
        super()._look()
        if self._held and not self.h2_conn.is_closed:
            self.look_later()

    def _is_awaited(self, stream_id: int) -> bool:
        return stream_id in self.http_layer.streams

    def _receive_connect(self, stream_id: int, fields: Fields, has_ended: bool) -> Commands:
        try:
            pseudo, headers = split_pseudo_headers(fields)
            authority = pseudo.get(b":authority", b"")
            host, port = url.parse_authority(authority, check=True) if authority else ("", 0)
        except ValueError:
            self._refuse(stream_id, ErrorCodes.PROTOCOL_ERROR)
            return
        if not self._mirrors:
            self._refuse(stream_id, ErrorCodes.HTTP_1_1_REQUIRED)
            if b":protocol" in pseudo:
                current.observer.refused_connect(self.context, pseudo_fields(fields))
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
        head = carry_fields(request, fields, start_of(request))
        head.protocol = pseudo.get(b":protocol", b"")
        head.may_bridge = current.mode == "bridge"
        head.tunnel = tunnel = Tunnel(self, stream_id, self.wire.outbox)
        self.tunnels[stream_id] = tunnel
        self._unanswered[stream_id] = head
        if has_ended:
            tunnel.on_data(b"", 0, True)
        self.streams[stream_id] = StreamState.HEADERS_RECEIVED
        yield ReceiveHttp(RequestHeaders(stream_id, request, end_stream=True))
        yield ReceiveHttp(RequestEndOfMessage(stream_id))

    def _refuse(self, stream_id: int, code: ErrorCodes) -> None:
        if not self.is_closed(stream_id):  # what came in the same read may have ended it
            self.h2_conn.reset_stream(stream_id, code)

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
        if tunnel is None:
            return False
        return tunnel.is_accepted or (tunnel.peer is not None and tunnel.peer.is_open)

    def _send_response(self, event: ResponseHeaders) -> Commands:
        stream_id, response = event.stream_id, event.response
        if not self.is_open_for_us(stream_id):
            return
        head = wire_head(response)
        if response.status_code == 101 or response.status_code >= 200:
            self._unanswered.pop(stream_id, None)
        is_switch = response.status_code == 101 and self._is_opening(stream_id)
        if is_switch and (head is None or head.fields2 is None):
            fields: Fields = success_fields(response.headers.fields)
        elif head is None or head.fields2 is None:
            fields = yield from format_h2_response_headers(self.context, event)
        elif response.headers.fields == head.fields and head.start == b"%d" % response.status_code:
            fields = head.fields2
        else:
            changed = {} if is_switch else {b":status": b"%d" % response.status_code}
            fields = sent_fields(head, changed, response)
        self.h2_conn.send_headers(stream_id, fields, end_stream=event.end_stream and not is_switch)
        yield commands.SendData(self.conn, self.h2_conn.data_to_send())
        if head and head.forwarded:
            head.forwarded(head_text(fields))

    def _send_error(self, event: ResponseProtocolError) -> Commands:
        """Our own answer where the server gives none, in words for whoever reads it."""
        head = self._unanswered.pop(event.stream_id, None)
        if (code := code_of(event)) is not None:
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

    def close_connection(self, msg: str) -> Commands:
        how = self.wire.end_of(self.wire.carrier(self.context, self.conn))
        unanswered, self._unanswered = list(self._unanswered.values()), {}
        for head in unanswered:
            if head.ended and not msg.startswith("HTTP/2"):
                # The client gave up, whatever its streams waited for.
                head.ended(how, str(self.goaway) if self.goaway else None)
        yield from super().close_connection(msg)

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


def pseudo_fields(fields: Iterable[Any]) -> dict[str, str]:
    """Pseudo-header fields, and `origin`, as text."""
    found: dict[str, str] = {}
    for name, value in fields:
        key = bytes(name).decode("latin-1").lower()
        if key.startswith(":") or key == "origin":
            found.setdefault(key, bytes(value).decode("latin-1"))
    return found
