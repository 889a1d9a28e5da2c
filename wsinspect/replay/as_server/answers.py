"""What a played server answers, and to whom: the recorded response, or why it does not play."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.handshake.heads import RawHead
from wsinspect.replay.common.exchange import Exchange
from wsinspect.replay.common.handshake import build_response, is_loopback

_NOT_AGAIN = frozenset({b"content-length", b"transfer-encoding", b"connection", b"set-cookie"})


def plain(request: RawHead, status: int, text: str) -> bytes:
    """A response of one line of text; a 426 names what to upgrade to, as RFC 9110 section 15.5.22 demands."""
    fields = [(b"Content-Type", b"text/plain")]
    if status == 426:
        fields += [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")]
    return Exchange(request).respond(status, text.encode() + b"\n", fields)


def is_refused(one: Connection) -> bool:
    """Whether a recorded handshake was refused."""
    return one.status not in (101, 200, None)


def refusal(capture: Capture, one: Connection) -> bytes:
    """The recorded refusal as bytes, with a Content-Length for its body; 502 where no status is known."""
    handshake = capture.handshake(one.id)
    body = (handshake.body or b"") if handshake else b""
    head = RawHead.parse((handshake.response_in or b"") if handshake else b"")
    lines = [b"HTTP/1.1 %d %s" % (head.status or one.status or 502, head.reason)]
    lines += [
        field.name + b": " + field.value
        for field in head.fields
        if field.name and field.key not in _NOT_AGAIN
    ]
    lines += [b"Content-Length: %d" % len(body), b"Connection: close", b"", body]
    return b"\r\n".join(lines)


def acceptance(capture: Capture, one: Connection, request: RawHead, *, send_secrets: bool) -> bytes:
    """The recorded 101, for the key of this request."""
    handshake = capture.handshake(one.id)
    recorded = handshake.response_in if handshake else None
    return build_response(recorded, request, subprotocol=one.subprotocol, send_secrets=send_secrets)


def is_origin_fine(capture: Capture, request: RawHead, one: Connection) -> bool:
    """Any page in a browser can connect to this machine: only those that may know the recording may ask."""
    origin = (request.get("origin") or b"").decode("latin-1")
    host = _host(origin)
    if not origin or host is None or is_loopback(host) or host == one.host:
        return not origin or host is not None
    handshake = capture.handshake(one.id)
    recorded = RawHead.parse((handshake.request_in or b"") if handshake else b"").get("origin")
    return recorded is not None and recorded.decode("latin-1") == origin


def is_request_fine(capture: Capture, request: RawHead, one: Connection) -> bool:
    """The same for a plain request: pages of the same origin send no Origin there, and a foreign name may
    have been made to lead here."""
    if not is_origin_fine(capture, request, one):
        return False
    if request.get("origin") is None and request.get("sec-fetch-site") in (b"cross-site", b"same-site"):
        return False
    host = _host("//" + (request.get("host") or b"").decode("latin-1"))
    return host is None or is_loopback(host) or _is_address(host) or host == one.host


def _host(origin: str) -> str | None:
    try:
        return urlsplit(origin).hostname
    except ValueError:
        return None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
