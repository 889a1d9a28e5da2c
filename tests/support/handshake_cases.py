"""Opening handshakes with edges: extensions as they are negotiated in the wild, odd heads, bytes beside the
heads."""

from __future__ import annotations

from collections.abc import Iterator

from tests.support.bytes_of_frames import KEY, TEXT, close, deflate, frame
from tests.support.script import ACCEPT, C, Case, S, response
from tests.support.script import KEY as HANDSHAKE_KEY

C_TEXT, S_TEXT = frame(TEXT, b"from the client", key=KEY), frame(TEXT, b"from the server")
C_CLOSE, S_CLOSE = close(1000, b"done", key=KEY), close(1000, b"done")
EXCHANGE = (C.send(C_TEXT), S.sync(), S.send(S_TEXT), C.sync())
SERVER_LAST = (S.bye(), C.end(), C.bye(), S.end())

PMD = "permessage-deflate"
CLIENT_BITS = f"{PMD}; client_max_window_bits"
EXTENSIONS = {
    "window-8": (PMD, f"{PMD}; server_max_window_bits=8"),
    "window-9": (PMD, f"{PMD}; server_max_window_bits=9"),
    "window-15": (PMD, f"{PMD}; server_max_window_bits=15"),
    "window-16": (PMD, f"{PMD}; server_max_window_bits=16"),
    "client-window-no-value": (
        CLIENT_BITS,
        CLIENT_BITS,
    ),
    "client-window-8": (
        CLIENT_BITS,
        f"{CLIENT_BITS}=8",
    ),
    "client-window-12": (
        CLIENT_BITS,
        f"{CLIENT_BITS}=12",
    ),
    "client-window-offered-10": (
        f"{CLIENT_BITS}=10",
        f"{CLIENT_BITS}=10",
    ),
    "quoted": (PMD, f'{PMD}; server_max_window_bits="10"'),
    "quoted-offer": (
        f'{PMD}; server_max_window_bits="10"',
        f'{PMD}; server_max_window_bits="10"',
    ),
    "no-takeover": (
        PMD,
        f"{PMD}; server_no_context_takeover; client_no_context_takeover",
    ),
    "no-takeover-value": (PMD, f"{PMD}; server_no_context_takeover=1"),
    "spaces-and-case": (PMD, "  PerMessage-Deflate ;  server_max_window_bits = 10 "),
    "unknown-parameter": (PMD, f"{PMD}; surprise=1"),
    "parameter-twice": (
        PMD,
        f"{PMD}; server_max_window_bits=10; server_max_window_bits=11",
    ),
    "unknown": ("x-lab-extension", "x-lab-extension; mode=2"),
    "unknown-beside-deflate": ("x-lab-extension, permessage-deflate", "x-lab-extension, permessage-deflate"),
    "two-offers": (f"{PMD}; server_max_window_bits=10, permessage-deflate", PMD),
    "never-offered": ("", PMD),
    "deflate-frame": ("x-webkit-deflate-frame", "x-webkit-deflate-frame"),
    "empty-value": (PMD, ""),
    "nonsense": (PMD, ';;=,"unclosed'),
}


def extension_cases() -> Iterator[Case]:
    packed = deflate(b"compressed " * 30, wbits=9)[0]
    steps = (
        S.send(frame(TEXT, packed, rsv=4)),
        C.sync(),
        C.send(frame(TEXT, packed, rsv=4, key=KEY)),
        S.sync(),
        S.send(frame(TEXT, b"other bits", rsv=3)),
        C.sync(),
        *SERVER_LAST,
    )
    for name, (offer, answer) in EXTENSIONS.items():
        lines = (f"Sec-WebSocket-Extensions: {offer}",) if offer else ()
        yield Case(f"extension-{name}", "extensions", steps, lines, (f"Sec-WebSocket-Extensions: {answer}",))


def _head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


