"""Network addresses and URLs of servers: read, printed and put together in one way."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

LOOPBACK: Final = "127.0.0.1"
DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
#: By the scheme of a server's URL: its HTTP scheme, and its WebSocket scheme (RFC 6455 section 3).
HTTP_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
WS_SCHEMES: Final = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


class Address(NamedTuple):
    """A host, by name or number, and a port; to listen at, port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{bracketed(self.host)}:{self.port}"

    @classmethod
    def of_socket(cls, name: Any) -> Address:
        """What `getpeername` gives: `('::1', 80, 0, 0)`."""
        return cls(str(name[0]), int(name[1]))

    @classmethod
    def read(cls, text: str) -> Address | None:
        """`127.0.0.1:8080` or `[::1]:8080` as `str` writes it; None for anything else."""
        host, colon, port = text.rpartition(":")
        if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
            return None
        return cls(unbracketed(host), int(port))


def host_of(address: str | None) -> str:
    """The host of `127.0.0.1:8080` or `[::1]:8080`, without brackets; empty without one."""
    return unbracketed((address or "").rpartition(":")[0])


class Endpoint(NamedTuple):
    """A server that is named by a URL.

    Attributes:
        scheme: `http`, `https`, `ws` or `wss`.
    """

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{Address(self.host, self.port)}"

    @property
    def authority(self) -> str:
        """As `Host` has it (RFC 9110 section 7.2): without the port where it is the scheme's own."""
        return authority_of(self.scheme, self.host, self.port)


def parse_address(text: str) -> Address:
    """`8080`, `127.0.0.1:8080`, `[::1]:8080`; without a host it is on loopback.

    Raises:
        ValueError: with one line that says what to write.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{text!r}: write an IPv6 address in brackets, as in [::1]:8080")
    if colon and not host:
        raise ValueError(f"{text!r}: no host before the colon; write 8080 or 127.0.0.1:8080")
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError(f"{text!r} has no port from 0 to 65535; write 8080 or 127.0.0.1:8080")
    return Address(host or LOOPBACK, int(port))


def parse_endpoint(text: str) -> Endpoint:
    """`http://localhost:3000`, `wss://example.org`; the scheme becomes `http` or `https`.

    Raises:
        ValueError: with one line that says what to write.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None
    if parts.scheme not in HTTP_SCHEMES or not host:
        raise ValueError(f"not a server URL: {text!r}; write one like http://localhost:3000")
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"{text!r}: give only scheme, host and port; the path comes from the client")
    if port == 0:
        raise ValueError(f"{text!r}: port 0 cannot be connected to")
    scheme = HTTP_SCHEMES[parts.scheme]
    return Endpoint(scheme, host, DEFAULT_PORTS[scheme] if port is None else port)


def bracketed(host: str) -> str:
    """A host as URLs and `Host` have it: IPv6 addresses in brackets (RFC 3986 section 3.2.2)."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def unbracketed(host: str) -> str:
    """A host without the brackets of an IPv6 address."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def authority_of(scheme: str, host: str, port: int | None) -> str:
    """Host and port of a URL; the port only where it is not the scheme's own."""
    host = bracketed(host)
    return host if port is None or DEFAULT_PORTS.get(scheme) == port else f"{host}:{port}"


def url_of(scheme: str | None, host: str | None, port: int | None, path: str | None) -> str:
    """The URL of a WebSocket, from what is known of it."""
    scheme = scheme or "ws"
    return f"{scheme}://{authority_of(scheme, host or '', port)}{path or '/'}"
