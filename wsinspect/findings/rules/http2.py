"""HTTP/2: downgrades and dead ends (RFC 8441), by whom: a hop, a client, or this proxy itself.

The engine's events `alpn`, `h2_settings`, `h2_connect_refused` and `alt_svc` say what each side offered and
got.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from wsinspect.findings.evidence import JS_FAILED, JS_NOTHING, answer_hop, answer_marks, named, status_line
from wsinspect.findings.facts import CaptureFacts, ConnectionFacts
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.handshake import has_failed

rules = Rules()

#: What servers answer that know no such method or protocol, or cannot take it further.
_NOT_CARRIED: Final = (400, 405, 421, 501, 502, 505)


def _is_http2(facts: ConnectionFacts) -> bool:
    return (facts.http_version or "").startswith("HTTP/2")


def _is_upgrade(facts: ConnectionFacts) -> bool:
    """Whether it was sent with the method and fields of HTTP/1.1."""
    return facts.request_in is not None and facts.request_in.method == b"GET"


def events_of(facts: CaptureFacts, kind: str) -> Iterator[Mapping[str, Any]]:
    """The details of the engine's events of one kind."""
    return (event.detail for event in facts.events if event.kind == kind)


@rules(
    "WS-H2-005",
    "error",
    "client",
    "An HTTP/1.1 upgrade was sent over HTTP/2",
    meaning="The client agreed on HTTP/2 by ALPN and then sent Upgrade and Sec-WebSocket-Key, which mean"
    " nothing there (RFC 9113 section 8.2.2). curl does this to an https URL; browsers never do.",
    js=JS_NOTHING,
    topic="h2-upgrade",
    rows="H7 H8",
    group="attempt",
)
def upgrade_in_http2(facts: ConnectionFacts) -> Iterator[Found]:
    if has_failed(facts) and _is_http2(facts) and _is_upgrade(facts) and facts.request_in is not None:
        yield Found(
            evidence=(
                facts.request_in.start_line.decode("latin-1")[:160],
                facts.request_line("User-Agent"),
                status_line(facts) if facts.status else f"failed: {facts.error}",
            )
        )


@rules(
    "WS-H2-001",
    "error",
    "hop",
    "A WebSocket over HTTP/2 was refused",
    meaning="The request came as extended CONNECT (RFC 8441), and its stream was reset or got a status that"
    " says that CONNECT is not understood. The hop announces that it carries WebSockets over HTTP/2 and then"
    " does not.",
    js=JS_FAILED,
    topic="h2",
    rows="H6 H7 H8",
    group="attempt",
)
def extended_connect(facts: ConnectionFacts) -> Iterator[Found]:
    if not has_failed(facts) or not _is_http2(facts) or _is_upgrade(facts):
        return
    # What an application refuses, and what never reached it, has other causes, which other rules know.
    has_reached = facts.failed_where not in ("connect", "tls-server", "client", "stop")
    if has_reached and (facts.status is None or facts.status in _NOT_CARRIED):
        answer = status_line(facts) if facts.status else f"failed: {facts.error}"
        yield Found(
            evidence=("extended CONNECT with :protocol websocket", answer),
            hop=answer_hop(facts),
            software=named(answer_marks(facts)),
        )


@rules(
    "WS-H2-002",
    "warning",
    "hop",
    "The origin announces WebSockets over HTTP/2, and the hop before it does not",
    meaning="The origin's SETTINGS allow extended CONNECT (RFC 8441), and the hop does not announce it to"
    " clients. Their WebSockets take a separate HTTP/1.1 connection, which works only where HTTP/1.1"
    " does.",
    js="Nothing, unless HTTP/1.1 fails.",
    topic="h2",
    rows="H7",
    scope="capture",
)
def not_passed_on(facts: CaptureFacts) -> Iterator[Found]:
    settings = list(events_of(facts, "h2_settings"))
    behind = [one for one in settings if one.get("tap") == "origin" and one.get("server_enable_connect")]
    before = [one for one in settings if one.get("tap") == "edge"]
    plain = [
        one for one in events_of(facts, "alpn") if one.get("tap") == "edge" and one.get("side") == "server"
    ]
    if not behind or any(one.get("server_enable_connect") for one in before) or not (before or plain):
        return
    says = "not set" if before else f"ALPN answered {plain[0].get('answered') or 'nothing'}"
    hop = before[0].get("server") if before else plain[0].get("name")
    yield Found(
        evidence=(
            f"behind the hop, {behind[0].get('server')}: SETTINGS_ENABLE_CONNECT_PROTOCOL = 1",
            f"the hop, {hop}: {says}",
        ),
        hop="the hop between edge and origin",
    )


