"""Seam: what one read brings of open WebSockets over HTTP/2, past asyncio's stream and mitmproxy's layers.

While all that was read has been handled and nobody waits for a slow receiver, the protocol of a socket
(`data_received`) hands the plain DATA frames of open tunnels straight to their receivers; it is what `splice`
is for a WebSocket that has a socket of its own. From the first other frame on, what was read goes through the
layers, decrypted: TLS cannot read it again. Ends and backpressure stay with them.
"""

from __future__ import annotations

from functools import partial
from typing import Protocol

from mitmproxy.connection import Connection
from mitmproxy.proxy import events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.tls import TLSLayer

from wsinspect.proxy.seams import tls as tls_seam
from wsinspect.proxy.seams.http2_tunnels import RelayedConnection, RunReceived
from wsinspect.proxy.seams.transport import Endpoint, Wire, are_idle, tls_of


class Side(Protocol):
    """The HTTP/2 connection (`http2_sides.Relaying`)."""

    context: Context
    conn: Connection
    wire: Wire
    h2_conn: RelayedConnection

    def take_run(self, received: RunReceived) -> None:
        """DATA frames of a tunnel."""


class _Plain(bytes):
    """What has been decrypted already."""


class Shortcut:
    """See the module docstring; it lasts as long as the connection."""

    def __init__(self, side: Side, endpoint: Endpoint, tls: TLSLayer) -> None:
        self._side = side
        self._wire = side.wire
        self._endpoint = endpoint
        self._tls = tls
        self._in_flight = 0
        # Its own one, not what watched for the first byte, which would put itself back.
        self._stock = partial(type(endpoint.protocol).data_received, endpoint.protocol)
        self._stock_receive = tls.receive_data
        endpoint.has_received = True
        endpoint.protocol.data_received = self._data_received
        tls.__dict__["receive_data"] = self._receive_data

    @classmethod
    def of(cls, side: Side) -> Shortcut | None:
        """For a connection that has a socket, and one TLS, of its own; None for another one."""
        tls = tls_of(side.context, side.conn)
        endpoint = side.wire.watch(side.conn)
        if endpoint is None or len(tls) != 1 or side.wire.carrier(side.context, side.conn) != side.conn:
            return None
        return cls(side, endpoint, tls[0])

    def _is_free(self) -> bool:
        connection = self._side.h2_conn
        return (
            not self._in_flight
            and bool(connection.tunnels)
            and not connection.is_closed
            and not connection.has_more
            and self._endpoint.is_quiet()
            and not any(each.is_write_paused for each in self._wire.endpoints.values())
            and are_idle(self._side.context.layers)
        )

    def _data_received(self, data: bytes) -> None:
        if not self._is_free():
            self._stock(data)
            return
        plain, has_ended = tls_seam.decrypt(self._tls.tls, data)
        tls_seam.flush(self._tls.tls, self._endpoint.transport.write)
        outbox = self._wire.outbox
        outbox.begin()
        try:
            left = self._side.h2_conn.take_runs(plain, self._side.take_run) if plain else b""
        finally:
            outbox.end()
        if left:
            self._hand_over(_Plain(left))
        if has_ended:
            # TLS tells its layer once more.
            self._hand_over(b"")

    def _hand_over(self, data: bytes) -> None:
        self._in_flight += 1
        self._wire.spawn(self._deliver(events.DataReceived(self._side.conn, data)))

    async def _deliver(self, event: events.DataReceived) -> None:
        try:
            await self._wire.handler.server_event(event)
        finally:
            self._in_flight -= 1

    def _receive_data(self, data: bytes) -> layer.CommandGenerator[None]:
        if isinstance(data, _Plain):
            yield from self._tls.event_to_child(events.DataReceived(self._tls.conn, data))
        else:
            yield from self._stock_receive(data)


__all__ = ["Shortcut"]
