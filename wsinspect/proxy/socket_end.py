"""One side of a WebSocket that is a socket (HTTP/1.1) where the other side is a stream of HTTP/2.

`StreamLink` acts on it as on a `Tunnel`. END_STREAM of the other side is FIN here (with close_notify under
TLS), RST_STREAM is RST (RFC 8441 section 5), and the other way round. What the socket does not take counts
as unsent; what came and is not acknowledged stops the reading at a limit.
"""

from __future__ import annotations

from typing import Final

from mitmproxy.connection import Connection, ConnectionState
from mitmproxy.proxy.context import Context

from wsinspect.proxy.link import Side
from wsinspect.proxy.seams import tls as tls_seam
from wsinspect.proxy.seams.http2_tunnels import WINDOW_BYTES, Receiver
from wsinspect.proxy.seams.transport import Wire
from wsinspect.wire.data_frames import Run

_ENDED: Final = ("rst", "timeout")


class SocketEnd:
    """See the module docstring.

    Args:
        name: "client" or "server".
        context: of the relay layer.
        connection: of this side.
    """

    id: int | None = None

    def __init__(self, name: str, context: Context, connection: Connection) -> None:
        self._wire = Wire.of(context)
        self._side = Side(name, context, connection, self._wire)
        self._receiver: Receiver | None = None
        self._unacknowledged = 0
        self._is_waiting = False
        self._has_finished = False
        self._is_over = False

    # What comes: events of mitmproxy's layers

    @property
    def connection(self) -> Connection:
        return self._side.connection

    def attach(self, receiver: Receiver) -> None:
        """From now on `receiver` gets what comes."""
        self._receiver = receiver

    def arrived(self, data: bytes) -> None:
        """Bytes from the socket."""
        if not data:
            return
        self._wire.outbox.begin()
        try:
            self._unacknowledged += len(data)
            if self._unacknowledged > WINDOW_BYTES:
                self._set_reading(False)
            if self._receiver is not None:
                self._receiver.data(data, len(data), False)
        finally:
            self._wire.outbox.end()

    def closed(self) -> None:
        """The peer ended; the events do not say how."""
        side = self._side
        if not side.has_notified and any(tls_seam.has_close_notify(tls) for tls in side.tls[-1:]):
            side.has_notified = True
            how = "close_notify"
        else:
            how = self._wire.end_of(side.carrier)
        if how in _ENDED:
            self.arrived(self._leftover())
        self._wire.outbox.begin()
        try:
            if self._receiver is not None:
                self._receiver.ended(how)
        finally:
            self._wire.outbox.end()

    def _leftover(self) -> bytes:
        data = self._side.endpoint.leftover() if self._side.endpoint else b""
        for tls in self._side.tls:
            data, _ = tls_seam.decrypt(tls.tls, data)
        return data

    def acknowledge(self, flow_bytes: int) -> None:
        """The other side has taken so much of what came."""
        self._unacknowledged -= flow_bytes
        if flow_bytes and self._unacknowledged <= WINDOW_BYTES:
            self._set_reading(True)

    def _set_reading(self, is_reading: bool) -> None:
        endpoint = self._side.endpoint
        if endpoint is not None and not endpoint.transport.is_closing():
            (endpoint.transport.resume_reading if is_reading else endpoint.transport.pause_reading)()

    # What goes

    @property
    def unsent(self) -> int:
        """Bytes that wait for the peer, once it takes no more."""
        endpoint = self._side.endpoint
        if endpoint is None or not endpoint.is_write_paused:
            return 0
        size: int = endpoint.transport.get_write_buffer_size()
        return size

    def waiting(self) -> tuple[int, int | None]:
        """Bytes that the peer has not taken, and how long ago its TCP acknowledged anything."""
        endpoint = self._side.endpoint
        return endpoint.waiting() if endpoint is not None else (0, None)

    def write(self, data: bytes) -> bool:
        return not self._has_finished and self._side.write(data)

    def write_run(self, run: Run) -> bool:
        return self.write(run.data)

    def touch(self) -> None:
        """Have the receiver hear of `drained`, once all has been taken."""
        if self._receiver is None or self._is_waiting:
            return
        if not self.unsent:
            self._receiver.drained()
            return
        self._is_waiting = True
        self._wire.spawn(self._drain())

    async def _drain(self) -> None:
        assert self._side.endpoint is not None
        try:
            await self._side.endpoint.writer.drain()
        except ConnectionError:
            return  # its end comes as an event
        finally:
            self._is_waiting = False
        self.touch()

    def finish(self) -> None:
        """close_notify under TLS, and FIN, behind what was written."""
        side = self._side
        if self._has_finished or self._is_over:
            return
        self._has_finished = True
        if side.tls and side.endpoint and side.carrier.state & ConnectionState.CAN_WRITE:
            write = tls_seam.through(side.tls[:-1], side.endpoint.transport.write)
            tls_seam.send_close_notify(side.tls[-1], write)
        self._wire.half_close(side.carrier)

    def reset(self, code: int) -> None:
        """RST, once what was written has left."""
        del code  # there is nothing to say it with
        side = self._side
        if self._is_over:
            return
        self._is_over = True
        if side.endpoint is None:
            self._wire.close(side.carrier)
        else:
            # Its client may be gone, and then mitmproxy would close this with a FIN first.
            side.endpoint.reset_on_close()
            self._wire.spawn(side.endpoint.reset(lambda: self._wire.close(side.carrier)))

    def release(self) -> None:
        """Nothing more comes; read what is left, so that its end is seen."""
        self._set_reading(True)

    @property
    def owner(self) -> SocketEnd:
        return self

    def end_connection(self, how: str) -> None:
        """What ends all streams of an HTTP/2 connection: by FIN for "goaway", by RST for "connection"."""
        if how == "goaway":
            self.finish()
        else:
            self.reset(0)


__all__ = ["SocketEnd"]
