"""What the doctor is asked about: a WebSocket URL (RFC 6455 section 3), and what to send along."""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

from wsinspect.handshake.heads import RawHead
from wsinspect.net import DEFAULT_PORTS, HTTP_SCHEMES, WS_SCHEMES, Address, authority_of, url_of

#: Characters kept as they are in a URL; the rest is percent-encoded, as browsers do.
_SAFE: Final = "%/:=&?~#+!$,;'@()*[]|"
#: Characters that no host has (WHATWG URL, forbidden host code points).
_NO_HOST: Final = re.compile(r"[\x00-\x20\x7f\"#/<>?@\\^|`{}]")
#: A scheme whose colon or slashes are missing or turned; `ws:8080/chat` is a host of that name, with a port.
_MISTYPED: Final = re.compile(r"(wss?|https?)(?::(?!\d+(?:[/?#]|$))[\\/]*|[\\/]{2,})", re.I)
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


class Target(NamedTuple):
    """A WebSocket URL in its parts.

    Attributes:
        scheme: `ws` or `wss`.
        host: without brackets, in ASCII.
        target: path and query, as the request line has it.
    """

    scheme: str
    host: str
    port: int
    target: str

    def __str__(self) -> str:
        return url_of(self.scheme, self.host, self.port, self.target)

    @property
    def is_tls(self) -> bool:
        """Whether the connection is TLS."""
        return self.scheme == "wss"

    @property
    def path(self) -> str:
        """The path, without the question mark and the query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """Without the path and the question mark."""
        return self.target.partition("?")[2]

    @property
    def address(self) -> Address:
        """Where to connect to."""
        return Address(self.host, self.port)

    @property
    def authority(self) -> str:
        """As `Host` has it."""
        return authority_of(self.scheme, self.host, self.port)

    @property
    def origin(self) -> str:
        """The `Origin` of a page from the same server (RFC 6454 section 6)."""
        return f"{HTTP_SCHEMES[self.scheme]}://{self.authority}"

    def with_path(self, path: str) -> Target:
        """The same with another path; the query stays."""
        return self._replace(target=path + (f"?{self.query}" if self.query else ""))


class Extras(NamedTuple):
    """What the user gives to send along.

    Attributes:
        origin: instead of the server's own; "" sends none.
        headers: names and values.
        cookies: `name=value` each.
        query: what was added to the query of the URL, as it stands at its end.
    """

    origin: str | None = None
    subprotocols: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    cookies: tuple[str, ...] = ()
    query: str = ""


def parse_target(text: str) -> tuple[Target, str | None]:
    """A URL as the user wrote it.

    Returns:
        The target, and what was assumed: None where the URL says it all.

    Raises:
        ValueError: with one line that says what to write.
    """
    text = text.strip()
    assumed = None
    if "://" not in text:
        text, assumed = _with_scheme(text)
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None
    if parts.scheme not in ("ws", "wss"):
        instead = {"http": "ws", "https": "wss"}.get(parts.scheme)
        hint = f"{instead}://{text.partition('://')[2]}" if instead else "wss://example.org/socket"
        raise ValueError(f"not a WebSocket URL: {text!r}; write one like {hint}")
    if not host:
        raise ValueError(f"no host in {text!r}; write a URL like wss://example.org/socket")
    if parts.username is not None:
        raise ValueError(
            "a user in the URL is not sent by browsers; give --header 'Authorization: ...' instead"
        )
    if "#" in text:
        raise ValueError("a WebSocket URL has no fragment (RFC 6455, 3): write '#' as %23, or leave it out")
    if port == 0:
        raise ValueError(f"{text!r}: port 0 cannot be connected to")
    target = quote(parts.path or "/", safe=_SAFE)
    if parts.query:
        target += "?" + quote(parts.query, safe=_SAFE)
    return Target(parts.scheme, _ascii(host), port or DEFAULT_PORTS[parts.scheme], target), assumed


def target_of_handshake(
    scheme: str, host: str, port: int, target: str, request: bytes | None
) -> Target | None:
    """A recorded attempt as a target: the name that its `Host` has, at the port that was connected to.

    Returns:
        None if there is no host, or the path is none.
    """
    named = RawHead.parse(request).get("host") if request else None
    try:
        host = urlsplit(f"//{(named or b'').decode('latin-1')}").hostname or host
    except ValueError:
        return None
    if not host or not target.startswith("/"):
        return None
    return Target("wss" if scheme in ("wss", "https") else "ws", host, port, target)


def parse_direct(text: str, behind: Target) -> Target:
    """The URL of a server behind the one before it; without a path it has the same one.

    Raises:
        ValueError: with one line that says what to write.
    """
    scheme, separator, rest = text.strip().partition("://")
    if separator and scheme in HTTP_SCHEMES:
        text = f"{'wss' if scheme in ('https', 'wss') else 'ws'}://{rest}"
    found, _ = parse_target(text)
    return found._replace(target=behind.target) if found.target == "/" else found


def with_query(target: Target, pairs: tuple[str, ...]) -> Target:
    """The same with more query parameters, `name=value` each."""
    if not pairs:
        return target
    separator = "&" if target.query else "?"
    return target._replace(target=f"{target.target}{separator}{query_of(pairs)}")


def query_of(pairs: tuple[str, ...]) -> str:
    """Parameters as a URL has them."""
    return "&".join(quote(one, safe=_SAFE.replace("&", "").replace("#", "")) for one in pairs)


def without_query(target: Target, added: str) -> Target | None:
    """The same without what was added to its query; None where it does not end with that."""
    if not added or not f"&{target.query}".endswith(f"&{added}"):
        return None
    kept = target.query[: -len(added)].rstrip("&")
    return target._replace(target=target.path + (f"?{kept}" if kept else ""))


def origin_address(origin: str) -> Address | None:
    """Where the pages of an Origin are from (RFC 6454 section 6.2); None where it names no server."""
    try:
        parts = urlsplit(origin)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    scheme = WS_SCHEMES.get(parts.scheme)
    return None if not host or scheme is None else Address(host, port or DEFAULT_PORTS[scheme])


def page_target(text: str) -> Target | None:
    """A page's URL as the target of its site; None where the text is no `http` or `https` URL.

    Raises:
        ValueError: with one line that says what is wrong with it.
    """
    scheme, there, rest = text.strip().partition("://")
    if not there or scheme.lower() not in ("http", "https"):
        return None
    return parse_target(f"{WS_SCHEMES[scheme.lower()]}://{rest}")[0]


def parse_header(text: str) -> tuple[str, str]:
    """`Name: value`.

    Raises:
        ValueError: with one line that says what to write.
    """
    name, colon, value = text.partition(":")
    if not colon or not _TOKEN.fullmatch(name.strip()) or re.search(r"[\r\n\0]", value):
        raise ValueError(f"not a header: {text!r}; write it like 'Authorization: Bearer ...'")
    return name.strip(), value.strip()


def parse_cookie(text: str) -> str:
    """`name=value`, or several of them as `Cookie` has them.

    Raises:
        ValueError: with one line that says what to write.
    """
    if "=" not in text or re.search(r"[\r\n\0]", text):
        raise ValueError(f"not a cookie: {text!r}; write it like session=abc")
    return text.strip()


def parse_subprotocols(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Names, several of them with commas in between.

    Raises:
        ValueError: with one line that says what to write.
    """
    names = [name.strip() for text in texts for name in text.split(",")]
    for name in names:
        if not _TOKEN.fullmatch(name):
            raise ValueError(
                f"not a subprotocol: {name!r}; a name has no blanks, such as graphql-transport-ws"
            )
    return tuple(dict.fromkeys(names))


def _with_scheme(text: str) -> tuple[str, str]:
    """TLS unless it is a port of its own, or this machine: what the server of a URL without a scheme has."""
    if (typed := _MISTYPED.match(text)) is not None:
        raise ValueError(f"not a URL: {text!r}; write {typed[1].lower()}://{text[typed.end() :]}")
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None
    scheme = "ws" if (port not in (None, 443)) or _is_here(host) else "wss"
    return f"{scheme}://{text}", f"the URL has no scheme: {scheme}://{text} is assumed"


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host == "localhost" or host.endswith(".localhost") or "." not in host


def _ascii(host: str) -> str:
    """A name as DNS and `Host` have it.

    Raises:
        ValueError: with one line that says what to write.
    """
    if _NO_HOST.search(host):
        raise ValueError(f"not a host name: {host!r}")
    try:
        return host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        raise ValueError(f"not a host name: {host!r}") from None
