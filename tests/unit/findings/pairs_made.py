"""For each rule over a sandwich: both taps' facts that trigger it, and facts near to them that do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.unit.findings.facts_made import (
    CONNECT,
    HELLO,
    OPEN,
    SECOND,
    START,
    cut,
    ended,
    failed,
    opened,
    ping,
    refused,
    request,
    switching,
)
from wsinspect.findings.changes import Accepted
from wsinspect.findings.facts import C2S, S2C, ConnectionFacts, Other
from wsinspect.findings.sandwich import Clocks, PairFacts, Through, Trace, clock_difference, compare

NO_UPGRADE = request(without=("Upgrade",), Connection="close")
HTTP10 = request(version="HTTP/1.0")
POST = request().replace(b"GET ", b"POST ", 1)
#: What Apache's mod_proxy_http2 makes of an extended CONNECT.
GET2 = (
    b":method: GET\r\n:scheme: https\r\n:authority: example.org\r\n:path: /chat\r\n"
    b"origin: https://example.org\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: jadFpO5PBHpaGE1ZROF1RA==\r\n\r\n"
)


def behind(facts: ConnectionFacts, head: bytes | None = None, **more: Any) -> ConnectionFacts:
    """The same connection at the origin's tap, which got `head`."""
    heads = {} if head is None else {"raw_request_in": head, "raw_request_out": head}
    return replace(facts, **{"id": 2, "tap": "origin", **heads, **more})


def pair(edge: ConnectionFacts, origin: ConnectionFacts | None, **more: Any) -> PairFacts:
    """A connection at both taps."""
    return PairFacts(edge=replace(edge, tap="edge"), origin=origin, joined_by="key", **more)


def traces(
    *times: float, first: int = 1, layout: tuple[int, ...] = (5,), compressed: bool = False
) -> list[Trace]:
    """Messages with different content at these seconds."""
    return [
        Trace(first + n, OPEN + int(at * SECOND), 1000 + n, sum(layout), layout, compressed)
        for n, at in enumerate(times)
    ]


def at_origin(
    status: str, came: bytes, *, sent: bytes | None = None, body: bytes = b"", accepted: Any = ()
) -> PairFacts:
    """An attempt that the server refused; `sent` went into the hop and `came` came out of it."""
    edge = refused(status, body=body)
    sent = request() if sent is None else sent
    edge = replace(edge, raw_request_in=sent, raw_request_out=sent)
    return pair(edge, behind(edge, came), accepted=accepted)


def replaced(said: str, came: str, body: bytes = b"") -> PairFacts:
    """An attempt that the server refused, and whose client got another answer."""
    return pair(refused(came, body=body), behind(refused(said, body=body)))


def _later(facts: ConnectionFacts) -> ConnectionFacts:
    return replace(
        facts, times={**facts.times, "response_in_ns": (facts.times["response_in_ns"] or 0) + SECOND}
    )


def closed_behind(
    code: int,
    reason: str,
    came: bytes,
    *,
    sent: bytes | None = None,
    at: float = 1.0,
    others: tuple[Other, ...] = (),
) -> PairFacts:
    """The server closed what it had accepted; `sent` went into the hop and `came` came out of it.

    `others` were at the tap behind the hop.
    """
    sent = request() if sent is None else sent
    edge = ended(at=at, by="server", code=code, reason=reason, raw_request_in=sent, raw_request_out=sent)
    return pair(edge, behind(edge, came, others=others))


def stayed(came: bytes, lived: float = 60.0, path: str = "/chat") -> Other:
    """Another attempt at the tap behind the hop, which the server kept for so long."""
    end = START + int(lived * SECOND)
    return Other(9, path, START, START, closed_ns=end, end_ns=end, ended_by="client", request=came)


DEFLATE = request(Sec_WebSocket_Extensions="permessage-deflate")
DEFLATED = switching(Sec_WebSocket_Extensions="permessage-deflate")


