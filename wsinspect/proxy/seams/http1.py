"""Seam: mitmproxy's HTTP/1 reader and writer (`layers.http.Http1Server` and `Http1Client`), as subclasses.

Stock mitmproxy parses a head and writes a new one; it hangs on an informational response, eats line breaks
at the start of an upgraded stream, frames upgraded bytes when the head said `chunked`, and takes a client's
FIN during the handshake for a lost interest. Here instead:

- every head is kept byte for byte (`wire_head`), and what leaves is the same bytes wherever no field was
  changed;
- 1xx responses other than 101 are handed to an HTTP/1 client as they came (RFC 9110 section 15.2);
- empty lines before a request line belong to its head, and are sent with it;
- a proxy request for `ws://` or `wss://` is one for `http://` or `https://`;
- after a 101 nothing is stripped and nothing is framed;
- for an opening handshake, a FIN or RST before the response is passed on instead of being answered;
- bytes that cannot begin an HTTP response (an SSH banner, a TLS alert) are an opening handshake's answer as
  they come: a client that would give up at them is not left waiting for the server's end;
- an opening handshake that came over HTTP/2 leaves as one of HTTP/1.1, and the other way round, where that is
  asked for (`handshake.bridging`).

The names are looked up by mitmproxy as globals of `mitmproxy.proxy.layers.http` at call time; that is what
`install_http1` rebinds.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from h2.errors import ErrorCodes
from h11._receivebuffer import ReceiveBuffer
from mitmproxy import http
from mitmproxy.connection import ConnectionState
from mitmproxy.net.http import http1, status_codes
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    HttpEvent,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestTrailers,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
)
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Connection, Http1Server

from wsinspect.handshake.bridging import (
    broken_switch,
    request_fields,
    safe_target,
    switch_fields,
    trailer_section,
    upgrade_fields,
)
from wsinspect.handshake.heads import RawHead
from wsinspect.proxy.seams.tls import has_close_notify, report_every_end
from wsinspect.proxy.seams.transport import Wire, tls_of
from wsinspect.units import whole_number

if TYPE_CHECKING:
    from wsinspect.proxy.seams.http2_tunnels import Tunnel

Commands = layer.CommandGenerator[None]


class Observer(Protocol):
    """Who is notified of what never becomes a flow."""

    def unreadable_request(self, context: Context, raw: bytes, answer: bytes) -> None:
        """mitmproxy gave its own answer to a request's head that it cannot read."""


class _Nobody:
    def unreadable_request(self, context: Context, raw: bytes, answer: bytes) -> None:
        return


_observer: Observer = _Nobody()


def observe_heads(observer: Observer) -> None:
    """Report to this one from now on, instead of the one before."""
    global _observer
    _observer = observer


#: A request in absolute form with the scheme of a WebSocket, as aiohttp sends it to a proxy.
_WEBSOCKET_URL = re.compile(rb"[A-Za-z]+ (ws)s?://", re.IGNORECASE)
#: How HTTP/2 begins where no TLS has agreed on it (RFC 9113 section 3.4).
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n"
HTTP2_WITHOUT_TLS = "HTTP/2 without TLS (prior knowledge) is not spoken here"
_HEAD_END = re.compile(rb"\n\r?\n")
_STATUS = re.compile(rb"HTTP/\d\.\d +(\d{3})")
_HEAD_ATTRIBUTE = "wsinspect_wire_head"
_HTTP = b"HTTP/"
#: Line breaks before a status line are looked through as far as this.
_LEADING_BYTES = 64
#: A larger header block is refused (Chromium, nginx and Node refuse far smaller ones).
MAX_HEAD_BYTES = 1 << 20
#: What came after a handshake before its answer is sent on in pieces no larger than a read.
_PIECE_BYTES = 1 << 16
#: How much is recorded of an answer that is not HTTP: enough to name what speaks.
_FOREIGN_BYTES = 1 << 10
_TOO_LARGE = "is larger than 1 MiB"


