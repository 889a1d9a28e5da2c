"""The opening handshake as both sides saw it, and where each WebSocket is recorded.

`AttemptLog` is a mitmproxy addon. It recognises opening handshakes among all requests, gives each a number,
hands heads and facts to a `Sink` (the journal, or a log), and lets every other request and response stream
through. `Attempt` is one of them from its first head to its end; it is also the `link.Stream` that the
relay writes to.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol

from mitmproxy import connection, ctx, http, tls
from mitmproxy.net.http import http1
from mitmproxy.proxy import server_hooks
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.websocket import WebsocketEndHook

from wsinspect.faults.sessions import Sessions
from wsinspect.proxy import facts
from wsinspect.proxy.connections import ConnectionEvents
from wsinspect.proxy.faulting import FaultController
from wsinspect.proxy.lag import LagWatch
from wsinspect.proxy.link import SocketLink
from wsinspect.proxy.memory import Relief
from wsinspect.proxy.seams.http1 import observe_heads, wire_head
from wsinspect.proxy.seams.http2 import drop_stream, is_bridging, observe
from wsinspect.proxy.seams.http2_tunnels import Tunnel
from wsinspect.proxy.seams.tls import verify_error
from wsinspect.proxy.seams.transport import Wire
from wsinspect.proxy.seams.websocket import relay_upgrade
from wsinspect.proxy.socket_end import SocketEnd
from wsinspect.proxy.stream_link import StreamLink
from wsinspect.proxy.taps import Tap, Taps
from wsinspect.vocabulary import events

#: How much of a refused attempt's body is kept.
BODY_BYTES = 64 * 1024
#: HEAD record parts (journal/format.py).
REQUEST_IN, REQUEST_OUT, RESPONSE_IN, RESPONSE_OUT, INFORMATIONAL = range(5)

_METADATA = "wsinspect_attempt"
#: In the metadata of a flow that is no attempt: the rule that answers it, or holds it at this moment.
HELD_BY: Final = "wsinspect_held_by"
#: The error of a stream whose RST_STREAM was passed on: nobody was answered by this proxy.
_RESET = "server reset the stream"


class Sink(Protocol):
    """What takes the records: `journal.writer.JournalWriter`, or an addon's own."""

    def data(
        self, connection: int, direction: int, chunk: bytes, time_ns: int, sent_after_ns: int = 0
    ) -> None: ...

    def head(self, connection: int, part: int, raw: bytes, time_ns: int, sent_after_ns: int = 0) -> None: ...

    def body(self, connection: int, chunk: bytes, time_ns: int) -> None: ...

    def event(self, connection: int, event: events.Event, time_ns: int) -> None: ...

    @property
    def is_full(self) -> bool: ...


