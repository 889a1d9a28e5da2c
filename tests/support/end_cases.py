"""The other half of the byte checker: opening handshakes with edges, and every way a connection can end."""

from __future__ import annotations

from collections.abc import Iterator

from tests.support.bytes_of_frames import BINARY, CLOSE, CONT, KEY, PING, PONG, TEXT, close, deflate, frame
from tests.support.frame_cases import noise
from tests.support.script import ACCEPT, C, Case, S, Step, response
from tests.support.script import KEY as HANDSHAKE_KEY

C_TEXT, S_TEXT = frame(TEXT, b"from the client", key=KEY), frame(TEXT, b"from the server")
C_CLOSE, S_CLOSE = close(1000, b"done", key=KEY), close(1000, b"done")
EXCHANGE = (C.send(C_TEXT), S.sync(), S.send(S_TEXT), C.sync())
SERVER_LAST = (S.bye(), C.end(), C.bye(), S.end())
CLIENT_LAST = (C.bye(), S.end(), S.bye(), C.end())
BULK = noise(60_000)


def _ends() -> Iterator[tuple[str, tuple[Step, ...]]]:
    """Without a close frame, and closing handshakes in every order."""
    yield "server-fin", (*EXCHANGE, S.bye(), C.end(), C.bye(), S.end())
    yield "client-fin", (*EXCHANGE, C.bye(), S.end(), S.bye(), C.end())
    yield "server-fin-without-notify", (*EXCHANGE, S.fin(), C.end(), C.fin(), S.end())
    yield "client-fin-without-notify", (*EXCHANGE, C.fin(), S.end(), S.fin(), C.end())
    yield "server-rst", (*EXCHANGE, S.rst(), C.end())
    yield "client-rst", (*EXCHANGE, C.rst(), S.end())
    yield "server-close-call", (*EXCHANGE, S.close(), C.end())
    yield "client-close-call", (*EXCHANGE, C.close(), S.end())
    yield "server-fin-at-once", SERVER_LAST
    yield "client-fin-at-once", CLIENT_LAST
    yield "server-rst-at-once", (S.rst(), C.end())
    yield "client-rst-at-once", (C.rst(), S.end())
    yield "server-rst-right-after-data", (S.send(S_TEXT), S.rst(), C.end())
    yield "client-rst-right-after-data", (C.send(C_TEXT), C.rst(), S.end())
    yield "server-rst-after-60kB", (S.send(frame(BINARY, BULK)), C.sync(), S.rst(), C.end())
    yield "client-rst-after-60kB", (C.send(frame(BINARY, BULK, key=KEY)), S.sync(), C.rst(), S.end())
    yield "server-fin-right-after-data", (S.send(frame(BINARY, BULK)), S.bye(), C.sync(), C.end(), C.bye(), S.end())
    yield "client-fin-right-after-data", (C.send(frame(BINARY, BULK, key=KEY)), C.bye(), S.sync(), S.end(), S.bye(), C.end())
    yield "server-rst-after-client-fin", (*EXCHANGE, C.bye(), S.end(), S.rst(), C.end())
    yield "client-rst-after-server-fin", (*EXCHANGE, S.bye(), C.end(), C.rst(), S.end())
    yield "server-rst-after-close-frame", (*EXCHANGE, S.send(S_CLOSE), C.sync(), S.rst(), C.end())
    yield "client-rst-after-close-frame", (*EXCHANGE, C.send(C_CLOSE), S.sync(), C.rst(), S.end())


