"""Option values with units, addresses and taps: parsed once, refused in one line that says what to write.

Sizes are bytes (`64KiB`, `1.5MB`), durations nanoseconds (`250ms`); both need their unit. Addresses are
`[HOST:]PORT`, IPv6 in brackets; without a host they are on loopback.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar
from urllib.parse import urlsplit

import click

if TYPE_CHECKING:
    from wsinspect.filters import Filter

LOOPBACK = "127.0.0.1"
_SIZES = {
    **{"B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4},
    **{"KIB": 1024, "MIB": 1024**2, "GIB": 1024**3, "TIB": 1024**4},
}
_DURATIONS = {"ns": 1, "us": 1000, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_QUANTITY = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>[A-Za-z]*)")
_TAP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_DEFAULT_PORTS = {"http": 80, "https": 443}
#: What a user of WebSockets writes, and the scheme of the request that opens one (RFC 6455 §3).
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


class Address(NamedTuple):
    """Where to listen; port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Target(NamedTuple):
    """The server behind a reverse proxy; the scheme is `http` or `https`."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{Address(self.host, self.port)}"


class TapSpec(NamedTuple):
    """A named place where traffic is observed: a listener and the server behind it."""

    name: str
    listen: Address
    target: Target


def parse_size(text: str) -> int:
    """Bytes in `64KiB` (binary) or `64KB` (decimal).

    Raises:
        ValueError: with one line that says what to write.
    """
    number, unit = _quantity(text, "size", "64KiB", "4096B")
    if unit.upper() not in _SIZES:
        raise ValueError(f"{text!r}: unknown unit {unit!r}, known are B, KiB, MiB, GiB, TiB, KB, MB, GB, TB")
    return int(number * _SIZES[unit.upper()])


def parse_duration(text: str) -> int:
    """Nanoseconds in `250ms`.

    Raises:
        ValueError: with one line that says what to write.
    """
    number, unit = _quantity(text, "duration", "250ms", "10s")
    if unit not in _DURATIONS:
        raise ValueError(f"{text!r}: unknown unit {unit!r}, known are ns, us, ms, s, m, h")
    return int(number * _DURATIONS[unit])


def parse_address(text: str) -> Address:
    """`8080`, `127.0.0.1:8080`, `[::1]:8080`.

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
    return Address(host or LOOPBACK, _port(port, text))


def parse_target(text: str) -> Target:
    """`http://localhost:3000`, `wss://example.org`.

    Raises:
        ValueError: with one line that says what to write.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None
    if parts.scheme not in _SCHEMES or not host:
        raise ValueError(f"{text!r} is no URL of a server; write one as http://localhost:3000")
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"{text!r}: only scheme, host and port count, the path comes from the client")
    scheme = _SCHEMES[parts.scheme]
    if port == 0:
        raise ValueError(f"{text!r}: nothing can be reached at port 0")
    return Target(scheme, host, _DEFAULT_PORTS[scheme] if port is None else port)


def parse_tap(text: str) -> TapSpec:
    """`edge=8081=http://127.0.0.1:80`.

    Raises:
        ValueError: with one line that says what to write.
    """
    parts = text.split("=", 2)
    if len(parts) != 3:
        raise ValueError(f"{text!r} is no tap; write NAME=[HOST:]PORT=URL, as edge=8081=http://127.0.0.1:80")
    name, listen, target = parts
    if not _TAP_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no tap name; use up to 32 letters, digits, '.', '_' and '-'")
    return TapSpec(name, parse_address(listen), parse_target(target))


def parse_regex(text: str) -> str:
    """The same text, a regular expression that compiles.

    Raises:
        ValueError: with one line that says where it goes wrong.
    """
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from None
    return text


def _quantity(text: str, what: str, *examples: str) -> tuple[Decimal, str]:
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no {what}; write one as {' or '.join(examples)}")
    if not match["unit"]:
        raise ValueError(f"{text!r} has no unit; write a {what} as {' or '.join(examples)}")
    return Decimal(match["number"]), match["unit"]


def _port(text: str, whole: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > 65535:
        raise ValueError(f"{whole!r} has no port from 0 to 65535; write 8080 or 127.0.0.1:8080")
    return int(text)


T = TypeVar("T")


class Parsed(click.ParamType, Generic[T]):  # type: ignore[type-arg]  # generic as of click 8.2 only
    """A click type made of a parser that raises ValueError."""

    def __init__(self, name: str, parse: Callable[[str], T]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> T:
        """The parsed value; a default that is parsed already stays."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


SIZE = Parsed("size", parse_size)
DURATION = Parsed("duration", parse_duration)
ADDRESS = Parsed("[host:]port", parse_address)
TARGET = Parsed("url", parse_target)
REGEX = Parsed("regex", parse_regex)
TAP = Parsed("name=[host:]port=url", parse_tap)

json_option = click.option("--json", "as_json", is_flag=True, help="Print stable JSON instead of text.")
color_option = click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="Colour; auto means on a terminal, unless NO_COLOR is set.",
)


def examples(*lines: str) -> str:
    """The `epilog` of a command: example command lines, kept as they are written."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def parse_filter(expression: str | None) -> Filter | None:
    """A filter; an empty one is none. A wrong one is shown with the place."""
    if expression is None or not expression.strip():
        return None
    from wsinspect.filters import FilterError, parse

    try:
        return parse(expression)
    except FilterError as error:
        click.echo(f"{error.source}\n{error.caret()}", err=True)
        raise
