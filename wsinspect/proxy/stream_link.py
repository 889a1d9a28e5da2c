"""One open WebSocket between two HTTP/2 streams (RFC 8441): what `link.SocketLink` is between two sockets.
One of the two may be a socket (`socket_end.SocketEnd`), where HTTP versions are bridged.

END_STREAM is its FIN and RST_STREAM its RST (RFC 8441 section 5); both are passed on as what they were, the
latter with its code. DATA is acknowledged once the other side has taken it, so that a slow reader slows down
the sender of its own stream and no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from h2.errors import ErrorCodes

from wsinspect.proxy.link import ABORT_SECONDS
from wsinspect.proxy.link_faults import LinkFaults
from wsinspect.proxy.seams.http2_tunnels import Tunnel, code_name
from wsinspect.proxy.socket_end import SocketEnd
from wsinspect.proxy.splice import Stream
from wsinspect.proxy.stalls import Stall
from wsinspect.vocabulary.events import Event
from wsinspect.wire.boundaries import Boundary
from wsinspect.wire.data_frames import Run
from wsinspect.wire.opcodes import Direction

_SIDES = ("client", "server")
#: So much that has been taken is acknowledged at once; less may wait for more (a window is 1 MiB).
_OWED_BYTES = 1 << 16
End = Tunnel | SocketEnd


class _Source:
    """What comes from one side (`http2_tunnels.Receiver`)."""

    def __init__(self, link: StreamLink, direction: Direction) -> None:
        self._link = link
        self._direction = direction

    def data(self, data: bytes, flow_bytes: int, is_end: bool) -> None:
        self._link.received(self._direction, data, flow_bytes, is_end)

    def run(self, run: Run) -> None:
        self._link.received_run(self._direction, run)

    def reset(self, code: int) -> None:
        self._link.was_reset(self._direction, code)

    def lost(self, how: str, detail: str, is_ours: bool) -> None:
        self._link.lost(self._direction, how, detail, is_ours=is_ours)

    def ended(self, how: str) -> None:
        self._link.socket_ended(self._direction, how)

    def drained(self) -> None:
        self._link.drained(self._direction)


class StreamLink:
    """See the module docstring; it is also what faults act on (`link_faults.FaultedLink`).

    Args:
        stream: takes the records.
        tunnels: the client's stream and the server's.
        forget: called once when it is over.
        is_bridged: the end of one side's connection does not end the other one.
    """

    def __init__(
        self,
        stream: Stream,
        tunnels: tuple[End, End],
        forget: Callable[[], None],
        *,
        is_bridged: bool = False,
    ) -> None:
        self.stream = stream
        self.now_ns = stream.now_ns
        self.boundaries = (Boundary(), Boundary())
        self.faults: LinkFaults | None = None
        self.may_fault = True
        self._tunnels = tunnels
        self._forget = forget
        self._is_bridged = is_bridged
        self._owed = [0, 0]
        self._codes = [int(ErrorCodes.CANCEL)] * 2
        self._has_ended = [False, False]
        self._reading_paused = [False, False]
        self._stalls = tuple(
            Stall(name, stream, tunnel.waiting) for name, tunnel in zip(_SIDES, tunnels, strict=True)
        )
        self._is_waiting = False
        self._is_over = False
        self._is_aborted = False
        self._wants_finish = False

    def opened(self) -> None:
        """The answer has been passed on: from here on bytes are."""
        self.stream.opened()
        for direction, tunnel in zip(Direction, self._tunnels, strict=True):
            tunnel.attach(_Source(self, direction))

    # What comes

    def arrived(self, connection: object, data: bytes) -> None:
        """Bytes from a side that is a socket (`relay.Carrier`)."""
        for tunnel in self._tunnels:
            if isinstance(tunnel, SocketEnd) and tunnel.connection == connection:
                tunnel.arrived(data)

    def closed(self, connection: object) -> None:
        """A side that is a socket ended."""
        for tunnel in self._tunnels:
            if isinstance(tunnel, SocketEnd) and tunnel.connection == connection:
                tunnel.closed()

    def socket_ended(self, direction: Direction, how: str) -> None:
        """How a direction's sender ended its socket."""
        if how != "close_notify":
            self._end(direction, how)
        elif not self._is_over and not self._is_aborted:
            # FIN is still to come.
            self._ended(_SIDES[direction], how)
            if self.faults is None:
                self.end_direction(direction, how)
            else:
                self.faults.end(direction, how)
        if how in ("rst", "timeout"):
            self._finish()

    def received(self, direction: Direction, data: bytes, flow_bytes: int, is_end: bool) -> None:
        """A DATA frame of a direction's sender."""
        arrived_ns = self.now_ns()
        target = self._target(direction)
        self._owed[direction] += flow_bytes
        if self._is_over:
            pass
        elif data and self.faults is not None:
            self.faults.take(direction, data, arrived_ns)
        elif data:
            target.write(data)
            self.stream.data(direction, data, arrived_ns, 0)
            self.boundaries[direction].feed(data)
        if target.unsent:
            self._stalls[1 - direction].begin(arrived_ns)
        target.touch()
        if is_end:
            self._end(direction, "fin", "END_STREAM")

    def received_run(self, direction: Direction, run: Run) -> None:
        """DATA frames of a direction's sender: the usual case of `received`, at the least cost."""
        if self._is_over or self.faults is not None:
            self.received(direction, run.data, run.size, False)
            return
        arrived_ns = self.now_ns()
        target = self._target(direction)
        self._owed[direction] += run.size
        has_left = target.write_run(run)
        self.stream.data(direction, run.data, arrived_ns, 0)
        self.boundaries[direction].feed(run.data)
        if not has_left or self._owed[direction] >= _OWED_BYTES:
            if target.unsent:
                self._stalls[1 - direction].begin(arrived_ns)
            target.touch()

    def was_reset(self, direction: Direction, code: int) -> None:
        """RST_STREAM of a direction's sender."""
        self._codes[direction] = code
        self._end(direction, "rst", f"RST_STREAM {code_name(code)}")
        self._finish()

    def lost(self, direction: Direction, how: str, detail: str, *, is_ours: bool) -> None:
        """A sender's connection ended, or we ended it; the seam ends the other one in the same way."""
        if not self._is_over and not self._is_aborted:
            self._ended("proxy" if is_ours else _SIDES[direction], how, detail or None)
        self._wants_finish = True
        was_over = self._is_over
        self._close()
        if self._is_bridged and not was_over:
            other = self._target(direction)
            if how == "fin":
                other.finish()
            else:
                other.reset(int(ErrorCodes.CANCEL))

    def drained(self, direction: Direction) -> None:
        """The sender of a direction has taken all that it was sent, which came from the other side."""
        self._stalls[direction].end()
        self.settle(direction.other)

    def _ended(self, side: str, how: str, detail: str | None = None) -> None:
        """Record an end, and before it what still waits for a side."""
        for stall in self._stalls:
            stall.over()
        self.stream.ended(side, how, detail)

    def settle(self, direction: Direction) -> None:
        """Acknowledge what has been taken, unless its sender is not to be read."""
        owed = self._owed[direction]
        if not owed or self._reading_paused[direction] or self._target(direction).unsent:
            return
        if self.stream.is_blocked():
            if not self._is_waiting:
                self._is_waiting = True
                self.stream.when_unblocked(self._unblocked)
            return
        self._owed[direction] = 0
        self._tunnels[direction].acknowledge(owed)

    def _unblocked(self) -> None:
        self._is_waiting = False
        for direction in Direction:
            self.settle(direction)

    def _target(self, direction: Direction) -> End:
        return self._tunnels[1 - direction]

    # Ends

    def _end(self, direction: Direction, how: str, detail: str | None = None) -> None:
        if self._is_over:
            return
        self._has_ended[direction] = True
        self._ended(_SIDES[direction], how, detail)
        if self._is_aborted:
            return
        if self.faults is None:
            self.end_direction(direction, how)
        else:
            self.faults.end(direction, how)
        if all(self._has_ended):
            self._finish()

    def end_direction(self, direction: Direction, how: str) -> None:
        """Tell the receiver of a direction how its sender ended it."""
        target = self._target(direction)
        if how in ("fin", "close_notify"):
            target.finish()
        else:
            target.reset(self._codes[direction])
        if self._wants_finish:
            self._finish()

    def _finish(self) -> None:
        self._wants_finish = True
        if not (self.faults is not None and self.faults.holds_end):
            self._close()

    def _close(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self.faults is not None:
            self.faults.stop()
        self.stream.closed()
        for direction, tunnel in zip(Direction, self._tunnels, strict=True):
            tunnel.acknowledge(self._owed[direction])
            self._owed[direction] = 0
            tunnel.release()
        self._forget()

    def shut_down(self) -> None:
        """The proxy itself ends: both streams do, recorded as the proxy's doing."""
        if not self._is_over:
            self._ended("proxy", "fin")
            for tunnel in self._tunnels:
                tunnel.finish()
            self._close()

    # What faults ask for (link_faults.FaultedLink)

    def write(self, direction: Direction, data: bytes) -> bool:
        target = self._target(direction)
        is_written = target.write(data)
        if target.unsent:
            self._stalls[1 - direction].begin()
        return is_written

    def record_data(self, direction: Direction, data: bytes, time_ns: int) -> None:
        self.stream.data(direction, data, time_ns, 0)

    def record_event(self, event: Event) -> None:
        self.stream.event(event)

    def unsent_bytes(self, direction: Direction) -> int:
        return self._target(direction).unsent

    def set_reading_paused(self, direction: Direction, is_paused: bool) -> None:
        """Stop or continue giving the sender of a direction room to send."""
        self._reading_paused[direction] = is_paused
        self.settle(direction)

    def route(self) -> None:
        """Bytes take the same way with faults and without."""

    def abort(self, to: str, how: str) -> None:
        """End both streams on behalf of a fault: `to` gets `how`, another side END_STREAM."""
        if self._is_over or self._is_aborted:
            return
        self._is_aborted = True
        chosen = {"client": (True, False), "server": (False, True)}.get(to, (True, True))
        if how in ("goaway", "connection"):
            self._end_connections(how, chosen)
            return
        self._ended("proxy", how)
        for tunnel, is_chosen in zip(self._tunnels, chosen, strict=True):
            if how == "rst" and is_chosen:
                tunnel.reset(ErrorCodes.CANCEL)
            else:
                tunnel.finish()
        if how == "rst" and all(chosen):
            self._close()
        else:
            asyncio.get_running_loop().call_later(ABORT_SECONDS, self._end_abort)

    def _end_connections(self, how: str, chosen: tuple[bool, bool]) -> None:
        """End the connection of a side, or of both, with all its streams; the other side's follows."""
        ends = {"goaway": "fin", "connection": "rst"}
        self._ended("proxy", ends[how], "GOAWAY NO_ERROR" if how == "goaway" else None)
        self._close()
        for tunnel, is_chosen in zip(self._tunnels, chosen, strict=True):
            if is_chosen:
                tunnel.owner.end_connection(how)
            elif self._is_bridged and how == "goaway":
                tunnel.finish()
            elif self._is_bridged:
                tunnel.reset(ErrorCodes.CANCEL)

    def _end_abort(self) -> None:
        for tunnel in self._tunnels:
            tunnel.reset(ErrorCodes.CANCEL)
        self._close()