@dataclass(slots=True)
class WireHead:
    """A head as it was received, travelling with the message that mitmproxy made of it.

    Attributes:
        raw: from the first byte of the start line to the empty line that ends the head, both included.
        fields: the header fields mitmproxy read from it, to tell later whether they were changed.
        start: the start line as mitmproxy would write it, for the same purpose.
        forwarded: called with the bytes that left instead, once they are written.
        informational: called with each 1xx head that came before this response's final one.
        unreadable: called with what came instead of a response head; again where more of it came, with all.
        keep_rest: has what came of a response head reported, where no more is waited for.
        error: what to tell the client when there will be no response of the server's.
        answered: called with the response that we gave in the server's place.
        early: called with how many bytes the client had sent behind its request when it got the 101.
        is_forwarded: the request has been written to the server.
        early_ends: how the client ended right behind the request ("close_notify", "fin").
        watched: this is an opening handshake, whose early ends are passed on.
        ended: called with "fin" or "rst", and of HTTP/2 the frame, when the client ends before the response.
        fields2: of HTTP/2, all fields in order, pseudo-header fields included; `raw` is these as text.
        tunnel: the HTTP/2 stream of this side, where the message opens one (`seams.http2_tunnels`).
        protocol: what an extended CONNECT asks for (RFC 8441 section 4), as `:protocol` names it.
        may_bridge: a server of HTTP/1.1 may answer it, though it came over HTTP/2.
        opposite: the server's HTTP/2 stream for a handshake that came over HTTP/1.1.
        asks: it is known that this is an opening handshake.
        was_allowed: whether the server's SETTINGS allowed an extended CONNECT when this one left; None before
            they came.
    """

    raw: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    start: bytes
    forwarded: Callable[[bytes], None] | None = None
    informational: Callable[[bytes], None] | None = None
    answered: Callable[[bytes], None] | None = None
    early: Callable[[int], None] | None = None
    unreadable: Callable[[bytes], None] | None = None
    keep_rest: Callable[[], None] | None = None
    error: str = ""
    watched: bool = False
    is_forwarded: bool = False
    early_ends: list[str] = field(default_factory=list)
    ended: Callable[..., None] | None = None
    fields2: Sequence[tuple[bytes, bytes]] | None = None
    tunnel: Tunnel | None = None
    protocol: bytes | None = None
    may_bridge: bool = False
    opposite: Tunnel | None = None
    was_allowed: bool | None = None
    asks: bool = False

    def settle(self) -> None:
        """The answer has left: nothing of the handshake is reported any more."""
        self.forwarded = self.informational = self.answered = self.unreadable = self.keep_rest = None
        self.early = self.ended = None


@dataclass
class PassInformational(HttpEvent):
    """A 1xx response (RFC 9110 section 15.2) on its way to a client of the other HTTP version."""

    fields: Sequence[tuple[bytes, bytes]]


def wire_head(message: http.Message) -> WireHead | None:
    """The head `message` was read from; None for one that was not read from HTTP/1."""
    head: WireHead | None = message.__dict__.get(_HEAD_ATTRIBUTE)
    return head


def _attach(message: http.Message, raw: bytes, assemble: Callable[[Any], bytes]) -> None:
    start = assemble(message).split(b"\r\n", 1)[0]
    message.__dict__[_HEAD_ATTRIBUTE] = WireHead(raw, message.headers.fields, start)


def attach_head(message: http.Message, raw: bytes) -> WireHead:
    """Let a message of our own leave as `raw`, and be reported like any other."""
    start = raw.split(b"\r\n", 1)[0]
    return carry_head(message, WireHead(raw, message.headers.fields, start))


def carry_head(message: http.Message, head: WireHead) -> WireHead:
    """Have the head travel with the message."""
    message.__dict__[_HEAD_ATTRIBUTE] = head
    return head