@rules(
    "WS-H2-003",
    "error",
    "tool",
    "A client sent a WebSocket over HTTP/2, and this proxy does not carry that",
    meaning="The client sent extended CONNECT (RFC 8441) although this proxy did not announce it, and its"
    " stream was refused with HTTP_1_1_REQUIRED. A client that does not fall back to HTTP/1.1 fails here and"
    " may work without the proxy.",
    js=JS_NOTHING,
    topic="tool-connect",
    rows="H8",
    scope="capture",
)
def dead_end(facts: CaptureFacts) -> Iterator[Found]:
    refused = list(events_of(facts, "h2_connect_refused"))
    if refused:
        one = refused[0]
        yield Found(
            evidence=(
                f"{one.get('client')}: CONNECT :protocol {one.get('protocol')} to {one.get('authority')}"
                f"{one.get('path') or ''}",
                f"and {len(refused) - 1} others" if len(refused) > 1 else "",
            ),
            hop="wsinspect",
        )


@rules(
    "WS-H2-004",
    "note",
    "hop",
    "HTTP/2 was offered and the hop answered HTTP/1.1",
    meaning="The client offered h2 by ALPN, this proxy passed the offer on, and the next hop took HTTP/1.1."
    " WebSockets work over HTTP/1.1, so this explains a failure only where the client wanted HTTP/2.",
    js=JS_NOTHING,
    topic="h2-offer",
    rows="H6 H8",
    scope="capture",
)
def downgraded(facts: CaptureFacts) -> Iterator[Found]:
    seen: dict[Any, Mapping[str, Any]] = {}
    # Most servers answer that way and their WebSockets open: reported only where one did not.
    failing = {one.tap for one in facts.connections if one.open_ns is None and not one.is_faulted}
    for one in events_of(facts, "alpn"):
        if one.get("side") == "server" and one.get("tap") in failing:
            seen.setdefault(one.get("name"), one)
    for name, one in list(seen.items())[:8]:
        yield Found(evidence=(_offer(one),), hop=str(name) if name else None)


@rules(
    "WS-H2-006",
    "note",
    "server",
    "The server offers HTTP/3: a browser may leave this proxy",
    meaning="Its responses have an Alt-Svc header for h3 (RFC 7838), and this proxy passed it on. A"
    " browser may send its next requests over QUIC to the port named there, and nothing of them is seen"
    " here; WebSockets stay on TCP, since no browser sends them over HTTP/3 yet.",
    js=JS_NOTHING,
    topic="alt-svc",
    rows="H8",
    scope="capture",
)
def leaves_for_http3(facts: CaptureFacts) -> Iterator[Found]:
    offers = [one for one in events_of(facts, "alt_svc") if not one.get("stripped")]
    if offers:
        hosts = dict.fromkeys(str(one.get("host")) for one in offers)
        yield Found(
            evidence=(
                f"{offers[0].get('host')}: Alt-Svc: {offers[0].get('value')}",
                f"hosts: {', '.join(list(hosts)[:8])}",
            )
        )


def _offer(one: Mapping[str, Any]) -> str:
    offered = ", ".join(str(protocol) for protocol in one.get("offered") or ())
    tap = f"tap {one.get('tap')}, " if one.get("tap") else ""
    return f"{tap}{one.get('name')}: ALPN offered {offered}; answered {one.get('answered') or 'nothing'}"