def extensions_at(edge: bytes, origin: bytes, came: bytes = DEFLATE, **more: Any) -> PairFacts:
    """An open connection: the 101 as the client got it, and as the server sent it."""
    asked: dict[str, Any] = {"raw_request_in": DEFLATE, "raw_request_out": DEFLATE}
    before = ended(**asked, raw_response_in=edge, raw_response_out=edge)
    after = ended(**asked, raw_response_in=origin, raw_response_out=origin)
    return pair(before, behind(after, came), **more)


def unanswered(by: str, side: Any) -> ConnectionFacts:
    """Pinged after a second, without a pong; ended for it after four."""
    return ended(at=4, by=by, code=1011, reason="keepalive ping timeout", pings=(ping(3, side, 1),))


TLS = {"version": "TLSv1.3"}
REFUSED = refused("426 Upgrade Required", Server="nginx/1.22.1")
GOOD = pair(ended(), behind(ended()), c2s=Through(sent=5, arrived=5), s2c=Through(sent=5, arrived=5))
HELD = compare(traces(0, 0.2, 0.4, 0.6, 0.8), traces(1, 1.001, 1.002, 1.003, 1.004), 0)
EARLY = refused("504 Gateway Time-out", facts={"times": {"request_out_ns": 0, "response_in_ns": SECOND}})
LATE_101: dict[str, Any] = {
    "status": 101,
    "raw_response_in": switching(),
    "times": {"request_out_ns": 0, "response_in_ns": 2 * SECOND},
}
STEADY = compare(traces(0, 0.2, 0.4, 0.6, 0.8), traces(0.4, 0.6, 0.8, 1.0, 1.2), 0)

