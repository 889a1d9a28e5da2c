"""For each rule over one connection or a whole capture: facts that trigger it, and near ones that do not."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

from tests.unit.findings.facts_made import (
    HELLO,
    OPEN,
    SECOND,
    START,
    capture,
    cut,
    dropped,
    ended,
    failed,
    frame,
    opened,
    ping,
    refused,
    request,
    response,
    silent,
    summary,
    switching,
    talk,
)
from wsinspect.findings.facts import C2S, S2C, EndFact, OpaqueFact, Problem
from wsinspect.wire import violations as v

HEALTHY = ended()


def _broken(code: str, direction: Any = S2C, opcode: int = 1, close: int = 1002, **more: Any) -> Any:
    """A connection with one frame that has this violation, for which the other side closed."""
    bad = frame(3, direction, 0.3, opcode, b"x" * 10, violation=code)
    made = ended(
        *HELLO, bad, by="client" if direction == S2C else "server", code=close, violations=((bad, 1),)
    )
    return replace(made, **more)


def _borne(code: str) -> Any:
    bad = frame(3, S2C, 0.3, 1, b"x", violation=code)
    return ended(*HELLO, bad)


def _jwt(expires: float) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": expires}).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJIUzI1NiJ9.{claims}.c2ln"


def _tls(error: str | None, state: str = "failed", **certificate: Any) -> Any:
    base = {
        "subject": "CN=x",
        "issuer": "CN=y",
        "sans": ["x"],
        "not_before": "2020-01-01T00:00:00+00:00",
        "not_after": "2040-01-01T00:00:00+00:00",
    }
    tls = {
        "version": None,
        "verify_error": error,
        "certificate": {**base, **certificate} if certificate or error else None,
    }
    made = failed(
        f"TLS with the server failed: Certificate verify failed: {error}", "tls-server", server_tls=tls
    )
    return made if state == "failed" else replace(HEALTHY, server_tls=tls)


def _tls_error(text: str) -> Any:
    return failed(f"TLS with the server failed: {text}", "tls-server", server_tls={"version": None})


EIO = "/socket.io/?EIO=4&transport=websocket"
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


NGINX_502 = b"<html><center><h1>502 Bad Gateway</h1></center><hr><center>nginx/1.22.1</center></html>"
STRIPPED = request(without=("Upgrade",), Connection="close", version="HTTP/1.0")
VITE = request("/", Sec_WebSocket_Protocol="vite-hmr")
NEXT = "/_next/webpack-hmr"
DEFLATE: dict[str, Any] = {"Sec_WebSocket_Extensions": "permessage-deflate"}
BEATS = [frame(n, C2S, n * 1.0, 1, b"ping") for n in range(1, 7)]
TAB = [frame(n, C2S, at, 1, b"hb") for n, at in enumerate((25, 50, 75, 135, 195), 1)]

#: rule: (facts that trigger it, facts that do not)
CASES: dict[str, tuple[list[Any], list[Any]]] = {
    "WS-HS-001": (
        [
            refused("426 Upgrade Required", head=STRIPPED),
            refused("200 OK", head=request(without=("Connection",))),
        ],
        [ended(*HELLO, raw_request_in=STRIPPED), refused("404 Not Found")],
    ),
    "WS-HS-002": (
        [
            refused("426 Upgrade Required", b"Upgrade Required"),
            refused("400 Bad Request", b'{"code":3,"message":"Bad request"}', path=EIO, Server="nginx/1.22"),
            refused("400 Bad Request", b"Connection header did not include 'upgrade'"),
        ],
        [
            refused("426 Upgrade Required", Sec_WebSocket_Version="13"),
            refused("400 Bad Request", b"no such room"),
        ],
    ),
    "WS-HS-003": (
        [refused("400 Bad Request", head=request(version="HTTP/1.0"))],
        [ended(*HELLO, raw_request_in=request(version="HTTP/1.0")), refused("400 Bad Request")],
    ),
    "WS-HS-004": (
        [refused("200 OK", b"<!doctype html>", Content_Type="text/html")],
        [refused("404 Not Found", b"<!doctype html>"), HEALTHY],
    ),
    "WS-HS-005": (
        [refused("301 Moved", Location="https://example.org/chat")],
        [refused("301 Moved", Location="http://example.org/chat/")],
    ),
    "WS-HS-006": (
        [
            refused("308 Permanent", Location="/chat/"),
            refused("301 Moved", Location="http://example.org/chat/"),
        ],
        [refused("301 Moved", Location="https://example.org/chat")],
    ),
    "WS-HS-007": (
        [refused("302 Found", Location="/login?next=/chat")],
        [refused("302 Found", Location="/chat2")],
    ),
    "WS-HS-008": ([refused("302 Found", Location="https://other.test/chat")], [refused("200 OK")]),
    "WS-HS-009": ([refused("401 Unauthorized", WWW_Authenticate="Bearer")], [refused("403 Forbidden")]),
    "WS-HS-010": (
        [refused("403 Forbidden"), refused("403 Forbidden", b"<center>nginx/1.22.1</center>")],
        [refused("401 Unauthorized")],
    ),
    "WS-HS-011": (
        [refused("404 Not Found"), refused("404 Not Found", path="/cable")],
        [refused("400 Bad Request")],
    ),
    "WS-HS-012": ([refused("400 Bad Request", b"no such room")], [refused("404 Not Found")]),
    "WS-HS-013": ([refused("405 Method Not Allowed", Allow="POST")], [refused("404 Not Found")]),
    "WS-HS-014": (
        [refused("505 HTTP Version Not Supported")],
        [refused("500 Error"), refused("505 No", head=request(version="HTTP/1.0"))],
    ),
    "WS-HS-015": (
        [refused("431 Too Large"), refused("400 Bad", head=request(Cookie="a=" + "x" * 9000))],
        [refused("400 Bad Request", head=request(Cookie="a=b"))],
    ),
    "WS-HS-016": ([refused("421 Misdirected Request")], [refused("400 Bad Request")]),
    "WS-HS-017": ([refused("429 Too Many Requests", Retry_After="5")], [refused("503 Service Unavailable")]),
    "WS-HS-018": (
        [
            refused(
                "426 Upgrade Required", head=request(Sec_WebSocket_Version="8"), Sec_WebSocket_Version="13"
            )
        ],
        [refused("426 Upgrade Required")],
    ),
    "WS-HS-019": ([refused("500 Internal Server Error", b"Traceback")], [refused("502 Bad Gateway")]),
    "WS-HS-020": ([refused("502 Bad Gateway", NGINX_502, Server="nginx/1.22.1")], [refused("500 Error")]),
    "WS-HS-021": ([refused("503 Service Unavailable", Server="awselb/2.0")], [refused("502 Bad Gateway")]),
    "WS-HS-022": ([refused("504 Gateway Timeout")], [refused("502 Bad Gateway")]),
    "WS-HS-023": ([refused("418 Teapot")], [refused("404 Not Found")]),
    "WS-HS-024": (
        [ended(*HELLO, raw_response_in=switching(Sec_WebSocket_Accept="AAAA"))],
        [HEALTHY],
    ),
    "WS-HS-025": ([ended(*HELLO, raw_response_in=switching(without=("Connection",)))], [HEALTHY]),
    "WS-HS-026": (
        [ended(*HELLO, raw_request_out=request(Sec_WebSocket_Protocol="chat"))],
        [
            ended(
                *HELLO,
                raw_request_out=request(Sec_WebSocket_Protocol="chat"),
                raw_response_in=switching(Sec_WebSocket_Protocol="chat"),
            )
        ],
    ),
    "WS-HS-027": (
        [ended(*HELLO, raw_response_in=switching(Sec_WebSocket_Protocol="chat"))],
        [HEALTHY],
    ),
    "WS-HS-028": (
        [
            ended(*HELLO, raw_response_in=switching(**DEFLATE)),
            ended(
                *HELLO,
                raw_request_out=request(**DEFLATE),
                raw_response_in=switching(
                    Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits=10"
                ),
            ),
        ],
        [ended(*HELLO, raw_request_out=request(**DEFLATE), raw_response_in=switching(**DEFLATE))],
    ),
    "WS-HS-029": (
        [
            cut(
                violations=(
                    (frame(3, S2C, 0.1, 8, b"/1.1 400 Bad", header=b"HTTP", violation=v.RESERVED_BIT), 1),
                )
            ),
            cut(opaque=(OpaqueFact(S2C, OPEN, 30, b"HTTP/1.1 200 OK", v.LENGTH_TOP_BIT, None),)),
        ],
        [_broken(v.RESERVED_BIT)],
    ),
    "WS-HS-030": (
        [refused("400 Bad Request", head=request(Sec_WebSocket_Key="c2hvcnQ="))],
        [refused("400 Bad Request"), refused("401 No", head=request(Sec_WebSocket_Key="c2hvcnQ="))],
    ),
    "WS-HS-032": (
        [failed("cannot connect to 127.0.0.1:9: connection refused", "connect")],
        [failed("cannot connect to the server: Name or service not known", "connect")],
    ),
    "WS-HS-033": (
        [failed("cannot connect to the server: Name or service not known", "connect")],
        [failed("cannot connect to 127.0.0.1:9: connection refused", "connect")],
    ),
    "WS-HS-035": (
        [failed("server closed connection", "response")],
        [failed("Client disconnected.", "client")],
    ),
    "WS-HS-036": (
        [
            failed("Client disconnected.", "client", waited=30.1),
            failed("Client disconnected.", "client", waited=0.1),
        ],
        [failed("server closed connection", "response")],
    ),
    "WS-HS-037": (
        [
            failed("Upstream proxy 10.0.0.1:3128 refused HTTP CONNECT request: 403", "request"),
            refused("407 Proxy Authentication Required"),
        ],
        [refused("401 Unauthorized")],
    ),
    "WS-HS-038": ([ended(*HELLO, informational=b"HTTP/1.1 103 Early Hints\r\n\r\n")], [HEALTHY]),
    "WS-HS-040": (
        [
            refused("401 Unauthorized", path=f"/ws?token={_jwt(START / 1e9 - 60)}"),
            refused("403 Forbidden", path=f"/ws?access_token={_jwt(START / 1e9 - 60)}"),
        ],
        [
            refused("401 Unauthorized", path=f"/ws?token={_jwt(START / 1e9 + 60)}"),
            refused("401 Unauthorized", path="/ws?token=a.b.c"),
        ],
    ),
    "WS-TLS-001": (
        [
            capture(
                events=(("tls_failed", {"error": "The client does not trust the proxy's certificate for x"}),)
            )
        ],
        [capture(events=(("tls_failed", {"error": "no shared cipher"}),)), capture()],
    ),
    "WS-TLS-002": (
        [capture(events=(("tls_failed", {"error": "OpenSSL Error: no shared cipher"}),))],
        [capture()],
    ),
    "WS-TLS-003": (
        [capture(events=(("tls_failed", {"error": "something else"}),))],
        [capture(events=(("tls_failed", {"error": "The client disconnected during the handshake."}),))],
    ),
    "WS-TLS-010": (
        [_tls("certificate has expired"), _tls("verify", not_after="2021-01-01T00:00:00+00:00")],
        [_tls(None, "open")],
    ),
    "WS-TLS-011": ([_tls("certificate is not yet valid")], [_tls("certificate has expired")]),
    "WS-TLS-012": (
        [_tls("self-signed certificate")],
        [_tls(None, "open")],
    ),
    "WS-TLS-013": (
        [_tls("hostname mismatch"), _tls("IP address mismatch")],
        [_tls("self-signed certificate")],
    ),
    "WS-TLS-014": ([_tls("unable to get local issuer certificate")], [_tls("self-signed certificate")]),
    "WS-TLS-015": ([_tls_error("tlsv13 alert certificate required")], [_tls("self-signed certificate")]),
    "WS-TLS-016": (
        [_tls_error("OpenSSL Error: tlsv1 alert protocol version")],
        [_tls_error("the remote server does not speak TLS.")],
    ),
    "WS-TLS-017": (
        [_tls_error("The remote server does not speak TLS.")],
        [_tls_error("alert protocol version")],
    ),
    "WS-TLS-018": (
        [refused("400 Bad Request", b"<center>The plain HTTP request was sent to HTTPS port</center>")],
        [refused("400 Bad Request", b"plain wrong")],
    ),
    "WS-TLS-019": ([_tls_error("unexpected end")], [HEALTHY]),
    "WS-TLS-020": (
        [_tls("self-signed certificate", "open")],
        [_tls(None, "open"), _tls("self-signed certificate")],
    ),
    "WS-H2-001": (
        [replace(refused("502 Bad Gateway"), http_version="HTTP/2.0")],
        [refused("502 Bad Gateway")],
    ),
    "WS-H2-002": (
        [
            capture(
                events=(
                    (
                        "h2_settings",
                        {"server": "x", "server_enable_connect": True, "client_enable_connect": False},
                    ),
                )
            )
        ],
        [capture(events=(("h2_settings", {"server_enable_connect": True, "client_enable_connect": True}),))],
    ),
    "WS-H2-003": ([capture(events=(("h2_connect_refused", {"protocol": "websocket"}),))], [capture()]),
    "WS-DEV-001": (
        [failed("cannot connect to 127.0.0.1:24678: connection refused", "connect", head=VITE)],
        [failed("cannot connect to 127.0.0.1:9: connection refused", "connect")],
    ),
    "WS-DEV-002": (
        [
            refused("400 Bad Request", head=VITE),
            refused("403 Forbidden", b"Invalid Host/Origin header", path="/ws"),
        ],
        [refused("403 Forbidden")],
    ),
    "WS-DEV-003": ([refused("404 Not Found", path=NEXT)], [refused("404 Not Found")]),
    "WS-DEV-004": ([refused("502 Bad Gateway", head=VITE)], [refused("502 Bad Gateway")]),
    "WS-DEV-005": (
        [
            capture(
                summary(1, 0, 0.1, status=400, path="/?token=abcdefgh"),
                summary(2, 1, None, port=5173, path="/?token=abcdefgh"),
            )
        ],
        [capture(summary(1, 0, 0.1, status=400), summary(2, 1, None, port=5173))],
    ),
    "WS-FR-001": ([_broken(v.MASK_MISSING, C2S)], [HEALTHY]),
    "WS-FR-002": ([_broken(v.MASK_UNEXPECTED)], [HEALTHY]),
    "WS-FR-003": ([_broken(v.RESERVED_BIT)], [HEALTHY]),
    "WS-FR-004": ([_broken(v.RESERVED_OPCODE, opcode=3)], [HEALTHY]),
    "WS-FR-005": (
        [_broken(v.CONTROL_FRAGMENTED, opcode=9), _broken(v.CONTROL_TOO_LONG, opcode=9)],
        [HEALTHY],
    ),
    "WS-FR-006": ([_broken(v.CONTINUATION_UNEXPECTED, opcode=0), _broken(v.MESSAGE_INTERRUPTED)], [HEALTHY]),
    "WS-FR-007": ([_broken(v.LENGTH_NOT_MINIMAL)], [HEALTHY]),
    "WS-FR-008": ([_broken(v.DATA_AFTER_CLOSE)], [HEALTHY]),
    "WS-FR-009": (
        [cut(opaque=(OpaqueFact(S2C, OPEN, 20, b"\x82\x7f" + b"\xff" * 8, v.LENGTH_TOP_BIT, 2),))],
        [cut(opaque=(OpaqueFact(S2C, OPEN, 20, b"\x82\x7f", "unfinished-frame", 2),))],
    ),
    "WS-FR-010": (
        [cut(opaque=(OpaqueFact(S2C, OPEN, 20, b"\x82\x7e\x10\x00abc", "unfinished-frame", 2),))],
        [HEALTHY],
    ),
    "WS-MS-001": ([_broken(v.INVALID_UTF8, close=1007)], [HEALTHY]),
    "WS-MS-002": (
        [
            _broken(v.INFLATE_FAILED, close=1007),
            ended(*HELLO, problems=(Problem(S2C, "inflate-failed", 2, 3),)),
        ],
        [ended(*HELLO, problems=(Problem(S2C, "unfinished", 2, 1),))],
    ),
    "WS-KA-001": (
        [
            ended(
                *HELLO,
                at=41,
                by="server",
                code=1011,
                reason="keepalive ping timeout",
                pings=(ping(9, S2C, 20),),
            ),
            silent(25, pings=(ping(9, S2C, 5, 10), ping(11, S2C, 20))),
        ],
        [
            ended(*HELLO, at=41, by="server", code=1011, pings=(ping(9, S2C, 20, 10),)),
            ended(*HELLO, by="client", pings=(ping(9, S2C, 0.9),)),
        ],
    ),
    "WS-KA-002": (
        [cut(*BEATS, at=7.0)],
        [cut(*BEATS, at=6.3), ended(*BEATS, at=7.0)],
    ),
    "WS-KA-004": (
        [ended(*TAB, at=215, by="server", code=1000, reason="heartbeat")],
        [ended(*TAB[:3], at=80, by="server")],
    ),
    "WS-KA-005": (
        [opened(*HELLO, pings=tuple(ping(n, S2C, n * 10) for n in range(3, 6)))],
        [opened(*HELLO, pings=(ping(3, S2C, 10, 4),))],
    ),
    "WS-CL-001": ([ended(by="server", code=1001)], [ended(code=1001)]),
    "WS-CL-002": ([ended(by="client", code=1002)], [_broken(v.MASK_UNEXPECTED), HEALTHY]),
    "WS-CL-003": ([ended(by="server", code=1003)], [HEALTHY]),
    "WS-CL-007": ([ended(by="server", code=1007)], [_broken(v.INVALID_UTF8, close=1007)]),
    "WS-CL-008": ([ended(by="server", code=1008, reason="no seat")], [HEALTHY]),
    "WS-CL-009": (
        [
            ended(*HELLO, by="server", code=1009),
            silent(
                1.37,
                opaque=(
                    OpaqueFact(
                        C2S, OPEN, 300, b"\x82\xff" + (1_048_700).to_bytes(8, "big"), "unfinished-frame", None
                    ),
                ),
            ),
        ],
        [
            silent(
                1.37,
                opaque=(
                    OpaqueFact(
                        C2S, OPEN, 300, b"\x82\xff" + (700_000).to_bytes(8, "big"), "unfinished-frame", None
                    ),
                ),
            )
        ],
    ),
    "WS-CL-010": ([ended(by="client", code=1010)], [HEALTHY]),
    "WS-CL-011": ([ended(by="server", code=1011)], [HEALTHY]),
    "WS-CL-012": ([ended(by="server", code=1012)], [HEALTHY]),
    "WS-CL-013": ([ended(by="server", code=1013)], [HEALTHY]),
    "WS-CL-014": ([ended(by="server", code=1014)], [HEALTHY]),
    "WS-CL-020": ([_broken(v.CLOSE_CODE, opcode=8)], [HEALTHY]),
    "WS-CL-021": ([_broken(v.CLOSE_TRUNCATED, opcode=8), _broken(v.CLOSE_UTF8, opcode=8)], [HEALTHY]),
    "WS-CL-030": ([ended(by="server", code=4321, reason="kicked")], [ended(by="client", code=4321)]),
    "WS-CL-031": (
        [
            replace(
                ended(), server_close_code=None, server_close_reason=None, js_code=1006, js_was_clean=False
            )
        ],
        [
            HEALTHY,
            replace(
                ended(),
                server_close_code=None,
                server_close_reason=None,
                js_code=1006,
                js_was_clean=False,
                ends=(EndFact("client", "fin", OPEN + SECOND),),
            ),
        ],
    ),
    "WS-DROP-001": ([silent(0.2)], [cut(*HELLO, at=0.4), silent(0.2, by="client")]),
    "WS-DROP-002": (
        [cut(*HELLO, at=60.3), silent(60.02), cut(frame(1, S2C, 1), frame(2, C2S, 50), at=61.1)],
        [ended(*HELLO, at=60.3), cut(*HELLO, at=37.6)],
    ),
    "WS-DROP-003": (
        [cut(*(frame(n, S2C, n * 1.7) for n in range(1, 18)), at=30.05)],
        [cut(*(frame(n, S2C, n * 1.7) for n in range(1, 18)), at=33.7)],
    ),
    "WS-DROP-004": (
        [capture(*(dropped(n, n, 20 - n) for n in range(1, 5)))],
        [
            capture(*(dropped(n, 1 + n / 1000, 20) for n in range(1, 5))),
            capture(*(dropped(n, n, 5) for n in range(1, 5))),
        ],
    ),
    "WS-DROP-005": ([cut(*HELLO, at=0.63, how="rst")], [cut(*HELLO, at=0.63)]),
    "WS-DROP-006": ([cut(*HELLO, at=0.63)], [cut(*HELLO, at=0.63, by="client")]),
    "WS-DROP-007": ([cut(*HELLO, at=0.63, by="client")], [HEALTHY]),
    "WS-DROP-008": (
        [capture(*(dropped(n, n * 7, 30) for n in range(1, 5)))],
        [capture(*(dropped(n, n * 7, 30 + n) for n in range(1, 5)))],
    ),
    "WS-APP-001": ([_engine(0), _engine(2)], [refused("400 Bad", b'{"code":0}')]),
    "WS-APP-002": ([_engine(1, extra="&sid=abc")], [_engine(4)]),
    "WS-APP-004": ([_engine(4)], [_engine(5)]),
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
    "WS-APP-030": (
        [
            ended(
                *_said((S2C, 0.1, '{"type":"disconnect","reason":"unauthorized","reconnect":false}')),
                by="server",
            )
        ],
        [ended(*_said((S2C, 0.1, '{"type":"welcome"}')))],
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
            ended(
                *_said(
                    (
                        S2C,
                        0.1,
                        '["1","1","room:1","phx_reply",{"status":"error","response":{"reason":"unauthorized"}}]',
                    )
                )
            )
        ],
        [ended(*_said((S2C, 0.1, '["1","1","room:1","phx_reply",{"status":"ok","response":{}}]')))],
    ),
    "WS-APP-041": (
        [cut(*_said((C2S, 0.1, '["1","1","room:1","phx_join",{}]')), at=60.4)],
        [cut(*_said((C2S, 0.1, '["1","1","room:1","phx_join",{}]')), at=20.4)],
    ),
    "WS-APP-050": (
        [cut(*_said((C2S, 0.1, "CONNECT\naccept-version:1.2\nheart-beat:0,0\n\n\0")), at=60.3)],
        [ended(*_said((C2S, 0.1, "CONNECT\naccept-version:1.2\nheart-beat:0,0\n\n\0")))],
    ),
    "WS-APP-060": (
        [refused("400 Bad Request", path="/mqtt")],
        [refused("400 Bad Request", path="/mqtt", head=request("/mqtt", Sec_WebSocket_Protocol="mqtt"))],
    ),
    "WS-APP-061": (
        [ended(frame(1, C2S, 0.1, 2, b"\x10\x0c\x00\x04MQTT\x04\x02"), by="server", code=1002)],
        [ended(frame(1, C2S, 0.1, 2, b"\x10\x0c\x00\x04MQTT\x04\x02"))],
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
        [_storm(7, 0.5)],
        [_storm(4, 0.5), _storm(7, 5), capture(*(summary(n, n, 0.5) for n in range(9)))],
    ),
    "WS-RC-002": (
        [capture(summary(1, 0, None, path="/ws?token=abc"), summary(2, 1, None, path="/ws?token=abc"))],
        [capture(summary(1, 0, None), summary(2, 1, None))],
    ),
    "WS-RC-003": (
        [capture(*(summary(n, n * 10, 0.1, status=401) for n in range(1, 6)))],
        [capture(*(summary(n, n * 10, 0.1, status=502) for n in range(1, 6)))],
    ),
    "WS-PAGE-001": (
        [_page(interest="new WebSocket(")],
        [_page(), _page(interest="new WebSocket(", attempts=1)],
    ),
    "WS-PAGE-002": (
        [_page(csp=["default-src 'self'; connect-src 'self'"], ws_urls=["wss://api.other.test/ws"])],
        [_page(csp=["connect-src 'self' wss://api.other.test"], ws_urls=["wss://api.other.test/ws"])],
    ),
    "WS-PAGE-003": (
        [_page(ws_urls=["ws://app.test/ws"])],
        [
            _page(ws_urls=["ws://localhost:3000/ws"]),
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
    "WS-TOOL-001": (
        [replace(HEALTHY, client_tls={"alpn_offered": ["h2", "http/1.1"], "alpn": "http/1.1"})],
        [replace(HEALTHY, client_tls={"alpn_offered": ["http/1.1"], "alpn": "http/1.1"})],
    ),
    "WS-TOOL-002": (
        [replace(refused("403 Forbidden"), raw_request_out=request(Host="127.0.0.1:3000"))],
        [refused("403 Forbidden")],
    ),
    "WS-TOOL-003": ([capture(events=(("unstored", {"bytes": 5, "reason": "disk full"}),))], [capture()]),
}
__all__ = ["CASES", "HEALTHY", "response", "talk"]
