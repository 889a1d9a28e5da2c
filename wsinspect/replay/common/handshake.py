"""The opening handshakes of a replay, made of the recorded ones (RFC 6455 section 4).

Sans-I/O. What must be new is new (key, accept, Host); secrets of the recording go only where they went
before, or to this machine, unless the user says otherwise.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from wsinspect.capture.records import Connection, Handshake
from wsinspect.errors import UsageError
from wsinspect.formats.secrets import MASK, has_secret, mask_target
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import accept_key
from wsinspect.net import DEFAULT_PORTS, WS_SCHEMES, authority_of

_NEEDED: Final = (
    (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade"),
    (b"Sec-WebSocket-Version", b"13"),
)
#: Fields between the recorded client and a proxy, or about a body that is not there.
_HOP: Final = (b"proxy-", b"content-length", b"transfer-encoding", b"te", b"trailer")
_OFFER: Final = b"sec-websocket-extensions"


class Target(NamedTuple):
    """Where to connect to; `path` is None for the recorded one."""

    scheme: str
    host: str
    port: int
    path: str | None

    @classmethod
    def parse(cls, url: str) -> Target:
        """`ws://localhost:3000`, `wss://host/other/path?query`.

        Raises:
            UsageError: it is not such a URL.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise UsageError(f"{url!r}: {error}") from None
        scheme = WS_SCHEMES.get(parts.scheme)
        if scheme is None or not host or port == 0:
            raise UsageError(f"not a server URL: {url!r}", hint="write one like ws://localhost:3000")
        path = None
        if parts.path not in ("", "/") or parts.query:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(scheme, host, port or DEFAULT_PORTS[scheme], path)

    @property
    def authority(self) -> str:
        """Host and port as `Host` has them, the port only where it is not the scheme's."""
        return authority_of(self.scheme, self.host, self.port)


class Policy(NamedTuple):
    """What the user wants for handshakes.

    Attributes:
        headers: fields that replace recorded ones; a None value removes them.
        send_secrets: send recorded secrets anywhere.
        offers_extensions: offer what was offered.
    """

    headers: tuple[tuple[str, str | None], ...] = ()
    send_secrets: bool = False
    offers_extensions: bool = True


class Request(NamedTuple):
    """A request head, and the names of the secrets that were left out of it."""

    raw: bytes
    key: bytes
    withheld: tuple[str, ...]


def parse_header(text: str) -> tuple[str, str | None]:
    """`Name: value`, or `Name:` to remove it.

    Raises:
        UsageError: it is neither.
    """
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or any(ord(char) < 32 for char in text):
        raise UsageError(f"invalid header {text!r}", hint="write 'Name: value', or 'Name:' to leave it out")
    return name.strip(), value.strip() or None


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def may_have_secrets(target: Target, recorded: Connection) -> bool:
    """Whether recorded secrets may go there: to this machine, or where they went, and not in the clear
    then."""
    if is_loopback(target.host):
        return True
    is_same = (recorded.host or "").lower() == target.host.lower()
    return is_same and (target.scheme == "wss" or recorded.scheme != "wss")


def build_request(
    recorded: Connection, handshake: Handshake | None, target: Target, policy: Policy, key: bytes
) -> Request:
    """The request to send: the recorded one with what is new in it.

    Args:
        recorded: the connection.
        handshake: its heads.
        target: where to.
        policy: what the user wants.
        key: a new Sec-WebSocket-Key.
    """
    raw = (handshake.request_in or handshake.request_out or b"") if handshake else b""
    head = RawHead.parse(raw)
    withheld: list[str] = []
    is_open = policy.send_secrets or may_have_secrets(target, recorded)
    path = (target.path or recorded.path or "/").encode("utf-8", "surrogateescape")
    if target.path is None and not is_open and mask_target(path) != path:
        withheld.append("the query's secrets")
        path = mask_target(path)
    replaced = {name.lower().encode("latin-1", "replace") for name, _ in policy.headers}
    fields: list[tuple[bytes, bytes]] = []
    for field in head.fields:
        name = field.key
        if not name or name in replaced or name.startswith(_HOP) or name.startswith(b":"):
            continue
        if name == b"host":
            fields.append((field.name, target.authority.encode()))
        elif name == b"sec-websocket-key":
            fields.append((field.name, key))
        elif name == _OFFER and not policy.offers_extensions:
            continue
        elif has_secret(field.name, field.value) and not is_open:
            withheld.append(field.name.decode("latin-1"))
        else:
            fields.append((field.name, field.value))
    _complete(fields, target, key, replaced)
    fields += [
        (name.encode("latin-1", "replace"), value.encode())
        for name, value in policy.headers
        if value is not None
    ]
    lines = [
        b"GET " + path.replace(b" ", b"%20") + b" HTTP/1.1",
        *(b": ".join(pair) for pair in fields),
        b"",
        b"",
    ]
    return Request(b"\r\n".join(lines), key, tuple(dict.fromkeys(withheld)))


def _complete(fields: list[tuple[bytes, bytes]], target: Target, key: bytes, replaced: set[bytes]) -> None:
    """Add the fields that an imported recording, or one of HTTP/2, lacks."""
    names = {name.lower() for name, _ in fields} | replaced
    if b"host" not in names:
        fields.insert(0, (b"Host", target.authority.encode()))
    for name, value in (*_NEEDED, (b"Sec-WebSocket-Key", key)):
        if name.lower() not in names:
            fields.append((name, value))


def build_response(
    recorded: bytes | None, request: RawHead, *, subprotocol: str | None, send_secrets: bool
) -> bytes:
    """The 101 that answers a client: the recorded one, with the accept that its key demands.

    Extensions are not accepted: what was compressed is sent inflated.
    """
    head = RawHead.parse(recorded or b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    offered = [one.decode("latin-1") for one in request.elements("sec-websocket-protocol")]
    lines = [
        b"HTTP/1.1 101 " + (head.reason or b"Switching Protocols"),
        b"Upgrade: websocket",
        b"Connection: Upgrade",
    ]
    lines.append(b"Sec-WebSocket-Accept: " + accept_key(request.get("sec-websocket-key") or b""))
    if subprotocol is not None and subprotocol in offered:
        lines.append(b"Sec-WebSocket-Protocol: " + subprotocol.encode("latin-1", "replace"))
    for field in head.fields:
        is_ours = field.key.startswith((b"sec-websocket-", *_HOP)) or field.key in (b"upgrade", b"connection")
        if field.name and not is_ours and (send_secrets or not has_secret(field.name, field.value)):
            lines.append(field.name + b": " + field.value)
    return b"\r\n".join([*lines, b"", b""])


def was_masked(request: bytes) -> bool:
    """Whether a recording was exported without its secrets."""
    return f"={MASK}".encode() in request or f" {MASK}\r\n".encode() in request


def headers_of(texts: Sequence[str]) -> tuple[tuple[str, str | None], ...]:
    """The fields of several `--header`."""
    return tuple(map(parse_header, texts))