class Attempt:
    """One opening handshake and what follows it."""

    def __init__(self, number: int, log: AttemptLog, tap: Tap | None) -> None:
        self.number = number
        self.tap = tap
        self.log = log
        self.now_ns = log.now_ns
        self.link: SocketLink | StreamLink | None = None
        self._sink = log.sink
        self._sink_data = log.sink.data
        self._body = bytearray()
        self._is_body_written = False
        self._is_over = False
        self._has_answer = False
        self._unreadable = b""
        self._ends: tuple[tuple[str, str], ...] = ()  # few, and none while it is open
        self.is_answered_by_fault = False
        self.on_open: Callable[[], None] = _nothing
        #: Called where the client resets its stream before the answer, and its connection lives on.
        self.on_left: Callable[[], None] = _nothing

    # What the relay records (link.Stream)

    def data(self, direction: int, chunk: bytes, time_ns: int, sent_after_ns: int) -> None:
        self._sink_data(self.number, direction, chunk, time_ns, sent_after_ns)

    def is_blocked(self) -> bool:
        return self._sink.is_full

    def when_unblocked(self, callback: Callable[[], None]) -> None:
        self.log.when_unblocked(callback)

    def opened(self) -> None:
        self.event(events.Open())
        on_open, self.on_open = self.on_open, _nothing
        on_open()

    def ended(self, side: str, how: str, detail: str | None = None) -> None:
        """One side ended; reported once, also where both the handshake and the relay see it."""
        if (side, how) not in self._ends:
            self._ends += ((side, how),)
            self.event(events.TransportEnded(side=side, how=how, http2=detail))
            if side == "client" and detail and not self._has_answer:
                self.on_left()

    @property
    def gave_up(self) -> str | None:
        """How the client ended ("fin", "rst", "close_notify") before any answer came; else None."""
        if self._has_answer:
            return None
        return next((how for side, how in self._ends if side == "client"), None)

    def shut_down(self) -> None:
        """The proxy itself ends: whoever waits for an answer did not give up, and no server closed."""
        if not self._has_answer and not self._ends:
            self.event(events.Failed.by_stop())
            self.closed()

    def closed(self) -> None:
        """Nothing more will be recorded for this attempt."""
        if not self._is_over:
            self._is_over = True
            if self.log.controller:
                self.log.controller.closed(self.number)
            self.event(events.Closed())
            self.log.open.pop(self.number, None)
            self.log.relief.closed()
            self.link = None

    # What the handshake records

    def event(self, event: events.Event) -> None:
        self._sink.event(self.number, event, self.now_ns())

    def head(self, part: int, raw: bytes) -> None:
        self._sink.head(self.number, part, raw, self.now_ns())

    def keep_body(self, chunk: bytes) -> bytes:
        """mitmproxy's stream function for a refusal: keeps the beginning, passes everything."""
        room = BODY_BYTES - len(self._body)
        if room > 0:
            self._body += chunk[:room]
            if not chunk or len(self._body) >= BODY_BYTES:
                self.write_body()
        return chunk

    def write_body(self) -> None:
        if self._body and not self._is_body_written:
            self._is_body_written = True
            self._sink.body(self.number, bytes(self._body), self.now_ns())

    def watch_request(self, request: http.Request) -> None:
        """Record the request's head now, and what is sent in its place later."""
        head = wire_head(request)
        self.head(REQUEST_IN, head.raw if head else http1.assemble_request_head(request))
        if head:
            head.watched = True
            head.forwarded = lambda raw: self.head(REQUEST_OUT, raw)
            head.informational = lambda raw: self.head(INFORMATIONAL, raw)
            head.unreadable = self.unreadable
            head.answered = lambda raw: self.head(RESPONSE_OUT, raw)
            head.early = lambda size: self.event(events.EarlyData(bytes=size))
            head.ended = lambda how, detail=None: self.ended("client", how, detail)

    def unreadable(self, raw: bytes) -> None:
        """Something came that is not a response head; again where more of it came."""
        if raw != self._unreadable:
            self._has_answer = True
            self._unreadable = raw
            self.head(RESPONSE_IN, raw)

    def answered(self, raw: bytes) -> None:
        """A response of ours was sent."""
        self.head(RESPONSE_OUT, raw)

    def watch_response(self, response: http.Response) -> None:
        head = wire_head(response)
        self._has_answer = True
        if head:
            self.head(RESPONSE_IN, head.raw)
            head.forwarded = lambda raw: self.head(RESPONSE_OUT, raw)


def _nothing() -> None:
    return


def _tunnels(flow: http.HTTPFlow) -> tuple[Tunnel | None, Tunnel | None]:
    """The streams of both sides, as far as they are streams of HTTP/2."""
    request = wire_head(flow.request)
    response = wire_head(flow.response) if flow.response else None
    return request.tunnel if request else None, response.tunnel if response else None