def _half_closes() -> Iterator[tuple[str, tuple[Step, ...]]]:
    more_c, more_s = frame(BINARY, BULK, key=KEY), frame(BINARY, BULK)
    yield "client-half", (C.bye(), S.end(), S.send(S_TEXT), C.sync(), S.send(more_s), C.sync(), S.bye(), C.end())
    yield "server-half", (S.bye(), C.end(), C.send(C_TEXT), S.sync(), C.send(more_c), S.sync(), C.bye(), S.end())
    yield "client-half-fin-only", (C.fin(), S.end(), S.send(S_TEXT), C.sync(), S.fin(), C.end())
    yield "server-half-fin-only", (S.fin(), C.end(), C.send(C_TEXT), S.sync(), C.fin(), S.end())
    yield "client-half-then-close-frame", (C.send(C_CLOSE), C.bye(), S.sync(), S.end(), S.send(S_CLOSE), C.sync(), S.bye(), C.end())
    yield "server-half-then-close-frame", (S.send(S_CLOSE), S.bye(), C.sync(), C.end(), C.send(C_CLOSE), S.sync(), C.bye(), S.end())
    yield "client-half-many", (C.bye(), S.end(), *[step for _ in range(20) for step in (S.send(S_TEXT), C.sync())], S.bye(), C.end())
    yield "client-half-megabytes", (C.bye(), S.end(), S.send(noise(4 << 20)), C.sync(), S.bye(), C.end())
    yield "server-half-megabytes", (S.bye(), C.end(), C.send(noise(4 << 20)), S.sync(), C.bye(), S.end())
    yield "client-half-then-rst-by-it", (C.bye(), S.end(), S.send(S_TEXT), C.sync(), C.rst(), S.pound(S_TEXT))
    yield "server-half-then-rst-by-it", (S.bye(), C.end(), C.send(C_TEXT), S.sync(), S.rst(), C.pound(C_TEXT))
    yield "server-half-then-client-rst", (S.bye(), C.end(), C.send(C_TEXT), S.sync(), C.rst(), S.end())
    yield "client-gone-server-writes", (C.close(), S.end(), S.pound(S_TEXT))
    yield "server-gone-client-writes", (S.close(), C.end(), C.pound(C_TEXT))
    yield "client-half-in-a-message", (C.send(frame(TEXT, b"a", fin=False, key=KEY)), S.sync(), C.bye(), S.end(), S.send(S_TEXT), C.sync(), S.bye(), C.end())


def _closing_handshakes() -> Iterator[tuple[str, tuple[Step, ...]]]:
    yield "server-first", (*EXCHANGE, S.send(S_CLOSE), C.sync(), C.send(C_CLOSE), S.sync(), *SERVER_LAST)
    yield "client-first", (*EXCHANGE, C.send(C_CLOSE), S.sync(), S.send(S_CLOSE), C.sync(), *SERVER_LAST)
    yield "client-first-client-last", (C.send(C_CLOSE), S.sync(), S.send(S_CLOSE), C.sync(), *CLIENT_LAST)
    yield "both-at-once", (C.send(C_CLOSE), S.send(S_CLOSE), S.sync(), C.sync(), *SERVER_LAST)
    yield "late-data-from-client", (S.send(S_CLOSE), C.sync(), C.send(C_TEXT), S.sync(), C.send(C_CLOSE), S.sync(), *SERVER_LAST)
    yield "late-data-from-server", (C.send(C_CLOSE), S.sync(), S.send(S_TEXT), C.sync(), S.send(S_CLOSE), C.sync(), *SERVER_LAST)
    yield "late-pings", (S.send(S_CLOSE), C.sync(), C.send(frame(PING, b"?", key=KEY)), S.sync(), S.send(frame(PONG, b"?")), C.sync(), C.send(C_CLOSE), S.sync(), *SERVER_LAST)
    yield "server-never-answers", (C.send(C_CLOSE), S.sync(), *CLIENT_LAST)
    yield "client-never-answers", (S.send(S_CLOSE), C.sync(), *SERVER_LAST)
    yield "close-and-fin-in-one", (S.send(S_CLOSE), S.bye(), C.sync(), C.end(), C.send(C_CLOSE), S.sync(), C.bye(), S.end())
    yield "other-code-in-answer", (C.send(C_CLOSE), S.sync(), S.send(close(4999, b"no")), C.sync(), *SERVER_LAST)
    yield "empty-both", (C.send(close(key=KEY)), S.sync(), S.send(close()), C.sync(), *SERVER_LAST)
    yield "empty-answered-1005", (C.send(close(key=KEY)), S.sync(), S.send(close(1005)), C.sync(), *SERVER_LAST)
    yield "server-sends-twice", (S.send(S_CLOSE + S_CLOSE), C.sync(), C.send(C_CLOSE), S.sync(), *SERVER_LAST)
    yield "protocol-error-answered", (S.send(frame(0x3, b"?")), C.sync(), C.send(close(1002, b"bad", key=KEY)), S.sync(), S.send(close(1002)), C.sync(), *SERVER_LAST)
    yield "too-big-answered", (C.send(frame(BINARY, BULK, key=KEY)), S.sync(), S.send(close(1009, b"big")), C.sync(), C.send(close(1009, key=KEY)), S.sync(), *SERVER_LAST)
    yield "client-fin-waits-for-close", (C.send(C_CLOSE), C.bye(), S.sync(), S.end(), S.send(S_TEXT), C.sync(), S.send(S_CLOSE), C.sync(), S.bye(), C.end())
    yield "close-half-frame-then-fin", (S.send(S_CLOSE[:3]), C.sync(), *SERVER_LAST)


