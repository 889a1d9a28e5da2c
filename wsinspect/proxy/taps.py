"""Taps: the named places where traffic is observed, as mitmproxy modes.

A tap is one listener. Its Host policy decides whether a reverse proxy's requests keep the client's `Host`
(else Origin checks fail because of us) or carry the target's; `Tap.reverse` has the rule.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Tap:
    """One listener.

    Attributes:
        name: as given with `--tap`, else the mode.
        mode: mitmproxy's mode specification without the `@` part, as "regular" or "reverse:http://host:80".
        host, port: where it listens; port 0 stands for any free one until `with_port`.
        target: the URL behind a reverse tap.
        rewrites_host: send the target's `Host` instead of the client's.
        listens: False for a mode without a port of its own (local, tun).
    """

    name: str
    mode: str = "regular"
    host: str = LOOPBACK
    port: int = 8080
    target: str | None = None
    rewrites_host: bool = False
    listens: bool = True

    @classmethod
    def reverse(
        cls, url: str, *, name: str, host: str, port: int, policy: str | None = None, is_named: bool = False
    ) -> Tap:
        """A reverse tap.

        Args:
            policy: "keep", "rewrite", or None: keep for `--tap` and for near targets, else rewrite.
            is_named: given with `--tap`.
        """
        target = as_http(url)
        rewrites = (
            policy == "rewrite" if policy else not (is_named or is_near(urlsplit(target).hostname or ""))
        )
        return cls(name, f"reverse:{target}", host, port, target, rewrites)

    @property
    def spec(self) -> str:
        """mitmproxy's mode specification (it takes an IPv6 address without brackets)."""
        return f"{self.mode}@{self.host}:{self.port}" if self.listens else self.mode

    @property
    def authority(self) -> str | None:
        """The target's host and port as a Host header has them."""
        return urlsplit(self.target).netloc.rpartition("@")[2] if self.target else None

    def with_port(self, port: int) -> Tap:
        return replace(self, port=port)


def is_near(host: str) -> bool:
    """Whether a host is this machine or on a private network."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return False
    return ip.is_loopback or ip.is_private or ip.is_link_local


def as_http(url: str) -> str:
    """ws and wss are http and https to mitmproxy."""
    for scheme, plain in (("ws://", "http://"), ("wss://", "https://")):
        if url.lower().startswith(scheme):
            return plain + url[len(scheme) :]
    return url


class Taps:
    """The taps of one engine, found again by the mode of a client connection."""

    def __init__(self, taps: Iterable[Tap]) -> None:
        self._by_spec = {tap.spec: tap for tap in taps}

    def __iter__(self) -> Any:
        return iter(self._by_spec.values())

    def of(self, client: Any) -> Tap | None:
        """The tap a client came in by; None for a listener that is not ours (stock mitmproxy)."""
        return self.of_spec(client.proxy_mode.full_spec)

    def of_spec(self, spec: str) -> Tap | None:
        """The tap with this mode specification."""
        return self._by_spec.get(spec)