UPGRADE = ("Upgrade: websocket", "Connection: Upgrade")
SWITCHING = "HTTP/1.1 101 Switching Protocols"
ACCEPTED = f"Sec-WebSocket-Accept: {ACCEPT}"
HINTS = _head("HTTP/1.1 103 Early Hints")
ANSWERS = {
    "no-upgrade-header": _head(SWITCHING, "Connection: Upgrade", ACCEPTED),
    "no-connection-header": _head(SWITCHING, "Upgrade: websocket", ACCEPTED),
    "no-header-at-all": _head(SWITCHING),
    "wrong-accept": _head(
        SWITCHING,
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Accept: wrong",
    ),
    "no-accept": _head(SWITCHING, *UPGRADE),
    "upgrade-to-other": _head(SWITCHING, "Upgrade: h2c", "Connection: Upgrade"),
    "other-reason": response().replace(b"Switching Protocols", b"Web Socket Protocol Handshake"),
    "no-reason": response().replace(b" Switching Protocols", b" "),
    "case-and-spacing": _head(
        SWITCHING,
        "uPGRADE:WebSocket",
        "CONNECTION:   keep-alive,  UPGRADE  ",
        f"sec-websocket-ACCEPT:\t{ACCEPT}",
    ),
    "content-length-0": response(extra=["Content-Length: 0"]),
    "content-length-5": response(extra=["Content-Length: 5"]),
    "chunked": response(extra=["Transfer-Encoding: chunked"]),
    "connection-close": response().replace(b"Connection: Upgrade", b"Connection: Upgrade, close"),
    "header-twice": response(extra=["X-Lab: 1", "x-lab: 2", "Set-Cookie: a=1", "Set-Cookie: b=2"]),
    "subprotocol-never-offered": response(extra=["Sec-WebSocket-Protocol: surprise"]),
    "latin-1-value": response(extra=["X-Name: caf\xe9"]),
    "long-header": response(extra=["X-Long: " + "x" * 6000]),
    "early-hints": _head("HTTP/1.1 103 Early Hints", "Link: </style.css>; rel=preload") + response(),
    "early-hints-twice": _head("HTTP/1.1 103 Early Hints", "Link: </a>") + HINTS + response(),
    "processing": _head("HTTP/1.1 102 Processing") + response(),
    "continue": _head("HTTP/1.1 100 Continue") + response(),
}

WITH_KEY = (*UPGRADE, f"Sec-WebSocket-Key: {HANDSHAKE_KEY}")
CORRECT = (*WITH_KEY, "Sec-WebSocket-Version: 13")
REQUESTS: dict[str, tuple[str, ...]] = {
    "case-and-spacing": (
        "upgrade:  WebSocket",
        "CONNECTION: keep-alive, Upgrade",
        f"sec-websocket-KEY:{HANDSHAKE_KEY}",
        "Sec-Websocket-Version:\t13",
    ),
    "many-headers": (*CORRECT, *[f"X-{n}: {n}" for n in range(60)]),
    "cookies-and-origin": (*CORRECT, "Origin: http://lab.example", 'Cookie: a=1; b="2"', "Cookie: c=3"),
    "no-version": WITH_KEY,
    "version-8": (*WITH_KEY, "Sec-WebSocket-Version: 8"),
    "short-key": (*UPGRADE, "Sec-WebSocket-Key: SGVsbG8sIHdvcmxkIQ==", "Sec-WebSocket-Version: 13"),
    "no-key": (*UPGRADE, "Sec-WebSocket-Version: 13"),
    "subprotocols": (*CORRECT, "Sec-WebSocket-Protocol: a,b ,  c"),
    "upgrade-list": ("Upgrade: websocket, h2c", *CORRECT[1:]),
    "latin-1-value": (*CORRECT, "X-Name: caf\xe9"),
    "long-cookie": (*CORRECT, "Cookie: " + "c" * 12_000),
}


def handshake_cases() -> Iterator[Case]:
    for name, answer in ANSWERS.items():
        yield Case(f"answer-{name}", "handshakes", (*EXCHANGE, *SERVER_LAST), accept=answer)
    for name, lines in REQUESTS.items():
        head = _head("GET /case/{name} HTTP/1.1", "Host: lab.example", *lines)
        yield Case(f"request-{name}", "handshakes", (*EXCHANGE, *SERVER_LAST), request_head=head)
    query = _head("GET /case/{name}?q=%20a&b=//x HTTP/1.1", "Host: lab.example", *REQUESTS["subprotocols"])
    yield Case("request-query", "handshakes", (*EXCHANGE, *SERVER_LAST), request_head=query)
    talk = (*EXCHANGE, *SERVER_LAST)
    yield Case("joined-frame", "handshakes", talk, joined=S_TEXT)
    yield Case("joined-many-frames", "handshakes", talk, joined=S_TEXT * 200)
    yield Case("joined-half-frame", "handshakes", (S.send(S_TEXT[5:]), C.sync(), *talk), joined=S_TEXT[:5])
    yield Case("joined-crlf", "handshakes", talk, joined=b"\r\n" + S_TEXT)
    yield Case("joined-close", "handshakes", (C.send(C_CLOSE), S.sync(), *SERVER_LAST), joined=S_CLOSE)
    yield Case("early-client-frame", "handshakes", (S.sync(), *talk), early=C_TEXT)
    yield Case(
        "early-client-close", "handshakes", (S.sync(), S.send(S_CLOSE), C.sync(), *SERVER_LAST), early=C_CLOSE
    )
    yield Case("silent-until-closed", "handshakes", SERVER_LAST)
