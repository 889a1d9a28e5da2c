"""One end of an open WebSocket (RFC 6455): frames out, frames in, as facts that filters can ask.

Every frame in either direction goes to `on_frame`, as it is on the wire; PINGs and the CLOSE are answered as
RFC 6455 section 5.5 says, unless the owner wants it otherwise. What a peer does wrong is shown, not raised.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from wsinspect.faults.deflater import Deflater
from wsinspect.faults.frames import Surroundings, WireFrame
from wsinspect.faults.splitter import Splitter
from wsinspect.replay.common.conduit import Conduit, Listener
from wsinspect.wire.boundaries import Boundary
from wsinspect.wire.close_codes import parse_close
from wsinspect.wire.deflate import DeflateParams
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.opcodes import Direction, Opcode

if TYPE_CHECKING:
    from wsinspect.handshake.heads import RawHead

#: Received frames that nobody has waited for yet, and PINGs without a PONG; the oldest are forgotten.
_MOST_KEPT: Final = 1000
_MOST_BYTES: Final = 64 * 1024 * 1024
_COMPRESSED: Final = 4


@dataclass
class PeerFacts:
    """An open connection for filters (`filters.ConnectionFacts`)."""

    host: str | None
    port: int | None
    path: str | None
    subprotocol: str | None = None
    heads: Sequence[RawHead] = ()
    id: int = 1
    tap: str | None = None
    is_closed: bool = False
    client_close_code: int | None = None
    server_close_code: int | None = None
    js_code: int | None = None
    js_was_clean: bool | None = None
    how: str | None = None
    ended_by: str | None = None
    faults: Sequence[str] = ()
    findings: Sequence[tuple[str, str]] = ()

    def header_values(self, name: str) -> Sequence[str]:
        """The values of a field in request and response."""
        return [
            value.decode("utf-8", "surrogateescape") for head in self.heads for value in head.get_all(name)
        ]


@dataclass(frozen=True)
class Seen:
    """A frame that was sent or received.

    Attributes:
        is_ours: sent from here.
        rtt_ns: of a PONG that answers a PING of ours.
    """

    frame: WireFrame
    time_ns: int
    is_ours: bool
    rtt_ns: int | None = None


@dataclass
class Codes:
    """The CLOSE frames of both sides; code None with a reason of "" is a CLOSE without a code."""

    ours: tuple[int | None, str | None] | None = None
    theirs: tuple[int | None, str | None] | None = None


class Socket(Listener):
    """See the module docstring.

    Args:
        side: the direction in which this end sends; a client masks (RFC 6455 section 5.1).
        octets: makes random bytes.
        on_frame: called with every frame, and with the bytes of none that is beyond 16 MiB.

    Attributes:
        codes: what both CLOSE frames said.
        ended: "fin" or "rst" once the peer's side of the transport has ended, or ours was aborted.
        is_lost: the peer's bytes make no sense any more.
        has_aborted: we have ended the connection with an RST.
        has_closed_first: our CLOSE was sent before the peer's came.
        changed: set whenever a frame came or the end.
    """

    def __init__(
        self,
        conduit: Conduit,
        side: Direction,
        facts: PeerFacts,
        *,
        deflate: DeflateParams | None,
        octets: Callable[[int], bytes],
        now_ns: Callable[[], int],
        on_frame: Callable[[Seen], None],
        answers_pings: bool = True,
        answers_close: bool = True,
    ) -> None:
        self.facts = facts
        self.codes = Codes()
        self.ended: str | None = None
        self.is_lost = False
        self.has_aborted = False
        self.has_closed_first = False
        self.changed = asyncio.Event()
        self.said = b""
        self._conduit = conduit
        self._side = side
        self._octets, self._now_ns, self._on_frame = octets, now_ns, on_frame
        self._answers_pings, self._answers_close = answers_pings, answers_close
        surroundings = Surroundings()
        surroundings.connection = facts
        surroundings.start_ns = now_ns()
        self._splitters = tuple(
            Splitter(one, Boundary(), deflate=deflate, window=b"", surroundings=surroundings)
            for one in (Direction.CLIENT_TO_SERVER, Direction.SERVER_TO_CLIENT)
        )
        self._deflater = Deflater(deflate, side) if deflate is not None else None
        self._unmatched: deque[WireFrame] = deque()
        self._unmatched_bytes = 0
        self._pings: dict[bytes, int] = {}

    def begin(self) -> None:
        """Take what has come behind the handshake, and what comes."""
        self._conduit.listen(self)

    # What comes

    def on_data(self, data: bytes) -> None:
        """Bytes of the peer."""
        now = self._now_ns()
        splitter = self._splitters[self._side.other]
        for item in splitter.feed(data, now):
            if isinstance(item, WireFrame):
                self._take(item, now)
        if splitter.is_lost and not self.is_lost:
            self.is_lost = True
            self.close(1002, "")
        self.changed.set()

    def on_end(self, how: str) -> None:
        """The peer ended its side."""
        self._end(how)
        self._conduit.close()

    def _end(self, how: str) -> None:
        if self.ended is None:
            self.ended = how
            self.facts.is_closed = True
            self.changed.set()

    def _take(self, frame: WireFrame, now: int) -> None:
        rtt_ns = None
        if frame.opcode == Opcode.PONG and (sent_ns := self._pings.pop(frame.payload, None)) is not None:
            rtt_ns = now - sent_ns
        if not frame.is_control and frame.fin:
            self.said = frame.body
        self._keep(frame)
        self._on_frame(Seen(frame, now, False, rtt_ns))
        if frame.opcode == Opcode.PING and self._answers_pings:
            self.send(Opcode.PONG, frame.payload)
        elif frame.opcode == Opcode.CLOSE:
            self.codes.theirs = parse_close(frame.payload)
            if self._answers_close and self.codes.ours is None:
                self._answer_close(frame.payload)
            if self._side is Direction.SERVER_TO_CLIENT and self.codes.ours is not None:
                self._conduit.half_close()  # RFC 6455 section 7.1.1: the server closes first

    def _answer_close(self, payload: bytes) -> None:
        """RFC 6455 section 5.5.1: echo the code."""
        self.codes.ours = parse_close(payload[:2])
        self._write(Opcode.CLOSE, payload[:2])

    def _keep(self, frame: WireFrame) -> None:
        self._unmatched.append(frame)
        self._unmatched_bytes += len(frame.raw)
        while len(self._unmatched) > _MOST_KEPT or self._unmatched_bytes > _MOST_BYTES:
            self._unmatched_bytes -= len(self._unmatched.popleft().raw)

    # What goes

    def send(self, opcode: int, data: bytes) -> None:
        """Send a message of one frame, or a control frame; nothing is sent behind our own CLOSE."""
        if self.codes.ours is not None or self.ended is not None:
            return
        if opcode == Opcode.PING:
            self._pings[data] = self._now_ns()
            while len(self._pings) > _MOST_KEPT:
                del self._pings[next(iter(self._pings))]
        self._write(opcode, data)

    def close(self, code: int | None, reason: str) -> None:
        """Begin the closing handshake, once."""
        if self.codes.ours is None and self.ended is None:
            self.has_closed_first = self.codes.theirs is None
            self.codes.ours = code, reason
            self._write(Opcode.CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason.encode())

    def abort(self) -> None:
        """End with an RST."""
        self.has_aborted = self.has_aborted or self.ended is None
        self._conduit.abort()
        self._end("rst")

    def hang_up(self) -> None:
        """End with a FIN, whatever was said."""
        self._conduit.close()

    async def drain(self) -> None:
        """Wait until the peer takes what was sent."""
        await self._conduit.drain()

    def _write(self, opcode: int, data: bytes) -> None:
        key = self._octets(4) if self._side is Direction.CLIENT_TO_SERVER else None
        rsv = 0
        if self._deflater is not None and opcode in (Opcode.TEXT, Opcode.BINARY):
            data = self._deflater.piece(data, first=True, fin=True)
            rsv = _COMPRESSED
        raw = serialize_frame(opcode, data, rsv=rsv, key=key)
        now = self._now_ns()
        self._conduit.write(raw)
        for item in self._splitters[self._side].feed(raw, now):
            if isinstance(item, WireFrame):
                self._on_frame(Seen(item, now, True))

    # Waiting

    async def expect(self, passes: Callable[[WireFrame], bool]) -> WireFrame | None:
        """The first received frame that passes, of those behind the one that was expected last.

        Returns:
            None where the connection ended without one.
        """
        while True:
            while self._unmatched:
                frame = self._unmatched.popleft()
                self._unmatched_bytes -= len(frame.raw)
                if passes(frame):
                    return frame
            if self.ended is not None:
                return None
            self.changed.clear()
            await self.changed.wait()

    async def closed(self) -> None:
        """Wait until the peer has ended its side, or we have aborted."""
        while self.ended is None:
            self.changed.clear()
            await self.changed.wait()
