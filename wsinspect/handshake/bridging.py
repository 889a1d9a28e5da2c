"""An opening handshake of one HTTP version put into the other (RFC 6455 section 4, RFC 8441 section 5).

Header fields in, header fields out. What one side needs and the other does not have (the key and its accept,
`Upgrade`, `Connection`) is made here, or checked; all other fields keep their order and values. Names get
lower case where HTTP/2 asks for it (RFC 9113 section 8.2) and stay as they are towards HTTP/1.1, where case
does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from wsinspect.handshake.heads import split_list
from wsinspect.handshake.negotiation import accept_key

Fields = list[tuple[bytes, bytes]]

#: Fields about an HTTP/1.1 connection, which HTTP/2 does not have (RFC 9113 section 8.2.2).
_OF_CONNECTION: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)
_KEY: Final = b"sec-websocket-key"
_ACCEPT: Final = b"sec-websocket-accept"
_TAKEN: Final = b"200"


def upgrade_fields(authority: bytes, fields: Iterable[tuple[bytes, bytes]], key: bytes) -> Fields:
    """The fields of an HTTP/1.1 upgrade for an extended CONNECT.

    Args:
        authority: what `:authority` says.
        fields: of the CONNECT, without its pseudo-header fields.
        key: a new Sec-WebSocket-Key.
    """
    own = [(name, value) for name, value in fields if name.lower() not in (*_OF_CONNECTION, b"host", _KEY)]
    host = next((value for name, value in fields if name.lower() == b"host"), authority)
    return [
        (b"Host", host),
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"websocket"),
        (b"Sec-WebSocket-Key", key),
        *_with_one_cookie(own),
    ]


def _with_one_cookie(fields: Fields) -> Fields:
    """HTTP/2 may split Cookie into several fields, HTTP/1.1 may not (RFC 9113 section 8.2.3)."""
    cookies = [value for name, value in fields if name.lower() == b"cookie"]
    if len(cookies) < 2:
        return fields
    joined: Fields = []
    for name, value in fields:
        if name.lower() != b"cookie":
            joined.append((name, value))
        elif cookies:
            joined.append((name, b"; ".join(cookies)))
            cookies = []
    return joined


def connect_fields(
    scheme: bytes, authority: bytes, path: bytes, fields: Iterable[tuple[bytes, bytes]]
) -> Fields:
    """The fields of an extended CONNECT for an HTTP/1.1 upgrade, pseudo-header fields in a browser's order.

    Args:
        scheme: "https" or "http".
        authority: what `Host` says.
        path: the request's target in origin form.
        fields: of the upgrade.
    """
    return [
        (b":method", b"CONNECT"),
        (b":authority", authority),
        (b":scheme", scheme),
        (b":path", path),
        (b":protocol", b"websocket"),
        *_for_http2(fields, (b"host", _KEY, b"http2-settings")),
    ]


def success_fields(fields: Iterable[tuple[bytes, bytes]]) -> Fields:
    """The fields of a response of HTTP/2 that opens the stream, for those of a 101."""
    return [(b":status", _TAKEN), *_for_http2(fields, (_ACCEPT, b"content-length"))]


def switch_fields(fields: Iterable[tuple[bytes, bytes]], key: bytes) -> Fields:
    """The fields of a 101 for those of a 2xx that answered an extended CONNECT.

    Args:
        fields: of the response, without its pseudo-header fields.
        key: the client's Sec-WebSocket-Key.
    """
    dropped = (*_OF_CONNECTION, _ACCEPT, b"content-length")
    return [
        (b"Upgrade", b"websocket"),
        (b"Connection", b"Upgrade"),
        (b"Sec-WebSocket-Accept", accept_key(key)),
        *((name, value) for name, value in fields if name.lower() not in dropped),
    ]


def broken_switch(fields: Iterable[tuple[bytes, bytes]], key: bytes) -> str | None:
    """Why a client of HTTP/1.1 would fail this 101 (RFC 6455 section 4.1); None where it would not."""
    found = [(name.lower(), value) for name, value in fields]
    if b"websocket" not in _tokens(found, b"upgrade"):
        return "the server's 101 has no Upgrade: websocket"
    if b"upgrade" not in _tokens(found, b"connection"):
        return "the server's 101 has no Connection: Upgrade"
    accepts = [value.strip() for name, value in found if name == _ACCEPT]
    if accepts != [accept_key(key)]:
        return (
            "the server's 101 has a wrong Sec-WebSocket-Accept"
            if accepts
            else "the server's 101 has no Sec-WebSocket-Accept"
        )
    return None


def _for_http2(fields: Iterable[tuple[bytes, bytes]], dropped: tuple[bytes, ...]) -> Fields:
    found = [(name.lower(), value) for name, value in fields]
    # Fields that Connection names belong to that connection alone (RFC 9110 section 7.6.1).
    named = _tokens(found, b"connection")
    return [
        (name, value)
        for name, value in found
        if name not in _OF_CONNECTION and name not in named and name not in dropped
    ]


def _tokens(fields: Fields, wanted: bytes) -> set[bytes]:
    return {token.lower() for name, value in fields if name == wanted for token in split_list(value)}