def _peek_head(buffer: ReceiveBuffer) -> bytes | None:
    """The complete head at the start of h11's receive buffer, left where it is.

    It is called at every read, so it looks at h11's own bytes, from where h11's search stopped: a copy, or a
    search from the start, would make a head that comes in many pieces cost the square of its length.
    """
    found = _HEAD_END.search(buffer._data, buffer._multiple_lines_search, MAX_HEAD_BYTES)
    return bytes(buffer._data[: found.end()]) if found else None


def _take_empty_lines(buffer: ReceiveBuffer) -> bytes:
    """Take the empty lines off the start of h11's receive buffer: h11 reads each as a head without lines.

    A server ignores them before a request line (RFC 9112 section 2.2).
    """
    taken = bytearray()
    while buffer._data[:1] == b"\n" or buffer._data[:2] == b"\r\n":
        taken += buffer.maybe_extract_at_most(1 if buffer._data[:1] == b"\n" else 2) or b""
    return bytes(taken)


def _is_foreign(buffer: ReceiveBuffer) -> bool:
    """Whether what has come of an answer cannot be the beginning of an HTTP/1 response."""
    first = bytes(buffer._data[:_LEADING_BYTES]).lstrip(b"\r\n")[: len(_HTTP)]
    return not _HTTP.startswith(first.upper())


def head_bytes(message: http.Message, assembled: bytes) -> bytes:
    """What to write for `message`: the bytes it was read from wherever nothing was changed.

    Args:
        message: a request or response, possibly changed since it was read.
        assembled: the head as mitmproxy would write it.
    """
    head = wire_head(message)
    if head is None:
        return assembled
    start = assembled.split(b"\r\n", 1)[0]
    if start == head.start and message.headers.fields == head.fields:
        return head.raw
    changed = None if start == head.start else start
    return RawHead.parse(head.raw).rebuild(changed, message.headers.fields).head


class _Relaying(Http1Connection):
    """What both sides do alike: an upgraded stream is passed through untouched."""

    @property
    def is_upgraded(self) -> bool:
        return self.response is not None and self.response.status_code == 101

    def make_pipe(self) -> Commands:
        if not self.is_upgraded:
            yield from super().make_pipe()
            return
        self.state = self.passthrough
        while early := self.buf.maybe_extract_at_most(_PIECE_BYTES):
            yield from self.state(events.DataReceived(self.conn, bytes(early)))


