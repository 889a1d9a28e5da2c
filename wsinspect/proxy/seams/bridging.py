"""Seam: which connection to its server an opening handshake takes (`layers.http.HttpStream`), as a subclass.

Stock mitmproxy has one kind of connection for a server. A server may speak HTTP/2 and carry WebSockets over
HTTP/1.1 alone, as nginx does; where HTTP versions are bridged, its handshakes get a connection of their own
that offers no HTTP/2. Until the SETTINGS of a new connection have come, its handshakes wait in a hook, which
holds up nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any, Final

from mitmproxy.connection import Connection, Server
from mitmproxy.net.http import status_codes
from mitmproxy.proxy import commands, layer
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http import GetHttpConnection, HttpLayer, HttpStream
from mitmproxy.proxy.layers.http._events import ResponseProtocolError

from wsinspect.proxy.seams.http1 import error_code_of, wire_head
from wsinspect.proxy.seams.http2_client import MirroringClient, is_upgrade
from wsinspect.proxy.seams.http2_sides import SETTINGS_WAIT_SECONDS, current, side_of

#: How often a server may end a connection before it has answered on it.
_MOST_TRIES: Final = 3
_HTTP1: Final = (b"http/1.1",)
_BOTH: Final = (b"h2", b"http/1.1")


class Http1Address(tuple[str, int]):
    """A server's address, for a connection that offers no HTTP/2."""

    __slots__ = ()


class _GetHttp1Connection(GetHttpConnection):
    """A connection that offered no HTTP/2."""

    def connection_spec_matches(self, connection: Connection) -> bool:
        return (
            isinstance(connection, Server)
            and isinstance(connection.address, Http1Address)
            and super().connection_spec_matches(connection)
        )


@dataclass
class WsinspectSettingsHook(commands.StartHook):
    """A handshake waits for a server's SETTINGS; the addon `SettingsWait` knows it by this class's name."""

    client: MirroringClient


class SettingsWait:
    """The addon that waits."""

    async def wsinspect_settings(self, client: MirroringClient) -> None:
        """Until the SETTINGS have come, or will not in time."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(client.settled.wait(), SETTINGS_WAIT_SECONDS)


class BridgingStream(HttpStream):
    """See the module docstring."""

    _tries = 0

    def make_server_connection(self) -> layer.CommandGenerator[bool]:
        is_done = yield from super().make_server_connection()
        if not is_done or not self._may_bridge() or self.context.server.alpn != b"h2":
            return is_done
        client = self._http2_client()
        if client is None:
            return is_done
        if not client.settled.is_set():
            yield WsinspectSettingsHook(client)
            if not self.context.server.connected:
                return (yield from self._again())
        if client.allows_connect:
            return is_done
        return (yield from self._without_http2(super().make_server_connection()))

    def _again(self) -> layer.CommandGenerator[bool]:
        """The server ended the connection meanwhile, and its layer answers nobody any more."""
        self._tries += 1
        if self._tries < _MOST_TRIES:
            return (yield from self.make_server_connection())
        code = error_code_of("GENERIC_SERVER_ERROR", status_codes.BAD_GATEWAY)
        message = "server closed connection"
        yield from self.handle_protocol_error(ResponseProtocolError(self.stream_id, message, code))
        return False

    def _may_bridge(self) -> bool:
        request = self.flow.request
        head = wire_head(request)
        is_connect = head is not None and head.protocol == b"websocket"
        return current.mode == "bridge" and (is_connect or is_upgrade(request))

    def _http2_client(self) -> MirroringClient | None:
        http_layer = next(one for one in reversed(self.context.layers) if isinstance(one, HttpLayer))
        side = side_of(http_layer, self.context.server)
        return side if isinstance(side, MirroringClient) else None

    def _without_http2(self, stock: layer.CommandGenerator[bool]) -> layer.CommandGenerator[bool]:
        """What stock mitmproxy does to get a connection, with another connection."""
        reply: Any = None
        while True:
            try:
                command = stock.send(reply)
            except StopIteration as stop:
                return bool(stop.value)
            if isinstance(command, GetHttpConnection):
                assert command.address is not None
                command = _GetHttp1Connection(
                    Http1Address(command.address), command.tls, command.via, command.transport_protocol
                )
            reply = yield command


def offers_for(server: Connection) -> tuple[bytes, ...]:
    """What a server is offered by ALPN where HTTP versions are bridged, whatever its client offered."""
    return _HTTP1 if isinstance(getattr(server, "address", None), Http1Address) else _BOTH


def install_bridging() -> None:
    """Rebind the name that HttpLayer looks up."""
    vars(http_layers)["HttpStream"] = BridgingStream