def _streams(flow: http.HTTPFlow) -> events.H2Streams | None:
    """The streams as an event; None where both sides speak HTTP/1.1."""
    client, server = _tunnels(flow)
    head = wire_head(flow.request)
    if server is None and client is not None:
        server = client.peer  # the request was sent, and has no response
    if client is None and server is None:
        return None
    return events.H2Streams(
        client=client.id if client else None,
        server=server.id if server else None,
        allowed=head.was_allowed if head else None,
    )


def _other_connect(flow: http.HTTPFlow) -> str | None:
    """What a CONNECT of HTTP/2 asks for instead of a WebSocket: "" if plain, None for other requests."""
    head = wire_head(flow.request)
    if head is None or head.protocol is None or head.protocol == b"websocket":
        return None
    return head.protocol.decode("ascii", "backslashreplace")[:60]


def _end_stream(context: Context, flow: http.HTTPFlow) -> None:
    """What the relay layer does at the end of a WebSocket over HTTP/1.1."""
    if flow.websocket is not None:
        flow.websocket.timestamp_end = time.time()
    flow.live = False
    drop_stream(context)
    Wire.of(context).spawn(ctx.master.addons.trigger_event(WebsocketEndHook(flow)))


def attempt_of(flow: http.HTTPFlow) -> Attempt | None:
    attempt: Attempt | None = flow.metadata.get(_METADATA)
    return attempt


def is_opening_handshake(request: http.Request) -> bool:
    """Whether a request asks for a WebSocket (RFC 6455 section 4.1), or did until somebody took a header."""
    head = wire_head(request)
    if head is not None and head.asks:
        return True
    if head is not None and head.protocol is not None:
        return head.protocol == b"websocket"
    headers = request.headers
    return "websocket" in headers.get("upgrade", "").lower() or "sec-websocket-key" in headers


