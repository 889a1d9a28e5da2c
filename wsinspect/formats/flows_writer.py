"""A capture as mitmproxy flows: what stock mitmproxy, mitmdump and mitmweb read (`mitmdump -r FILE`,
`mitmweb -r FILE`).

A flow for each connection, and for each plain request near one. A flow is a message tree that is written with
its length in front, so one connection is in memory at a time, and of its messages at most
`MAX_MESSAGE_BYTES`. mitmproxy has messages where the capture has frames: what that loses stands in
docs/formats.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any, Final, NamedTuple
from urllib.parse import urlsplit

from wsinspect.capture.queries.packets import transport_ends
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection, Handshake
from wsinspect.clients.nearby import Asked
from wsinspect.formats.choice import EVERYTHING, Choice
from wsinspect.formats.progress import Progress, nobody
from wsinspect.formats.requests_near import COMMENT, OnceEach, client_of
from wsinspect.formats.secrets import mask_head, mask_json, mask_url
from wsinspect.formats.transcript import messages
from wsinspect.handshake.heads import RawHead
from wsinspect.net import DEFAULT_PORTS, HTTP_SCHEMES, Address
from wsinspect.vocabulary import EndedBy

#: mitmproxy takes about six times a flow's size of memory to read it.
MAX_MESSAGE_BYTES: Final = 128 * 1024 * 1024
#: What a message costs in a flow apart from its bytes.
_MESSAGE_COST: Final = 100
_PAGE: Final = 200
_NO_CODE: Final = 1005
_ABNORMAL: Final = 1006
#: What mitmproxy has no place for, in a flow's metadata.
METADATA: Final = "wsinspect"
#: There, of an attempt: its method. Not every attempt has header fields that say what it was: a hop may have
#: taken them, and over HTTP/2 a pseudo-header field says it, for which a flow has no place.
ATTEMPT: Final = "attempt"


class FlowsWritten(NamedTuple):
    """What was written.

    Attributes:
        connections, messages: how many.
        truncated: messages that the capture does not hold all of.
        not_inflated: messages whose compressed bytes stand for them.
        left_out: messages beyond what one flow may hold.
        without_request: connections whose request is missing, so that no flow can be made.
        requests: plain requests near attempts, each a flow of its own.
    """

    connections: int
    messages: int
    truncated: int
    not_inflated: int
    left_out: int
    without_request: int
    requests: int = 0


def write_flows(
    capture: Capture,
    out: IO[bytes],
    *,
    choice: Choice = EVERYTHING,
    include_secrets: bool = False,
    progress: Progress = nobody,
) -> FlowsWritten:
    """Write a flow for each connection, refused and failed ones included, and for each request near one.

    Args:
        capture: what to export.
        out: where to.
        choice: which connections, and which of their messages.
        include_secrets: leave cookies, credentials and tokens in.
        progress: called with the number of messages.

    Raises:
        CaptureError: the capture is damaged.
    """
    from mitmproxy.io import FlowWriter

    writer = FlowWriter(out)
    counts, once = _Counts(), OnceEach()
    for one in _connections(capture, choice):
        shake = capture.handshake(one.id)
        client = client_of(one, RawHead.parse((shake and shake.request_in) or b""))
        asked = once.of(capture.events(one.id))
        before = [each for each in asked if each.began_ns < (one.attempt_ns or 0)]
        for each in before:
            counts.add_request(writer, _request_flow(each, one, client, masks=not include_secrets))
        flow = _Flow(capture, choice, counts, progress, include_secrets).make(one, shake)
        if flow is None:
            counts.without_request += 1
        else:
            counts.connections += 1
            flow.metadata[METADATA]["client"] = client
            writer.add(flow)
        for each in asked[len(before) :]:
            counts.add_request(writer, _request_flow(each, one, client, masks=not include_secrets))
    return FlowsWritten(
        counts.connections,
        counts.messages,
        counts.truncated,
        counts.not_inflated,
        counts.left_out,
        counts.without_request,
        counts.requests,
    )


class _Counts:
    def __init__(self) -> None:
        self.connections = self.messages = self.truncated = self.not_inflated = 0
        self.left_out = self.without_request = self.requests = 0

    def add_request(self, writer: Any, flow: Any) -> None:
        """Write the flow of a plain request, where there is one."""
        if flow is not None:
            writer.add(flow)
            self.requests += 1


def _request_flow(asked: Asked, near: Connection, client: str, *, masks: bool) -> Any:
    """A plain request near a connection as a flow; None where its URL is none."""
    from mitmproxy import connection, flow, http

    facts = asked.event
    url = (mask_url(facts.url) if masks else facts.url) if facts.url else ""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    if parts.scheme not in HTTP_SCHEMES.values() or not host or not port:
        return None
    address = _address(near.client)
    start = _seconds(asked.began_ns)
    made = http.HTTPFlow(
        connection.Client(
            peername=(address[0], 0) if address else ("0.0.0.0", 0),
            sockname=_address(near.listener) or ("0.0.0.0", 0),
            timestamp_start=start,
        ),
        connection.Server(address=(host, port)),
    )
    made.client_conn.tls = made.server_conn.tls = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host_field = parts.netloc.rpartition("@")[2].encode("utf-8", "surrogateescape")
    made.request = http.Request(
        host,
        port,
        (facts.method or "GET").encode("latin-1", "replace"),
        parts.scheme.encode(),
        b"",
        path.encode("utf-8", "surrogateescape"),
        b"HTTP/1.1",
        ((b"Host", host_field),),
        None,
        None,
        start,
        start,
    )
    at = start + (facts.ms or 0) / 1e3
    if facts.status is not None:
        known = {b"Content-Type": facts.media_type, b"Content-Length": facts.length}
        fields = tuple((name, str(value).encode()) for name, value in known.items() if value is not None)
        made.response = http.Response(b"HTTP/1.1", facts.status, b"", fields, None, None, at, at)
    else:
        error = facts.error or "no answer"
        made.error = flow.Error(str(mask_json(error)) if masks else error, at)
    made.comment = f"{COMMENT}: wsinspect connection {near.id}"
    made.metadata[METADATA] = {"client": client, "what": facts.what}
    return made


def _connections(capture: Capture, choice: Choice) -> Iterator[Connection]:
    after = 0
    while batch := capture.connections(after=after, limit=_PAGE):
        yield from (one for one in batch if choice.connections is None or one.id in choice.connections)
        after = batch[-1].id


class _Flow:
    """One connection as mitmproxy's `HTTPFlow`."""

    def __init__(
        self, capture: Capture, choice: Choice, counts: _Counts, progress: Progress, include_secrets: bool
    ) -> None:
        self._capture = capture
        self._choice = choice
        self._counts = counts
        self._progress = progress
        self._masks = not include_secrets

    def make(self, one: Connection, shake: Handshake | None) -> Any:
        from mitmproxy import connection, flow, http, websocket

        raw = None if shake is None else shake.request_in or shake.request_out
        if shake is None or raw is None:
            return None
        start = _seconds(one.attempt_ns or 0)
        client_address = _address(one.client) or ("0.0.0.0", 0)
        server_address = _address(one.server) or (one.host or "0.0.0.0", one.port or 0)
        listener = _address(one.listener) or ("0.0.0.0", 0)
        client = connection.Client(peername=client_address, sockname=listener, timestamp_start=start)
        server = connection.Server(
            address=server_address, peername=_address(one.server), timestamp_start=start
        )
        if one.scheme == "wss":
            for leg, facts in ((client, shake.client_tls), (server, shake.server_tls)):
                leg.tls = True
                leg.timestamp_tls_setup = start
                leg.sni = str((facts or {}).get("sni") or "") or None
        made = http.HTTPFlow(client, server)
        made.request = self._request(one, raw)
        response = shake.response_out or shake.response_in
        if response is not None:
            at = _seconds(next((t for t in (shake.response_out_ns, one.open_ns) if isinstance(t, int)), 0))
            made.response = self._response(one, response, shake.body or b"", at or start)
        if one.error and one.open_ns is None:
            made.error = flow.Error(one.error, _seconds(one.closed_ns or one.attempt_ns or 0))
        if one.open_ns is not None:
            made.websocket = websocket.WebSocketData(messages=[*self._messages(one.id)])
            self._end(one, made.websocket)
        made.comment = f"wsinspect connection {one.id}"
        asked = RawHead.parse(raw)
        method = "CONNECT" if asked.is_extended_connect else (asked.method or b"GET").decode("latin-1")
        made.metadata[METADATA] = {ATTEMPT: method}
        return made

    def _head(self, raw: bytes) -> RawHead:
        return RawHead.parse(mask_head(raw) if self._masks else raw)

    def _request(self, one: Connection, raw: bytes) -> Any:
        from mitmproxy import http

        head = self._head(raw)
        target = head.get(":path") if head.is_http2 else head.target
        at = _seconds(one.attempt_ns or 0)
        return http.Request(
            one.host or "",
            one.port or 0,
            b"GET" if head.is_http2 else head.method or b"GET",
            HTTP_SCHEMES.get(one.scheme or "ws", "http").encode(),
            b"",
            target or b"/",
            b"HTTP/2.0" if head.is_http2 else head.http_version or b"HTTP/1.1",
            _fields(head),
            b"",
            None,
            at,
            at,
        )

    def _response(self, one: Connection, raw: bytes, body: bytes, at: float) -> Any:
        from mitmproxy import http

        head = self._head(raw)
        version = b"HTTP/2.0" if head.is_http2 else head.http_version or b"HTTP/1.1"
        status = head.status or one.status or 0
        return http.Response(version, status, head.reason, _fields(head), body, None, at, at)

    def _messages(self, number: int) -> Iterator[Any]:
        from mitmproxy.websocket import WebSocketMessage
        from wsproto.frame_protocol import Opcode

        size, counts = 0, self._counts
        for said in messages(self._capture, number):
            if not self._choice.has("message", said.id):
                continue
            size += len(said.data) + _MESSAGE_COST
            if size > MAX_MESSAGE_BYTES:
                counts.left_out += 1
                continue
            counts.messages += 1
            counts.truncated += said.is_cut
            counts.not_inflated += said.problem in ("inflate-failed", "not-inflated", "over-cap")
            opcode = Opcode.TEXT if said.opcode == 1 else Opcode.BINARY
            yield WebSocketMessage(opcode, not said.direction, said.data, _seconds(said.time_ns))
            self._progress(counts.messages)

    def _end(self, one: Connection, websocket: Any) -> None:
        """Who closed with what code; as mitmproxy has it, 1006 where no CLOSE frame was seen."""
        if one.closed_ns is None:
            return
        websocket.timestamp_end = _seconds(one.closed_ns)
        by_client = one.ended_by == EndedBy.CLIENT
        code, reason = one.server_close_code, one.server_close_reason
        if by_client or reason is None:
            code, reason = one.client_close_code, one.client_close_reason
            by_client = by_client or reason is not None
        if reason is None:
            ends = transport_ends(self._capture, one.id, one.id, 1).get(one.id, ())
            by_client = any(end.side == "client" for end in ends) or by_client
            websocket.close_code = _ABNORMAL
        else:
            websocket.close_code = _NO_CODE if code is None else code
            websocket.close_reason = reason
        websocket.closed_by_client = by_client


def _fields(head: RawHead) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((one.name, one.value) for one in head.fields if one.name and one.name[:1] != b":")


def _address(text: str | None) -> tuple[str, int] | None:
    known = Address.read(text or "")
    return None if known is None else (known.host, known.port)


def _seconds(time_ns: int) -> float:
    return time_ns / 1e9
