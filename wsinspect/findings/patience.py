"""How long a side is known to wait in silence, while a breakpoint holds what it waits for.

What a peer says of itself (Engine.IO's open packet) is certain; of software that its 101 names only the
default limits are known (`data/limits.toml`), and it may be configured otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from wsinspect.findings.limits import LIMITS
from wsinspect.findings.software import recognise
from wsinspect.handshake.heads import RawHead

#: Software whose own PINGs tell when it gives up (those of the library websockets); other limits of the kind
#: `keepalive` are of protocols.
_PINGING: Final = "uvicorn"
_ACTION_CABLE: Final = "actioncable-"
#: Its client takes a connection for stale without a ping for so long (ConnectionMonitor.staleThreshold of
#: @rails/actioncable); the server pings every 3 s.
_ACTION_CABLE_SECONDS: Final = 6.0
_MOST_BYTES: Final = 16 * 1024


class Patience(NamedTuple):
    """How long a side waits.

    Attributes:
        side: `client` or `server`; hops count for the server.
        seconds: without hearing anything.
        who: whose limit, in words.
        is_default: it is what the software does where nobody configured it.
    """

    side: str
    seconds: float
    who: str
    is_default: bool = True


def patience_of(
    response: RawHead | None, subprotocol: str | None = None, first: bytes = b""
) -> tuple[Patience, ...]:
    """What is known of a connection, of each side the shortest first.

    Args:
        response: the header block of the 101.
        first: the server's first message, or how it begins.
    """
    found = [*_said(first), *_usual(response, subprotocol or "")]
    return tuple(sorted(found, key=lambda one: (one.side, one.seconds)))


def _said(first: bytes) -> Iterator[Patience]:
    """Engine.IO: the server pings each `pingInterval`, and either side waits for `pingTimeout` more."""
    opened = _opened(first)
    interval, timeout = _milliseconds(opened.get("pingInterval")), _milliseconds(opened.get("pingTimeout"))
    if interval and timeout:
        for side in ("client", "server"):
            yield Patience(
                side, (interval + timeout) / 1000, "Engine.IO, as its open packet says", is_default=False
            )


def _milliseconds(value: Any) -> float:
    """A time that can be meant; 0 for anything else."""
    return float(value) if type(value) in (int, float) and 0 < value < 10**9 else 0.0


def _opened(first: bytes) -> dict[str, Any]:
    if not first.startswith(b"0{") or len(first) > _MOST_BYTES:
        return {}
    try:
        found = json.loads(first[1:])
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _usual(response: RawHead | None, subprotocol: str) -> Iterator[Patience]:
    if subprotocol.startswith(_ACTION_CABLE):
        yield Patience("client", _ACTION_CABLE_SECONDS, "Action Cable's client")
    marks = {mark.software for mark in recognise(response)} - {"general"}
    marks |= {_PINGING} if "websockets" in marks else set()
    for limit in LIMITS:
        if limit.software in marks and (
            limit.kind == "idle" or (limit.kind == "keepalive" and limit.software == _PINGING)
        ):
            yield Patience("server", float(limit.seconds), f"{limit.who}: {limit.setting}")


__all__ = ["Patience", "patience_of"]