class AttemptLog:
    """The mitmproxy addon of the engine.

    Args:
        sink: takes the records.
        now_ns: the engine's clock.
        taps: names of the listeners and their Host policies.
        first_number: the first attempt's number.
        wait_unblocked: registers a callback for when the sink takes records again.
        controller: notified of attempts and open connections, to apply faults to them.

    Attributes:
        tls_failed_by: clients whose TLS handshake a fault lets fail, by id, and its rule.
    """

    def __init__(
        self,
        sink: Sink,
        now_ns: Callable[[], int],
        taps: Taps,
        first_number: int = 1,
        wait_unblocked: Callable[[Callable[[], None]], None] | None = None,
        may_splice: bool = True,
        controller: FaultController | None = None,
    ) -> None:
        self.controller = controller
        self.sink = sink
        self.now_ns = now_ns
        self.taps = taps
        self.open: dict[int, Attempt] = {}
        self.relief = Relief(self.open)
        self.when_unblocked = wait_unblocked or (lambda callback: callback())
        self._next = first_number
        self._sessions = Sessions()
        self._may_splice = may_splice
        self.tls_failed_by: dict[str, str] = {}
        self._failures: dict[str, tuple[str, connection.Server]] = {}
        self._verify_errors: dict[str, str] = {}
        self.connections = ConnectionEvents(sink, now_ns, taps)
        self.lag = LagWatch(partial(sink.event, 0), now_ns, lambda: bool(self.open))
        observe(self.connections)
        observe_heads(self.connections)

    def make_link(self, context: Context, flow: http.HTTPFlow) -> SocketLink | StreamLink:
        """The factory for `RelayLayer.make_link`."""
        attempt = attempt_of(flow) or _Unrecorded(0, self, None)
        client, server = _tunnels(flow)
        link: SocketLink | StreamLink
        if client is None and server is None:
            link = SocketLink(context, attempt, may_splice=self._may_splice)
        else:
            ends = (
                client or SocketEnd("client", context, context.client),
                server or SocketEnd("server", context, context.server),
            )
            is_bridged = is_bridging() or client is None or server is None
            link = StreamLink(attempt, ends, partial(_end_stream, context, flow), is_bridged=is_bridged)
        attempt.link = link
        if self.controller and attempt.number and link.may_fault:
            attempt.on_open = partial(self.controller.opened, attempt.number, link, flow)
        return link

    def shut_down(self) -> None:
        """End every open WebSocket, and every attempt without an answer, as the proxy's own doing."""
        for attempt in list(self.open.values()):
            if attempt.link:
                attempt.link.shut_down()
            else:
                attempt.shut_down()
        self.lag.stop()
        self.relief.stop()

    # Connections

    def client_connected(self, client: connection.Client) -> None:
        Wire.of_client(client)

    def client_disconnected(self, client: connection.Client) -> None:
        self._failures.pop(client.id, None)
        self.connections.client_left(client)

    def server_connected(self, data: server_hooks.ServerConnectionHookData) -> None:
        if wire := Wire.of_client(data.client):
            wire.watch(data.server)

    def server_disconnected(self, data: server_hooks.ServerConnectionHookData) -> None:
        self._verify_errors.pop(data.server.id, None)
        if wire := Wire.of_client(data.client):
            wire.forget(data.server)

    def server_connect_error(self, data: server_hooks.ServerConnectionHookData) -> None:
        self._failures[data.client.id] = ("connect", data.server)

    def tls_failed_server(self, data: tls.TlsData) -> None:
        self._failures[data.context.client.id] = ("tls-server", data.context.server)

    def tls_established_server(self, data: tls.TlsData) -> None:
        if data.ssl_conn is not None:
            error = verify_error(data.ssl_conn)
            if error:
                self._verify_errors[data.conn.id] = error
        self.connections.tls(data.context.client, data.conn)

    def tls_established_client(self, data: tls.TlsData) -> None:
        server = data.context.server
        if server.tls or not server.address:
            # A server without TLS has no HTTP/2 that its client could miss.
            self.connections.tls(data.context.client, data.conn)

    def tls_failed_client(self, data: tls.TlsData) -> None:
        client = data.context.client
        self.connections.client_tls_failed(client, self.tls_failed_by.pop(client.id, None))

    # Requests

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        tap = self.taps.of(flow.client_conn)
        if is_opening_handshake(flow.request):
            attempt = Attempt(self._next, self, tap)
            self._next += 1
            self.open[attempt.number] = attempt
            self.relief.opened()
            self.lag.start()
            flow.metadata[_METADATA] = attempt
            name = tap.name if tap else None
            key = facts.session_key(flow, name, self.controller.board.session_by if self.controller else None)
            session = self._sessions.attempt(key, attempt.number, self.now_ns())
            attempt.event(facts.attempt(flow, name, session.number))
            attempt.watch_request(flow.request)
            if self.controller:
                self.controller.attempt(attempt.number, name, flow, session)
        elif not flow.response:
            flow.request.stream = True
        if tap and tap.rewrites_host and tap.authority:
            flow.request.host_header = tap.authority

    def client_of(self, flow: http.HTTPFlow) -> tuple[str | None, str | None, int | None]:
        """Tap, address and client session of a request that is not an opening handshake.

        The session is None where its client has made no attempt yet.
        """
        tap = self.taps.of(flow.client_conn)
        name = tap.name if tap else None
        key = facts.session_key(flow, name, self.controller.board.session_by if self.controller else None)
        # SignalR's negotiation has a path of its own below that of the connection.
        session = self._sessions.known(key._replace(path=key.path.removesuffix("/negotiate")))
        address = facts.address(flow.client_conn.peername)
        return name, address, session.number if session is not None else None

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        attempt = attempt_of(flow)
        assert flow.response
        is_upgrade = flow.response.status_code == 101
        if (protocol := _other_connect(flow)) is not None:
            status = "it was opened" if is_upgrade else f"the answer was {flow.response.status_code}"
            self.connections.passed_connect(flow, protocol, status)
        if not is_upgrade:
            flow.response.stream = attempt.keep_body if attempt else True
        if attempt and attempt.is_answered_by_fault:
            attempt.event(events.Refused(status=flow.response.status_code, by="fault"))
        elif attempt:
            attempt.watch_response(flow.response)
            attempt.event(self._server_event(flow.server_conn))
            if (streams := _streams(flow)) is not None:
                attempt.event(streams)
            if not is_upgrade:
                attempt.event(events.Refused(status=flow.response.status_code))

    def response(self, flow: http.HTTPFlow) -> None:
        relay_upgrade(flow)
        attempt = attempt_of(flow)
        if attempt and not flow.websocket:
            attempt.write_body()
            attempt.closed()

    def error(self, flow: http.HTTPFlow) -> None:
        error = flow.error.msg if flow.error else ""
        where, server = self._failures.pop(flow.client_conn.id, (_where(flow, error), flow.server_conn))
        attempt = attempt_of(flow)
        is_left = error in _ENDED if attempt is not None and attempt.gave_up else error == _ENDED[0]
        if where in _THE_WAY and is_left:
            # The proxy gave up connecting because the client had left: that says nothing about the server.
            error = f"client ended the connection before this proxy {_THE_WAY[where]}"
            where = "client"
        else:
            error = facts.failure(where, error)
        if head := wire_head(flow.request):
            head.error = error + facts.advice(where, error)
        if attempt is not None and where in ("request", "response") and (how := attempt.gave_up):
            # The server ended because its client did: the client gave up.
            where = "client"
            error = f"client ended the connection before the server answered ({how})"
        if attempt is None:
            if flow.response is None and (protocol := _other_connect(flow)) is not None:
                self.connections.passed_connect(flow, protocol, error)
            elif where != "client" and flow.response is None and not error.startswith(_RESET):
                self.connections.request_failed(flow, where, error, self._server_event(server))
            return
        if attempt.number not in self.open:
            return
        attempt.event(self._server_event(server))
        if flow.response is None and (streams := _streams(flow)) is not None:
            attempt.event(streams)
        attempt.event(events.Failed(where=where, error=error, status=_answered(where)))
        attempt.write_body()
        attempt.closed()

    def tcp_message(self, flow: Any) -> None:
        """Raw TCP through a CONNECT is passed on, not collected."""
        flow.messages.clear()

    def _server_event(self, server: connection.Server) -> events.Server:
        verify_error = self._verify_errors.get(server.id)
        is_verified = server.tls_established and verify_error is None and not server.error
        return facts.server(server, is_verified, verify_error)


