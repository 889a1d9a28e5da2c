"""What to do next, once a proxy listens: a line for each listener, for people who have just started it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wsinspect.net import Address

#: What a browser's or client's settings take; the address is the listener's own.
_FOR_CLIENTS = {
    "regular": "HTTP proxy {0} for any client; a browser that uses it: wsinspect browser URL",
    "upstream": "HTTP proxy {0} for any client; a browser that uses it: wsinspect browser URL",
    "socks5": "SOCKS5 proxy {0} for any client",
    "transparent": "redirect TCP to {0}, as docs/modes.md shows",
}
LAST = "then, in another terminal: wsinspect show    (Ctrl-C here ends it)"


def first_steps(listeners: Sequence[Mapping[str, Any]]) -> list[str]:
    """The advice for these listeners of a `ready` event."""
    lines = [line for listener in listeners if (line := _advice(listener))]
    return [*(f"  {line}" for line in lines), f"  {LAST}"]


def _advice(listener: Mapping[str, Any]) -> str | None:
    kind, _, target = str(listener["mode"]).partition(":")
    if listener["port"] is None:
        return None
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(listener["host"], listener["host"])
    address = Address(str(host), int(listener["port"]))
    if kind == "reverse" and target.startswith(("http:", "https:")):
        return f"use http://{address} (or ws://, https://, wss://) in place of {target}"
    return _FOR_CLIENTS[kind].format(address) if kind in _FOR_CLIENTS else None


__all__ = ["first_steps"]
