"""What happens on connections apart from any opening handshake, as events of the engine itself.

- `tls_failed`: a client's TLS handshake with this proxy failed;
- `client_left`: a client connected and left without sending a byte (a browser's check of the address space,
  or a connection that it opened in advance);
- `passed_unread`: a tunnel is passed on as it is, so that a WebSocket in it is not recorded;
- `request_failed`: a request that is not an opening handshake got a 502 of this proxy's own, with the reason;
- `alpn`: a side offered HTTP/2 and the other one answered with something else;
- `h2_settings`: a server's SETTINGS, and what this proxy announced to the client in their place;
- `alt_svc`: a response offers HTTP/3, and whether this proxy took the offer away;
- `h2_connect_refused`: an extended CONNECT of a client, which this proxy does not carry;
- `h2_error`: a connection without WebSockets was ended because its peer broke HTTP/2;
- `h2_flood`: a peer sent very many frames that cost whoever has to answer them.

Those about SETTINGS, HTTP/3, refusals and floods are written once for the same facts, failures at most
`MAX_ALIKE` times: a flood of the same is one fact, and every event is a line for the user.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, Protocol

from mitmproxy import connection, http
from mitmproxy.proxy.context import Context

from wsinspect.proxy import facts
from wsinspect.proxy.clock import to_ns
from wsinspect.proxy.seams.transport import Wire
from wsinspect.proxy.taps import Taps
from wsinspect.units import whole_number
from wsinspect.vocabulary import Side, events

#: Most different facts reported in one run; a client could invent names forever.
MAX_REPORTED: Final = 500
#: How many times the same failure is reported.
MAX_ALIKE: Final = 20
#: What is kept of the first bytes of a tunnel that is passed on unread.
_FIRST_BYTES: Final = 64


class EventSink(Protocol):
    """What takes the events (the journal)."""

    def event(self, connection: int, event: events.Event, time_ns: int) -> None: ...


class ConnectionEvents:
    """Writes the events of the module docstring; it is the observer of the seams `http2` and `next_layer`.

    Args:
        sink: takes the events.
        now_ns: the engine's clock.
        taps: names of the listeners.
    """

    def __init__(self, sink: EventSink, now_ns: Callable[[], int], taps: Taps) -> None:
        self._sink = sink
        self._now_ns = now_ns
        self._taps = taps
        self._reported: Counter[tuple[Any, ...]] = Counter()

    def client_left(self, client: connection.Client) -> None:
        """A client disconnected; reported where it never sent anything."""
        wire = Wire.of_client(client)
        endpoint = wire.endpoints.get(client.id) if wire else None
        if endpoint is None or endpoint.has_received:
            return
        begun_ns = to_ns(client.timestamp_start)
        now_ns = self._now_ns()
        event = events.ClientLeft(
            tap=self._tap(client),
            client=facts.address(client.peername),
            how=endpoint.how or "proxy",
            ms=None if begun_ns is None else round(max(0, now_ns - begun_ns) / 1e6, 3),
        )
        # What a rule of ours resets is a client's try, and tries are counted.
        most = MAX_REPORTED if event.how == "proxy" else MAX_ALIKE
        self._report(event, (event.KIND, event.tap, client.peername[0], event.how), most)

    def client_tls_failed(self, client: connection.Client, rule: str | None) -> None:
        """A client's TLS handshake failed, because of a fault's rule or by itself."""
        wire = Wire.of_client(client)
        endpoint = wire.endpoints.get(client.id) if wire else None
        event = events.TlsFailed(
            side=Side.CLIENT,
            tap=self._tap(client),
            client=facts.address(client.peername),
            sni=client.sni,
            error=client.error,
            rule=rule,
            how=(endpoint.how or None) if endpoint is not None else None,
        )
        self._sink.event(0, event, self._now_ns())

    def passed_unread(self, context: Context, first: bytes, reason: str) -> None:
        """A TCP connection is passed on as it is."""
        event = events.PassedUnread(
            tap=self._tap(context.client),
            client=facts.address(context.client.peername),
            server=facts.address(context.server.address),
            sni=context.client.sni,
            reason=reason,
            first=first[:_FIRST_BYTES].decode("latin-1"),
        )
        self._report(event, (event.KIND, event.tap, event.server, reason), MAX_ALIKE)

    def request_failed(self, flow: http.HTTPFlow, where: str, error: str, server: events.Server) -> None:
        """A plain request was answered by this proxy because there was no answer of its server's.

        Args:
            where: on which part of the way: "connect", "tls-server", "request" or "response".
            server: the leg behind the proxy as far as it came (`facts.server`).
        """
        request = flow.request
        event = events.RequestFailed(
            tap=self._tap(flow.client_conn),
            client=facts.address(flow.client_conn.peername),
            method=request.method,
            host=request.pretty_host,
            url=request.pretty_url.partition("?")[0][:500],
            where=where,
            status=502 if where in ("connect", "tls-server", "response") else None,
            error=error,
            server=server.address,
            tls=server.tls,
        )
        self._report(event, (event.KIND, event.tap, event.host, where), MAX_ALIKE)

    def unreadable_request(self, context: Context, raw: bytes, answer: bytes) -> None:
        """A request's head was refused by mitmproxy itself."""
        line = raw.lstrip(b"\r\n").split(b"\n", 1)[0].strip()[:500].decode("latin-1")
        status = answer.split(b" ", 2)[1].decode("ascii", "replace")
        event = events.RequestFailed(
            tap=self._tap(context.client),
            client=facts.address(context.client.peername),
            method=line.partition(" ")[0],
            url=line.partition(" ")[2],
            where="head",
            status=whole_number(status),
            error=_words_of(answer),
        )
        self._report(event, (event.KIND, event.tap, "head", event.client), MAX_ALIKE)

    def settings(self, context: Context, enable_connect: bool, is_passed_on: bool) -> None:
        client = context.client
        event = events.H2Settings(
            tap=self._tap(client),
            server=facts.address(context.server.address),
            server_enable_connect=enable_connect,
            client_enable_connect=is_passed_on,
            client_alpn=_text(client.alpn),
        )
        self._report(event, (event,))

    def refused_connect(self, context: Context, head: dict[str, str]) -> None:
        event = events.H2ConnectRefused(
            tap=self._tap(context.client),
            client=facts.address(context.client.peername),
            protocol=head.get(":protocol"),
            authority=head.get(":authority"),
            path=head.get(":path"),
            origin=head.get("origin"),
        )
        self._report(event, (event.KIND, event.tap, event.protocol, event.authority, event.path))

    def withdrew_connect(self, context: Context) -> None:
        event = events.H2Settings(
            tap=self._tap(context.client),
            server=facts.address(context.server.address),
            server_enable_connect=False,
            client_alpn=_text(context.client.alpn),
            withdrawn=True,
        )
        self._report(event, (event,))

    def broke_http2(self, context: Context, side: str, error: str) -> None:
        event = events.H2Error(
            tap=self._tap(context.client),
            side=side,
            client=facts.address(context.client.peername),
            server=facts.address(context.server.address),
            error=error[:500],
        )
        self._report(event, (event.KIND, event.tap, side, event.server), MAX_ALIKE)

    def flooded(self, context: Context, side: str, frame: str, count: int) -> None:
        event = events.H2Flood(
            tap=self._tap(context.client),
            side=side,
            client=facts.address(context.client.peername),
            server=facts.address(context.server.address),
            frame=frame,
            count=count,
        )
        self._report(event, (event.KIND, event.tap, side, event.client, event.server, frame))

    def passed_connect(self, flow: http.HTTPFlow, protocol: str, answer: str) -> None:
        """A CONNECT over HTTP/2 that asks for no WebSocket; `answer` is what the server said to it."""
        asked = f"a CONNECT with :protocol {protocol}" if protocol else "a CONNECT"
        event = events.PassedUnread(
            tap=self._tap(flow.client_conn),
            client=facts.address(flow.client_conn.peername),
            server=facts.address(flow.server_conn.address),
            sni=flow.client_conn.sni,
            reason=f"{asked} over HTTP/2, {answer}",
        )
        self._report(event, (event.KIND, event.tap, event.server, event.reason), MAX_ALIKE)

    def alt_svc(self, flow: http.HTTPFlow, value: str, *, is_stripped: bool) -> None:
        """A response offers HTTP/3."""
        event = events.AltSvc(
            tap=self._tap(flow.client_conn),
            client=facts.address(flow.client_conn.peername),
            host=flow.request.pretty_host,
            value=value[:500],
            stripped=is_stripped,
        )
        self._report(event, (event.KIND, event.tap, event.host, event.value))

    def alt_svc_frame(self, context: Context, origin: str, value: str, *, is_stripped: bool) -> None:
        """A server's HTTP/2 connection offers HTTP/3."""
        event = events.AltSvc(
            tap=self._tap(context.client),
            client=facts.address(context.client.peername),
            host=origin,
            value=value[:500],
            stripped=is_stripped,
        )
        self._report(event, (event.KIND, event.tap, event.host, event.value))

    def tls(self, client: connection.Client, conn: connection.Connection) -> None:
        """TLS was agreed on one side: what of ALPN?"""
        offered = [_text(one) for one in conn.alpn_offers]
        if "h2" not in offered or conn.alpn == b"h2":
            return
        is_client = conn is client
        event = events.Alpn(
            tap=self._tap(client),
            side=Side.CLIENT if is_client else Side.SERVER,
            name=client.sni if is_client else facts.address(getattr(conn, "address", None)),
            offered=offered,
            answered=_text(conn.alpn) or None,
        )
        self._report(event, (event.KIND, event.tap, event.side, event.name, event.answered))

    def _tap(self, client: connection.Client) -> str | None:
        tap = self._taps.of(client)
        return tap.name if tap else None

    def _report(self, event: events.Event, key: tuple[Any, ...], times: int = 1) -> None:
        if self._reported[key] < times and (key in self._reported or len(self._reported) < MAX_REPORTED):
            self._reported[key] += 1
            self._sink.event(0, event, self._now_ns())


def _words_of(answer: bytes) -> str:
    """The message in mitmproxy's error page, or in an answer of ours."""
    body = answer.partition(b"\r\n\r\n")[2].decode("utf-8", "replace")
    found = re.search(r"<p>(.*?)</p>", body, re.DOTALL) or re.match(r"wsinspect: (.+)", body)
    return html.unescape(found[1]).strip() if found else "the request cannot be read"


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("ascii", "backslashreplace")
