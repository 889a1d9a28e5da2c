"""Which address space a host is in, as browsers' Local Network Access sees it: loopback, local or public.

A name is judged as it is written, since only the browser knows what it resolved to.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final, Literal
from urllib.parse import urlsplit

#: Modes of taps that clients use as their proxy.
FORWARD_MODES: Final = ("regular", "upstream", "socks5")
Space = Literal["loopback", "local", "public"]
#: Names that public DNS does not have.
_PRIVATE_NAMES: Final = (
    *(".local", ".internal", ".lan", ".home.arpa", ".test"),
    *(".example", ".invalid", ".intranet", ".localhost"),
)


def address_space(host: str) -> Space:
    """The space of an address, or of a name that says it itself (`localhost`, `.local`)."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return "loopback"
    try:
        address = ip_address(name.partition("%")[0])
    except ValueError:
        return "local" if name.endswith(".local") else "public"
    if address.is_loopback:
        return "loopback"
    return "public" if address.is_global else "local"  # as Chromium: also 100.64.0.0/10, of carriers and VPNs


def more_private(page: Iterable[str], server: str) -> Space | None:
    """The space of a server that a page from a public address needs a permission for.

    Args:
        page: the addresses of the page's server.

    Returns:
        None where no permission is needed: the page is not public, or both are.
    """
    spaces = {address_space(one) for one in page}
    space = address_space(server)
    return space if spaces == {"public"} and space != "public" else None


def permission_of(space: Space) -> str:
    """The permission that a page needs for a server there, by the name that `allow` has it."""
    return "loopback-network" if space == "loopback" else "local-network"


def is_public_origin(origin: str) -> bool:
    """Whether an Origin is certainly a page's from a public name or address."""
    try:
        parts = urlsplit(origin)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or "." not in host.strip("[]").replace(":", "."):
        return False
    return address_space(host) == "public" and not host.endswith(_PRIVATE_NAMES)
