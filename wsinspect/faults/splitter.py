"""One direction's bytes cut into frames, each with its message, inflated where faults need that."""

from __future__ import annotations

from typing import Final

from wsinspect.faults.frames import Item, MessageState, Raw, Surroundings, WireFrame, cost
from wsinspect.wire.boundaries import Boundary
from wsinspect.wire.deflate import DeflateParams, Inflater
from wsinspect.wire.header import SHORT, frame_length, header_length
from wsinspect.wire.opcodes import CONTROL_BIT, Direction

#: A larger frame passes as it comes, whatever the rules say; this much of a message is kept for filters.
MAX_FRAME: Final = 16 * 1024 * 1024
_INFLATE_INPUT: Final = 16 * 1024
_FIRST_CONTROL: Final = 0x88


class Splitter:
    """One direction's bytes as items.

    Args:
        direction: whose bytes.
        boundary: where the stream is; bytes before it have been sent on.
        deflate: permessage-deflate's parameters, None where it was not accepted.
        window: what the receiver has inflated so far (32 KiB at most); None where that is not known.
        surroundings: given to every frame.

    Attributes:
        is_inside: whether the newest data frame leaves its message open.
        inflates: whether compressed messages can be read.
    """

    def __init__(
        self,
        direction: Direction,
        boundary: Boundary,
        *,
        deflate: DeflateParams | None,
        window: bytes | None,
        surroundings: Surroundings,
    ) -> None:
        self.direction = direction
        self._surroundings = surroundings
        self._skip = boundary.skip
        self._head = boundary.head
        self._frames = boundary.frames
        self.is_lost = boundary.is_lost
        self.is_inside = boundary.is_inside
        self._parts: list[bytes] = []
        self._have = 0
        self._need = 0
        self._message: MessageState | None = None
        self._messages = 0
        self._sequence = 0
        self._last_ns: int | None = None
        self._has_deflate = deflate is not None
        self._deflate = deflate
        self._inflater: Inflater | None = None
        self._backlog: list[WireFrame] | None = None
        self._backlog_bytes = 0
        if deflate is not None:
            if window is not None or not deflate.takeover(direction):
                self._inflater = self._make_inflater(deflate, window or b"")
            else:
                self._backlog = []

    @property
    def inflates(self) -> bool:
        return self._inflater is not None and not self._inflater.dead

    @property
    def awaits_window(self) -> bool:
        """Whether compressed messages can be read once `give_window` was called."""
        return self._backlog is not None

    def give_window(self, window: bytes, begun: bytes | None) -> None:
        """What the receiver had inflated when we began, and the beginning of a message that was under way."""
        backlog, self._backlog = self._backlog, None
        if backlog is None or self._deflate is None:
            return
        self._inflater = inflater = self._make_inflater(self._deflate, window)
        if begun is not None:
            inflater.begin()
            self._read(inflater, begun)
        for frame in backlog:
            if frame.opcode:
                inflater.begin()
            self._read(inflater, frame.payload)
            if frame.fin and not inflater.dead:
                inflater.finish()

    def _make_inflater(self, deflate: DeflateParams, window: bytes) -> Inflater:
        return Inflater(
            bits=deflate.window_bits(self.direction),
            takeover=deflate.takeover(self.direction),
            cap=MAX_FRAME,
            window=window,
        )

    @property
    def frames(self) -> int:
        """Frames so far, those before us included."""
        return self._frames

    @property
    def is_at_frame(self) -> bool:
        """Whether all bytes so far belong to whole frames."""
        return not self._skip and not self._head and not self._have and not self.is_lost

    def feed(self, data: bytes, now: int) -> list[Item]:
        """The items that these bytes complete."""
        items: list[Item] = []
        if self._skip or self._head or self.is_lost:
            data = self._pass_rest(data, items)
        if self._have:
            self._parts.append(data)
            self._have += len(data)
            if self._have < self._need:
                return items
            data = b"".join(self._parts)
            self._parts, self._have = [], 0
        if data:
            self._cut(data, now, items)
        return items

    def passes(self, first: int, now: int) -> bool:
        """Count a whole message of one frame, or a control frame, that nobody needs to see.

        Returns:
            False where it does not begin at a frame boundary outside of any message; it is to be fed then.
        """
        if self._have or self._skip or self._head or self.is_lost or self.is_inside or self._message:
            return False
        self._frames += 1
        self._messages += first < _FIRST_CONTROL
        self._last_ns = now
        return True

    def give_up(self) -> tuple[bytes, Boundary]:
        """Stop here: the bytes of an unfinished frame, to be sent now, and where the stream is then."""
        held = b"".join(self._parts)
        self._parts, self._have = [], 0
        boundary = Boundary()
        boundary.skip, boundary.head, boundary.frames = self._skip, self._head, self._frames
        boundary.is_lost = self.is_lost
        boundary.is_inside = self.is_inside
        if not self._skip and not self._head and not self.is_lost:
            boundary.feed(held)
        return held, boundary

    def _pass_rest(self, data: bytes, items: list[Item]) -> bytes:
        """Pass on what belongs to a frame whose beginning has left already."""
        if self.is_lost:
            items.append(Raw(data, False))
            return b""
        if self._head:
            whole = self._head + data
            length = frame_length(whole)
            if length is None:
                self._head = whole
                items.append(Raw(data, False))
                return b""
            self._skip = length - len(self._head)
            self._head = b""
            self._frames += 1
            if length < 0:
                self.is_lost = True
                return self._pass_rest(data, items)
        rest = data[: self._skip]
        self._skip -= len(rest)
        items.append(Raw(rest, not self._skip))
        return data[len(rest) :]

    def _cut(self, data: bytes, now: int, items: list[Item]) -> None:
        position, size = 0, len(data)
        while position < size:
            length = SHORT[data[position + 1]] if position + 1 < size else 0
            if not length:
                found = frame_length(data, position)
                if found is None:
                    self._keep(data[position:], 0)
                    return
                if found < 0:
                    self.is_lost = True
                    items.append(Raw(data[position:], False))
                    return
                length = found
                if length > MAX_FRAME:
                    rest = data[position:]
                    self._frames += 1
                    self._give_up(rest[0])
                    self._skip = length - len(rest[:length])
                    items.append(Raw(rest[:length], not self._skip, _payload_length(rest, length)))
                    position += length
                    continue
            if position + length > size:
                self._keep(data[position:], length)
                return
            items.append(self._frame(data[position : position + length], now))
            position += length

    def _keep(self, rest: bytes, need: int) -> None:
        self._parts = [rest]
        self._have = len(rest)
        self._need = need

    def _give_up(self, first: int) -> None:
        """A frame too large to hold: its message is not looked at, and later ones are not inflated."""
        self._message = None
        if self._has_deflate and self._inflater is not None:
            self._lose(self._inflater)

    def _remember(self, frame: WireFrame) -> None:
        """Keep it where the window is not known yet."""
        if self._backlog is not None:
            self._backlog.append(frame)
            self._backlog_bytes += cost(frame)
            if self._backlog_bytes > MAX_FRAME:
                self._backlog = None

    def _read(self, inflater: Inflater, payload: bytes) -> list[bytes] | None:
        """What a part of a message inflates to; None where it is too large or broken."""
        pieces: list[bytes] = []
        for start in range(0, len(payload), _INFLATE_INPUT):
            pieces += inflater.feed(payload[start : start + _INFLATE_INPUT])
            if inflater.is_over or inflater.failed:
                self._lose(inflater)
                return None
        return pieces

    def _lose(self, inflater: Inflater) -> None:
        inflater.dead = "too large or broken"

    def _frame(self, raw: bytes, now: int) -> WireFrame:
        frame = WireFrame(raw, header_length(raw[1]), self.direction, self._frames, now)
        frame.lane = self._surroundings
        self._frames += 1
        if self._last_ns is not None:
            frame.gap_ns = now - self._last_ns
        self._last_ns = now
        opcode = raw[0] & 0x0F
        if opcode < CONTROL_BIT:
            self._place(frame, opcode)
        return frame

    def _place(self, frame: WireFrame, opcode: int) -> None:
        """Find the message of a data frame."""
        self.is_inside = not frame.fin
        if opcode:
            self._messages += 1
            compressed = self._has_deflate and frame.rsv1
            self._message = MessageState(opcode, compressed, self._messages)
        message = self._message
        if message is None:
            self._remember(frame)  # began earlier; the capture knows whether it is compressed
            return
        frame.message = message
        message.fragments += 1
        if not (opcode and frame.fin):
            frame.fragment = message.fragments
        if message.compressed:
            self._inflate(frame, message)
        else:
            message.length += frame.length
        if frame.fragment is not None:
            _collect(message, frame)
        if frame.fin:
            self._message = None

    def _inflate(self, frame: WireFrame, message: MessageState) -> None:
        frame.sequence = self._sequence
        self._sequence += 1
        inflater = self._inflater
        self._remember(frame)
        if inflater is None or inflater.dead:
            message.length += frame.length
            return
        if message.fragments == 1:
            inflater.begin()
        pieces = self._read(inflater, frame.payload)
        if pieces is None:
            return
        if frame.fin:
            last, _ = inflater.finish()
            pieces += last
            if inflater.failed:
                inflater.revive()
                return
        frame.plain = b"".join(pieces)
        message.length += len(frame.plain)


def _collect(message: MessageState, frame: WireFrame) -> None:
    content = frame.content
    if message.content is None or content is None or message.length > MAX_FRAME:
        message.content = None
    else:
        message.content += content


def _payload_length(head: bytes, length: int) -> int:
    return 0 if head[0] & CONTROL_BIT else length - header_length(head[1])
