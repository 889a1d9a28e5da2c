"""Rules that read what an answer says, or bytes that are none: facts that trigger each, and near ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.unit.findings.facts_made import (
    HELLO,
    OPEN,
    START,
    cut,
    ended,
    failed,
    frame,
    refused,
    request,
    switching,
)
from wsinspect.findings.facts import C2S, S2C, EndFact, OpaqueFact, Other
from wsinspect.wire import violations as v

SECOND = 10**9
NOT_HTTP = {
    "ssh": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    "mysql": b"\x4a\x00\x00\x00\x0a8.0.36\x00\x08\x00\x00\x00abc",
    "postgres": b"E\x00\x00\x00\x8dSFATAL\x00VFATAL\x00C08P01\x00",
    "redis": b"-ERR unknown command 'GET'\r\n",
    "smtp": b"220 mail.example.org ESMTP Postfix\r\n",
    "unknown": b"\x01\x02\x03\x04hello",
}
HEAD_101 = switching()
#: Five bytes of text, as the Content-Length says: as frames they would have an opcode and reserved bits.
_BODY_IN_101 = cut(
    at=0.4,
    raw_response_in=switching(Content_Length="5"),
    frames=(0, 0),
    last_frames=(),
    opaque=(OpaqueFact(S2C, OPEN, 5, b"hello", "unfinished-frame", None),),
)
SUBPROTOCOL = b"Failed to open a WebSocket connection: invalid subprotocol; expected one of v2.\n"


def early(
    first: bytes, error: str = "server ended the connection before a response (fin)", **facts: Any
) -> Any:
    """An attempt whose server sent these bytes and no answer."""
    return failed(error, "response", raw_response_in=first, **facts)


def other(number: int = 7, path: str = "/chat", lived: float | None = None, **fields: Any) -> Other:
    """An accepted attempt at the same place, one second earlier."""
    opened = START - SECOND
    end = None if lived is None else opened + int(lived * SECOND)
    return Other(number, path, opened, opened, closed_ns=end, end_ns=end, request=request(path, **fields))


def tunnel(text: bytes, frames: tuple[Any, ...] = HELLO) -> Any:
    """An open connection into which a server wrote text."""
    bad = frame(9, S2C, 0.5, 8, text[2:], header=text[:2], violation=v.RESERVED_BIT)._replace(fin=False)
    return cut(*frames, bad, at=0.6, violations=((bad, 1),))


CASES: dict[str, tuple[list[Any], list[Any]]] = {
    "WS-HS-041": (
        [
            *(early(first) for first in NOT_HTTP.values()),
            early(NOT_HTTP["ssh"], ends=(EndFact("client", "fin", START + SECOND),)),
        ],
        [
            early(b"HTTP/1.1 101 Switching Protocols\r\n"),
            early(b"HTT"),
            early(b"\x15\x03\x01\x00\x02\x02\x46"),
            failed("server ended the connection before a response (fin)", "response"),
            refused("400 Bad Request", b"SSH-2.0"),
        ],
    ),
    "WS-HS-042": (
        [
            early(HEAD_101[:-2], status=101),
            early(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", status=200),
            early(b"HTTP/1.1 200 OK\r\n", ends=(EndFact("client", "fin", START + SECOND),)),
        ],
        [early(NOT_HTTP["ssh"]), ended(*HELLO), early(b"")],
    ),
    "WS-HS-043": (
        [
            refused("400 Bad Request", SUBPROTOCOL),
            refused("400 Bad Request", b"missing subprotocol", head=request(Sec_WebSocket_Protocol="v1")),
            refused("403 Forbidden", b"Unsupported sub-protocol"),
        ],
        [refused("400 Bad Request", b"no such room"), refused("503 Service Unavailable", SUBPROTOCOL)],
    ),
    "WS-HS-044": (
        [refused("400 Bad Request", b"Missing or invalid Sec-WebSocket-Key header")],
        [
            refused(
                "400 Bad Request",
                b"Missing or invalid Sec-WebSocket-Key header",
                head=request(without=("Sec-WebSocket-Key",)),
            ),
            refused("400 Bad Request", b"no such room"),
        ],
    ),
    "WS-HS-045": (
        [
            refused("403 Forbidden", b"WebSockets are disabled for this site"),
            refused("400 Bad Request", b"WebSocket support is not enabled"),
            refused("501 WebSockets not supported"),
            refused("403 Forbidden", b"WebSockets are not allowed here. Ask for a token at /login."),
        ],
        [
            # Tornado, and others that refuse one client and not all.
            refused("403 Forbidden", b"Cross origin websockets not allowed"),
            refused("403 Forbidden", b"WebSocket connections not allowed from this origin"),
            refused("403 Forbidden", b"websocket connections are not permitted without authentication"),
            refused("403 Forbidden", b"<p>Your IP address: websocket blocked</p>"),
            refused("429 Too Many", b"too many websocket connections blocked"),
            refused("403 Forbidden", b"This account is disabled"),
            refused("400 Bad", b"not a websocket request"),
        ],
    ),
    "WS-HS-046": (
        [ended(*HELLO, raw_response_in=switching().replace(b"HTTP/1.1", b"HTTP/1.0"))],
        [ended(*HELLO), refused("400 Bad Request", head=request(version="HTTP/1.0"))],
    ),
    "WS-HS-047": (
        [
            ended(*HELLO, raw_response_in=switching(Content_Length="0")),
            cut(
                at=0.4,
                raw_response_in=switching(Transfer_Encoding="chunked"),
                frames=(0, 0),
                last_frames=(),
                opaque=(OpaqueFact(S2C, OPEN, 9, b"4\r\n\x81\x02hi\r\n", "unfinished-frame", None),),
            ),
            _BODY_IN_101,
        ],
        [ended(*HELLO), refused("200 OK", Content_Length="0")],
    ),
    "WS-HS-048": (
        [
            refused("503 Service Unavailable", facts={"others": (other(),)}),
            refused("503 Service Unavailable", b"Too many connections", facts={"others": (other(),)}),
        ],
        [
            refused("503 Service Unavailable"),
            refused("503 Service Unavailable", facts={"others": (other(lived=0.5),)}),
            refused("503 Service Unavailable", facts={"others": (other(path="/other"),)}),
            refused("502 Bad Gateway", facts={"others": (other(),)}),
        ],
    ),
    "WS-HS-049": (
        [
            refused(
                "400 Bad Request",
                b"Invalid or unacceptable Sec-WebSocket-Extensions header",
                head=request(Sec_WebSocket_Extensions="permessage-deflate"),
            ),
            refused(
                "400 Bad Request", b'unsupported permessage-deflate parameter: "server_max_window_bits=15"'
            ),
        ],
        [refused("400 Bad Request", b"no such room"), refused("503 Down", b"no permessage-deflate today")],
    ),
}

TEXT_LATER = tunnel(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n" + b"x" * 40)
C2S_TEXT = replace(
    TEXT_LATER, opaque=(OpaqueFact(C2S, OPEN, 30, b"GET / HTTP/1.1\r\n", "unfinished-frame", 2),)
)