class RelayHttp1Server(_Relaying, Http1Server):
    """The side towards the client."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._early_ends: list[events.ConnectionClosed] = []
        #: What came before the next request line.
        self._empty_lines = b""

    def read_headers(self, event: events.ConnectionEvent) -> Commands:
        if isinstance(event, events.DataReceived):
            self._empty_lines += _take_empty_lines(self.buf)
        raw = _peek_head(self.buf) if isinstance(event, events.DataReceived) else None
        if raw is None and len(self._empty_lines) + len(self.buf) > MAX_HEAD_BYTES:
            self.state = self.done
            yield commands.SendData(self.conn, error_response(431, f"the request header block {_TOO_LARGE}"))
            yield commands.CloseConnection(self.conn)
            return
        if raw and raw.startswith(_HTTP2_PREFACE):
            # mitmproxy would send it on as a request with the method PRI, and nobody would know.
            self.state = self.done
            refusal = error_response(400, HTTP2_WITHOUT_TLS)
            _observer.unreadable_request(self.context, raw, refusal)
            yield commands.SendData(self.conn, refusal)
            yield commands.CloseConnection(self.conn)
            return
        if raw and (found := _WEBSOCKET_URL.match(raw)):
            # mitmproxy knows only http and https; the bytes as received are kept in `raw`.
            rest = bytes(self.buf.maybe_extract_at_most(len(self.buf)) or b"")
            self.buf += rest[: found.start(1)] + b"http" + rest[found.end(1) :]
        if raw:
            raw, self._empty_lines = self._empty_lines + raw, b""
        for command in super().read_headers(event):
            if raw and isinstance(command, ReceiveHttp) and isinstance(command.event, RequestHeaders):
                _attach(command.event.request, raw, http1.assemble_request_head)
                raw = None
            elif raw and isinstance(command, commands.SendData) and command.connection is self.conn:
                _observer.unreadable_request(self.context, raw, bytes(command.data))
                raw = None
            yield command

    def wait(self, event: events.Event) -> Commands:
        """A client that ends while its handshake is being answered (see the module docstring)."""
        head = wire_head(self.request) if self.request else None
        if not isinstance(event, events.ConnectionClosed) or head is None or not head.watched:
            yield from super().wait(event)
            return
        wire = Wire.of(self.context)
        how = self._how_ended(wire)
        if head.keep_rest:
            head.keep_rest()
        if head.ended:
            head.ended(how)
        if how == "rst":
            wire.reset_server_on_close()
            yield from super().wait(event)
            return
        self._early_ends.append(event)
        if not self.buf:
            # What came after the request goes to the server with the 101, and the end after that.
            head.early_ends.append(how)
            if head.opposite is not None:
                head.opposite.finish()
            elif head.is_forwarded:
                wire.end_server(self.context, how)

    def _how_ended(self, wire: Wire) -> str:
        """close_notify and the FIN after it come as two events, once the TLS layer reports both."""
        for tls in tls_of(self.context, self.conn)[-1:]:
            if not self._early_ends and has_close_notify(tls):
                report_every_end(tls)
                return "close_notify"
        return wire.end_of(self.conn)

    def mark_done(self, *, request: bool = False, response: bool = False) -> Commands:
        yield from super().mark_done(request=request, response=response)
        if self._early_ends and self.state == self.read_headers:
            yield from self.read_headers(self._early_ends[-1])

    def make_pipe(self) -> Commands:
        head = wire_head(self.request) if self.request else None
        if self.is_upgraded and self.buf and head is not None and head.early is not None:
            head.early(len(self.buf))
        yield from super().make_pipe()
        for event in self._early_ends:
            yield from self.passthrough(event)

    def send(self, event: HttpEvent) -> Commands:
        if isinstance(event, ResponseTrailers) or (isinstance(event, ResponseData) and not event.data):
            return  # stock mitmproxy takes the first for an error; an empty chunk is the last one
        if isinstance(event, ResponseHeaders) and not (event.response.is_http2 or event.response.is_http3):
            self.response = event.response
            head = wire_head(event.response)
            raw = head_bytes(event.response, http1.assemble_response_head(event.response))
            yield commands.SendData(self.conn, raw)
            if head and head.forwarded:
                head.forwarded(raw)
        elif isinstance(event, ResponseHeaders):
            yield from self._send_converted(event)
        elif isinstance(event, PassInformational):
            yield commands.SendData(self.conn, _informational_head(event.fields))
        elif isinstance(event, ResponseData) and self.is_upgraded:
            yield commands.SendData(self.conn, event.data)
        elif isinstance(event, ResponseEndOfMessage) and self.is_upgraded:
            yield from self.mark_done(response=True)
        elif isinstance(event, ResponseProtocolError) and not self.response:
            yield from self._send_error(event)
        else:
            yield from super().send(event)

    def _send_converted(self, event: ResponseHeaders) -> Commands:
        """A response that came over HTTP/2."""
        head = wire_head(event.response)
        raw = b""
        if head is not None and head.tunnel is not None and event.response.status_code == 101:
            self.response = event.response
            key = self.request.headers.get("sec-websocket-key", "") if self.request else ""
            fields = switch_fields(event.response.headers.fields, key.encode("utf-8", "surrogateescape"))
            raw = _head_of(b"HTTP/1.1 101 Switching Protocols", fields)
            yield commands.SendData(self.conn, raw)
        else:
            for command in super().send(event):
                raw = bytes(command.data) if isinstance(command, commands.SendData) else raw
                yield command
        if head and head.forwarded and raw:
            head.forwarded(raw)

    def _send_error(self, event: ResponseProtocolError) -> Commands:
        """Our own answer where there is none of the server's, in words for whoever reads it."""
        status = status_of(event.code)
        if status is not None and self.conn.state & ConnectionState.CAN_WRITE:
            head = wire_head(self.request) if self.request else None
            raw = error_response(status, (head.error if head else "") or event.message)
            yield commands.SendData(self.conn, raw)
            if head and head.answered:
                head.answered(raw)
        yield commands.CloseConnection(self.conn)


