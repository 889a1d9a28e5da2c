"""The forward proxy that clients on this machine take from the environment, as they read it. Pure.

Names are those of curl, Python, Go and Node: in lower case, else in upper case; `all_proxy` for what has none
of its own, and `no_proxy` for hosts that are asked without one.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from wsinspect.doctor.target import Target
from wsinspect.net import Address

_NAMES = {"ws": ("ws_proxy", "http_proxy", "all_proxy"), "wss": ("wss_proxy", "https_proxy", "all_proxy")}


class Proxy(NamedTuple):
    """A forward proxy.

    Attributes:
        variable: the environment variable that names it.
        address: None where it is one that cannot be asked here (SOCKS, or TLS to the proxy).
        authorization: what `Proxy-Authorization` has to be; "" sends none.
    """

    variable: str
    address: Address | None
    authorization: str = ""

    def connect(self, target: Target) -> bytes:
        """The request for a tunnel (RFC 9110 section 9.3.6)."""
        place = str(target.address)
        lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
        if self.authorization:
            lines.append(f"Proxy-Authorization: {self.authorization}")
        return "\r\n".join([*lines, "", ""]).encode()


def proxy_for(target: Target, environment: Mapping[str, str]) -> Proxy | None:
    """The proxy that a client takes for this URL; None where it takes none."""
    for name in _NAMES[target.scheme]:
        for variable in (name, name.upper()):
            value = environment.get(variable, "").strip()
            if value:
                return None if _is_exempt(target, environment) else _read(variable, value)
    return None


def _is_exempt(target: Target, environment: Mapping[str, str]) -> bool:
    listed = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    names = [one.strip().lower().removeprefix("*").lstrip(".") for one in listed.split(",") if one.strip()]
    host = target.host.lower()
    # `*` alone, a host, a host with a port, or the end of a name.
    return any(not name or name in (host, str(target.address)) or host.endswith(f".{name}") for name in names)


def _read(variable: str, value: str) -> Proxy:
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return Proxy(variable, None)
    if parts.scheme != "http" or not host:
        return Proxy(variable, None)
    authorization = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return Proxy(variable, Address(host, port or 80), authorization)
