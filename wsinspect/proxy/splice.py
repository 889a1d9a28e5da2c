"""The short cut: two transports writing straight to each other, with a copy for the journal.

While nothing needs the layers, each transport's asyncio protocol is replaced by a `Half`, which hands what
it reads to the other transport in the same turn and then records it. It can be undone at any moment between
two reads; every end (FIN, RST, close_notify) is left to the protocol that was there before, so that one
path handles all ends.

Backpressure: a transport whose peer does not take what is written stops being read, each direction for
itself; both stop while the journal cannot take more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from OpenSSL import SSL

from wsinspect.proxy.seams import tls as tls_seam
from wsinspect.proxy.seams.transport import Endpoint
from wsinspect.vocabulary.events import Event
from wsinspect.wire.boundaries import Boundary
from wsinspect.wire.opcodes import Direction

#: Where bytes go instead of to the other side: direction, bytes, time of arrival.
Take = Callable[[Direction, bytes, int], None]


class Stream(Protocol):
    """Where one WebSocket is recorded (`attempts.Attempt`)."""

    @property
    def now_ns(self) -> Callable[[], int]: ...

    def opened(self) -> None: ...

    def data(self, direction: int, chunk: bytes, time_ns: int, sent_after_ns: int) -> None: ...

    def ended(self, side: str, how: str, detail: str | None = None) -> None: ...

    def event(self, event: Event) -> None: ...

    def closed(self) -> None: ...

    def is_blocked(self) -> bool:
        """The journal cannot take more for now: stop reading."""

    def when_unblocked(self, callback: Callable[[], None]) -> None: ...


class Half(asyncio.Protocol):
    """Reads one transport and writes the other."""

    def __init__(self, endpoint: Endpoint, ssl: Any, direction: Direction) -> None:
        self.endpoint = endpoint
        self.transport = endpoint.transport
        self.stock = endpoint.protocol
        self.ssl: SSL.Connection | None = ssl
        self.direction = int(direction)
        self.has_tls_ended = False
        self.is_write_paused = endpoint.is_write_paused
        self._is_held = False
        self._is_peer_full = False
        self._is_reading_paused = False
        self._take: Take | None = None

    def connect(self, splice: Splice, peer: Half) -> None:
        """Wire this half to its peer; from here on it may be read."""
        self.splice = splice
        self.stream = splice.stream
        self.peer = peer
        self.now_ns = splice.stream.now_ns
        self.record = splice.stream.data
        self.is_blocked = splice.stream.is_blocked
        self.write: Callable[[bytes], None] = peer.send_tls if peer.ssl else peer.transport.write
        self.route(Boundary(), None)
        self._is_peer_full = peer.is_write_paused
        if self.is_write_paused:
            splice.tell_full(self.direction, True)
        self.update_reading()

    def route(self, boundary: Boundary, take: Take | None) -> None:
        """Bytes go to the peer, and then to the scan of `boundary`; or all of them to `take`, to faults."""
        self.scan = boundary.feed
        self._take = take
        received = self._plain_received if take is None else self._plain_taken
        self.data_received = self._tls_received if self.ssl else received  # type: ignore[method-assign]

    def _plain_received(self, data: bytes) -> None:
        arrived_ns = self.now_ns()
        self.write(data)
        # Sent at once; a time taken after the write would sometimes be later than the peer's answer.
        self.record(self.direction, data, arrived_ns, 0)
        self.scan(data)
        if self.is_blocked():
            self.splice.hold()

    def _plain_taken(self, data: bytes) -> None:
        assert self._take
        self._take(Direction(self.direction), data, self.now_ns())
        if self.is_blocked():
            self.splice.hold()

    def _tls_received(self, data: bytes) -> None:
        arrived_ns = self.now_ns()
        assert self.ssl
        plain, has_ended = tls_seam.decrypt(self.ssl, data)
        if plain and self._take is not None:
            self._take(Direction(self.direction), plain, arrived_ns)
        elif plain:
            sent_after_ns = self.now_ns() - arrived_ns
            self.write(plain)
            self.record(self.direction, plain, arrived_ns, sent_after_ns)
            self.scan(plain)
        tls_seam.flush(self.ssl, self.transport.write)
        if has_ended:
            self.has_tls_ended = True
            self.splice.end(self)
        elif self.is_blocked():
            self.splice.hold()

    def send_tls(self, plain: bytes) -> None:
        """Encrypt and write; a peer that has shut its TLS down takes no more."""
        assert self.ssl
        tls_seam.encrypt(self.ssl, self.transport.write, plain)

    def eof_received(self) -> bool | None:
        self.splice.end(self)
        result: bool | None = self.stock.eof_received()
        return result

    def connection_lost(self, exc: Exception | None) -> None:
        self.splice.end(self)
        self.stock.connection_lost(exc)

    def pause_writing(self) -> None:
        self.is_write_paused = True
        self.splice.tell_full(self.direction, True)
        self.peer.set_peer_full(True)

    def resume_writing(self) -> None:
        self.is_write_paused = False
        self.splice.tell_full(self.direction, False)
        self.peer.set_peer_full(False)

    def set_peer_full(self, is_full: bool) -> None:
        self._is_peer_full = is_full
        self.update_reading()

    def set_held(self, is_held: bool) -> None:
        self._is_held = is_held
        self.update_reading()

    def set_reading_paused(self, is_paused: bool) -> None:
        """Faults hold too much of this half's bytes, or no longer do."""
        self._is_reading_paused = is_paused
        self.update_reading()

    def update_reading(self) -> None:
        if self._is_held or self._is_peer_full or self._is_reading_paused:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def restore(self) -> None:
        """Give the transport back, with the state its own protocol would be in."""
        self.transport.set_protocol(self.stock)
        was_paused = self.endpoint.is_write_paused
        if self.is_write_paused and not was_paused:
            self.stock.pause_writing()
        elif not self.is_write_paused and was_paused:
            self.stock.resume_writing()
        self.transport.resume_reading()
        # Nothing is read any more; these refer back to this half, and only the cycle collector would see it.
        for name in ("peer", "write", "data_received"):
            del vars(self)[name]


