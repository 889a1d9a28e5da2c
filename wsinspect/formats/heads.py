"""Heads made again from the fields that another format lists; spelling of lines is lost by then."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from wsinspect.handshake.bridging import connect_fields
from wsinspect.net import DEFAULT_PORTS, WS_SCHEMES, authority_of

_UNSAFE = re.compile(r"[\x00-\x1f\x7f]+")


class UrlParts(NamedTuple):
    """The parts of a URL; host is None where it has none."""

    scheme: str
    host: str | None
    port: int | None
    path: str


def parse_url(url: str) -> UrlParts | None:
    """The parts of a WebSocket's URL, `http:` and `https:` too; None for any other."""
    try:
        parts = urlsplit(_UNSAFE.sub("", url))
        scheme = WS_SCHEMES.get(parts.scheme.lower())
        if scheme is None:
            return None
        port = parts.port
        host = parts.hostname
    except ValueError:
        return None
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return UrlParts(scheme, host, port or DEFAULT_PORTS[scheme], path)


def request_head(method: str, target: str, version: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """A request head ending in an empty line; an empty method becomes GET, spaces in the target `%20`."""
    return _head(f"{_line(method) or 'GET'} {_line(target).replace(' ', '%20')} {version}", fields)


def response_head(version: str, status: int, reason: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """A response head ending in an empty line; the status is padded to three digits."""
    return _head(f"{version} {status:03d} {_line(reason)}".rstrip(), fields)


def fields_of(listed: Any) -> list[tuple[str, str]]:
    """Names and values of a HAR's list of header fields, pseudo-fields of HTTP/2 left out."""
    found = []
    for field in listed if isinstance(listed, list) else ():
        if isinstance(field, dict):
            name, value = field.get("name"), field.get("value")
            if isinstance(name, str) and isinstance(value, str) and not name.startswith(":"):
                found.append((name, value))
    return found


def http2_head(listed: Any, status: int | None = None) -> bytes | None:
    """A header block of HTTP/2 as a capture has it, pseudo-header fields first; None where none are listed.

    Args:
        listed: a HAR's list of header fields.
        status: of a response, which browsers list no pseudo-header field for.
    """
    found = [
        (field["name"], field["value"])
        for field in (listed if isinstance(listed, list) else ())
        if isinstance(field, dict)
        and isinstance(field.get("name"), str)
        and isinstance(field.get("value"), str)
    ]
    pseudo = [(name, value) for name, value in found if name.startswith(":")]
    if status is not None:
        pseudo = [(":status", str(status))]
    if not pseudo:
        return None
    own = [(name, value) for name, value in found if not name.startswith(":")]
    lines = [f"{_line(name)}: {_line(value)}" for name, value in (*pseudo, *own)]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "replace")


def connect_head(target: UrlParts, fields: Iterable[tuple[str, str]]) -> bytes:
    """The header block of an extended CONNECT (RFC 8441 section 4) of which a file has only the other fields.

    Args:
        target: what was asked for.
        fields: those that are listed; what means something to HTTP/1.1 alone is left out.
    """
    own = [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in fields]
    named = next((value.decode("utf-8", "replace") for name, value in own if name.lower() == b"host"), "")
    authority = named or authority_of(
        target.scheme, target.host or "", target.port or DEFAULT_PORTS[target.scheme]
    )
    scheme = b"https" if target.scheme == "wss" else b"http"
    made = connect_fields(scheme, authority.encode(), target.path.encode(), own)
    lines = [f"{_line(name.decode())}: {_line(value.decode('utf-8', 'replace'))}" for name, value in made]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "replace")


def http_version(text: Any) -> str:
    """As `HTTP/1.1` or `HTTP/2.0`, whatever a browser calls it."""
    match = re.fullmatch(r"(?i)(?:http/|h)?([123])(?:\.([01]))?", text if isinstance(text, str) else "")
    if not match or match[1] == "1":
        return "HTTP/1.0" if match and match[2] == "0" else "HTTP/1.1"
    return "HTTP/2.0" if match[1] == "2" else f"HTTP/{match[1]}"


def _head(start: str, fields: Iterable[tuple[str, str]]) -> bytes:
    lines = [start, *(f"{_line(name)}: {_line(value)}" for name, value in fields if _line(name)), "", ""]
    return "\r\n".join(lines).encode("utf-8", "replace")


def _line(text: str) -> str:
    return _UNSAFE.sub(" ", text).strip()


def asks_for_websocket(fields: Iterable[tuple[str, str]]) -> bool:
    """Whether a request with these header fields is an opening handshake, also one that a hop took some of.

    `Upgrade` is a list (RFC 9110 section 7.8). A proxy that does not pass it on drops it as a field of
    its own hop, and leaves the key, which nothing but a WebSocket has.
    """
    for name, value in fields:
        known = name.strip().lower()
        if known == "sec-websocket-key":
            return True
        if known == "upgrade" and "websocket" in (one.strip() for one in value.lower().split(",")):
            return True
    return False
