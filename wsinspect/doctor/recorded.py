"""A recorded handshake as something to ask again: the server's URL, and what the client sent along. Pure."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, urlencode

from wsinspect.capture.records import Connection, Handshake
from wsinspect.doctor.target import Extras, Target, target_of_handshake
from wsinspect.handshake.heads import RawHead
from wsinspect.net import parse_address

#: Parameters of an Engine.IO session, which nobody can use a second time.
_OF_SESSION: Final = ("sid", "t")
#: Written by hops, and by us again where they belong.
_OF_HOPS: Final = ("x-forwarded-", "x-real-ip", "x-request-id")


def asked_again(
    scheme: str | None,
    host: str | None,
    port: int | None,
    path: str | None,
    request: RawHead | None,
    *,
    server: str | None = None,
    is_tls: bool = False,
) -> tuple[Target, Extras] | None:
    """What to ask; None where the recording does not say which server it was.

    Args:
        scheme, host, port: what the client asked for: behind a reverse tap that is our own proxy.
        request: the header block that went to the server.
        server: the name and port that the proxy connected to.
        is_tls: whether that was TLS.
    """
    if server is not None:
        try:
            place = parse_address(server)
        except ValueError:
            return None
        if (place.host, place.port) != (host, port):
            scheme = "wss" if is_tls else "ws"
        host, port = place
    if not host or not port or scheme not in ("ws", "wss"):
        return None
    target = without_session(Target(scheme, host, port, path or "/"))
    return target, Extras() if request is None else _extras(target, request)


def _extras(target: Target, request: RawHead) -> Extras:
    def text(name: str) -> str | None:
        value = request.get(name)
        return None if value is None else value.decode("latin-1")

    host, authorization = text("host"), text("authorization")
    headers = [] if host is None or host == target.authority else [("Host", host)]
    headers += [] if authorization is None else [("Authorization", authorization)]
    for one in request.fields:
        name = one.name.decode("latin-1")
        if name.lower().startswith("x-") and not name.lower().startswith(_OF_HOPS):
            headers.append((name, one.value.decode("latin-1")))
    return Extras(
        origin=text("origin") or "",
        subprotocols=tuple(one.decode("latin-1") for one in request.elements("sec-websocket-protocol")),
        headers=tuple(headers),
        cookies=tuple(one.decode("latin-1") for one in request.get_all("cookie")),
    )


def without_session(target: Target) -> Target:
    """The same without the parameters of an Engine.IO session."""
    if "EIO=" not in target.query:
        return target
    kept = [pair for pair in parse_qsl(target.query, keep_blank_values=True) if pair[0] not in _OF_SESSION]
    return target._replace(target=f"{target.path}?{urlencode(kept)}")


def recorded_target(connection: Connection | None, handshake: Handshake | None) -> Target | None:
    """What a hop was asked for: the host in the request, at the port that was connected to."""
    if connection is None or connection.port is None:
        return None
    request = None if handshake is None else handshake.request_out or handshake.request_in
    scheme, host, path = connection.scheme or "ws", connection.host or "", connection.path or "/"
    return target_of_handshake(scheme, host, connection.port, path, request)
