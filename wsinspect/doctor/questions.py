"""One question: a request as bytes, where it goes, and what it differs in from the handshake of a browser.

Contract: a question is a value; the random key is an argument. Fields are in the order in which Chromium
sends them, so that a server sees what it sees from a browser.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from wsinspect.doctor.proxies import Proxy
from wsinspect.doctor.target import Extras, Target
from wsinspect.version import __version__

USER_AGENT: Final = f"wsinspect-doctor/{__version__}"
OFFER: Final = "permessage-deflate; client_max_window_bits"
FOREIGN_ORIGIN: Final = "https://wsinspect.invalid"
#: What RFC 6455 section 4.1 demands of a request, in lower case; all else may be left out.
NEEDED: Final = frozenset(("host", "upgrade", "connection", "sec-websocket-key", "sec-websocket-version"))


class Field(NamedTuple):
    """A header field of a request."""

    name: str
    value: str

    @property
    def key(self) -> str:
        """In lower case: what names are compared by."""
        return self.name.lower()


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked.

    Attributes:
        kind: a stable name for JSON, such as `handshake` or `without:origin`.
        asks: what it asks, in words.
        target: where it goes; the path and query are those of the request line.
        fields: the request's header fields.
        is_handshake: whether a 101 is the good answer.
        is_long: whether to listen and ping after a 101, instead of closing at once.
        is_quiet: without that ping.
        http_version: of the request line.
        is_guess: hardly anybody listens there, so the answer is not waited for long.
        place: which server is asked: 0 is that of the URL, the others are behind it.
        proxy: what to go through to the server.
    """

    kind: str
    asks: str
    target: Target
    fields: tuple[Field, ...]
    is_handshake: bool = True
    is_long: bool = False
    is_quiet: bool = False
    http_version: str = "HTTP/1.1"
    is_guess: bool = False
    place: int = 0
    proxy: Proxy | None = None

    @property
    def request(self) -> bytes:
        """The request as it is sent."""
        lines = [
            f"GET {self.target.target} {self.http_version}",
            *(f"{f.name}: {f.value}" for f in self.fields),
        ]
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")

    def value(self, name: str) -> str | None:
        """The value of the first field of that name."""
        return next((one.value for one in self.fields if one.key == name.lower()), None)


def handshake_fields(target: Target, extras: Extras, key: str) -> tuple[Field, ...]:
    """The header fields of a browser's opening handshake, from a page of the same server."""
    origin = target.origin if extras.origin is None else extras.origin
    fields = [
        Field("Host", target.authority),
        Field("Connection", "Upgrade"),
        Field("Upgrade", "websocket"),
        *([Field("Origin", origin)] if origin else []),
        Field("Sec-WebSocket-Version", "13"),
        Field("User-Agent", USER_AGENT),
        *([Field("Cookie", "; ".join(extras.cookies))] if extras.cookies else []),
        Field("Sec-WebSocket-Key", key),
        Field("Sec-WebSocket-Extensions", OFFER),
        *([Field("Sec-WebSocket-Protocol", ", ".join(extras.subprotocols))] if extras.subprotocols else []),
    ]
    for name, value in extras.headers:
        fields = [one for one in fields if one.key != name.lower()]
        fields.append(Field(name, value))
    return tuple(fields)


def without(fields: Sequence[Field], names: frozenset[str] | set[str]) -> tuple[Field, ...]:
    """The fields but for those of these names, in lower case."""
    return tuple(one for one in fields if one.key not in names)


def with_field(fields: Sequence[Field], name: str, value: str) -> tuple[Field, ...]:
    """The fields with another value of one of them, in its place, or at the end where there was none."""
    changed = [Field(name, value) if one.key == name.lower() else one for one in fields]
    return tuple(
        changed if any(one.key == name.lower() for one in fields) else [*changed, Field(name, value)]
    )


def plain_fields(fields: Sequence[Field]) -> tuple[Field, ...]:
    """The header fields of an ordinary GET by the same client: none of the handshake's own."""
    kept = [
        one
        for one in fields
        if one.key not in ("upgrade", "connection") and not one.key.startswith("sec-websocket-")
    ]
    return (*kept, Field("Accept", "*/*"), Field("Connection", "close"))
