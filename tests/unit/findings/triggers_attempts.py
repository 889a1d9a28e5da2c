"""Rules of opening handshakes, TLS, HTTP/2 and dev servers: facts that trigger each, and near ones."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tests.unit.findings.facts_made import (
    CONNECT,
    HELLO,
    OPEN,
    SECOND,
    START,
    capture,
    cut,
    ended,
    failed,
    frame,
    left_at,
    opened,
    refused,
    request,
    summary,
    switching,
)
from wsinspect.findings.facts import (
    C2S,
    S2C,
    CaptureFacts,
    ConnectionFacts,
    EndFact,
    EngineEvent,
    OpaqueFact,
    Summary,
)
from wsinspect.vocabulary import Lack
from wsinspect.wire import violations as v

_RESET = "server reset the stream (PROTOCOL_ERROR)"


def _over_http2(facts: ConnectionFacts, allowed: bool | None) -> ConnectionFacts:
    events = () if allowed is None else (("h2_streams", {"client": 1, "server": 1, "allowed": allowed}),)
    return replace(
        facts, http_version="HTTP/2.0", raw_request_in=CONNECT, raw_request_out=CONNECT, events=events
    )


def _connect(status: str, body: bytes = b"", *, allowed: bool | None = None) -> ConnectionFacts:
    return _over_http2(refused(status, body), allowed)


def _no_answer(error: str, where: str = "response", *, allowed: bool | None = None) -> ConnectionFacts:
    return _over_http2(failed(error, where), allowed)


H1_SERVER = {"tap": "main", "side": "server", "name": "h:443", "offered": ["h2"], "answered": "http/1.1"}

HEALTHY = ended()


def _broken(code: str, direction: Any = S2C, opcode: int = 1, close: int = 1002, **more: Any) -> Any:
    """A connection with one frame that has this violation, for which the other side closed."""
    bad = frame(3, direction, 0.3, opcode, b"x" * 10, violation=code)
    made = ended(
        *HELLO, bad, by="client" if direction == S2C else "server", code=close, violations=((bad, 1),)
    )
    return replace(made, **more)


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

NGINX_502 = b"<html><center><h1>502 Bad Gateway</h1></center><hr><center>nginx/1.22.1</center></html>"

STRIPPED = request(without=("Upgrade",), Connection="close", version="HTTP/1.0")

HOST_ERROR = b'{"type":"error","data":"Invalid Host/Origin header"}'
VITE = request("/", Sec_WebSocket_Protocol="vite-hmr")

NEXT = "/_next/webpack-hmr"

DEFLATE: dict[str, Any] = {"Sec_WebSocket_Extensions": "permessage-deflate"}


WENT_AWAY = {
    "client": "10.0.0.9:4000",
    "sni": "example.org",
    "error": "The client disconnected during the handshake. If this happens consistently for example.org,"
    " this may indicate that the client does not trust the proxy's certificate.",
}


def _local(
    origin: str = "https://app.example.org", host: str = "127.0.0.1", listener: str = "127.0.0.1:8080"
) -> Any:
    """A connection of a page to a server on this machine or network, through a forward proxy."""
    head = request(Origin=origin)
    return opened(head=head, host=host, port=3000, listener=listener)


def _left_at(*seconds: float, others: Sequence[Summary] = ()) -> Any:
    """A client that connected at these times, and sent nothing."""
    event = {"tap": "main", "client": "10.0.0.9:4000", "how": "fin", "ms": 0.4}
    events = tuple(EngineEvent(START + int(at * SECOND), "client_left", event) for at in seconds)
    return CaptureFacts(connections=tuple(others), events=events)


def _left(*others: Any, how: str = "fin", ms: float = 0.4, client: str = "10.0.0.9:4000") -> Any:
    """A client that connected and sent nothing."""
    event = {"tap": "main", "client": client, "how": how, "ms": ms}
    return capture(*others, events=(("client_left", event),))


def _leaked_and_refused() -> Any:
    made = _tls(None, "open", issuer="CN=EM OV TLS CA - G3C")
    return replace(refused("403 Forbidden"), server_tls=made.server_tls)


HINTS = b"HTTP/1.1 103 Early Hints\r\n\r\n"
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
            # python-engineio, actix, poem
            refused("400 Bad Request", b'"Invalid websocket upgrade"', path=EIO),
            refused("400 Bad Request", b"Connection upgrade is expected"),
            refused("400 Bad Request", b"missing `Connection` upgrade"),
            refused("400 Bad Request", b"request upgrade required"),
            # aiohttp, Tornado, tungstenite: an Upgrade that came without Connection
            refused("400 Bad Request", b"No CONNECTION upgrade hdr: None"),
            refused("400 Bad Request", b'"Connection" must be "Upgrade".'),
            refused("400 Bad Request", b'No "Connection: upgrade" header'),
        ],
        [
            refused("426 Upgrade Required", Sec_WebSocket_Version="13"),
            refused("400 Bad Request", b"no such room"),
            refused("400 Bad Request", b"Connection must be paid for: upgrade your plan"),
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
        [
            refused("431 Too Large"),
            refused("400 Bad", head=request(Cookie="a=" + "x" * 9000)),
            refused("414 URI Too Long"),
            refused("400 Bad Request", b"Request-URI too large"),
        ],
        [refused("400 Bad Request", head=request(Cookie="a=b")), refused("413 Payload Too Large")],
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
    "WS-HS-020": (
        [
            refused("502 Bad Gateway", NGINX_502, Server="nginx/1.22.1"),
            *(refused(f"{status} <none>", Server="cloudflare") for status in (520, 521, 523, 525, 526, 530)),
        ],
        [refused("500 Error"), *(refused(f"{status} <none>", Server="cloudflare") for status in (522, 524))],
    ),
    "WS-HS-021": ([refused("503 Service Unavailable", Server="awselb/2.0")], [refused("502 Bad Gateway")]),
    "WS-HS-022": ([refused("504 Gateway Timeout")], [refused("502 Bad Gateway")]),
    "WS-HS-023": ([refused("418 Teapot")], [refused("404 Not Found")]),
    "WS-HS-024": (
        [ended(*HELLO, raw_response_in=switching(Sec_WebSocket_Accept="AAAA"))],
        [
            HEALTHY,
            ended(
                *HELLO, raw_response_in=switching().replace(b"Sec-WebSocket-Accept", b"sec-websocket-accept")
            ),
        ],
    ),
    "WS-HS-025": (
        [ended(*HELLO, raw_response_in=switching(without=("Connection",)))],
        [
            HEALTHY,
            ended(*HELLO, raw_response_in=switching(Upgrade="WebSocket", Connection="keep-alive, upgrade")),
        ],
    ),
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
        [
            HEALTHY,
            ended(
                *HELLO,
                raw_request_out=request(Sec_WebSocket_Protocol="v1, chat"),
                raw_response_in=switching(Sec_WebSocket_Protocol="chat"),
            ),
        ],
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
        [
            _broken(v.RESERVED_BIT),
            # Behind its sender's CLOSE frame nobody reads it (WS-FR-008).
            ended(
                opaque=(OpaqueFact(S2C, OPEN + 2 * SECOND, 30, b"HTTP/1.1 200 OK", v.LENGTH_TOP_BIT, None),)
            ),
        ],
    ),
    "WS-HS-030": (
        [refused("400 Bad Request", head=request(Sec_WebSocket_Key="c2hvcnQ="))],
        [refused("400 Bad Request"), refused("401 No", head=request(Sec_WebSocket_Key="c2hvcnQ="))],
    ),
    "WS-HS-031": (
        [refused("405 Method Not Allowed", head=request().replace(b"GET", b"HEAD", 1))],
        [refused("405 Method Not Allowed"), ended(*HELLO)],
    ),
    "WS-HS-070": (
        [
            failed(words, "request", ended_by="client")
            for words in (
                "Invalid request scheme: ftp",
                "unknown transfer-encoding header: 'foo'",
                "Received invalid header name: b'Bad Name' from client, refusing",
                "multiple content-length headers: ['5', '6']",
                "message with both transfer-encoding and content-length headers",
            )
        ],
        [
            failed("server closed connection", "response"),
            failed("Received unknown transfer-encoding header: 'x' from server, refusing", "response"),
            failed("unknown transfer-encoding header: 'x'", "response"),
            failed("connection closed", "request"),
            failed("Client disconnected.", "client"),
        ],
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
        [failed("Client disconnected.", "client"), failed("Invalid request scheme: ftp", "request")],
    ),
    "WS-HS-066": (
        [
            failed(words, "response", unrecorded=frozenset((Lack.PINGS, Lack.END)))
            for words in (
                "Error during WebSocket handshake: Incorrect 'Sec-WebSocket-Accept' header value",
                "Error in connection establishment: net::ERR_UNSAFE_PORT",
                "WebSocket is closed before the connection is established.",
                "words that nobody knows",
            )
        ],
        [
            failed(
                "Connection closed before receiving a handshake response",
                "response",
                unrecorded=frozenset((Lack.END,)),
            ),
            failed("net::ERR_CONNECTION_REFUSED", "connect", unrecorded=frozenset((Lack.END,))),
            # Ours, which was there.
            failed("Incorrect 'Sec-WebSocket-Accept' header value", "response"),
        ],
    ),
    "WS-HS-036": (
        [
            failed("Client disconnected.", "client", waited=30.1),
            failed("Client disconnected.", "client", waited=0.1),
            # A hop that sees a FIN may go on waiting, and answer nobody.
            refused("502 Bad Gateway", facts=left_at(0.5)),
            # A 101 that came when nobody waited for it any more.
            cut(at=5, by="client", **left_at(0.5)),
        ],
        [
            failed("server closed connection", "response"),
            refused("502 Bad Gateway", facts=left_at(3.5)),
            cut(at=5, by="client", **left_at(3.5)),
        ],
    ),
    "WS-HS-037": (
        [
            failed("Upstream proxy 10.0.0.1:3128 refused HTTP CONNECT request: 403", "request"),
            refused("407 Proxy Authentication Required"),
        ],
        [refused("401 Unauthorized")],
    ),
    "WS-HS-038": (
        [
            ended(*HELLO, informational=b"HTTP/1.1 103 Early Hints\r\n\r\n"),
            ended(*HELLO, informational=b"HTTP/1.1 100 Continue\r\n\r\n"),
            ended(*HELLO, informational=b"HTTP/1.0 102\r\n\r\n"),
            # A client that takes it for the answer leaves at once, and one that was left does, too.
            replace(failed("Client disconnected.", "client", waited=0.1), informational=HINTS),
            replace(failed("Client disconnected.", "client", waited=1.2), informational=HINTS),
        ],
        [
            HEALTHY,
            refused("403 Forbidden", facts={"informational": HINTS}),
            # That one waited for the answer, and this server ended it.
            replace(failed("Client disconnected.", "client", waited=30.1), informational=HINTS),
            replace(failed("server closed connection", "response", waited=0.1), informational=HINTS),
            failed("Client disconnected.", "client", waited=0.1),
        ],
    ),
    "WS-HS-064": ([refused("511 Network Authentication Required")], [refused("500 Internal Server Error")]),
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
            ),
            capture(summary(1, 0, host="example.org"), events=(("tls_failed", WENT_AWAY),)),
            capture(events=(("tls_failed", {**WENT_AWAY, "how": "rst"}),)),
        ],
        [
            capture(events=(("tls_failed", {"error": "no shared cipher"}),)),
            capture(),
            # wsinspect stopped meanwhile.
            capture(events=(("tls_failed", {**WENT_AWAY, "how": None}),)),
            # It came through another time, so this once it only left.
            capture(summary(1, 0, scheme="wss", host="example.org"), events=(("tls_failed", WENT_AWAY),)),
        ],
    ),
    "WS-TLS-002": (
        [capture(events=(("tls_failed", {"error": "OpenSSL Error: no shared cipher"}),))],
        [capture()],
    ),
    "WS-TLS-003": (
        [
            capture(events=(("tls_failed", {"error": "something else"}),)),
            capture(events=(("tls_failed", {**WENT_AWAY, "how": None}),)),  # our stop: a note
        ],
        [capture(events=(("tls_failed", {"error": "The client disconnected during the handshake."}),))],
    ),
    "WS-TLS-010": (
        [_tls("certificate has expired"), _tls("verify", not_after="2021-01-01T00:00:00+00:00")],
        [_tls(None, "open")],
    ),
    "WS-TLS-011": (
        [_tls("certificate is not yet valid"), _tls("verify", not_before="2039-01-01T00:00:00+00:00")],
        [_tls("certificate has expired"), _tls("verify", not_before="soon", not_after="later")],
    ),
    "WS-TLS-012": (
        [_tls("self-signed certificate")],
        [_tls(None, "open")],
    ),
    "WS-TLS-013": (
        [_tls("hostname mismatch"), _tls("IP address mismatch")],
        [_tls("self-signed certificate")],
    ),
    "WS-TLS-014": ([_tls("unable to get local issuer certificate")], [_tls("self-signed certificate")]),
    "WS-TLS-015": (
        [
            _tls_error("tlsv13 alert certificate required"),
            # nginx answers with a page, over TLS.
            replace(
                refused("400 Bad Request", b"<center>No required SSL certificate was sent</center>"),
                server_tls={"version": "TLSv1.3"},
            ),
        ],
        [
            _tls("self-signed certificate"),
            refused("400 Bad Request", b"<center>No required SSL certificate was sent</center>"),
        ],
    ),
    "WS-TLS-016": (
        [_tls_error("OpenSSL Error: tlsv1 alert protocol version")],
        [_tls_error("the remote server does not speak TLS.")],
    ),
    "WS-TLS-017": (
        [_tls_error("The remote server does not speak TLS.")],
        [_tls_error("alert protocol version")],
    ),
    "WS-TLS-018": (
        [
            refused("400 Bad Request", b"<center>The plain HTTP request was sent to HTTPS port</center>"),
            failed("server sent \\x15\\x03\\x01", "response"),
        ],
        [
            refused("400 Bad Request", b"plain wrong"),
            failed("server sent \\x15\\x01\\x01", "response"),
            failed("server sent \\x15\\x03\\x01", "response", server_tls={"version": "TLSv1.3"}),
        ],
    ),
    "WS-TLS-019": (
        [_tls_error("unexpected end"), _tls_error("unexpected eof while reading")],
        [
            HEALTHY,
            _tls_error("certificate verify failed: certificate has expired"),
            failed("connection refused", "connect"),
        ],
    ),
    "WS-TLS-020": (
        [_tls("self-signed certificate", "open")],
        [_tls(None, "open"), _tls("self-signed certificate")],
    ),
    "WS-H2-001": (
        [replace(refused("502 Bad Gateway"), http_version="HTTP/2.0", raw_request_in=None)],
        [refused("502 Bad Gateway"), replace(refused("502 Bad Gateway"), http_version="HTTP/2.0")],
    ),
    "WS-H2-007": (
        [_connect("400 Bad Request", allowed=False), _no_answer(_RESET, allowed=False)],
        [
            _connect("400 Bad Request", allowed=True),
            _connect("400 Bad Request"),
            # It gave up, whatever the answer would have been.
            _no_answer("client ended the connection before the server answered", "client", allowed=False),
        ],
    ),
    "WS-H2-008": (
        [_connect("400 Bad Request", b"missing Sec-WebSocket-Key header", allowed=True)],
        [
            _connect("400 Bad Request", b"missing token", allowed=True),
            # Over HTTP/1.1 it is WS-HS-044.
            refused("400 Bad Request", b"missing Sec-WebSocket-Key header"),
        ],
    ),
    "WS-H2-009": (
        [_no_answer("server reset the stream (HTTP_1_1_REQUIRED)", allowed=True)],
        [_no_answer("server reset the stream (REFUSED_STREAM)", allowed=True)],
    ),
    "WS-H2-010": (
        [
            cut(how="rst", ends=(EndFact("server", "rst", OPEN, "RST_STREAM INTERNAL_ERROR"),)),
            cut(how="rst", ends=(EndFact("server", "rst", OPEN, "RST_STREAM FLOW_CONTROL_ERROR"),)),
            cut(ends=(EndFact("server", "fin", OPEN, "GOAWAY ENHANCE_YOUR_CALM"),)),
            cut(by="client", ends=(EndFact("client", "fin", OPEN, "HTTP/2 protocol error: bad frame"),)),
        ],
        [
            cut(how="rst", ends=(EndFact("server", "rst", OPEN, "RST_STREAM CANCEL"),)),
            cut(ends=(EndFact("server", "fin", OPEN, "GOAWAY NO_ERROR"),)),
            cut(ends=(EndFact("server", "fin", OPEN, "END_STREAM"),)),
            ended(ends=(EndFact("server", "rst", OPEN, "RST_STREAM INTERNAL_ERROR"),)),
        ],
    ),
    "WS-H2-011": (
        [
            capture(events=(("h2_error", {"side": "client", "client": "c", "error": "HTTP/2 x"}),)),
            capture(events=(("h2_error", {"side": "server", "server": "s", "error": "HTTP/2 x"}),) * 2),
        ],
        [capture()],
    ),
    "WS-H2-012": (
        [capture(events=(("h2_settings", {"server": "s", "withdrawn": True}),))],
        [capture(events=(("h2_settings", {"server": "s", "server_enable_connect": False}),))],
    ),
    "WS-H2-013": (
        [capture(events=(("h2_flood", {"side": "client", "client": "c", "frame": "PING", "count": 1000}),))],
        [capture()],
    ),
    "WS-H2-014": (
        [
            capture(
                events=(
                    ("passed_unread", {"reason": "a CONNECT with :protocol x over HTTP/2, it was opened"}),
                )
            )
        ],
        [capture(events=(("passed_unread", {"reason": "it is not HTTP"}),))],
    ),
    "WS-H2-005": (
        [replace(refused("400 Bad Request"), http_version="HTTP/2.0")],
        [refused("400 Bad Request")],
    ),
    "WS-H2-002": (
        [
            capture(
                events=(
                    ("h2_settings", {"tap": "edge", "server": "h", "server_enable_connect": False}),
                    ("h2_settings", {"tap": "origin", "server": "o", "server_enable_connect": True}),
                )
            ),
            capture(
                events=(
                    ("alpn", {"tap": "edge", "side": "server", "name": "h", "answered": "http/1.1"}),
                    ("h2_settings", {"tap": "origin", "server": "o", "server_enable_connect": True}),
                )
            ),
        ],
        [
            capture(events=(("h2_settings", {"tap": "main", "server_enable_connect": True}),)),
            capture(
                events=(
                    ("h2_settings", {"tap": "edge", "server_enable_connect": True}),
                    ("h2_settings", {"tap": "origin", "server_enable_connect": True}),
                )
            ),
        ],
    ),
    "WS-H2-004": (
        [
            capture(summary(1, 0, status=400), events=(("alpn", H1_SERVER),)),
        ],
        [
            # Its WebSockets open, or none was tried: nothing to explain.
            capture(summary(1, 0), events=(("alpn", H1_SERVER),)),
            capture(events=(("alpn", H1_SERVER),)),
            capture(summary(1, 0, status=400, tap="other"), events=(("alpn", H1_SERVER),)),
            # Still under way.
            capture(summary(1, 0, None, open_ns=None, state="connecting"), events=(("alpn", H1_SERVER),)),
            capture(
                summary(1, 0, status=400),
                events=(("alpn", {"side": "client", "offered": ["h2"], "answered": "http/1.1"}),),
            ),
        ],
    ),
    "WS-H2-006": (
        [capture(events=(("alt_svc", {"host": "h", "value": 'h3=":443"'}),))],
        [capture(events=(("alt_svc", {"host": "h", "value": 'h3=":443"', "stripped": True}),)), capture()],
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
            refused("403 Forbidden", b'Blocked request. This host ("x.test") is not allowed.', path="/ws"),
            # webpack-dev-server: after the 101, by a message; before version 4 in SockJS.
            ended(frame(1, S2C, 0.1, 1, HOST_ERROR), by="server", code=None),
            ended(frame(1, S2C, 0.1, 1, b"a[" + HOST_ERROR + b"]"), by="server"),
        ],
        [
            refused("403 Forbidden"),
            # Somebody talks about it; another error; the client leaves.
            ended(frame(1, S2C, 0.1, 1, b'{"type":"chat","data":"Invalid Host/Origin header"}'), by="server"),
            ended(frame(1, S2C, 0.1, 1, b'{"type":"error","data":"no such file"}'), by="server"),
            ended(frame(1, C2S, 0.1, 1, HOST_ERROR), by="server"),
            ended(frame(1, S2C, 0.1, 1, HOST_ERROR)),
        ],
    ),
    "WS-DEV-003": ([refused("404 Not Found", path=NEXT)], [refused("404 Not Found")]),
    "WS-DEV-004": (
        [refused("502 Bad Gateway", head=VITE)],
        [
            refused("502 Bad Gateway"),
            refused("405 Method Not Allowed", b"The requested method GET is not allowed for this URL."),
        ],
    ),
    "WS-DEV-005": (
        [
            capture(
                summary(1, 0, 0.1, status=400, path="/?token=abcdefgh"),
                summary(2, 1, None, port=5173, path="/?token=abcdefgh"),
            )
        ],
        [
            capture(summary(1, 0, 0.1, status=400), summary(2, 1, None, port=5173)),
            capture(
                summary(1, 0, 0.1, status=400, path="/?token=abcdefgh"),
                summary(2, 1, None, path="/?token=abcdefgh"),
            ),
            capture(
                summary(1, 0, None, open_ns=None, state="connecting", path="/?token=abcdefgh"),
                summary(2, 1, None, port=5173, path="/?token=abcdefgh"),
            ),
        ],
    ),
    "WS-TLS-021": (
        [_tls(None, "open", issuer="CN=EM OV TLS CA - G3C,O=eMudhra Inc"), _leaked_and_refused()],
        [_tls(None, "open", issuer="CN=EM OV TLS CA - G4"), HEALTHY],
    ),
    "WS-TOOL-009": (
        [_local(), _local(host="192.168.1.9"), _local(host="[::1]"), _local(host="printer.local")],
        [
            _local(listener="127.0.0.1:3000"),
            _local(host="app.example.org"),
            _local(origin="http://localhost:5173"),
            _local(origin="http://10.0.0.4"),
            _local(origin="null"),
            _local(origin="https://app.test"),
        ],
    ),
    "WS-PAGE-006": (
        [_left(), _left(how="rst", ms=3), _left(client="8.8.8.8:4000"), _left_at(0, 5, 10)],
        [_left(ms=9000), _left(how="proxy"), _left(summary(1, 0)), capture()],
    ),
}
