"""What is seen of HTTP/2 on both sides of the proxy, as events that the rules read (findings/rules/http2.py).

Events of the engine, each written once for the same facts:

- `alpn`: a side offered HTTP/2 and the other one answered with something else;
- `h2_settings`: a server's SETTINGS, and what this proxy announced to the client in their place;
- `h2_connect_refused`: an extended CONNECT of a client, which this proxy does not carry.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from mitmproxy import connection
from mitmproxy.proxy.context import Context

from wsinspect.proxy import facts
from wsinspect.proxy.taps import Taps

#: Different facts that are told in one run; a client may invent names for ever.
MAX_TOLD = 500


class EventSink(Protocol):
    """What takes the events (the journal)."""

    def event(self, connection: int, obj: dict[str, Any], time_ns: int) -> None: ...


class Http2Watch:
    """The observer of the HTTP/2 seam and of ALPN.

    Args:
        sink: takes the events.
        now_ns: the engine's clock.
        taps: names of the listeners.
    """

    def __init__(self, sink: EventSink, now_ns: Callable[[], int], taps: Taps) -> None:
        self._sink = sink
        self._now_ns = now_ns
        self._taps = taps
        self._told: set[tuple[Any, ...]] = set()

    def settings(self, context: Context, enable_connect: bool) -> None:
        client = context.client
        event = {
            "event": "h2_settings",
            "tap": self._tap(client),
            "server": facts.address(context.server.address),
            "server_enable_connect": enable_connect,
            "client_enable_connect": False,
            "client_alpn": _text(client.alpn),
        }
        self._tell(event, tuple(event.values()))

    def refused_connect(self, context: Context, head: dict[str, str]) -> None:
        event = {
            "event": "h2_connect_refused",
            "tap": self._tap(context.client),
            "client": facts.address(context.client.peername),
            "protocol": head.get(":protocol"),
            "authority": head.get(":authority"),
            "path": head.get(":path"),
            "origin": head.get("origin"),
        }
        self._tell(event, (event["tap"], event["protocol"], event["authority"], event["path"]))

    def tls(self, client: connection.Client, conn: connection.Connection) -> None:
        """TLS was agreed on one side: what of ALPN?"""
        offered = [_text(one) for one in conn.alpn_offers]
        if "h2" not in offered or conn.alpn == b"h2":
            return
        is_client = conn is client
        event = {
            "event": "alpn",
            "tap": self._tap(client),
            "side": "client" if is_client else "server",
            "name": client.sni if is_client else facts.address(getattr(conn, "address", None)),
            "offered": offered,
            "answered": _text(conn.alpn) or None,
        }
        self._tell(event, (event["tap"], event["side"], event["name"], event["answered"]))

    def _tap(self, client: connection.Client) -> str | None:
        tap = self._taps.of(client)
        return tap.name if tap else None

    def _tell(self, event: dict[str, Any], key: tuple[Any, ...]) -> None:
        if key not in self._told and len(self._told) < MAX_TOLD:
            self._told.add(key)
            self._sink.event(0, event, self._now_ns())


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("ascii", "backslashreplace")
