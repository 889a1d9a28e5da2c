"""One open WebSocket between its two sockets: how each side ended, how that is passed on, and what is
recorded.

`SocketLink` is the `relay.Link` of a running proxy. It knows which TCP connection carries each side (an
upstream proxy's, where it is tunnelled) and the TLS around it, and it takes the short cut (`splice`)
whenever the layers have nothing to do.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from mitmproxy.connection import Connection, ConnectionState
from mitmproxy.proxy import events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.tls import TLSLayer

from wsinspect.proxy.link_faults import LinkFaults
from wsinspect.proxy.seams import tls as tls_seam
from wsinspect.proxy.seams.transport import Endpoint, Wire, are_idle, tls_of
from wsinspect.proxy.splice import Half, Splice, Stream
from wsinspect.proxy.stalls import Stall
from wsinspect.vocabulary.events import Event
from wsinspect.wire.boundaries import Boundary
from wsinspect.wire.opcodes import Direction

#: How long peers may take to end their side, when a fault ends a connection.
ABORT_SECONDS = 2.0


class Side:
    """The client's or the server's half: its name, connection, socket and TLS."""

    def __init__(self, name: str, context: Context, connection: Connection, wire: Wire) -> None:
        self.name = name
        self.connection = connection
        self.carrier = wire.carrier(context, connection)
        self.endpoint: Endpoint | None = wire.watch(self.carrier)
        self.tls: list[TLSLayer] = tls_of(context, connection)
        self.has_notified = False
        for tls in self.tls:
            tls_seam.report_every_end(tls)

    @property
    def is_direct(self) -> bool:
        """Whether the splice can stand in for the layers of this side."""
        return self.carrier == self.connection and len(self.tls) <= 1 and self.endpoint is not None

    def write(self, data: bytes) -> bool:
        """Send bytes past the layers, through the TLS of this side; False where the socket takes no more."""
        endpoint = self.endpoint
        if endpoint is None or not self.carrier.state & ConnectionState.CAN_WRITE:
            return False
        tls_seam.through(self.tls, endpoint.transport.write)(data)
        return not endpoint.transport.is_closing()

    def is_quiet(self) -> bool:
        """Nothing is under way between socket and layer: all that was read has been handled."""
        return self.endpoint is not None and self.endpoint.is_quiet()


class SocketLink:
    """See the module docstring."""

    def __init__(self, context: Context, stream: Stream, *, may_splice: bool = True) -> None:
        self.context = context
        self.stream = stream
        self.wire = Wire.of(context)
        self.client = Side("client", context, context.client, self.wire)
        self.server = Side("server", context, context.server, self.wire)
        self.now_ns = stream.now_ns
        self.splice: Splice | None = None
        self._may_splice = may_splice and self.client.is_direct and self.server.is_direct
        self._is_scheduled = False
        self._is_over = False
        self._is_aborted = False
        self._wants_finish = False
        self.boundaries = (Boundary(), Boundary())
        self.faults: LinkFaults | None = None
        self._reading_paused = [False, False]
        self.may_fault = self.client.endpoint is not None and self.server.endpoint is not None
        self._stalls: dict[int, Stall] | None = None  # most connections have none
        for number, side in enumerate((self.client, self.server)):
            if side.endpoint:
                side.endpoint.on_late_reset = partial(self._late_reset, side)
                if not self._may_splice:
                    side.endpoint.tell_full(partial(self._tell_full, number))

    def opened(self) -> None:
        self.stream.opened()
        self._schedule_splice()

    def _tell_full(self, number: int, is_full: bool) -> None:
        """A side takes nothing for now, or does again."""
        if self._is_over or self._is_aborted:
            return
        if self._stalls is None:
            self._stalls = {}
        stall = self._stalls.get(number)
        if stall is not None and not is_full:
            stall.end()
        elif is_full:
            side = (self.client, self.server)[number]
            if stall is None and side.endpoint is not None:
                stall = self._stalls[number] = Stall(side.name, self.stream, side.endpoint.waiting)
            if stall is not None:
                stall.begin()

    def _end_stalls(self) -> None:
        for stall in (self._stalls or {}).values():
            stall.over()

    def takes(self, direction: Direction, data: bytes, time_ns: int) -> bool:
        if self.faults is None:
            return False
        self.faults.take(direction, data, time_ns)
        self._schedule_splice()
        return True

    def record(self, direction: Direction, data: bytes, time_ns: int) -> None:
        self.stream.data(direction, data, time_ns, 0)
        self.boundaries[direction].feed(data)
        self._schedule_splice()

    def end_of(self, connection: Connection) -> str:
        side = self._side(connection)
        if not side.has_notified and any(tls_seam.has_close_notify(tls) for tls in side.tls[-1:]):
            side.has_notified = True
            return "close_notify"
        return self.wire.end_of(side.carrier)

    def leftover(self, connection: Connection) -> bytes:
        side = self._side(connection)
        data = side.endpoint.leftover() if side.endpoint else b""
        for tls in side.tls:
            data, _ = tls_seam.decrypt(tls.tls, data)
        return data

    def pass_on(self, ended: Connection, how: str) -> None:
        if self._is_over:
            return
        side = self._side(ended)
        self._end_stalls()
        self.stream.ended(side.name, how)
        if self._is_aborted:
            return
        direction = Direction.CLIENT_TO_SERVER if side is self.client else Direction.SERVER_TO_CLIENT
        faults = self.faults
        if faults is None:
            self.end_direction(direction, how)
        else:
            faults.end(direction, how)
            if faults.holds_end:
                self.wire.keep(side.carrier)

    def end_direction(self, direction: Direction, how: str) -> None:
        """Tell the receiver of a direction how its sender ended it."""
        side, other = self.client, self.server
        if direction is Direction.SERVER_TO_CLIENT:
            side, other = other, side
        if how == "close_notify":
            if other.tls:
                self._notify(other)
            else:
                self.wire.half_close(other.carrier)
        elif how == "fin":
            if other.tls and not side.tls:
                # A plain FIN is a proper end; a TLS peer learns that only from close_notify.
                self._notify(other)
            self.wire.half_close(other.carrier)
        else:
            self.wire.reset(other.carrier, side.carrier)
        if self._wants_finish:
            self.finished()

    def finished(self) -> None:
        self._wants_finish = True
        if not self._is_over and not (self.faults is not None and self.faults.holds_end):
            self._end()
            if self.faults is not None:
                self.faults.stop()
            self.stream.closed()

    def _end(self) -> None:
        self._is_over = True
        self._end_stalls()
        for side in (self.client, self.server):
            if side.endpoint:
                side.endpoint.on_late_reset = None

    # What faults ask for (faulting.Target)

    def write(self, direction: Direction, data: bytes) -> bool:
        return (self.client if direction else self.server).write(data)

    def record_data(self, direction: Direction, data: bytes, time_ns: int) -> None:
        self.stream.data(direction, data, time_ns, 0)

    def record_event(self, event: Event) -> None:
        self.stream.event(event)

    def unsent_bytes(self, direction: Direction) -> int:
        """What the receiver of a direction has not taken yet."""
        endpoint = (self.client if direction else self.server).endpoint
        return endpoint.transport.get_write_buffer_size() if endpoint is not None else 0

    def set_reading_paused(self, direction: Direction, is_paused: bool) -> None:
        """Stop or continue reading the sender of a direction."""
        self._reading_paused[direction] = is_paused
        if self.splice is not None:
            self.splice.halves[direction].set_reading_paused(is_paused)
            return
        endpoint = (self.server if direction else self.client).endpoint
        if endpoint is not None and not endpoint.transport.is_closing():
            (endpoint.transport.pause_reading if is_paused else endpoint.transport.resume_reading)()

    def _pause_again(self) -> None:
        """Whoever reads from now on: a sender that is not to be read is not."""
        for direction in Direction:
            if self._reading_paused[direction]:
                self.set_reading_paused(direction, True)

    def route(self) -> None:
        """Faults begin or are over: tell the splice which way bytes take."""
        if self.splice is not None:
            self.splice.route(self.boundaries, self.faults.take if self.faults is not None else None)

    def abort(self, to: str, how: str) -> None:
        """End both sides on behalf of a fault: `to` gets `how`, another side a FIN."""
        if self._is_over or self._is_aborted:
            return
        how = {"goaway": "fin", "connection": "rst"}.get(how, how)
        self._is_aborted = True
        self.use_layers()
        self._may_splice = False
        self._end_stalls()
        self.stream.ended("proxy", how)
        client, server = self.client.carrier, self.server.carrier
        if how == "rst":
            self.wire.abort({"client": [client], "server": [server]}.get(to, [client, server]))
            self._end_abort()
        else:
            self.wire.half_close(server)
            self.wire.half_close(client)
            asyncio.get_running_loop().call_later(ABORT_SECONDS, self._end_abort)

    def _end_abort(self) -> None:
        if not self._is_over:
            self._end()
            self.stream.closed()
            self.wire.close_later((self.server.carrier, self.client.carrier))

    def shut_down(self) -> None:
        """The proxy itself ends: both sides get a FIN, recorded as the proxy's doing."""
        if self._is_over:
            return
        self.use_layers()
        self._end_stalls()
        self.stream.ended("proxy", "fin")
        self.finished()
        for side in (self.client, self.server):
            self.wire.close(side.carrier)

    def use_layers(self) -> None:
        """Put mitmproxy's layers back between the sockets, at once."""
        if self.splice:
            self.splice.leave()
            self.splice = None
            self._pause_again()

    def _side(self, connection: Connection) -> Side:
        return self.client if connection == self.client.connection else self.server

    def _notify(self, side: Side) -> None:
        if side.endpoint and side.carrier.state & ConnectionState.CAN_WRITE:
            write = tls_seam.through(side.tls[:-1], side.endpoint.transport.write)
            tls_seam.send_close_notify(side.tls[-1], write)

    def _late_reset(self, side: Side) -> None:
        """A side that had sent FIN was reset: nothing reads it any more, so the layer will not notice."""
        if self._is_over:
            return
        self.pass_on(side.connection, "rst")
        self.finished()

    def _schedule_splice(self) -> None:
        if self._may_splice and self.splice is None and not self._is_scheduled and not self._is_over:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._try_splice)

    def _try_splice(self) -> None:
        self._is_scheduled = False
        if self._is_over or self.splice or not self._may_splice:
            return
        if not (self.client.is_quiet() and self.server.is_quiet() and are_idle(self.context.layers)):
            return
        assert self.client.endpoint
        assert self.server.endpoint
        halves = (
            Half(self.client.endpoint, self._ssl(self.client), Direction.CLIENT_TO_SERVER),
            Half(self.server.endpoint, self._ssl(self.server), Direction.SERVER_TO_CLIENT),
        )
        self.splice = Splice(halves, self.stream, self._spliced_end, self._tell_full)
        self.route()
        self._pause_again()

    def _ssl(self, side: Side) -> Any:
        return side.tls[0].tls if side.tls else None

    def _spliced_end(self, half: Half) -> None:
        """The splice met an end and has put the layers back; TLS's own end has to be shown to them."""
        self.splice = None
        self._may_splice = False
        self._pause_again()
        if half.has_tls_ended:
            self.wire.event(events.DataReceived(half.endpoint.connection, b""))