class RelayHttp1Client(_Relaying, Http1Client):
    """The side towards the server."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        #: Sec-WebSocket-Key of a handshake that came over HTTP/2.
        self._key: bytes | None = None
        self._trailers: tuple[tuple[bytes, bytes], ...] = ()
        #: The beginning of an answer that is not HTTP.
        self._foreign = b""

    @property
    def _is_chunked(self) -> bool:
        head = self.request
        return head is not None and "chunked" in head.headers.get("transfer-encoding", "").lower()

    def send(self, event: HttpEvent) -> Commands:
        if isinstance(event, RequestData) and not event.data:
            return  # an empty chunk is the last one
        if isinstance(event, RequestTrailers):
            self._trailers = event.trailers.fields  # stock mitmproxy takes them for an error
            return
        if isinstance(event, RequestEndOfMessage) and self._trailers and self._is_chunked:
            yield commands.SendData(self.conn, trailer_section(self._trailers))
            yield from self.mark_done(request=True)
            return
        if isinstance(event, RequestData) and self.is_upgraded:
            yield commands.SendData(self.conn, event.data)
            return
        if not isinstance(event, RequestHeaders) or event.request.is_http2 or event.request.is_http3:
            head = wire_head(event.request) if isinstance(event, RequestHeaders) else None
            if not isinstance(event, RequestHeaders) or head is None or head.tunnel is None:
                if isinstance(event, RequestHeaders):
                    _put_into_http1(event)
                yield from super().send(event)
            elif head.may_bridge and head.protocol == b"websocket":
                yield from self._send_upgrade(event, head)
            else:
                yield from self._refuse_tunnel(event.stream_id)
            return
        for command in super().send(event):
            if isinstance(command, commands.SendData):
                command.data = head_bytes(event.request, command.data)
                yield command
                self._note_forwarded(wire_head(event.request), command.data)
            else:
                yield command

    def read_headers(self, event: events.ConnectionEvent) -> Commands:
        head = wire_head(self.request) if self.request else None
        if isinstance(event, events.DataReceived):
            yield from self._pass_informational(head)
            if not self.buf:
                return
            if head is not None and head.watched and _is_foreign(self.buf):
                self.state = self.read_foreign
                yield from self.read_foreign(event)
                return
            raw = _peek_head(self.buf)
            if raw is None and self.request and len(self.buf) > MAX_HEAD_BYTES:
                yield from self._refuse_head(head)
                return
            for command in super().read_headers(event):
                if raw and isinstance(command, ReceiveHttp) and isinstance(command.event, ResponseHeaders):
                    response = command.event.response
                    _attach(response, raw, http1.assemble_response_head)
                    if self._key is not None and response.status_code == 101:
                        why = broken_switch(response.headers.fields, self._key)
                        if why is not None:
                            yield from self._refuse_switch(why, raw, head)
                            return
                        assert head is not None
                        assert head.tunnel is not None
                        head.tunnel.is_accepted = True
                    raw = None
                elif raw and head and head.unreadable:
                    head.unreadable(raw)
                    raw = None
                yield command
        elif head is not None and head.watched:
            yield from self._pass_early_end(head)
        else:
            yield from super().read_headers(event)

    def read_foreign(self, event: events.ConnectionEvent) -> Commands:
        """An answer that is not HTTP: passed on as it comes, unless to HTTP/2; its beginning is recorded."""
        head = wire_head(self.request) if self.request else None
        assert head is not None
        if not isinstance(event, events.DataReceived):
            yield from self._pass_early_end(head)
            return
        data = bytes(self.buf.maybe_extract_at_most(len(self.buf)) or b"")
        if data and self.context.client.alpn != b"h2":
            yield commands.SendData(self.context.client, data)
        room = _FOREIGN_BYTES - len(self._foreign)
        if data and room > 0 and head.unreadable:
            self._foreign += data[:room]
            head.unreadable(self._foreign)

    def _keep_rest(self) -> None:
        """The client has left: what came of a head is all that will be seen of it."""
        head = wire_head(self.request) if self.request else None
        if head is not None and head.unreadable and self.state == self.read_headers and self.buf:
            head.unreadable(bytes(self.buf._data[:MAX_HEAD_BYTES]))

    def _send_upgrade(self, event: RequestHeaders, head: WireHead) -> Commands:
        """An extended CONNECT, as HTTP/1.1 asks for a WebSocket."""
        request = event.request.copy()
        data = request.data
        self._key = base64.b64encode(secrets.token_bytes(16))
        data.http_version = b"HTTP/1.1"
        data.path, data.authority = safe_target(data.path), safe_target(data.authority)
        data.headers = http.Headers(upgrade_fields(data.authority, request.headers.fields, self._key))
        data.authority = b""
        carry_head(request, head)
        for command in super().send(RequestHeaders(event.stream_id, request, end_stream=True)):
            yield command
            if isinstance(command, commands.SendData):
                self._note_forwarded(head, command.data)

    def _refuse_switch(self, why: str, raw: bytes, head: WireHead | None) -> Commands:
        """A 101 that a client of HTTP/1.1 would fail: a client of HTTP/2 cannot see what is wrong with it."""
        assert self.stream_id is not None
        self.state = self.done
        if head and head.unreadable:
            head.unreadable(raw)
        yield commands.CloseConnection(self.conn)
        code = error_code_of("GENERIC_SERVER_ERROR", status_codes.BAD_GATEWAY)
        yield ReceiveHttp(ResponseProtocolError(self.stream_id, why, code))

    def _refuse_tunnel(self, stream_id: int) -> Commands:
        """An extended CONNECT for a server that turns out to speak HTTP/1.1: its client has to, as well."""
        code = error_code_of("HTTP_1_1_REQUIRED", status_codes.BAD_GATEWAY)
        error = ResponseProtocolError(stream_id, "server speaks HTTP/1.1", code)
        error.__dict__["h2_code"] = int(ErrorCodes.HTTP_1_1_REQUIRED)
        yield commands.CloseConnection(self.conn)
        yield ReceiveHttp(error)

    def _note_forwarded(self, head: WireHead | None, raw: bytes) -> None:
        if head is None:
            return
        head.is_forwarded = True
        if head.watched:
            head.keep_rest = self._keep_rest
            # A server may send its 101, its last frame and both its ends before the relay is in place.
            for tls in tls_of(self.context, self.conn):
                report_every_end(tls)
        if head.forwarded:
            head.forwarded(raw)
        for how in head.early_ends:
            Wire.of(self.context).end_server(self.context, how)

    def _pass_informational(self, head: WireHead | None) -> Commands:
        if not self.request:
            return
        while (raw := _peek_head(self.buf)) and (found := _STATUS.match(raw)):
            status = int(found[1])
            if not 100 <= status < 200 or status == 101:
                return
            self.buf.maybe_extract_at_most(len(raw))
            if self.context.client.alpn == b"h2":
                assert self.stream_id is not None
                fields = [(one.key, one.value) for one in RawHead.parse(raw).fields if one.name]
                event = PassInformational(self.stream_id, [(b":status", found[1]), *fields])
                yield http_layers.SendHttp(event, self.context.client)
            else:
                yield commands.SendData(self.context.client, raw)
            if head and head.informational:
                head.informational(raw)

    def _refuse_head(self, head: WireHead | None) -> Commands:
        """The server's head does not end: the client gets a 502, the record what there is of it."""
        assert self.stream_id is not None
        self.state = self.done
        if head and head.unreadable:
            head.unreadable(bytes(self.buf.maybe_extract_at_most(MAX_HEAD_BYTES) or b""))
        yield commands.CloseConnection(self.conn)
        code = error_code_of("GENERIC_SERVER_ERROR", status_codes.BAD_GATEWAY)
        yield ReceiveHttp(
            ResponseProtocolError(self.stream_id, f"server's response header block {_TOO_LARGE}", code)
        )

    def _pass_early_end(self, head: WireHead) -> Commands:
        """The server ended before it answered: the client gets what there is of a head, and the same end."""
        assert self.stream_id is not None
        wire = Wire.of(self.context)
        how = wire.end_of(self.conn)
        is_own_connection = self.context.client.alpn != b"h2"
        if rest := bytes(self.buf):
            if is_own_connection:
                yield commands.SendData(self.context.client, rest)
            if head.unreadable:
                head.unreadable(rest)
        if how == "rst" and is_own_connection:
            wire.reset_on_close(self.context.client)
        yield commands.CloseConnection(self.conn)
        message = f"server ended the connection before a response ({how})"
        error = ResponseProtocolError(self.stream_id, message, _no_response_code())
        if not is_own_connection:
            # RFC 9113 section 8.5: what becomes of a stream whose TCP connection ended.
            error.__dict__["h2_code"] = int(ErrorCodes.CONNECT_ERROR)
        yield ReceiveHttp(error)