PAIRS: dict[str, tuple[list[PairFacts], list[PairFacts]]] = {
    "WS-HS-101": ([pair(REFUSED, behind(REFUSED, NO_UPGRADE))], [pair(REFUSED, behind(REFUSED)), GOOD]),
    "WS-HS-102": (
        [pair(REFUSED, behind(REFUSED, HTTP10))],
        [pair(ended(), behind(ended(), HTTP10)), pair(REFUSED, behind(REFUSED, NO_UPGRADE))],
    ),
    "WS-HS-103": (
        [
            pair(refused("403 Forbidden"), None),
            # the hop had answered when a rule at this tap changed that
            pair(replace(refused("403 Forbidden"), ended_by="fault", rule="broken"), None),
        ],
        [
            pair(ended(), None),
            GOOD,
            pair(failed("client disconnected", "client"), None),
            # a rule at this tap refused, and the hop was not asked
            pair(
                replace(refused("503 X"), ended_by="fault", rule="outage", raw_response_in=None),
                None,
            ),
        ],
    ),
    "WS-H2-101": (
        [at_origin("400 Bad Request", request(without=("Sec-WebSocket-Key",)), sent=CONNECT)],
        [
            at_origin("400 Bad Request", request(), sent=CONNECT),
            at_origin("400 Bad Request", request(without=("Sec-WebSocket-Key",))),
            GOOD,
        ],
    ),
    "WS-H2-102": (
        [at_origin("502 Bad Gateway", GET2, sent=CONNECT), at_origin("200 OK", GET2, sent=CONNECT)],
        [
            at_origin("502 Bad Gateway", CONNECT, sent=CONNECT),
            at_origin("502 Bad Gateway", request(), sent=CONNECT),
            at_origin("502 Bad Gateway", GET2),
            GOOD,
        ],
    ),
    "WS-HS-104": (
        [
            pair(REFUSED, behind(REFUSED, request(without=("Sec-WebSocket-Version",)))),
            pair(
                ended(
                    raw_request_in=request(Sec_WebSocket_Protocol="chat"),
                    raw_request_out=request(Sec_WebSocket_Protocol="chat"),
                ),
                behind(ended(), request()),
            ),
            extensions_at(switching(), DEFLATED),
            extensions_at(DEFLATED, switching(), came=request()),
            extensions_at(
                DEFLATED, switching(Sec_WebSocket_Extensions="permessage-deflate; server_no_context_takeover")
            ),
        ],
        [
            GOOD,
            pair(REFUSED, behind(REFUSED)),
            extensions_at(DEFLATED, DEFLATED),
            extensions_at(switching(), switching(), came=request()),
            # A hop that ends WebSockets agrees with each side on what it likes.
            replace(extensions_at(DEFLATED, switching(), came=request()), joined_by="path and time"),
        ],
    ),
    "WS-HS-105": (
        [
            at_origin("403 Forbidden", request(Host="app:3000"), body=b"origin not allowed"),
            at_origin("401 Unauthorized", request(), sent=request(Cookie="sid=1")),
            at_origin("401 Unauthorized", request(), sent=request(Authorization="Bearer a")),
            at_origin("403 Forbidden", request(), sent=request(Cookie="sid=1"), body=b"no session"),
            at_origin("421 Misdirected Request", request(Host="app:3000")),
            at_origin("403 Forbidden", request(Host="app:3000")),  # without a word, as Phoenix and Rails do
            at_origin("403 Forbidden", request(Host="app:3000"), body=b"Forbidden\n"),  # as gorilla does
            at_origin("404 Not Found", request(Host="app:3000")),  # without a word, as Action Cable does
            at_origin("404 Not Found", request(Host="app:3000"), body=b"Page not found"),
            at_origin(
                "404 Not Found",
                request("/ws", Host="app:3000"),
                sent=request("/ws"),
                accepted=(Accepted(b"/ws", b"example.org", b"http://example.org", b"HTTP/1.1"),),
            ),
        ],
        [
            pair(ended(), behind(ended(), request(Host="app:3000"))),
            at_origin("400 Bad Request", request(Host="app:3000")),
            at_origin("401 Unauthorized", request(Host="app:3000")),
            at_origin("403 Forbidden", request(Host="app:3000"), body=b"banned"),
            at_origin(
                "403 Forbidden",
                request(Host="app:3000", without=("Origin",)),
                sent=request(without=("Origin",)),
                body=b"Forbidden",
            ),
            at_origin("404 Not Found", request(Host="app:3000"), body=b"no such route"),
            at_origin(
                "404 Not Found",
                request(Host="app:3000", without=("Origin",)),
                sent=request(without=("Origin",)),
            ),
            at_origin(
                "404 Not Found",
                request(Host="app:3000", Origin="https://evil.example"),
                sent=request(Origin="https://evil.example"),
            ),
            at_origin(
                "404 Not Found",
                request(Host="app:3000"),
                accepted=(Accepted(b"/ws", b"app:3000", b"http://example.org", b"HTTP/1.1"),),
            ),
            at_origin("500 Internal Server Error", request(), sent=request(Cookie="sid=1")),
        ],
    ),
    "WS-TOOL-011": (
        [
            pair(ended(), behind(ended(), client_tls=TLS, server="127.0.0.1:80")),
            pair(ended(), behind(ended(), server_tls=TLS, server="127.0.0.1:443")),
        ],
        [
            pair(ended(), behind(ended(), server="127.0.0.1:80")),
            pair(ended(), behind(ended(), client_tls=TLS, server_tls=TLS, server="127.0.0.1:443")),
            pair(ended(), behind(ended(), client_tls=TLS, server=None)),
            pair(REFUSED, None),
        ],
    ),
    "WS-HS-112": (
        [
            at_origin(
                "400 Bad Request",
                request(X_Forwarded_For="10.0.0.9"),
                body=b"Received X-Forwarded-For header from an untrusted proxy 127.0.0.1",
            ),
            at_origin(
                "403 Forbidden", request(), sent=request(X_Api_Key="k"), body=b"missing header: x-api-key"
            ),
            at_origin(
                "400 Bad Request",
                request(X_Forwarded_Proto="http"),
                sent=request(X_Forwarded_Proto="https"),
                body=b"X-Forwarded-Proto must be https",
            ),
        ],
        [
            GOOD,
            # It names a header that came as it was sent, another one, or none.
            at_origin("400 Bad Request", request(), body=b"missing X-Api-Key"),
            at_origin("400 Bad Request", request(X_Forwarded_For="10.0.0.9"), body=b"missing X-Api-Key"),
            at_origin("400 Bad Request", request(X_Forwarded_For="10.0.0.9"), body=b"400: Bad Request"),
            # What is proven comes first.
            at_origin(
                "426 Upgrade Required",
                request(without=("Upgrade",), Connection="close", X_Forwarded_For="10.0.0.9"),
                body=b"X-Forwarded-For",
            ),
        ],
    ),
    "WS-HS-113": (
        [
            replaced("404 Not Found", "200 OK"),
            replaced("403 Forbidden", "404 Not Found"),
            replaced("302 Found", "200 OK"),
            replaced("500 Internal Server Error", "200 OK"),
        ],
        [
            GOOD,
            at_origin("404 Not Found", request()),
            # The server's own page, a 101 that does not come out (WS-HS-107), and what the hop could not use.
            replaced("200 OK", "404 Not Found"),
            pair(refused("200 OK"), behind(opened())),
            replaced("404 Not Found", "502 Bad Gateway"),
            replaced("404 Not Found", "504 Gateway Timeout"),
            pair(refused("200 OK"), behind(failed("unreachable", "connect"))),
            pair(refused("200 OK"), None),
            # The hop had answered before the server did.
            pair(refused("200 OK"), _later(behind(refused("404 Not Found")))),
        ],
    ),
    "WS-HS-111": (
        [
            at_origin("403 Forbidden", request(Host="app:3000"), body=b"banned"),
            at_origin("401 Unauthorized", request(Host="app:3000")),
            # A server that lets only some addresses in, and does not say so.
            at_origin("403 Forbidden", request(X_Forwarded_For="192.0.2.1")),
            # So does one that does not trust the hop (Home Assistant).
            at_origin("400 Bad Request", request(X_Forwarded_For="192.0.2.1"), body=b"400: Bad Request"),
            at_origin("400 Bad Request", request(X_Forwarded_For="192.0.2.1")),
        ],
        [
            pair(ended(), behind(ended(), request(Host="app:3000"))),
            at_origin("403 Forbidden", request(Via="1.1 proxy", X_Forwarded_For="192.0.2.1"), body=b"banned"),
            at_origin("404 Not Found", request(X_Forwarded_For="192.0.2.1")),
            at_origin("400 Bad Request", request(X_Forwarded_For="192.0.2.1"), body=b"no such room"),
            at_origin("400 Bad Request", request(X_Forwarded_Proto="https"), body=b"Bad Request"),
            at_origin("403 Forbidden", request(Via="1.1 proxy")),
            at_origin(
                "403 Forbidden",
                request(X_Forwarded_For="192.0.2.1"),
                accepted=(Accepted(b"/chat", b"example.org", b"http://example.org", b"HTTP/1.1"),),
            ),
            at_origin("403 Forbidden", request(Host="app:3000"), body=b"origin not allowed"),
        ],
    ),
    "WS-HS-106": (
        [
            at_origin("404 Not Found", request("/"), sent=request("/ws")),
            at_origin("400 Bad Request", request("/"), sent=request("/ws")),
            at_origin("401 Unauthorized", request("/ws"), sent=request("/ws?token=x")),
            at_origin("405 Method Not Allowed", POST),
            at_origin("404 Not Found", POST),
        ],
        [
            at_origin("405 Method Not Allowed", request()),
            at_origin("405 Method Not Allowed", POST, sent=POST),
            at_origin("429 Too Many Requests", POST),
            pair(ended(), behind(ended(), request("/"))),
            at_origin("401 Unauthorized", request("/"), sent=request("/ws")),
            at_origin("404 Not Found", request("/ws"), sent=request("/ws?token=x")),
            at_origin(
                "404 Not Found",
                request("/"),
                sent=request("/ws"),
                accepted=(Accepted(b"/", b"example.org", None, b"HTTP/1.1"),),
            ),
        ],
    ),
    "WS-HS-110": (
        [
            pair(
                ended(raw_response_in=switching(without=("Upgrade",))),
                behind(ended()),
            )
        ],
        [
            GOOD,
            pair(
                ended(raw_response_in=switching(without=("Upgrade",))),
                behind(ended(raw_response_in=switching(without=("Upgrade",)))),
            ),
            pair(  # the server left out one of them, and the hop then took the other away
                ended(raw_response_in=switching(without=("Upgrade", "Connection"))),
                behind(ended(raw_response_in=switching(without=("Upgrade",)))),
            ),
        ],
    ),
    "WS-HS-107": (
        [
            pair(refused("502 Bad Gateway"), behind(ended())),
            pair(refused("403 Forbidden"), behind(ended())),  # a firewall that looks at responses
            # A client that left when the hop had kept the 101 for seconds.
            pair(failed("Client disconnected.", "client", waited=3), behind(cut(at=3, by="client"))),
        ],
        [
            GOOD,
            # It may have been on its way still.
            pair(failed("Client disconnected.", "client", waited=0.3), behind(cut(at=0.3, by="client"))),
            pair(
                failed("Client disconnected.", "client", waited=3),
                behind(failed("Client disconnected.", "client", waited=3)),
            ),
        ],
    ),
    "WS-HS-108": (
        [
            pair(refused("504 Gateway Time-out"), behind(failed("the client gave up", "client"))),
            pair(EARLY, replace(behind(failed("closed", "server")), **LATE_101)),
        ],
        [
            pair(refused("504 Gateway Time-out"), behind(refused("504 Gateway Time-out"))),
            # Half a header block is no answer, however late.
            pair(
                EARLY,
                replace(
                    behind(failed("closed", "server")),
                    **{**LATE_101, "raw_response_in": LATE_101["raw_response_in"][:-2]},
                ),
            ),
            GOOD,
        ],
    ),
    "WS-HS-109": (
        [
            pair(failed(f"cannot connect to 127.0.0.1:9: {words}", "connect"), None)
            for words in ("connection refused", "timed out after 10 s", "Name or service not known")
        ],
        [pair(refused("502 Bad Gateway"), None), pair(failed("went", "client"), None)],
    ),
    "WS-DROP-101": (
        [
            pair(cut(*HELLO, at=60.3), behind(cut(*HELLO, at=60.3, by="client"))),
            # Quiet for no time that anybody would choose.
            pair(cut(*HELLO, at=37.4), behind(cut(*HELLO, at=37.4, by="client"))),
        ],
        [pair(cut(*HELLO, at=60.3), behind(cut(*HELLO, at=60.3))), GOOD],
    ),
    "WS-DROP-102": (
        [
            # The server ended, and the client noticed nothing.
            pair(cut(*HELLO, at=20, by="client"), behind(cut(*HELLO, at=1.3))),
            pair(opened(*HELLO), behind(cut(*HELLO, at=1.3)), now_ns=OPEN + 20 * SECOND),
            # The client went, and the server pings nobody until it gives up.
            pair(cut(*HELLO, at=1.3, by="client"), behind(cut(*HELLO, at=20))),
            pair(
                cut(*HELLO, at=1.3, by="client", how="rst"), behind(opened(*HELLO)), now_ns=OPEN + 20 * SECOND
            ),
        ],
        [
            pair(cut(*HELLO, at=1.3), behind(cut(*HELLO, at=1.3))),
            # The hop takes a moment for the other side, or the two went at one moment.
            pair(cut(*HELLO, at=2.4), behind(cut(*HELLO, at=1.3))),
            pair(opened(*HELLO), behind(cut(*HELLO, at=1.3)), now_ns=OPEN + 3 * SECOND),
            pair(cut(*HELLO, at=1.4, by="client"), behind(cut(*HELLO, at=1.3))),
            # Late, and passed on.
            pair(cut(*HELLO, at=20), behind(cut(*HELLO, at=1.3))),
            GOOD,
        ],
    ),
    "WS-CL-102": (
        [
            closed_behind(1008, "Invalid origin!", request(Host="app:3000")),
            closed_behind(4403, "cross-site request", request(Origin="http://app")),
            closed_behind(1008, "", request(Host="app:3000")),  # a note
            closed_behind(4401, "", request(), sent=request(Cookie="sid=1")),
            closed_behind(1008, "missing token", request("/ws"), sent=request("/ws?token=1")),
            closed_behind(3000, "Unauthorized", request(), sent=request(Authorization="Bearer a")),
            closed_behind(
                1008,
                "Invalid origin!",
                request(Host="app:3000"),
                others=(stayed(request(Host="app:3000"), 1.2),),
            ),
        ],
        [
            GOOD,
            # Exactly what arrived stayed open another time.
            closed_behind(1008, "", request(Host="app:3000"), others=(stayed(request(Host="app:3000")),)),
            closed_behind(
                1008, "Invalid origin!", request(Host="app:3000"), others=(stayed(request(Host="app:3000")),)
            ),
            closed_behind(1008, "Invalid origin!", request()),
            closed_behind(1008, "rate limit", request(Host="app:3000")),
            closed_behind(4003, "The host has ended this meeting", request(Host="app:3000")),
            # What a server learned later is not about the handshake.
            closed_behind(4001, "session expired", request(), sent=request(Cookie="sid=1"), at=600),
            closed_behind(1008, "Invalid origin!", request(Host="app:3000"), at=600),
            closed_behind(1008, "missing token", request(Host="app:3000")),
            closed_behind(1011, "Invalid origin!", request(Host="app:3000")),
            closed_behind(4401, "", request(Host="app:3000")),
            closed_behind(1008, "Invalid origin!", request(), sent=request(Cookie="sid=1")),
            # The check would have failed without the hop, too, or there is none.
            closed_behind(
                1008,
                "Invalid origin!",
                request(Host="app:3000", Origin="https://evil.example"),
                sent=request(Origin="https://evil.example"),
            ),
            closed_behind(
                1008,
                "Invalid origin!",
                request(Host="app:3000", without=("Origin",)),
                sent=request(without=("Origin",)),
            ),
            # The client closed, and the server only answered.
            pair(ended(code=1008), behind(ended(code=1008), request(Host="app:3000"))),
        ],
    ),
    "WS-CL-101": (
        [
            pair(cut(at=0.7), behind(ended(by="server", at=0.7, code=1001))),
            # A CLOSE that did not come out while the other side lived on.
            pair(ended(at=1), behind(cut(at=20))),
            pair(ended(at=1), behind(opened()), now_ns=OPEN + 20 * SECOND),
            # The server, which heard nothing of it, left before that was certain.
            pair(ended(at=1), behind(cut(at=3.5))),
            # Whoever leaves at the moment of the CLOSE, or before a slow hop had to pass it on, is not blamed
            # for sure.
            pair(ended(at=1), behind(cut(at=1.05))),
            pair(ended(at=1), behind(cut(at=3.5)), c2s=compare(traces(0, 0.5), traces(3, 3.5), 0)),
            pair(cut(at=20, by="client"), behind(ended(by="server", at=1))),
            # The hop says a code of its own to the other side.
            pair(ended(code=4001), behind(ended(code=1000))),
            pair(ended(by="server", code=1000), behind(ended(by="server", code=4001))),
        ],
        [
            GOOD,
            pair(ended(by="server", code=1011), behind(ended(by="server", code=1011))),
            pair(ended(at=1), behind(opened()), now_ns=OPEN + 2 * SECOND),
            # It left before the CLOSE went in, or with one of its own.
            pair(ended(at=1), behind(cut(at=0.95))),
            pair(ended(at=1), behind(ended(at=1.05, by="server"), client_close_reason="")),
            pair(
                ended(at=1),
                behind(opened()),
                c2s=compare(traces(0, 0.5), traces(3, 3.5), 0),
                now_ns=OPEN + 14 * SECOND,
            ),
        ],
    ),
    "WS-MS-101": (
        [
            pair(ended(), behind(ended()), s2c=HELD),
            # One message behind: each comes out when the next one goes in.
            pair(ended(), behind(ended()), s2c=compare(traces(0, 0.9, 2, 4), traces(0.91, 2.01, 4.02), 0)),
            pair(ended(), behind(ended()), c2s=compare(traces(0, 0.9, 2), traces(0.9, 2, 3), 0)),
            # Of three, the last one stays in the hop.
            pair(ended(), behind(ended()), s2c=compare(traces(0, 1, 2.5), traces(1.01, 2.51), 0)),
        ],
        [
            pair(ended(), behind(ended()), s2c=STEADY),
            # One that was not pushed out, or came out long after that, or too few that were.
            pair(ended(), behind(ended()), s2c=compare(traces(0, 0.9, 2, 4), traces(0.91, 0.95, 4.02), 0)),
            pair(ended(), behind(ended()), s2c=compare(traces(0, 0.9, 2, 4), traces(1.2, 2.3, 4.3), 0)),
            pair(ended(), behind(ended()), s2c=compare(traces(0, 0.9), traces(0.91, 0.92), 0)),
            # A hop that takes a second, and a clock that ticks every second.
            pair(
                ended(), behind(ended()), s2c=compare(traces(0, 1, 2, 3), traces(1.01, 2.02, 3.01, 4.02), 0)
            ),
            # Sent so quickly that each leaves while the next one comes.
            pair(ended(), behind(ended()), s2c=compare(traces(0, 0.1, 0.2), traces(0.1, 0.2, 0.3), 0)),
        ],
    ),
    "WS-MS-102": (
        [
            pair(ended(), behind(ended()), c2s=compare(traces(0, 1, 2), traces(0, 1, 2)[::2], 0)),
            # The last one went in long before the other side ended.
            pair(cut(at=10), behind(cut(at=10)), c2s=compare(traces(0, 1, 2), traces(0.01, 1.01), 0)),
            pair(
                opened(),
                behind(opened()),
                c2s=compare(traces(0, 1, 2), traces(0.01, 1.01), 0),
                now_ns=OPEN + 10 * SECOND,
            ),
        ],
        [
            GOOD,
            pair(cut(at=2.3), behind(cut(at=2.3)), c2s=compare(traces(0, 1, 2), traces(0.01, 1.01), 0)),
            # This hop is slow: it may still be on its way.
            pair(cut(at=10), behind(cut(at=10)), c2s=compare(traces(0, 1, 2), traces(3, 4), 0)),
            # A receiver that does not read.
            pair(
                cut(at=10),
                behind(cut(at=10)),
                c2s=compare(traces(0, 1, 2, layout=(10**6,)), traces(0.01, layout=(10**6,)), 0),
            ),
        ],
    ),
    "WS-KA-101": (
        [
            pair(unanswered("client", C2S), behind(ended(at=4))),
            pair(unanswered("client", C2S), behind(ended(at=4, pings=(ping(3, C2S, 1, 4),)))),
            pair(ended(by="server", at=4), behind(unanswered("server", S2C))),
        ],
        [
            GOOD,
            # The other side got it and did not answer.
            pair(unanswered("client", C2S), behind(ended(at=4, pings=(ping(3, C2S, 1),)))),
            pair(unanswered("client", C2S), behind(ended(at=4, has_lost_records=True))),
            # It answered when the client had given up.
            pair(
                unanswered("client", C2S),
                behind(ended(at=9, pings=(ping(3, C2S, 1, 4)._replace(rtt_ns=7 * SECOND),))),
            ),
            # The hop pings for itself at each side.
            pair(ended(at=4, pings=(ping(3, C2S, 1, 4),)), behind(ended(at=4))),
        ],
    ),
    "WS-FR-101": (
        [
            pair(
                ended(by="client", code=1002),
                behind(ended(by="client", code=1002)),
                s2c=compare(traces(0, 1, layout=(5, 5)), traces(0, 1, layout=(10,)), 0),
            )
        ],
        [
            pair(
                ended(),
                behind(ended()),
                s2c=compare(traces(0, 1, layout=(5, 5)), traces(0, 1, layout=(10,)), 0),
            )
        ],
    ),
}
__all__ = ["GOOD", "PAIRS", "Clocks", "clock_difference", "switching"]