def _tls_ends() -> Iterator[tuple[str, tuple[Step, ...]]]:
    yield "server-notify-then-fin", (*EXCHANGE, S.notify(), C.notified(), S.fin(), C.end(), C.bye(), S.end())
    yield "client-notify-then-fin", (*EXCHANGE, C.notify(), S.notified(), C.fin(), S.end(), S.bye(), C.end())
    yield "server-notify-then-data-back", (S.notify(), C.notified(), C.send(C_TEXT), S.sync(), C.notify(), S.notified(), S.fin(), C.end(), C.fin(), S.end())
    yield "client-notify-then-data-back", (C.notify(), S.notified(), S.send(S_TEXT), C.sync(), S.notify(), C.notified(), C.fin(), S.end(), S.fin(), C.end())
    yield "server-notify-then-rst", (*EXCHANGE, S.notify(), C.notified(), S.rst(), C.end())
    yield "client-notify-then-rst", (*EXCHANGE, C.notify(), S.notified(), C.rst(), S.end())
    yield "server-truncated-client-polite", (*EXCHANGE, S.fin(), C.end(), C.bye(), S.end())
    yield "client-truncated-server-polite", (*EXCHANGE, C.fin(), S.end(), S.bye(), C.end())
    yield "close-frame-notify-in-one", (S.send(S_CLOSE), S.notify(), C.sync(), C.notified(), C.send(C_CLOSE), S.sync(), C.bye(), S.end(), S.fin(), C.end())


EXTENSIONS = {
    "window-8": ("permessage-deflate", "permessage-deflate; server_max_window_bits=8"),
    "window-9": ("permessage-deflate", "permessage-deflate; server_max_window_bits=9"),
    "window-15": ("permessage-deflate", "permessage-deflate; server_max_window_bits=15"),
    "window-16": ("permessage-deflate", "permessage-deflate; server_max_window_bits=16"),
    "client-window-no-value": ("permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits"),
    "client-window-8": ("permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits=8"),
    "client-window-12": ("permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits=12"),
    "client-window-offered-10": ("permessage-deflate; client_max_window_bits=10", "permessage-deflate; client_max_window_bits=10"),
    "quoted": ("permessage-deflate", 'permessage-deflate; server_max_window_bits="10"'),
    "quoted-offer": ('permessage-deflate; server_max_window_bits="10"', 'permessage-deflate; server_max_window_bits="10"'),
    "no-takeover": ("permessage-deflate", "permessage-deflate; server_no_context_takeover; client_no_context_takeover"),
    "no-takeover-value": ("permessage-deflate", "permessage-deflate; server_no_context_takeover=1"),
    "spaces-and-case": ("permessage-deflate", "  PerMessage-Deflate ;  server_max_window_bits = 10 "),
    "unknown-parameter": ("permessage-deflate", "permessage-deflate; surprise=1"),
    "parameter-twice": ("permessage-deflate", "permessage-deflate; server_max_window_bits=10; server_max_window_bits=11"),
    "unknown": ("x-lab-extension", "x-lab-extension; mode=2"),
    "unknown-beside-deflate": ("x-lab-extension, permessage-deflate", "x-lab-extension, permessage-deflate"),
    "two-offers": ("permessage-deflate; server_max_window_bits=10, permessage-deflate", "permessage-deflate"),
    "never-offered": ("", "permessage-deflate"),
    "deflate-frame": ("x-webkit-deflate-frame", "x-webkit-deflate-frame"),
    "empty-value": ("permessage-deflate", ""),
    "nonsense": ("permessage-deflate", ";;=,\"unclosed"),
}  # fmt: skip


def _extensions() -> Iterator[Case]:
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


ANSWERS = {
    "no-upgrade-header": _head("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", f"Sec-WebSocket-Accept: {ACCEPT}"),
    "no-connection-header": _head("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", f"Sec-WebSocket-Accept: {ACCEPT}"),
    "no-header-at-all": _head("HTTP/1.1 101 Switching Protocols"),
    "wrong-accept": _head("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: wrong"),
    "no-accept": _head("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"),
    "upgrade-to-other": _head("HTTP/1.1 101 Switching Protocols", "Upgrade: h2c", "Connection: Upgrade"),
    "other-reason": response().replace(b"Switching Protocols", b"Web Socket Protocol Handshake"),
    "no-reason": response().replace(b" Switching Protocols", b" "),
    "case-and-spacing": _head("HTTP/1.1 101 Switching Protocols", "uPGRADE:WebSocket", "CONNECTION:   keep-alive,  UPGRADE  ", f"sec-websocket-ACCEPT:\t{ACCEPT}"),
    "content-length-0": response(extra=["Content-Length: 0"]),
    "content-length-5": response(extra=["Content-Length: 5"]),
    "chunked": response(extra=["Transfer-Encoding: chunked"]),
    "connection-close": response().replace(b"Connection: Upgrade", b"Connection: Upgrade, close"),
    "header-twice": response(extra=["X-Lab: 1", "x-lab: 2", "Set-Cookie: a=1", "Set-Cookie: b=2"]),
    "subprotocol-never-offered": response(extra=["Sec-WebSocket-Protocol: surprise"]),
    "latin-1-value": response(extra=["X-Name: caf\xe9"]),
    "long-header": response(extra=["X-Long: " + "x" * 6000]),
    "early-hints": _head("HTTP/1.1 103 Early Hints", "Link: </style.css>; rel=preload") + response(),
    "early-hints-twice": _head("HTTP/1.1 103 Early Hints", "Link: </a>") + _head("HTTP/1.1 103 Early Hints") + response(),
    "processing": _head("HTTP/1.1 102 Processing") + response(),
    "continue": _head("HTTP/1.1 100 Continue") + response(),
}  # fmt: skip

