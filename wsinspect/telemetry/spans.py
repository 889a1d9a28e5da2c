"""What a connection is as a span: name, times, attributes, events, and which trace it belongs to. Pure.

Attributes are OpenTelemetry's where it has names (`url.*`, `server.*`, `client.*`, `network.*`, `http.*`,
`tls.*`, `error.type`); it has none for WebSockets yet, hence `websocket.*` and `wsinspect.*`. Nothing that an
application said is among them: no payload, no close reason, no evidence. Secrets in URLs are masked.

Traces: a request with a valid `traceparent` belongs to that trace. Any other belongs to one made of its
`Sec-WebSocket-Key`, which hops pass on, so that taps on several machines name the same one; where there is a
`traceparent`, a link leads there. Span ids are made of capture, connection and tap, so that what is said
later finds them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from wsinspect.capture.queries.telemetry import Found, RoundTrips
from wsinspect.capture.records import Connection, Handshake
from wsinspect.formats.secrets import mask_url
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.tracing import parse_traceparent
from wsinspect.net import Address

Value = str | bool | int | float | Sequence[str]
Attributes = dict[str, Value]

#: What ends a WebSocket as it should (RFC 6455 section 7.4.1): done, and the page or the server goes away.
_GOOD_CODES: Final = frozenset({1000, 1001, 1005})
_NO_CODE: Final = 1005


class Context(NamedTuple):
    """Where a span stands.

    Attributes:
        trace_id, span_id: as numbers.
        parent_id: the span of whoever made the request; None without a `traceparent`.
        is_sampled: what the `traceparent` says; True where there is none.
        link: the trace and the span that are made of the handshake's key; None where that is the trace.
    """

    trace_id: int
    span_id: int
    parent_id: int | None = None
    is_sampled: bool = True
    link: tuple[int, int] | None = None


class SpanEvent(NamedTuple):
    """Something that happened at a moment; epoch nanoseconds."""

    name: str
    time_ns: int
    attributes: Mapping[str, Value]


@dataclass(frozen=True, kw_only=True)
class SpanFacts:
    """A span; epoch nanoseconds.

    Attributes:
        error: why its status is an error; None where it is not.
    """

    name: str
    context: Context
    start_ns: int
    end_ns: int
    attributes: Attributes = field(default_factory=dict)
    events: Sequence[SpanEvent] = ()
    error: str | None = None


def context_of(source: str, one: Connection, shake: Handshake | None) -> Context:
    """The trace and the span of a connection.

    Args:
        source: what tells the capture from all others.
    """
    head = _head(shake)
    span_id = _number(f"span {source} {one.id} {one.tap}", 8)
    key = _value(head, "sec-websocket-key")
    of_key = None if not key else (_number(f"trace {key}", 16), _number(f"key {key}", 8))
    parent = parse_traceparent(_value(head, "traceparent"))
    if parent is not None:
        return Context(
            int(parent.trace_id, 16), span_id, int(parent.parent_id, 16), parent.is_sampled, of_key
        )
    trace_id = of_key[0] if of_key is not None else _number(f"trace {source} {one.id}", 16)
    return Context(trace_id, span_id)


def own_context(source: str, number: int) -> Context:
    """A trace for what belongs to no connection."""
    return Context(
        _number(f"trace {source} finding {number}", 16), _number(f"span {source} finding {number}", 8)
    )


def span_of(
    source: str,
    one: Connection,
    shake: Handshake | None,
    *,
    found: Sequence[Found] = (),
    faults: Sequence[tuple[Any, ...]] = (),
    pings: Sequence[RoundTrips] = (),
    titles: Mapping[str, str],
) -> SpanFacts:
    """A connection that has come to its end.

    Args:
        source: what tells the capture from all others.
        found: its findings.
        faults: time of the first, rule, kind and how many, by rule and kind.
        pings: its round trips.
        titles: of rules.
    """
    start = _first(one.attempt_ns, one.open_ns, one.closed_ns)
    end = max(_first(one.closed_ns, one.open_ns, one.attempt_ns), start)
    events = [SpanEvent("attempt", start, {})]
    if one.open_ns is not None:
        events.append(SpanEvent("open", one.open_ns, _known({"http.response.status_code": one.status})))
    for time_ns, rule, kind, count in faults:
        said = {"wsinspect.fault.rule": rule, "wsinspect.fault.kind": kind, "wsinspect.fault.count": count}
        events.append(SpanEvent("fault", time_ns, said))
    events += [finding_event(each, titles, end) for each in found]
    if one.closed_ns is not None:
        events.append(SpanEvent("close", one.closed_ns, _end(one)))
    worst = next((each.rule for each in found if each.severity == "error"), None)
    error = _error(one) or worst
    attributes = _attributes(source, one, shake, pings)
    if error is not None:
        attributes["error.type"] = error
    return SpanFacts(
        name=f"websocket {one.host or '-'}",
        context=context_of(source, one, shake),
        start_ns=start,
        end_ns=end,
        attributes=attributes,
        events=sorted(events, key=lambda each: each.time_ns),
        error=error,
    )


def late_span(found: Found, context: Context, titles: Mapping[str, str], now_ns: int) -> SpanFacts:
    """A finding about a connection whose span has been sent, as a span without length.

    Args:
        context: of the connection, or of a trace of its own where it is about none.
    """
    event = finding_event(found, titles, now_ns)
    return SpanFacts(
        name=f"wsinspect finding {found.rule}",
        context=Context(
            context.trace_id,
            _number(f"finding {found.id} {context.span_id}", 8),
            context.span_id if found.connection_id is not None else None,
            context.is_sampled,
        ),
        start_ns=event.time_ns,
        end_ns=event.time_ns,
        attributes=dict(event.attributes),
        events=[event],
        error=found.rule if found.severity == "error" else None,
    )


def finding_event(found: Found, titles: Mapping[str, str], default_ns: int) -> SpanEvent:
    """A finding at the time of its frame."""
    said: Attributes = {"wsinspect.finding.id": found.rule, "wsinspect.finding.severity": found.severity}
    if title := titles.get(found.rule):
        said["wsinspect.finding.title"] = title
    return SpanEvent("finding", default_ns if found.time_ns is None else found.time_ns, said)


def _attributes(
    source: str, one: Connection, shake: Handshake | None, pings: Sequence[RoundTrips]
) -> Attributes:
    head = _head(shake)
    path, _, query = mask_url(one.path or "").partition("?")
    client, listener = (Address.read(text or "") for text in (one.client, one.listener))
    agent = _value(head, "user-agent")
    origin = _value(head, "origin")
    method = "" if head is None else head.method.decode("latin-1")
    tls = shake.client_tls if shake is not None and shake.client_tls else {}
    version = (one.http_version or "").removeprefix("HTTP/").removesuffix(".0")
    return (
        _known(
            {
                "url.scheme": one.scheme,
                "url.path": path or None,
                "url.query": query or None,
                "server.address": one.host,
                "server.port": one.port,
                "client.address": client and client.host,
                "client.port": client and client.port,
                "network.peer.address": client and client.host,
                "network.peer.port": client and client.port,
                "network.local.address": listener and listener.host,
                "network.local.port": listener and listener.port,
                "network.type": client and ("ipv6" if ":" in client.host else "ipv4"),
                "network.transport": "tcp",
                "network.protocol.name": "http",
                "network.protocol.version": version or None,
                "http.request.method": method
                if method in ("GET", "CONNECT")
                else "_OTHER"
                if method
                else None,
                "http.request.header.origin": [mask_url(origin)] if origin else None,
                "http.response.status_code": one.status,
                "user_agent.original": agent,
                "tls.protocol.version": _text(tls.get("version"), "TLSv", "TLS "),
                "tls.cipher": _text(tls.get("cipher")),
                "session.id": None if one.client_session is None else f"{source}-{one.client_session}",
                "wsinspect.capture": source,
                "wsinspect.connection": one.id,
                "wsinspect.tap": one.tap,
                "wsinspect.server": one.server,
                "websocket.handshake.key": _value(head, "sec-websocket-key"),
                "websocket.subprotocol": one.subprotocol,
                "websocket.extensions": one.extensions,
                "websocket.c2s.frames": one.c2s_frames,
                "websocket.s2c.frames": one.s2c_frames,
                "websocket.c2s.bytes": one.c2s_bytes,
                "websocket.s2c.bytes": one.s2c_bytes,
            }
        )
        | _end(one)
        | _round_trips(pings)
    )


def _end(one: Connection) -> Attributes:
    return _known(
        {
            "websocket.state": one.state,
            "websocket.ended_by": one.ended_by,
            "websocket.end": one.how,
            "websocket.close.code": one.js_code,
            "websocket.close.was_clean": one.js_was_clean,
            "websocket.close.client.code": one.client_close_code,
            "websocket.close.server.code": one.server_close_code,
            "wsinspect.fault.rule": one.rule,
        }
    )


def _round_trips(pings: Sequence[RoundTrips]) -> Attributes:
    """Seconds on each leg."""
    found: Attributes = {}
    for one in pings:
        if one.leg not in ("client", "server"):
            continue
        name = f"websocket.ping.{one.leg}"
        found[f"{name}.count"] = one.pings
        found[f"{name}.unanswered"] = one.pings - one.answered
        for what, value in (("min", one.least), ("mean", one.mean), ("max", one.most)):
            if value is not None:
                found[f"{name}.rtt.{what}"] = value / 1e9
    return found


def _error(one: Connection) -> str | None:
    """Why a connection failed, in a word; None where it did not."""
    if one.state == "refused":
        return str(one.status) if one.status is not None else "refused"
    if one.state in ("failed", "lost"):
        return one.state
    return (
        None if one.js_code is None or one.js_code in _GOOD_CODES or one.js_code >= 3000 else str(one.js_code)
    )


def _head(shake: Handshake | None) -> RawHead | None:
    return RawHead.parse(shake.request_in) if shake is not None and shake.request_in else None


def _value(head: RawHead | None, name: str) -> str | None:
    value = None if head is None else head.get(name)
    return None if value is None else value.decode("utf-8", "replace").strip()[:1024]


def _text(value: Any, *prefixes: str) -> str | None:
    if not isinstance(value, str):
        return None
    text = str(value)
    for prefix in prefixes:
        text = text.removeprefix(prefix)
    return text


def _known(values: Mapping[str, Any]) -> Attributes:
    return {name: value for name, value in values.items() if value is not None}


def _first(*times: int | None) -> int:
    return next((one for one in times if one is not None), 0)


def _number(text: str, size: int) -> int:
    """An id that is never zero."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:size]) or 1
