"""Rules of application protocols, reconnects, pages and the tool: facts that trigger each, and near ones."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

from tests.unit.findings.facts_made import (
    HELLO,
    OPEN,
    START,
    capture,
    cut,
    ended,
    frame,
    refused,
    request,
    silent,
    summary,
    switching,
)
from wsinspect.findings.excuses import ActedFault
from wsinspect.findings.facts import C2S, S2C, OpaqueFact, Other
from wsinspect.wire import violations as v

HEALTHY = ended()

PHOENIX = "/socket/websocket?vsn=2.0.0"
EIO = "/socket.io/?EIO=4&transport=websocket"

BY_RULE: dict[str, Any] = {"ended_by": "fault", "rule": "outage"}

FAILED = {
    "tap": "regular",
    "method": "GET",
    "host": "app.test",
    "url": "http://app.test/",
    "server": "app.test:80",
}
UNREAD = FAILED | {"where": "head", "error": "Bad HTTP request line", "status": 400}

JSON_TEXT: dict[str, Any] = {"Content_Type": "application/json"}


def _engine(code: int, **more: Any) -> Any:
    body = json.dumps({"code": code, "message": "x"}).encode()
    return refused("400 Bad Request", body, path=EIO + more.pop("extra", ""), **JSON_TEXT, **more)


def _said(*texts: tuple[Any, float, str], **facts: Any) -> Any:
    frames = [frame(n, d, at, 1, text.encode()) for n, (d, at, text) in enumerate(texts, 1)]
    return frames


def _graphql(code: int, reason: str = "", chosen: str = "graphql-transport-ws", *texts: Any) -> Any:
    head = request(Sec_WebSocket_Protocol="graphql-transport-ws")
    frames = _said(*texts) if texts else list(HELLO)
    return replace(
        ended(*frames, by="server", code=code, reason=reason),
        raw_request_in=head,
        raw_request_out=head,
        raw_response_in=switching(Sec_WebSocket_Protocol=chosen),
    )


HUB = (C2S, 0.1, '{"protocol":"json","version":1}\x1e')


def _pings(*times: float) -> list[Any]:
    """A server's keep-alive, and a message with something in it where a time is whole."""
    return [(S2C, at, f'{{"type":{1 if at % 1 == 0 else 6}}}\x1e') for at in times]


REFUSED_OPERATION = '{"id":"1","type":"error","payload":[{"message":"Cannot query field"}]}'


def _result(payload: str) -> str:
    return f'{{"id":"1","type":"next","payload":{{{payload}}}}}'


def _page(**facts: Any) -> Any:
    base = {
        "url": "https://app.test/",
        "attempts": 0,
        "waited_ms": 5000,
        "ws_urls": [],
        "csp": [],
        "failed_scripts": [],
    }
    return capture(events=(("page", {**base, **facts}),))


def _storm(count: int, gap: float, **facts: Any) -> Any:
    return capture(*(summary(n, n * gap, 0.05, status=502, **facts) for n in range(1, count + 1)))


GARBAGE = OpaqueFact(S2C, OPEN, 90, b"HTTP/1.1 400 Bad Request\r\n", v.LENGTH_TOO_LARGE, None)
SIGNALR = '{"protocol":"json","version":1}\x1e'


def _stomp(asks: str, ours: str, answers: str, theirs: str) -> list[Any]:
    """The first frames of STOMP, with these heart-beats."""
    return _said(
        (C2S, 0.1, f"{asks}\naccept-version:1.2\nheart-beat:{ours}\n\n\0"),
        (S2C, 0.2, f"{answers}\nversion:1.2\nheart-beat:{theirs}\n\n\0"),
    )


def _pieces(packet: bytes) -> list[Any]:
    """A packet as mqtt.js sends it, each field a message."""
    at = (0, 1, 2, 4, 8, 9, 10, 12, 14, len(packet))
    return [
        frame(number, C2S, 0.1, 2, packet[begin:end]) for number, (begin, end) in enumerate(pairwise(at), 1)
    ]


