"""Seam: the server's side of the proxy, over HTTP/2 (see `http2`)."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from h2.errors import ErrorCodes
from h2.events import (
    Event,
    InformationalResponseReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.settings import SettingCodes
from mitmproxy import http
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import SendHttp
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
    StreamState,
    format_h2_request_headers,
)

from wsinspect.handshake.bridging import connect_fields
from wsinspect.proxy.seams.http1 import (
    PassInformational,
    WireHead,
    wire_head,
)
from wsinspect.proxy.seams.http2_sides import (
    BETWEEN,
    ENABLE_CONNECT,
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
    error_event,
    head_text,
    seen,
    sent_fields,
    side_of,
    start_of,
)
from wsinspect.proxy.seams.http2_tunnels import AltSvc, AltSvcReceived, GoAway, RunReceived, Tunnel


def is_upgrade(request: http.Request) -> bool:
    """Whether a request of HTTP/1.1 asks for a WebSocket, and HTTP versions are bridged."""
    return (
        current.mode == "bridge"
        and request.is_http11
        and request.method == "GET"
        and "websocket" in request.headers.get("upgrade", "").lower()
    )


_EXPECTED: Final = StreamState.EXPECTING_HEADERS
_NO_LIMIT: Final = (1 << 31) - 1


class MirroringClient(Relaying, Http2Client):
    """The server's side of the proxy."""

    side = "server"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        # As stock mitmproxy does, which has done it to the connection that was replaced.
        self.h2_conn.local_settings.enable_push = 0
        self.h2_conn.local_settings.acknowledge()
        self._has_reported = False
        self._has_allowed = False
        #: Set once the server's SETTINGS have come, or will not.
        self.settled = asyncio.Event()
        self._forgotten: tuple[int, int] = (0, 0)
        #: Streams of the client that waited for a free stream when the connection ended.
        self._orphans: list[int] = []

    def forget(self, stream_id: int) -> None:
        super().forget(stream_id)
        theirs = self.their_stream_id.pop(stream_id, None)
        if theirs is not None:
            self.our_stream_id.pop(theirs, None)
            self._forgotten = max(self._forgotten, (stream_id, theirs))

    def take_run(self, received: RunReceived) -> None:
        self.last_activity = time.time()
        super().take_run(received)

    @property
    def _has_h2_client(self) -> bool:
        return self.context.client.alpn == b"h2"

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, BETWEEN):
            yield from Relaying._handle_event(self, event)
        elif isinstance(event, RequestProtocolError) and event.stream_id in self.stream_queue:
            del self.stream_queue[event.stream_id]  # it was never sent
        elif isinstance(event, HttpEvent) and self._is_late(event):
            code = int(ErrorCodes.REFUSED_STREAM)
            yield ReceiveHttp(
                error_event(ResponseProtocolError, event.stream_id, f"server sent {self.goaway}", code)
            )
        else:
            yield from super()._handle_event(event)
            if self.h2_conn.is_closed or isinstance(event, events.ConnectionClosed):
                self._empty_queue()
            if self._orphans:
                yield from self._fail_orphans()

    def _empty_queue(self) -> None:
        self._orphans += self.stream_queue
        self.stream_queue.clear()

    def _fail_orphans(self) -> Commands:
        """Tell those that waited for the server's limit on streams, whom stock mitmproxy forgets."""
        orphans, self._orphans = self._orphans, []
        for stream_id in orphans:
            code = int(ErrorCodes.REFUSED_STREAM)
            yield ReceiveHttp(error_event(ResponseProtocolError, stream_id, "server closed connection", code))

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
        elif isinstance(event, RequestHeaders) and head is not None and is_upgrade(event.request):
            yield from self._send_connect(event, head)
        elif isinstance(event, RequestEndOfMessage) and event.stream_id in self.tunnels:
            return
        elif isinstance(event, RequestProtocolError) and (code := code_of(event)) is not None:
            yield from self._send_reset(event.stream_id, code)
        else:
            yield from super()._handle_event2(event)

    def _send_request(self, event: RequestHeaders, head: WireHead) -> Commands:
        self.last_activity = time.time()
        request = event.request
        if request.headers.fields == head.fields and start_of(request) == head.start:
            assert head.fields2 is not None
            fields = head.fields2
        elif head.tunnel is None:
            fields = yield from format_h2_request_headers(self.context, event)
        else:
            data = request.data
            fields = sent_fields(head, {b":authority": data.authority, b":path": data.path}, request)
        if head.tunnel is not None:
            tunnel = Tunnel(self, event.stream_id, self.wire.outbox)
            tunnel.peer, head.tunnel.peer = head.tunnel, tunnel
            head.was_allowed = self.allows_connect if self.settled.is_set() else None
            self.tunnels[event.stream_id] = tunnel
        self.h2_conn.send_headers(
            event.stream_id, fields, end_stream=event.end_stream and head.tunnel is None
        )
        self.streams[event.stream_id] = StreamState.EXPECTING_HEADERS
        yield commands.SendData(self.conn, self.h2_conn.data_to_send())
        head.is_forwarded = True
        if head.forwarded:
            head.forwarded(head_text(fields))

    def _send_connect(self, event: RequestHeaders, head: WireHead) -> Commands:
        """An upgrade of HTTP/1.1, as HTTP/2 asks for a WebSocket."""
        self.last_activity = time.time()
        data = event.request.data
        authority = event.request.host_header or ""
        scheme = b"https" if self.conn.tls else b"http"
        fields = connect_fields(
            scheme, authority.encode("utf-8", "surrogateescape"), data.path, data.headers.fields
        )
        tunnel = Tunnel(self, event.stream_id, self.wire.outbox)
        self.tunnels[event.stream_id] = tunnel
        self.h2_conn.send_headers(event.stream_id, fields)
        self.streams[event.stream_id] = StreamState.EXPECTING_HEADERS
        yield commands.SendData(self.conn, self.h2_conn.data_to_send())
        head.opposite = tunnel
        head.is_forwarded = True
        if head.forwarded:
            head.forwarded(head_text(fields))
        if head.early_ends:
            tunnel.finish()

    def handle_h2_event(self, event: Event) -> layer.CommandGenerator[bool]:
        if isinstance(event, AltSvcReceived):
            yield from self._pass_alt_svc(event.frame)
            return False
        if isinstance(event, RemoteSettingsChanged):
            yield from self._receive_settings()
        elif isinstance(event, InformationalResponseReceived):
            if event.stream_id in self.their_stream_id:
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

    def is_held_up(self, stream_id: int) -> bool:
        client = side_of(self.http_layer, self.context.client)
        theirs = self.their_stream_id.get(stream_id)
        return client is not None and theirs is not None and client.h2_conn.is_crowded(theirs)

    def _pass_alt_svc(self, frame: AltSvc) -> Commands:
        origin = frame.origin.decode("latin-1") or self.context.server.sni or ""
        value = frame.value.decode("latin-1")
        is_stripped = current.strips_alt_svc and "h3" in value
        if "h3" in value:
            current.observer.alt_svc_frame(self.context, origin, value, is_stripped=is_stripped)
        stream = self.their_stream_id.get(frame.stream) if frame.stream else 0
        if self._has_h2_client and not is_stripped and stream is not None:
            yield SendHttp(PassAltSvc(0, frame._replace(stream=stream)), self.context.client)

    def _receive_settings(self) -> Commands:
        remote = self.h2_conn.remote_settings
        enabled = remote.get(ENABLE_CONNECT, 0)
        is_passed_on = current.mode != "off" and self._has_h2_client
        if self._has_allowed and not enabled:
            current.observer.withdrew_connect(self.context)
        self._has_allowed = bool(enabled)
        if not self._has_reported:
            self._has_reported = True
            is_used = is_passed_on or current.mode == "bridge"
            current.observer.settings(self.context, bool(enabled), bool(enabled) and is_used)
        if is_passed_on:
            limit = remote.get(SettingCodes.MAX_CONCURRENT_STREAMS)
            yield SendHttp(ServerSettings(0, enabled, limit), self.context.client)
        self.settled.set()

    @property
    def allows_connect(self) -> bool:
        """Whether the server's SETTINGS, as far as they have come, allow extended CONNECT."""
        return bool(self.h2_conn.remote_settings.get(ENABLE_CONNECT, 0))

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

        if (yield from seen(super().handle_h2_event(event), look)):
            return True
        if tunnel is not None and is_switch:
            self.open_tunnel(tunnel)
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
            yield ReceiveHttp(error_event(ResponseProtocolError, stream_id, message, code))

    def close_connection(self, msg: str) -> Commands:
        self.settled.set()
        # Stock mitmproxy would give the next of the queue to a layer that has ended.
        self._empty_queue()
        how = self.wire.end_of(self.wire.carrier(self.context, self.conn))
        yield from super().close_connection(msg)
        if self._has_h2_client and current.mode == "mirror":
            yield SendHttp(ServerGone(0, how), self.context.client)