def _put_into_http1(event: RequestHeaders) -> None:
    """An ordinary request of HTTP/2, before stock mitmproxy writes it: framed, and one request."""
    data = event.request.data
    data.method, data.path = safe_target(data.method), safe_target(data.path)
    data.authority = safe_target(data.authority)
    data.headers = http.Headers(request_fields(data.headers.fields, has_body=not event.end_stream))


def _head_of(start_line: bytes, fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    return b"\r\n".join([start_line, *(name + b": " + value for name, value in fields), b"", b""])


def _informational_head(fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A 1xx response of HTTP/2 as one of HTTP/1.1."""
    status = dict(fields).get(b":status", b"103")
    reason = status_codes.RESPONSES.get(whole_number(status) or 0, "").encode()
    own = [(name, value) for name, value in fields if name[:1] != b":"]
    return _head_of(b"HTTP/1.1 " + status + b" " + reason, own)


def error_code_of(name: str, status: int) -> Any:
    """mitmproxy 12's ErrorCode of this name; in 11 an error code is an HTTP status."""
    try:
        from mitmproxy.proxy.layers.http._events import ErrorCode
    except ImportError:
        return status
    return ErrorCode[name]


def _no_response_code() -> Any:
    """The error code for which mitmproxy sends no error page of its own."""
    return error_code_of("KILL", status_codes.NO_RESPONSE)


def status_of(code: Any) -> int | None:
    """The HTTP status for an error code; None where no response is to be sent."""
    if hasattr(code, "http_status_code"):
        status: int | None = code.http_status_code()
        return status
    return None if code == status_codes.NO_RESPONSE else int(code)


def error_response(status: int, message: str) -> bytes:
    """A response of ours: plain text, one sentence, and no doubt about who says it."""
    body = f"wsinspect: {message}\n".encode()
    reason = status_codes.RESPONSES.get(status, "Error")
    head = (
        f"HTTP/1.1 {status} {reason}\r\nServer: wsinspect\r\nConnection: close\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def install_http1() -> None:
    """Rebind the two names that HttpLayer and HttpClient look up."""
    names = vars(http_layers)
    names["Http1Server"] = RelayHttp1Server
    names["Http1Client"] = RelayHttp1Client


__all__ = [
    "PassInformational",
    "WireHead",
    "attach_head",
    "carry_head",
    "head_bytes",
    "install_http1",
    "observe_heads",
    "wire_head",
]