MQTT = b"\x10\x0d\x00\x04MQTT\x04\x02\0\x3c\0\x01a"

#: What Chromium 156 says in its console.
THROWN = "exception: TypeError: x is null (https://app.test/a.js:4)"
REFUSED_CSP = (
    "security: Connecting to 'wss://api.other.test/ws' violates the following Content Security Policy"
    " directive: \"connect-src 'self'\". The action has been blocked."
)
MIXED = (
    "security: Mixed Content: The page at 'https://app.test/' was loaded over HTTPS, but attempted to connect"
    " to the insecure WebSocket endpoint 'ws://app.test/ws'."
)
REPORTED_CSP = (
    "security: Connecting to 'wss://api.other.test/ws' violates the following Content Security Policy"
    " directive: \"connect-src 'self'\". The policy is report-only, so the violation has been logged but no"
    " further action has been taken."
)
IMAGE_CSP = (
    "security: Loading the image 'http://a.test/x.png' violates the following Content Security Policy"
    " directive: \"default-src 'self' wss://api.other.test\"."
)
INVALID = "exception: SyntaxError: Failed to construct 'WebSocket': The subprotocol 'a b' is invalid."
PORT, EXTENSION, TOO_MANY = (
    f"network: WebSocket connection to 'ws://app.test:6000/ws' failed: {words}"
    for words in (
        "Error in connection establishment: net::ERR_UNSAFE_PORT",
        "Error in connection establishment: net::ERR_BLOCKED_BY_CLIENT",
        "Insufficient resources",
    )
)
LOCAL = (
    "network: WebSocket connection to 'ws://127.0.0.1:1/' failed:"
    " net::ERR_BLOCKED_BY_LOCAL_NETWORK_ACCESS_CHECKS"
)
IMAGE_LOCAL = "network: Failed to load resource: net::ERR_BLOCKED_BY_LOCAL_NETWORK_ACCESS_CHECKS"
IMAGE_MIXED = (
    "security: Mixed Content: The page at 'https://app.test/?to=ws://app.test/' was loaded over HTTPS, but"
    " requested an insecure element 'http://news:8080/a.png'."
)
LONG_PORT = PORT.replace("/ws'", f"/ws?token={'a' * 300}'")