class _Unrecorded(Attempt):
    """An upgrade that is not a WebSocket's: relayed like one, recorded nowhere."""

    def data(self, direction: int, chunk: bytes, time_ns: int, sent_after_ns: int) -> None:
        return

    def event(self, event: events.Event) -> None:
        return


#: The way to the server, and what a client did not wait for.
_THE_WAY: Final = {"connect": "had connected to the server", "tls-server": "had finished TLS with the server"}
#: mitmproxy's words for a way to the server that it gave up when the client left. "connection closed" alone
#: may be the server's doing: it counts where the client is known to have left.
_ENDED: Final = ("client disconnected", "connection closed")


def _where(flow: http.HTTPFlow, error: str) -> str:
    """On which part of the way an attempt died, when no connection error was seen."""
    if error.startswith(("Client disconnected", "client broke")):
        return "client"
    server = flow.server_conn
    if server.error and not server.connected and error == server.error:
        # It failed before, for the client's TLS or for another stream of its connection.
        return "tls-server" if server.timestamp_tcp_setup else "connect"
    return "response" if flow.response or error.startswith("server") else "request"


def _answered(where: str) -> int | None:
    """The status that the proxy itself gave to the client."""
    return 502 if where in ("connect", "tls-server") else None


__all__ = ["Attempt", "AttemptLog", "Sink", "attempt_of", "is_opening_handshake"]
