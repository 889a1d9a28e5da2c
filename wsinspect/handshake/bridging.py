"""An opening handshake of one HTTP version put into the other (RFC 6455 section 4, RFC 8441 section 5).

Header fields in, header fields out. What one side needs and the other does not have (the key and its accept,
`Upgrade`, `Connection`) is made here, or checked; all other fields keep their order and values. Names get
lower case where HTTP/2 asks for it (RFC 9113 section 8.2) and stay as they are towards HTTP/1.1, where case
does not matter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from wsinspect.handshake.heads import RawHead, split_list
from wsinspect.handshake.negotiation import accept_key, is_valid_key

Fields = list[tuple[bytes, bytes]]

#: Fields about an HTTP/1.1 connection, which HTTP/2 does not have (RFC 9113 section 8.2.2).
_OF_CONNECTION: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)
_BREAKS: Final = re.compile(rb"[\r\n\0]")
_NOT_IN_TARGET: Final = re.compile(rb"[\x00-\x20\x7f]")
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
    fields = without_breaks(fields)
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


def without_breaks(fields: Iterable[tuple[bytes, bytes]]) -> Fields:
    """Fields of HTTP/2 in which nothing ends a line of HTTP/1.1 (RFC 9110 section 5.5 has a space for it)."""
    return [(_BREAKS.sub(b" ", name), _BREAKS.sub(b" ", value)) for name, value in fields]


def safe_target(target: bytes) -> bytes:
    """A `:path` or `:authority` in which nothing ends a request line of HTTP/1.1, or is two words of it."""
    return _NOT_IN_TARGET.sub(lambda found: b"%%%02X" % found[0][0], target)


def request_fields(fields: Iterable[tuple[bytes, bytes]], *, has_body: bool) -> Fields:
    """The fields of an ordinary request of HTTP/2 for HTTP/1.1.

    HTTP/2 frames a body by itself; HTTP/1.1 needs its length, or chunks (RFC 9112 section 6): without them a
    server takes the body for its next request.
    """
    kept = [(name, value) for name, value in without_breaks(fields) if name.lower() not in _OF_CONNECTION]
    if has_body and not any(name.lower() == b"content-length" for name, _ in kept):
        kept.append((b"Transfer-Encoding", b"chunked"))
    return kept


def trailer_section(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The last chunk, with trailers (RFC 9112 section 7.1.2)."""
    lines = [name + b": " + value for name, value in without_breaks(fields)]
    return b"\r\n".join([b"0", *lines, b"", b""])


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


def response_fields(status: bytes, fields: Iterable[tuple[bytes, bytes]]) -> Fields:
    """The fields of any other response, pseudo-header field first."""
    return [(b":status", status), *_for_http2(fields, ())]


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
        *((name, value) for name, value in without_breaks(fields) if name.lower() not in dropped),
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


def comparable_requests(before: RawHead, after: RawHead) -> tuple[RawHead, RawHead]:
    """Two requests for one WebSocket, so that what differs is more than the HTTP version.

    Where one is an extended CONNECT and the other is not, the first is put as the upgrade that it stands for;
    its start line keeps its version, and what whoever translates has to make is taken from the other one.
    """
    if before.is_extended_connect and not after.is_http2:
        return _as_upgrade(before, after), after
    if after.is_extended_connect and not before.is_http2:
        return before, _as_upgrade(after, before)
    return before, after


def _as_upgrade(head: RawHead, other: RawHead) -> RawHead:
    made: Fields = []
    for name, value in ((b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")):
        theirs = other.get(name) or b""
        made.append((name, theirs if theirs.lower() == value.lower() else value))
    keys = [key for key in other.get_all("sec-websocket-key") if is_valid_key(key)]
    made.append((b"Sec-WebSocket-Key", keys[0] if keys else b"(made by whoever translates)"))
    host = [] if head.get("host") is not None else [(b"Host", head.get(":authority") or b"")]
    line = b" ".join((b"GET", head.get(":path") or b"/", b"HTTP/2.0"))
    return _rebuilt(line, head, [*host, *made], _with_one_cookie)


def comparable_responses(before: RawHead, after: RawHead) -> tuple[RawHead, RawHead]:
    """The same of two responses: what opens a stream of HTTP/2 is put as a 101."""
    if before.is_http2 == after.is_http2:
        return before, after
    if before.is_http2:
        return _as_switch(before, after), after
    return before, _as_switch(after, before)


def _as_switch(head: RawHead, other: RawHead) -> RawHead:
    made: Fields = []
    if other.status == 101 and (head.status or 0) // 100 == 2:
        wanted = (b"upgrade", b"connection", _ACCEPT)
        made = [(one.name, one.value) for one in other.fields if one.key in wanted]
        made = [one for one in made if head.get(one[0]) is None]
    return _rebuilt(head.start_line, head, made, list)


def _rebuilt(line: bytes, head: RawHead, made: Fields, change: Callable[[Fields], Fields]) -> RawHead:
    replaced = {name.lower() for name, _ in made}
    own = change(
        [
            (one.name, one.value)
            for one in head.fields
            if one.name[:1] not in (b"", b":") and one.key not in replaced
        ]
    )
    lines = [line, *(name + b": " + value for name, value in (*made, *own)), b"", b""]
    return RawHead.parse(b"\r\n".join(lines))


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