CASES: dict[str, tuple[list[Any], list[Any]]] = {
    "WS-APP-001": ([_engine(0), _engine(2)], [refused("400 Bad", b'{"code":0}')]),
    "WS-APP-002": (
        [
            _engine(1, extra="&sid=abc"),
            refused("400 Bad Request", b"Session ID unknown", path=EIO + "&sid=a"),
        ],
        [_engine(4), refused("400 Bad Request", b"Session ID unknown")],
    ),
    "WS-APP-004": (
        [_engine(4), refused("400 Bad Request", b"no seat for you", path=EIO)],
        [
            _engine(5),
            refused("400 Bad Request", b"<html>no</html>", path=EIO),
            refused("400 Bad Request", b'"Invalid websocket upgrade"', path=EIO),
        ],
    ),
    "WS-APP-005": ([_engine(5)], [_engine(1)]),
    "WS-APP-006": (
        [
            replace(
                ended(*_said((C2S, 1, "2"), (C2S, 26, "2")), at=31, by="client"),
                path="/socket.io/?EIO=3&transport=websocket",
            )
        ],
        [replace(ended(*_said((S2C, 1, "2"), (C2S, 1.1, "3")), at=31), path=EIO)],
    ),
    "WS-APP-007": (
        [replace(ended(*_said((S2C, 0.1, '44{"message":"unauthorized"}'))), path=EIO)],
        [ended(*_said((S2C, 0.1, '44{"message":"unauthorized"}')))],
    ),
    "WS-APP-008": (
        [silent(0.3, path="/socket.io/?EIO=3&transport=websocket", opaque=(GARBAGE,))],
        [silent(0.3, opaque=(GARBAGE,)), ended(path=EIO)],
    ),
    "WS-APP-009": (
        [
            replace(ended(*_said((S2C, 0.1, '0{"sid":"a"}'), (S2C, 0.2, "40"))), path=EIO),
            replace(ended(*_said((S2C, 0.1, '0{"sid":"a"}'), (S2C, 0.2, "40/chat,"))), path=EIO),
        ],
        [
            replace(ended(*_said((S2C, 0.1, '0{"sid":"a"}'), (S2C, 0.2, '40{"sid":"b"}'))), path=EIO),
            replace(ended(*_said((S2C, 0.1, '0{"sid":"a"}'), (C2S, 0.2, "40"))), path=EIO),
            # Version 2 to version 2, and something else at a path of its own.
            replace(
                ended(*_said((S2C, 0.1, '0{"sid":"a"}'), (S2C, 0.2, "40"))), path=EIO.replace("=4", "=3")
            ),
            ended(*_said((S2C, 0.1, '0{"sid":"a"}'), (S2C, 0.2, "40"))),
        ],
    ),
    "WS-APP-010": (
        [
            _graphql(4406, "Subprotocol not acceptable"),
            _graphql(
                4400, "Invalid message", "graphql-transport-ws", (C2S, 0.1, '{"type":"start","id":"1"}')
            ),
        ],
        [_graphql(1000)],
    ),
    "WS-APP-011": ([_graphql(4408, "Connection initialisation timeout")], [_graphql(4321)]),
    "WS-APP-020": (
        [refused("404 Not Found", b"No Connection with that ID", path="/chatHub?id=abc")],
        [refused("404 Not Found", path="/chat")],
    ),
    "WS-APP-021": (
        [
            ended(
                *_said(
                    (C2S, 0.1, '{"protocol":"json","version":1}\x1e'),
                    (S2C, 0.2, '{"error":"bad protocol"}\x1e'),
                ),
                by="server",
            ),
            ended(*_said((C2S, 0.1, '{"protocol":"json","version":1}')), at=15, by="server"),
        ],
        [ended(*_said((C2S, 0.1, '{"protocol":"json","version":1}\x1e'), (S2C, 0.2, "{}\x1e")))],
    ),
    "WS-APP-022": (
        [
            cut(*_said((C2S, 0.1, SIGNALR), (S2C, 0.2, "{}\x1e")), at=30.4, by="client"),
            # Another timeout than the usual one: pings came every 3 s, and then no more.
            cut(*_said(HUB, (S2C, 0.2, "{}\x1e"), *_pings(3.2, 6.2, 9.2)), at=15.3, by="client"),
            ended(*_said(HUB, (S2C, 0.2, "{}\x1e"), *_pings(3.2, 4.0, 7.02)), at=13),
        ],
        [
            cut(*_said(HUB, (S2C, 0.2, "{}\x1e"), *_pings(3.2, 6.2, 9.2)), at=14.1, by="client"),
            cut(*_said(HUB, (S2C, 0.2, "{}\x1e"), *_pings(3.2, 6.2, 9.2)), at=15.3),
            cut(*_said(HUB, (S2C, 0.2, "{}\x1e"), *_pings(3.2, 7.2, 9.2)), at=15.3, by="client"),
            cut(*_said(HUB, (S2C, 0.2, "{}\x1e"), *_pings(3.2)), at=15.3, by="client"),
            cut(*_said((C2S, 0.1, SIGNALR), (S2C, 0.2, "{}\x1e")), at=12, by="client"),
            cut(*_said((C2S, 0.1, SIGNALR), (S2C, 0.2, "{}\x1e")), at=30.4),
            cut(*_said((C2S, 0.1, "hello"), (S2C, 0.2, "{}")), at=30.4, by="client"),
        ],
    ),
    "WS-APP-023": (
        [
            ended(
                *_said((C2S, 0.1, SIGNALR), (S2C, 0.2, '{}\x1e{"type":7,"error":"it broke"}\x1e')),
                by="server",
            )
        ],
        [ended(*_said((C2S, 0.1, SIGNALR), (S2C, 0.2, '{}\x1e{"type":7}\x1e')), by="server")],
    ),
    "WS-APP-024": (
        [ended(*_said(HUB, (S2C, 0.2, '{}\x1e{"type":3,"invocationId":"1","error":"it threw"}\x1e')))],
        [
            ended(*_said(HUB, (S2C, 0.2, '{"type":3,"invocationId":"1","result":"error"}\x1e'))),
            ended(*_said(HUB, (C2S, 0.2, '{"type":3,"invocationId":"1","error":"the client"}\x1e'))),
            ended(*_said((S2C, 0.2, '{"type":3,"invocationId":"1","error":"it threw"}\x1e'))),
            # Another protocol that begins with its name
            ended(*_said(HUB, (S2C, 0.2, '{"type":3,"invocationId":"1","error":"it threw"}'))),
            ended(*_said(HUB, (S2C, 0.2, '{"type":3,"error":"its own"}\x1e'))),
            ended(*_said(HUB, (S2C, 0.2, '{"type":3,"invocationId":"1","error":{"code":5}}\x1e'))),
        ],
    ),
    "WS-APP-018": (
        [
            _graphql(1000, "", "graphql-transport-ws", (S2C, 0.1, REFUSED_OPERATION)),
            _graphql(1000, "", "graphql-transport-ws", (S2C, 0.1, _result('"errors":[{"message":"no"}]'))),
        ],
        [
            _graphql(1000, "", "graphql-transport-ws", (C2S, 0.1, REFUSED_OPERATION)),
            _graphql(1000, "", "graphql-transport-ws", (S2C, 0.1, _result(""))),
            # A part of the result
            _graphql(1000, "", "graphql-transport-ws", (S2C, 0.1, _result('"data":null,"errors":[{}]'))),
            _graphql(1000, "", "graphql-transport-ws", (S2C, 0.1, _result('"errors":[]'))),
            _graphql(1000, "", "graphql-transport-ws", (S2C, 0.1, '{"type":"error","payload":"its own"}')),
            ended(*_said((S2C, 0.1, REFUSED_OPERATION))),
        ],
    ),
    "WS-APP-032": (
        [
            replace(
                ended(*_said((S2C, 0.1, '{"type":"reject_subscription","identifier":"{}"}'))),
                raw_request_out=request(Sec_WebSocket_Protocol="actioncable-v1-json"),
                raw_response_in=switching(Sec_WebSocket_Protocol="actioncable-v1-json"),
            )
        ],
        [
            ended(*_said((S2C, 0.1, '{"type":"confirm_subscription","identifier":"{}"}'))),
            ended(*_said((C2S, 0.1, '{"type":"reject_subscription"}'))),
            # An application's own words
            ended(*_said((S2C, 0.1, '{"type":"reject_subscription","identifier":"premium"}'))),
            ended(*_said((S2C, 0.1, '{"type":"reject_subscription","plan":"premium"}'))),
        ],
    ),
    "WS-APP-042": (
        [
            replace(ended(*_said((S2C, 0.1, '["1",null,"room:1","phx_error",{}]'))), path=PHOENIX),
            replace(
                ended(*_said((S2C, 0.1, '{"topic":"room:1","event":"phx_error","payload":{}}'))),
                path=PHOENIX,
            ),
        ],
        [
            ended(*_said((S2C, 0.1, '["1",null,"room:1","phx_close",{}]'))),
            ended(*_said((C2S, 0.1, '["1",null,"room:1","phx_error",{}]'))),
            ended(*_said((S2C, 0.1, '["phx_error"]'))),
            ended(*_said((S2C, 0.1, '{"event":"phx_error","payload":{}}'))),
            ended(*_said((S2C, 0.1, '[1,2,3,"phx_error",5]'))),
        ],
    ),
    "WS-APP-030": (
        [
            ended(
                *_said((S2C, 0.1, '{"type":"disconnect","reason":"unauthorized","reconnect":false}')),
                by="server",
            )
        ],
        [
            ended(*_said((S2C, 0.1, '{"type":"welcome"}'))),
            # Slack's Socket Mode
            ended(
                *_said((S2C, 0.1, '{"type":"disconnect","reason":"refresh_requested","debug_info":{}}')),
                by="server",
            ),
        ],
    ),
    "WS-APP-031": (
        [
            replace(
                ended(*_said((S2C, 0.1, '{"type":"ping"}')), at=9),
                raw_request_out=request(Sec_WebSocket_Protocol="actioncable-v1-json"),
                raw_response_in=switching(Sec_WebSocket_Protocol="actioncable-v1-json"),
            )
        ],
        [ended(*_said((S2C, 0.1, '{"type":"ping"}')), at=9)],
    ),
    "WS-APP-040": (
        [
            replace(
                ended(
                    *_said(
                        (
                            S2C,
                            0.1,
                            '["1","1","room:1","phx_reply",{"status":"error","response":{"reason":"unauthorized"}}]',
                        )
                    )
                ),
                path=PHOENIX,
            )
        ],
        [ended(*_said((S2C, 0.1, '["1","1","room:1","phx_reply",{"status":"ok","response":{}}]')))],
    ),
    "WS-APP-041": (
        [cut(*_said((C2S, 0.1, '["1","1","room:1","phx_join",{}]')), at=60.4)],
        [cut(*_said((C2S, 0.1, '["1","1","room:1","phx_join",{}]')), at=20.4)],
    ),
    "WS-APP-050": (
        [
            cut(*_said((C2S, 0.1, "CONNECT\naccept-version:1.2\nheart-beat:0,0\n\n\0")), at=60.3),
            # Without the header a side has none; and one side alone that would is none either.
            cut(*_said((C2S, 0.1, "CONNECT\naccept-version:1.2\n\n\0")), at=60.3),
            cut(*_stomp("STOMP", "10000,10000", "CONNECTED", "0,0"), at=60.3),
            cut(*_stomp("CONNECT", "10000,0", "CONNECTED", "10000,0"), at=60.3),
        ],
        [
            ended(*_said((C2S, 0.1, "CONNECT\naccept-version:1.2\nheart-beat:0,0\n\n\0"))),
            cut(*_stomp("CONNECT", "10000,0", "CONNECTED", "0,10000"), at=60.3),
            cut(*_stomp("CONNECT", "0,10000", "CONNECTED", "10000,0"), at=60.3),
            cut(*_said((C2S, 0.1, "CONNECT\nheart-beat:10000,10000\n\n\0")), at=60.3),
            cut(*_said((C2S, 0.1, "CONNECT\naccept-version:1.2")), at=60.3),
            cut(*_said((C2S, 0.1, "CONNECTION\n\n")), at=60.3),
        ],
    ),
    "WS-APP-060": (
        [refused("400 Bad Request", path="/mqtt")],
        [refused("400 Bad Request", path="/mqtt", head=request("/mqtt", Sec_WebSocket_Protocol="mqtt"))],
    ),
    "WS-APP-061": (
        [
            ended(frame(1, C2S, 0.1, 2, b"\x10\x0c\x00\x04MQTT\x04\x02"), by="server", code=1002),
            ended(*_pieces(MQTT), by="server", code=1002),
        ],
        [ended(frame(1, C2S, 0.1, 2, b"\x10\x0c\x00\x04MQTT\x04\x02")), ended(*_pieces(MQTT))],
    ),
    "WS-APP-062": (
        [
            cut(frame(1, C2S, 0.1, 2, MQTT), frame(2, S2C, 0.2, 2, b"\x20\x02\0\0"), at=90.3),
            cut(*_pieces(MQTT), at=90.3),
        ],
        [
            cut(*_pieces(MQTT.replace(b"\0\x3c", b"\0\0")), at=90.3),
            cut(frame(1, C2S, 0.1, 2, MQTT), at=90.3, by="client"),
            cut(frame(1, C2S, 0.1, 2, MQTT), at=61.7),
            cut(frame(1, C2S, 0.1, 2, MQTT.replace(b"\0\x3c", b"\0\0")), at=90.3),
        ],
    ),
    "WS-APP-070": (
        [
            ended(
                *_said((C2S, 3, '{"type":"initial_connect","token":"abc"}')),
                at=3.2,
                by="server",
                code=1008,
                reason="unauthorized",
            )
        ],
        [ended(*_said((C2S, 3, "hello")), at=3.2, by="server", code=1008, reason="unauthorized")],
    ),
    "WS-APP-080": (
        [cut(frame(1, S2C, 0.0001), at=8.7, by="client")],
        [ended(frame(1, S2C, 0.0001), at=8.7)],
    ),
    "WS-RC-001": (
        [_storm(7, 0.5), _storm(7, 0.5, is_faulted=True, ended_by="fault")],
        [
            _storm(4, 0.5),
            _storm(7, 5),
            capture(*(summary(n, n, 0.5) for n in range(9))),
            capture(*(summary(n, n * 0.5, 0.05, ended_by="fault") for n in range(1, 8))),
            _storm(7, 0.5, is_faulted=True, ended_by="server"),
        ],
    ),
    "WS-RC-002": (
        [capture(summary(1, 0, None, path="/ws?token=abc"), summary(2, 1, None, path="/ws?token=abc"))],
        [capture(summary(1, 0, None), summary(2, 1, None))],
    ),
    "WS-RC-003": (
        [
            capture(*(summary(n, n * 10, 0.1, status=401) for n in range(1, 6))),
            capture(*(summary(n, n * 10, 0.1, server_close_code=1008, ended_by="server") for n in range(8))),
        ],
        [
            capture(*(summary(n, n * 10, 0.1, status=502) for n in range(1, 6))),
            capture(*(summary(n, n * 10, 0.1, status=401, ended_by="fault") for n in range(1, 8))),
            capture(*(summary(n, n * 10, 0.1, server_close_code=1008, ended_by="fault") for n in range(8))),
        ],
    ),
    "WS-PAGE-001": (
        [_page(interest="new WebSocket(")],
        [
            _page(),
            _page(interest="new WebSocket(", attempts=1),
            _page(interest="new WebSocket(", console=[THROWN]),
            _page(interest="new WebSocket(", console=[REFUSED_CSP]),
            _page(interest="new WebSocket(", is_read=True),
        ],
    ),
    "WS-PAGE-002": (
        [
            _page(csp=["default-src 'self'; connect-src 'self'"], ws_urls=["wss://api.other.test/ws"]),
            _page(interest="new WebSocket(", console=[REFUSED_CSP]),
            _page(console=[REFUSED_CSP], attempts=1),  # of another WebSocket
        ],
        [
            _page(console=[THROWN]),
            _page(console=[REPORTED_CSP]),
            _page(console=[IMAGE_CSP]),
            _page(csp=["connect-src 'self' wss://api.other.test"], ws_urls=["wss://api.other.test/ws"]),
        ],
    ),
    "WS-PAGE-003": (
        [
            _page(ws_urls=["ws://app.test/ws"]),
            _page(ws_urls=["http://app.test/ws"]),
            _page(ws_urls=["ws://8.8.8.8/ws"]),
            _page(interest="new WebSocket(", console=[MIXED]),
            _page(console=[MIXED], attempts=1),
        ],
        [
            _page(console=[IMAGE_MIXED], attempts=1),
            _page(ws_urls=["ws://app.test/ws"], attempts=1),
            _page(ws_urls=["ws://localhost:3000/ws"]),
            _page(ws_urls=["ws://192.168.1.5/ws", "ws://printer.local/ws"]),
            _page(ws_urls=["https://app.test/ws"]),
            _page(url="http://app.test/", ws_urls=["ws://app.test/ws"]),
        ],
    ),
    "WS-PAGE-004": (
        [_page(polling=5, polling_path="/socket.io/", polling_upgrades=[])],
        [_page(polling=1), _page(polling=5, attempts=1)],
    ),
    "WS-PAGE-005": (
        [_page(failed_scripts=["/app.js 404"])],
        [_page(attempts=1, failed_scripts=["/app.js 404"])],
    ),
    "WS-PAGE-007": (
        [
            _page(interest="new WebSocket(", console=[THROWN]),
            _page(console=[INVALID], attempts=1),
        ],
        [
            _page(console=[THROWN]),  # nothing says that this script has to do with a WebSocket
            _page(interest="new WebSocket(", console=[THROWN], attempts=1),
            _page(interest="new WebSocket(", console=[THROWN, REFUSED_CSP]),
            _page(interest="new WebSocket(", console=["console: Error: caught and printed"]),
        ],
    ),
    "WS-PAGE-008": (
        [
            _page(console=[LOCAL]),
            _page(console=[IMAGE_LOCAL]),  # a script that did not load opens no WebSocket
            _page(console=[IMAGE_LOCAL, LOCAL], attempts=1),
            _page(console=[LOCAL.replace("LOCAL_", "PRIVATE_")], attempts=1),
            _page(without_proxy=[LOCAL], attempts=1),
        ],
        [
            _page(console=[IMAGE_LOCAL], attempts=1),
            _page(without_proxy=[IMAGE_LOCAL], attempts=1),
            _page(console=[THROWN]),
            _page(without_proxy=[THROWN], attempts=1),
        ],
    ),
    "WS-PAGE-010": (
        [_page(console=[PORT]), _page(console=[EXTENSION], attempts=1), _page(console=[LONG_PORT])],
        [
            _page(console=[LOCAL]),
            _page(console=[TOO_MANY]),
            _page(console=["console: http://a/x.js net::ERR_BLOCKED_BY_CLIENT"]),  # of a script
        ],
    ),
    "WS-PAGE-011": (
        [_page(console=[TOO_MANY], attempts=255)],
        [_page(console=[PORT]), _page(console=["console: Insufficient resources"])],
    ),
    "WS-TOOL-001": (
        [capture(events=(("alpn", {"side": "client", "offered": ["h2"], "answered": "http/1.1"}),))],
        [
            capture(
                events=(
                    ("alpn", {"side": "client", "offered": ["h2"], "answered": "http/1.1"}),
                    ("alpn", {"side": "server", "offered": ["h2"], "answered": "http/1.1"}),
                )
            )
        ],
    ),
    "WS-TOOL-004": (
        [capture(events=(("h2_settings", {"server": "o", "server_enable_connect": True}),))],
        [capture(events=(("h2_settings", {"server": "o", "server_enable_connect": False}),))],
    ),
    "WS-TOOL-002": (
        [
            replace(
                refused("403 Forbidden"),
                raw_request_in=request(Origin="http://other.example"),
                raw_request_out=request(Origin="http://other.example", Host="127.0.0.1:3000"),
            )
        ],
        # Unchanged, and changed so that Origin no longer fits: WS-TOOL-005.
        [
            refused("403 Forbidden"),
            replace(refused("403 Forbidden"), raw_request_out=request(Host="127.0.0.1:3000")),
        ],
    ),
    "WS-TOOL-005": (
        [
            replace(
                refused("403 Forbidden"),
                raw_request_in=request(Host="app.example", Origin="http://app.example"),
                raw_request_out=request(Host="127.0.0.1:3000", Origin="http://app.example"),
            ),
            replace(
                refused("403 Forbidden"),
                raw_request_in=request(Host="localhost:8081", Origin="http://localhost:3000"),
                raw_request_out=request(Host="localhost:8081", Origin="http://localhost:3000"),
                server_address="127.0.0.1:3000",
            ),
        ],
        [
            # The same Origin and Host were accepted before: something else is wrong.
            replace(
                refused("403 Forbidden"),
                raw_request_in=request(Host="localhost:8081", Origin="http://localhost:3000"),
                raw_request_out=request(Host="localhost:8081", Origin="http://localhost:3000"),
                server_address="127.0.0.1:3000",
                others=(
                    Other(
                        7,
                        "/chat",
                        START,
                        START,
                        request=request(Host="localhost:8081", Origin="http://localhost:3000"),
                    ),
                ),
            ),
            # Origin is foreign either way: not this proxy's doing.
            replace(
                refused("403 Forbidden"),
                raw_request_in=request(Host="app.example", Origin="http://evil.example"),
                raw_request_out=request(Host="127.0.0.1:3000", Origin="http://evil.example"),
            ),
            # Origin and Host belong together as the server sees them.
            replace(
                refused("403 Forbidden"),
                raw_request_in=request(Host="app.example:443", Origin="https://app.example"),
                raw_request_out=request(Host="app.example", Origin="https://app.example"),
            ),
            # Another status has another reason.
            replace(
                refused("500 Internal Server Error"),
                raw_request_in=request(Host="app.example", Origin="http://app.example"),
                raw_request_out=request(Host="127.0.0.1:3000", Origin="http://app.example"),
            ),
        ],
    ),
    "WS-TOOL-006": (
        [
            capture(
                events=(
                    ("passed_unread", {"server": "db:5432", "reason": "it is not HTTP", "first": "\x00"}),
                )
            ),
        ],
        [capture(events=(("passed_unread", {"server": "db:5432", "reason": "its host is ignored"}),))],
    ),
    "WS-TOOL-007": (
        [
            capture(
                events=(
                    (
                        "request_failed",
                        FAILED | {"where": "tls-server", "error": "certificate verify failed"},
                    ),
                )
            )
        ],
        [capture(events=(("request_failed", FAILED | {"where": "connect", "error": "connection refused"}),))],
    ),
    "WS-TOOL-008": (
        [capture(events=(("request_failed", FAILED | {"where": "connect", "error": "connection refused"}),))],
        [capture(events=(("request_failed", FAILED | {"where": "head", "error": "Bad HTTP request line"}),))],
    ),
    "WS-H2-015": (
        [
            capture(events=(("request_failed", UNREAD | {"method": "PRI", "url": "* HTTP/2.0"}),)),
            capture(events=(("request_failed", UNREAD | {"method": "PRI", "tap": "origin"}),)),
        ],
        [
            capture(events=(("request_failed", UNREAD),)),
            capture(events=(("request_failed", FAILED | {"method": "PRI", "where": "connect"}),)),
        ],
    ),
    "WS-TOOL-014": (
        [
            capture(events=(("request_failed", UNREAD),)),
            capture(summary(1, 0), events=(("request_failed", UNREAD | {"client": "10.0.0.77:5"}),)),
        ],
        [
            capture(events=(("request_failed", FAILED | {"where": "connect", "error": "refused"}),)),
            capture(events=(("request_failed", UNREAD | {"method": "PROXY"}),)),
            capture(events=(("request_failed", UNREAD | {"method": "PRI"}),)),
            # Its fields could be read: it is a connection.
            capture(summary(1, 0), events=(("request_failed", UNREAD | {"client": summary(1, 0).client}),)),
        ],
    ),
    "WS-TOOL-010": (
        [
            refused(
                "503 Service Unavailable", facts={**BY_RULE, "faults": (ActedFault("outage", "refuse"),)}
            ),
            cut(how="rst", **{**BY_RULE, "faults": (ActedFault("outage", "abort"),)}),
        ],
        # A rule acted, and the server ended it all the same.
        [refused("503 Service Unavailable", facts={"rule": "slow"}), cut(rule="slow"), HEALTHY],
    ),
    "WS-TOOL-013": (
        [
            replace(
                cut(),
                ended_by="proxy",
                events=(("reported_error", {"error": "mitmproxy closed it with 1002"}),),
            )
        ],
        [
            replace(cut(), events=(("reported_error", {"error": "Invalid frame header"}),)),
            replace(cut(), ended_by="proxy"),
        ],
    ),
    "WS-TOOL-003": (
        [
            capture(events=(("unstored", {"bytes": 5, "reason": "disk full"}),)),
            capture(events=(("unstored", {"bytes": 0, "reason": "bytes are missing"}),), is_trace=True),
        ],
        [capture()],
    ),
}
