"""The layer between the two sides of an open WebSocket: bytes in, the same bytes out.

Sans-I/O: it gets mitmproxy's events and yields its commands; what touches a socket or the journal is behind
`Link`.

Invariants (tests/playbook):
- what is sent is the bytes object that was received, in the same turn, before it is recorded;
- it decodes nothing and waits for nothing: fragments, control frames, violations and garbage are all just
  bytes;
- an end is passed on as what it was: FIN as half-close, RST as RST, close_notify as close_notify; after a
  FIN the other direction continues until its own end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar, Protocol, cast

from mitmproxy import http
from mitmproxy.connection import Connection
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.websocket import WebsocketEndHook, WebSocketMessageInjected, WebsocketStartHook

from wsinspect.wire.opcodes import Direction

Commands = layer.CommandGenerator[None]


class Carrier(Protocol):
    """A link whose bytes do not come through this layer (`stream_link.StreamLink`)."""

    def opened(self) -> None: ...

    def arrived(self, connection: Connection, data: bytes) -> None:
        """Bytes that came through the layer after all: one side is a socket."""

    def closed(self, connection: Connection) -> None:
        """A side that is a socket ended."""


class Link(Protocol):
    """What the layer needs from outside: the clock, the journal, and the ends of the two sockets."""

    @property
    def now_ns(self) -> Callable[[], int]: ...

    def opened(self) -> None:
        """The relay is in place and the 101 has been written."""

    def takes(self, direction: Direction, data: bytes, time_ns: int) -> bool:
        """Whether faults take these bytes; they send on, and record, what there is to."""

    def record(self, direction: Direction, data: bytes, time_ns: int) -> None:
        """`data` arrived at `time_ns` and has been handed to the other side."""

    def end_of(self, connection: Connection) -> str:
        """How this side ended: "fin", "rst", "timeout", or "close_notify" (more is to come)."""

    def leftover(self, connection: Connection) -> bytes:
        """What arrived before a reset and was not delivered as data."""

    def pass_on(self, ended: Connection, how: str) -> None:
        """End the other side in the same way."""

    def finished(self) -> None:
        """Both directions are over."""


class RelayLayer(layer.Layer):
    """Takes the place of mitmproxy's WebsocketLayer (see seams/websocket.py)."""

    make_link: ClassVar[Callable[[Context, http.HTTPFlow], Link | Carrier]]
    link: Link
    carrier: Carrier

    def __init__(self, context: Context, flow: http.HTTPFlow) -> None:
        super().__init__(context)
        self.flow = flow
        self._ended: tuple[str, ...] = ()  # sides, by their id

    def _handle_event(self, event: events.Event) -> Commands:
        link = type(self).make_link(self.context, self.flow)
        yield WebsocketStartHook(self.flow)
        # Not `isinstance`: for a protocol that looks up each of its names, in every opening handshake.
        if hasattr(link, "pass_on"):
            self.link = cast(Link, link)
            self._handle_event = self.relay  # type: ignore[method-assign]
        else:
            self.carrier = link
            self._handle_event = self.carry  # type: ignore[method-assign]
        link.opened()

    def relay(self, event: events.Event) -> Commands:
        if isinstance(event, events.DataReceived):
            yield from self._pass_data(event.connection, event.data)
        elif isinstance(event, events.ConnectionClosed):
            yield from self._pass_end(event.connection)
        elif isinstance(event, WebSocketMessageInjected):
            yield commands.Log("wsinspect relays bytes; inject.websocket is not available on this connection")

    def carry(self, event: events.Event) -> Commands:
        """Whatever comes this way is the carrier's."""
        if isinstance(event, events.DataReceived):
            self.carrier.arrived(event.connection, event.data)
        elif isinstance(event, events.ConnectionClosed):
            self.carrier.closed(event.connection)
        yield from ()

    def over(self, event: events.Event) -> Commands:
        """Both sides have ended; what still trickles in has nowhere to go."""
        yield from ()

    def _pass_data(self, source: Connection, data: bytes) -> Commands:
        arrived_ns = self.link.now_ns()
        direction = Direction(source != self.context.client)
        if self.link.takes(direction, data, arrived_ns):
            return
        if source == self.context.client:
            yield commands.SendData(self.context.server, data)
            self.link.record(Direction.CLIENT_TO_SERVER, data, arrived_ns)
        else:
            yield commands.SendData(self.context.client, data)
            self.link.record(Direction.SERVER_TO_CLIENT, data, arrived_ns)

    def _pass_end(self, source: Connection) -> Commands:
        how = self.link.end_of(source)
        if how in ("rst", "timeout") and (rest := self.link.leftover(source)):
            yield from self._pass_data(source, rest)
        self.link.pass_on(source, how)
        if how != "close_notify":
            self._ended = (*self._ended, source.id) if source.id not in self._ended else self._ended
        if how in ("rst", "timeout") or len(self._ended) == 2:
            yield from self._finish()

    def _finish(self) -> Commands:
        self._handle_event = self.over  # type: ignore[method-assign]
        self.link.finished()
        if self.flow.websocket is not None:
            self.flow.websocket.timestamp_end = time.time()
            self.flow.websocket.closed_by_client = self.context.client.id in self._ended
        self.flow.live = False
        yield WebsocketEndHook(self.flow)
