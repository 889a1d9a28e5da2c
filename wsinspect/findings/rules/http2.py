"""HTTP/2: downgrades and dead ends (RFC 8441), by whom: a hop, a client, or this proxy itself.

The engine's events `alpn`, `h2_settings`, `h2_connect_refused` and `alt_svc` say what each side offered and
got, `h2_error` and `h2_flood` what a peer did to a whole connection. What an error code means is RFC 9113
section 7; who set it complains about what came to it, so a complaint about the protocol has two suspects.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from wsinspect.findings.evidence import (
    JS_FAILED,
    JS_NOTHING,
    answer_hop,
    answer_marks,
    body_line,
    end_line,
    js_sees,
    marks_lines,
    named,
    status_line,
    two_causes,
)
from wsinspect.findings.facts import CaptureFacts, ConnectionFacts, text_of
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.handshake import SAYS_KEY, has_failed, is_refused
from wsinspect.findings.rules.reported import reported

rules = Rules()

#: How the reason begins why a CONNECT of HTTP/2 was passed on unread.
OTHER_CONNECT: Final = "a CONNECT"
#: Statuses of a server that misses something in the request.
_ABOUT_KEY: Final = (400, 403, 412, 426, 500, 501)
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


def _is_connect(facts: ConnectionFacts) -> bool:
    """Whether the request left here as an extended CONNECT, or came as one and never left."""
    out = facts.request_out or facts.request_in
    return out is not None and out.is_extended_connect


@rules(
    "WS-H2-008",
    "error",
    "hop",
    "The hop made an HTTP/1.1 upgrade of a WebSocket over HTTP/2, without Sec-WebSocket-Key",
    meaning="Over HTTP/2 there is no Sec-WebSocket-Key (RFC 8441 section 5), so a hop that speaks HTTP/1.1 to"
    " the server has to make one, and this server says that none came. Over HTTP/1.1 the client's own key"
    " gets through: the same URL works there.",
    js=JS_FAILED,
    topic="h2-key",
    rows="H7 H10",
    group="attempt",
)
def lacks_key(facts: ConnectionFacts) -> Iterator[Found]:
    if not (is_refused(facts) and _is_connect(facts)):
        return
    if SAYS_KEY.search(facts.content.lower()) and facts.status in _ABOUT_KEY:
        is_ours = facts.request_in is not None and not facts.request_in.is_extended_connect
        yield Found(
            evidence=(
                "extended CONNECT with :protocol websocket",
                "the client asked over HTTP/1.1; --http2-websocket bridge made it a CONNECT"
                if is_ours
                else "",
                status_line(facts),
                *body_line(facts),
                *marks_lines(answer_marks(facts)),
            ),
            hop=answer_hop(facts) or "between this proxy and the application",
            software=named(answer_marks(facts)),
        )


@rules(
    "WS-H2-007",
    "error",
    "client",
    "The client sent a WebSocket over HTTP/2 to a server that does not allow it",
    meaning="A client may send extended CONNECT only once the server's SETTINGS allow it (RFC 8441"
    " section 3), and this server's do not. Browsers open a separate HTTP/1.1 connection then, which works.",
    js=JS_NOTHING,
    topic="h2-unasked",
    rows="H7 H8",
    group="attempt",
)
def unasked_connect(facts: ConnectionFacts) -> Iterator[Found]:
    allowed = next((detail.get("allowed") for kind, detail in facts.events if kind == "h2_streams"), None)
    if has_failed(facts) and _is_connect(facts) and allowed is False and not _has_left(facts):
        yield Found(
            evidence=(
                "extended CONNECT with :protocol websocket",
                "the server's SETTINGS: SETTINGS_ENABLE_CONNECT_PROTOCOL is not 1",
                status_line(facts) if facts.status else f"failed: {facts.error}",
            ),
            software=named(answer_marks(facts)),
        )


@rules(
    "WS-H2-009",
    "warning",
    "server",
    "The server wants HTTP/1.1 for this WebSocket",
    meaning="It reset the stream with HTTP_1_1_REQUIRED: Chromium closes the page's whole HTTP/2 connection"
    " and tries again over HTTP/1.1, and other clients may fail. A server that cannot carry WebSockets over"
    " HTTP/2 does better not to allow them.",
    js="Nothing where the client tries again over HTTP/1.1; otherwise an error event and code 1006.",
    topic="h2",
    rows="H6 H7",
    group="attempt",
)
def wants_http1(facts: ConnectionFacts) -> Iterator[Found]:
    # The doctor writes its own CONNECT with a request line.
    asked = facts.request_out
    is_connect = _is_connect(facts) or (asked is not None and _is_http2(facts) and asked.method == b"CONNECT")
    if has_failed(facts) and is_connect and _code(facts.error) == "HTTP_1_1_REQUIRED":
        yield Found(evidence=("extended CONNECT with :protocol websocket", f"failed: {facts.error}"))


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
    if _has_left(facts):
        return
    words = reported(facts)
    if words is not None and "HTTP2" not in words:
        return
    has_reached = facts.failed_where not in ("connect", "tls-server", "client", "stop")
    if has_reached and (facts.status is None or facts.status in _NOT_CARRIED):
        is_unprocessed = facts.status is None and _was_not_processed(facts.error or "")
        answer = status_line(facts) if facts.status else f"failed: {facts.error}"
        yield Found(
            evidence=(
                "extended CONNECT with :protocol websocket",
                answer,
                *body_line(facts),
                _meant(_code(facts.error)) if facts.status is None else "",
            ),
            hop=answer_hop(facts),
            software=named(answer_marks(facts)),
            severity="warning" if is_unprocessed else None,
            confidence="medium" if is_unprocessed else None,
            title="A WebSocket over HTTP/2 was not taken, and may be tried again" if is_unprocessed else None,
            causes=_UNTAKEN if is_unprocessed else (),
        )


def _was_not_processed(error: str) -> bool:
    """Whether a request that was answered so may be sent again (RFC 9113, 8.7)."""
    code = _code(error)
    return code == "REFUSED_STREAM" or (code == "NO_ERROR" and "GOAWAY" in error)


_UNTAKEN: Final = two_causes(
    ("the server restarts, ends old connections, or has too many streams", "a second attempt is accepted"),
    (
        "it announces WebSockets over HTTP/2 and does not carry them",
        "each attempt ends so, and over HTTP/1.1 the URL is accepted",
    ),
)


def _has_left(facts: ConnectionFacts) -> bool:
    """Whether the client gave up before there was an answer."""
    return facts.status is None and facts.failed_where == "client"


#: What RFC 9113 section 7 says of a code, for whoever gets it.
_CODES: Final = {
    "PROTOCOL_ERROR": "it saw something that HTTP/2 or its rules for CONNECT forbid",
    "INTERNAL_ERROR": "something failed inside of it, such as a crash or a lost connection behind it",
    "FLOW_CONTROL_ERROR": "more DATA came than its window allowed",
    "SETTINGS_TIMEOUT": "its SETTINGS were not acknowledged in time",
    "STREAM_CLOSED": "a frame came for a stream that was half-closed",
    "FRAME_SIZE_ERROR": "a frame came with a length that is not allowed",
    "REFUSED_STREAM": "it did nothing with the request, which may be sent again: too many, or it is closing",
    "COMPRESSION_ERROR": "it could not read a compressed header block",
    "CONNECT_ERROR": "the connection behind it was reset or ended abnormally",
    "ENHANCE_YOUR_CALM": "it takes what came for too much: a limit on requests, resets or other frames",
    "INADEQUATE_SECURITY": "TLS does not meet its demands",
    "HTTP_1_1_REQUIRED": "it wants HTTP/1.1 for this",
}
#: Codes by which a peer complains about what came to it.
_COMPLAINTS: Final = frozenset(
    ("PROTOCOL_ERROR", "FLOW_CONTROL_ERROR", "STREAM_CLOSED", "FRAME_SIZE_ERROR", "COMPRESSION_ERROR")
)
_CODE: Final = re.compile(r"\b[A-Z][A-Z0-9_]+_[A-Z0-9_]+\b|0x[0-9a-f]+")
_BROKEN: Final = "HTTP/2 protocol error"


def _code(text: str | None) -> str:
    """The error code that a line names; "" for none."""
    found = _CODE.search((text or "").removeprefix("RST_STREAM ").removeprefix("GOAWAY "))
    return found[0] if found else ""


def _meant(code: str) -> str:
    return f"{code} says: {_CODES[code]} (RFC 9113, 7)" if code in _CODES else ""


@rules(
    "WS-H2-010",
    "error",
    "server",
    "HTTP/2 ended the WebSocket with an error",
    meaning="The stream, or the connection under it, ended with an error code of HTTP/2 and no CLOSE frame."
    " The code says more than a RST of TCP would: whose error it is, and whether to try again.",
    js=JS_FAILED,
    topic="h2-error",
    rows="T4 F11",
    group="end",
)
def ended_by_code(facts: ConnectionFacts) -> Iterator[Found]:
    if (
        not facts.was_open
        or not facts.is_over
        or facts.has_close
        or facts.ended_by not in ("client", "server")
    ):
        return
    said = next((end.http2 for end in facts.ends if end.side == facts.ended_by and end.http2), "")
    code = _code(said)
    if said.startswith(_BROKEN):
        # What this proxy could not read, the peer behind it would not have read either.
        yield Found(
            evidence=(f"this proxy ended the connection: {said[:200]}", js_sees(facts)),
            title=f"The {facts.ended_by} broke HTTP/2",
            meaning="What came is not HTTP/2 as RFC 9113 has it. The connection was ended with all its"
            " streams, as that demands.",
            fault_of="client" if facts.ended_by == "client" else "server",
            topic="h2-broken",
            js=js_sees(facts),
        )
    elif code in _CODES:
        is_complaint = code in _COMPLAINTS
        other = "server" if facts.ended_by == "client" else "client"
        yield Found(
            evidence=(end_line(facts), _meant(code), js_sees(facts)),
            title=f"HTTP/2 ended the WebSocket: {said} from the {facts.ended_by}",
            fault_of="client" if facts.ended_by == "client" else "server",
            confidence="medium" if is_complaint else "high",
            severity="warning" if facts.ended_by == "client" and not is_complaint else None,
            causes=two_causes(
                (f"the {facts.ended_by}'s HTTP/2 is at fault", "its log, or another version of it"),
                (
                    f"what the {other} sent, or this proxy in its place, is at fault",
                    "without this proxy: does it end in the same way?",
                ),
            )
            if is_complaint
            else (),
            js=js_sees(facts),
        )


@rules(
    "WS-H2-011",
    "warning",
    "client",
    "A peer broke HTTP/2, and this proxy ended its connection",
    meaning="What came is not HTTP/2 as RFC 9113 has it. No WebSocket was on that connection; its requests"
    " failed.",
    js=JS_NOTHING,
    topic="h2-broken",
    scope="capture",
)
def broke_http2(facts: CaptureFacts) -> Iterator[Found]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for one in events_of(facts, "h2_error"):
        found.setdefault(str(one.get("side")), []).append(one)
    for side, group in found.items():
        first = group[0]
        yield Found(
            evidence=(
                f"{first.get('client' if side == 'client' else 'server')}: {first.get('error')}",
                f"and {len(group) - 1} others" if len(group) > 1 else "",
            ),
            title=f"A {side} broke HTTP/2, and this proxy ended its connection",
            fault_of="client" if side == "client" else "server",
        )


@rules(
    "WS-H2-012",
    "warning",
    "server",
    "The server took back that it allows WebSockets over HTTP/2",
    meaning="SETTINGS_ENABLE_CONNECT_PROTOCOL may not become 0 after it was 1 (RFC 8441 section 3). Clients"
    " need not notice, and go on sending extended CONNECT.",
    js=JS_NOTHING,
    topic="h2",
    rows="H7",
    scope="capture",
)
def took_back(facts: CaptureFacts) -> Iterator[Found]:
    for one in events_of(facts, "h2_settings"):
        if one.get("withdrawn"):
            yield Found(evidence=(f"{one.get('server')}: SETTINGS_ENABLE_CONNECT_PROTOCOL went from 1 to 0",))
            return


@rules(
    "WS-H2-013",
    "warning",
    "client",
    "A peer floods its HTTP/2 connection",
    meaning="So many frames that have to be answered, or undone, are an attack (CVE-2019-9512,"
    " CVE-2023-44487) or a loop gone wrong. Servers end such connections with ENHANCE_YOUR_CALM, and all"
    " WebSockets on them.",
    js=JS_NOTHING,
    topic="h2-flood",
    scope="capture",
)
def floods(facts: CaptureFacts) -> Iterator[Found]:
    for one in list(events_of(facts, "h2_flood"))[:8]:
        is_client = one.get("side") == "client"
        yield Found(
            evidence=(
                f"{one.get('client' if is_client else 'server')}:"
                f" {one.get('count')} {one.get('frame')} frames within a second",
            ),
            title=f"A {one.get('side')} floods its HTTP/2 connection with {one.get('frame')} frames",
            fault_of="client" if is_client else "server",
        )


@rules(
    "WS-H2-014",
    "note",
    "client",
    "A CONNECT over HTTP/2 that asks for no WebSocket went through",
    meaning="CONNECT, or extended CONNECT with another :protocol (RFC 9298, WebTransport), was passed on as"
    " it came. What is inside of it is not in the capture.",
    js=JS_NOTHING,
    topic="tool-unread",
    scope="capture",
)
def other_connect(facts: CaptureFacts) -> Iterator[Found]:
    lines = [
        f"{one.get('client')} to {one.get('server')}: {one.get('reason')}"
        for one in events_of(facts, "passed_unread")
        if str(one.get("reason")).startswith(OTHER_CONNECT)
    ]
    if lines:
        yield Found(evidence=(*lines[:4], f"and {len(lines) - 4} others" if len(lines) > 4 else ""))


@rules(
    "WS-H2-015",
    "warning",
    "client",
    "What connects to this tap speaks HTTP/2 without TLS",
    meaning="Servers of HTTP/1.1 take HTTP/2's preface for a broken request, so the clients of a hop that"
    " begins with it get 502 or 503. This tap speaks HTTP/1.1 where there is no TLS, so whether the server"
    " behind it would have understood is not known.",
    js=JS_NOTHING,
    topic="h2-prior",
    rows="H6",
    scope="capture",
)
def without_tls(facts: CaptureFacts) -> Iterator[Found]:
    taps: dict[str, list[Mapping[str, Any]]] = {}
    for one in events_of(facts, "request_failed"):
        if one.get("where") == "head" and one.get("method") == "PRI":
            taps.setdefault(str(one.get("tap")), []).append(one)
    for tap, group in taps.items():
        more = "" if len(group) == 1 else f", and {len(group) - 1} others"
        found = Found(
            evidence=(
                f"client {group[0].get('client')} of the tap {tap}: PRI {group[0].get('url')}{more}",
                f"this proxy answered {group[0].get('status')}: {group[0].get('error')}"[:200],
            ),
            confidence="medium",
            causes=two_causes(
                (
                    "a hop before this tap is set to HTTP/2 for what is behind it (proto h2, h2c://)",
                    "the address above is the hop's, and its clients get 502 or 503",
                ),
                (
                    "a tool or scanner asked directly, as curl --http2-prior-knowledge does",
                    "it comes from elsewhere, or once, and no client of yours fails",
                ),
            ),
        )
        # What connects to the tap behind a hop is the hop.
        if tap == "origin":
            found = replace(found, severity="error", fault_of="hop", confidence=None, causes=())
        yield found


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
    seen: dict[str | None, Mapping[str, Any]] = {}
    # Most servers answer that way and their WebSockets open: reported only where one did not.
    failing = {one.tap for one in facts.connections if one.has_failed and not one.is_faulted}
    for one in events_of(facts, "alpn"):
        if one.get("side") == "server" and text_of(one, "tap") in failing:
            seen.setdefault(text_of(one, "name"), one)
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