REQUESTS: dict[str, tuple[str, ...]] = {
    "case-and-spacing": ("upgrade:  WebSocket", "CONNECTION: keep-alive, Upgrade", f"sec-websocket-KEY:{HANDSHAKE_KEY}", "Sec-Websocket-Version:\t13"),
    "many-headers": ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {HANDSHAKE_KEY}", "Sec-WebSocket-Version: 13", *[f"X-{n}: {n}" for n in range(60)]),
    "cookies-and-origin": ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {HANDSHAKE_KEY}", "Sec-WebSocket-Version: 13", "Origin: http://lab.example", "Cookie: a=1; b=\"2\"", "Cookie: c=3"),
    "no-version": ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {HANDSHAKE_KEY}"),
    "version-8": ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {HANDSHAKE_KEY}", "Sec-WebSocket-Version: 8"),
    "short-key": ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: SGVsbG8sIHdvcmxkIQ==", "Sec-WebSocket-Version: 13"),
    "no-key": ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"),
    "subprotocols": ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {HANDSHAKE_KEY}", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: a,b ,  c"),
    "upgrade-list": ("Upgrade: websocket, h2c", "Connection: Upgrade", f"Sec-WebSocket-Key: {HANDSHAKE_KEY}", "Sec-WebSocket-Version: 13"),
    "latin-1-value": ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {HANDSHAKE_KEY}", "Sec-WebSocket-Version: 13", "X-Name: caf\xe9"),
}  # fmt: skip


def _handshakes() -> Iterator[Case]:
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
    yield Case("early-client-close", "handshakes", (S.sync(), S.send(S_CLOSE), C.sync(), *SERVER_LAST), early=C_CLOSE)
    yield Case("silent-until-closed", "handshakes", SERVER_LAST)


def _mixed() -> Iterator[tuple[str, tuple[Step, ...]]]:
    """Both directions at once."""
    yield "both-send-at-once", (C.send(C_TEXT * 50), S.send(S_TEXT * 50), S.sync(), C.sync(), *SERVER_LAST)
    yield "ping-pong-rally", tuple(
        step
        for n in range(50)
        for step in (C.send(frame(PING, b"%d" % n, key=KEY)), S.sync(), S.send(frame(PONG, b"%d" % n)), C.sync())
    ) + SERVER_LAST
    yield "fragments-crossing", (
        C.send(frame(TEXT, b"a", fin=False, key=KEY)), S.send(frame(TEXT, b"b", fin=False)), S.sync(), C.sync(),
        C.send(frame(CONT, b"a", key=KEY)), S.send(frame(CONT, b"b")), S.sync(), C.sync(), *SERVER_LAST,
    )  # fmt: skip
    yield "violation-both-ways", (C.send(frame(TEXT, b"x")), S.send(frame(TEXT, b"x", key=KEY)), S.sync(), C.sync(), *EXCHANGE, *SERVER_LAST)
    yield "close-fragmented", (S.send(frame(CLOSE, b"\x03\xe8", fin=False)), C.sync(), S.send(frame(CONT, b"why")), C.sync(), *SERVER_LAST)


def end_cases() -> list[Case]:
    """All cases of handshakes and ends."""
    cases = [*_handshakes(), *_extensions()]
    families = {"ends": _ends, "half-close": _half_closes, "closing": _closing_handshakes, "mixed": _mixed}
    for family, make in families.items():
        cases += [Case(f"{family}-{name}", family, steps) for name, steps in make()]
    cases += [Case(f"tls-{name}", "tls-ends", steps, tls_only=True) for name, steps in _tls_ends()]
    return cases
