"""Content-Security-Policy, as far as it decides about WebSockets: connect-src, else default-src (CSP 3)."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import urlsplit

from wsinspect.net import DEFAULT_PORTS

#: A source that names http matches its WebSocket and its secure sibling (CSP 3, scheme-part match).
_MATCHES: Final = {
    "http": ("http", "https", "ws", "wss"),
    "https": ("https", "wss"),
    "ws": ("ws", "wss", "http", "https"),
    "wss": ("wss", "https"),
}


def connect_sources(policy: str) -> list[str] | None:
    """The sources that decide about connections; None where the policy does not limit them."""
    directives: dict[str, list[str]] = {}
    for directive in policy.split(";"):
        name, *sources = directive.split() or [""]
        directives.setdefault(name.lower(), sources)
    return directives.get("connect-src", directives.get("default-src"))


def blocks_websocket(policy: str, page: str, url: str) -> bool:
    """Whether a policy of `page` forbids a WebSocket to `url`; false for what cannot be read."""
    sources = connect_sources(policy)
    if sources is None:
        return False
    try:
        return not any(_allows(source, page, url) for source in sources)
    except ValueError:
        return False


def _allows(source: str, page: str, url: str) -> bool:
    wanted = urlsplit(url)
    lowered = source.lower()
    if lowered == "*":
        return True
    if lowered == "'self'":
        own = urlsplit(page)
        return (
            wanted.hostname == own.hostname
            and _port(wanted.scheme, wanted.port)
            in (
                _port(own.scheme, own.port),
                443 if own.scheme == "http" and own.port is None else -1,
            )
            and wanted.scheme in _MATCHES.get(own.scheme, ())
        )
    if lowered.startswith("'"):
        return False
    if lowered.endswith(":") and "/" not in lowered:
        return wanted.scheme in _MATCHES.get(lowered[:-1], (lowered[:-1],))
    scheme, separator, rest = lowered.partition("://")
    if not separator:
        scheme, rest = urlsplit(page).scheme, lowered
    host, _, port = rest.partition("/")[0].partition(":")
    is_host = (
        fnmatchcase(wanted.hostname or "", host) if host.startswith("*.") else host in ("*", wanted.hostname)
    )
    if port not in ("", "*"):
        is_host = is_host and port == str(_port(wanted.scheme, wanted.port))
    elif not port:
        is_host = is_host and _port(wanted.scheme, wanted.port) == DEFAULT_PORTS.get(wanted.scheme)
    return is_host and wanted.scheme in _MATCHES.get(scheme, (scheme,))


def _port(scheme: str, port: int | None) -> int | None:
    return port or DEFAULT_PORTS.get(scheme)