class Splice:
    """Both halves of one WebSocket.

    Args:
        halves: the one that reads the client, and the one that reads the server.
        stream: takes the records.
        on_end: called where one side has ended.
        tell_full: called with a side's number, 0 for the client, and whether it takes nothing for now.
    """

    def __init__(
        self,
        halves: tuple[Half, Half],
        stream: Stream,
        on_end: Callable[[Half], None],
        tell_full: Callable[[int, bool], None],
    ) -> None:
        self.halves: tuple[Half, ...] = halves
        self.stream = stream
        self.tell_full = tell_full
        self._on_end = on_end
        self._is_active = True
        client, server = halves
        client.connect(self, server)
        server.connect(self, client)
        for half in halves:
            half.transport.set_protocol(half)

    def route(self, boundaries: tuple[Boundary, Boundary], take: Take | None) -> None:
        """Which way bytes take from now on: straight, or through faults."""
        for half, boundary in zip(self.halves, boundaries, strict=True):
            half.route(boundary, take)

    def hold(self) -> None:
        """Stop reading both sides until the journal takes more."""
        for half in self.halves:
            half.set_held(True)
        self.stream.when_unblocked(self._release)

    def _release(self) -> None:
        if self._is_active:
            for half in self.halves:
                half.set_held(False)

    def end(self, half: Half) -> None:
        """One side has ended: leave, and let the layers handle it."""
        if self._is_active:
            self.leave()
            self._on_end(half)

    def leave(self) -> None:
        """Put the protocols back that were there before."""
        if self._is_active:
            self._is_active = False
            halves, self.halves = self.halves, ()
            for half in halves:
                half.restore()
