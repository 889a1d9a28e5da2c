"""Frames on their way through faults: cut from the stream with their exact bytes, looked at only when asked.

`Splitter` makes `WireFrame`s of one direction's bytes, knows which message each belongs to, and inflates
compressed ones where faults need that. What is no whole frame (the rest of one that began before, one too
large to hold, anything after lost boundaries) becomes `Raw` and passes as it came.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from wsinspect.faults.boundaries import SHORT, Boundary, frame_length, header_length
from wsinspect.wire.deflate import DeflateParams, Inflater
from wsinspect.wire.frame import MASK_BIT
from wsinspect.wire.masking import unmask
from wsinspect.wire.opcodes import CONTROL_BIT, Direction

if TYPE_CHECKING:
    from wsinspect.filters.facts import ConnectionFacts

#: A larger frame passes as it comes, whatever the rules say; and so much of a message is kept to be searched.
MAX_FRAME: Final = 16 * 1024 * 1024
_INFLATE_INPUT: Final = 16 * 1024


class MessageState:
    """A message under way.

    Attributes:
        opcode: TEXT or BINARY.
        compressed: by permessage-deflate.
        number: of this direction, from 1.
        fragments: frames so far.
        length: payload bytes so far; inflated where that is known.
        pieces: its content so far; None where it is too large or not known.
    """

    __slots__ = ("compressed", "fragments", "length", "number", "opcode", "pieces")

    def __init__(self, opcode: int, compressed: bool, number: int) -> None:
        self.opcode = opcode
        self.compressed = compressed
        self.number = number
        self.fragments = 0
        self.length = 0
        self.pieces: list[bytes] | None = []


class WireFrame:
    """One whole frame; it is a `filters.facts.FrameFacts`.

    Attributes:
        raw: the bytes on the wire.
        ordinal: its number in the direction's stream from 0; of one that we made, its neighbour's.
        time_ns: when its last byte arrived.
        message: None for control frames, and where its message began before we looked.
        plain: what the payload inflates to; None where it is not compressed, or not known.
        sequence: its number among the frames of compressed messages; None where there is no such order.
        altered: whether faults made another frame of it.
    """

    __slots__ = (
        "_body", "_payload", "altered", "direction", "fragment", "gap_ns", "header_size", "lane", "message",
        "ordinal", "plain", "raw", "sequence", "time_ns",
    )  # fmt: skip

    def __init__(self, raw: bytes, header_size: int, direction: int, ordinal: int, time_ns: int) -> None:
        self.raw = raw
        self.header_size = header_size
        self.direction = direction
        self.ordinal = ordinal
        self.time_ns = time_ns
        self.gap_ns: int | None = None
        self.message: MessageState | None = None
        self.fragment: int | None = None
        self.plain: bytes | None = None
        self.sequence: int | None = None
        self.altered = False
        self.lane: Surroundings = _NOWHERE
        self._payload: bytes | None = None
        self._body: bytes | None = None

    @property
    def opcode(self) -> int:
        return self.raw[0] & 0x0F

    @property
    def is_control(self) -> bool:
        return bool(self.raw[0] & CONTROL_BIT)

    @property
    def is_whole(self) -> bool:
        """Whether it is a message, or a control frame, of its own."""
        return self.is_control or (self.fin and self.opcode != 0)

    @property
    def fin(self) -> bool:
        return self.raw[0] >= 0x80

    @property
    def rsv1(self) -> bool:
        return bool(self.raw[0] & 0x40)

    @property
    def rsv2(self) -> bool:
        return bool(self.raw[0] & 0x20)

    @property
    def rsv3(self) -> bool:
        return bool(self.raw[0] & 0x10)

    @property
    def masked(self) -> bool:
        return self.raw[1] >= MASK_BIT

    @property
    def mask_key(self) -> bytes | None:
        return self.raw[self.header_size - 4 : self.header_size] if self.raw[1] >= MASK_BIT else None

    @property
    def length(self) -> int:
        return len(self.raw) - self.header_size

    @property
    def wire_length(self) -> int:
        return len(self.raw)

    @property
    def payload(self) -> bytes:
        if self._payload is None:
            key = self.mask_key
            masked = self.raw[self.header_size :]
            self._payload = masked if key is None else unmask(masked, key)
        return self._payload

    @property
    def body(self) -> bytes:
        """What filters search: the whole message on the frame that ends it, inflated."""
        if self._body is None:
            self._body = self._whole()
        return self._body

    def _whole(self) -> bytes:
        message = self.message
        if message is None or self.is_control:
            return self.payload
        if self.fin and self.fragment is not None:
            return b"".join(message.pieces) if message.pieces is not None else b""
        if message.compressed:
            return (self.plain or b"") if self.fin else b""
        return self.payload

    @property
    def content(self) -> bytes | None:
        """This frame's part of what the receiver reads; None where it cannot be inflated."""
        return self.plain if self.message is not None and self.message.compressed else self.payload

    @property
    def message_id(self) -> int | None:
        return None if self.message is None else self.message.number

    @property
    def connection(self) -> ConnectionFacts:
        return self.lane.connection

    @property
    def t_ns(self) -> int | None:
        return self.time_ns - self.lane.start_ns

    @property
    def delta_ns(self) -> int | None:
        return self.gap_ns

    @property
    def rtt_ns(self) -> int | None:
        return None

    @property
    def faults(self) -> Sequence[str]:
        return ()

    @property
    def findings(self) -> Sequence[tuple[str, str]]:
        return ()


class Surroundings:
    """What a frame knows of its connection.

    Attributes:
        connection: for filters.
        start_ns: what `t` counts from.
    """

    connection: ConnectionFacts
    start_ns: int = 0


_NOWHERE: Final = Surroundings()


class Raw:
    """Bytes that pass as they came.

    Attributes:
        ends_frame: whether the next byte begins a frame.
    """

    __slots__ = ("data", "ends_frame")

    def __init__(self, data: bytes, ends_frame: bool) -> None:
        self.data = data
        self.ends_frame = ends_frame


class End:
    """The end of the direction: "fin", "rst", "timeout" or "close_notify", in order with what came before."""

    __slots__ = ("how",)

    def __init__(self, how: str) -> None:
        self.how = how


Item = WireFrame | Raw | End


class Splitter:
    """One direction's bytes as items.

    Args:
        direction: whose bytes.
        boundary: where the stream is; bytes before it have been sent on.
        deflate: permessage-deflate's parameters, None where it was not accepted.
        window: what the receiver has inflated so far (32 KiB at most); None where that is not known.
        surroundings: given to every frame.

    Attributes:
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

    def surrender(self) -> tuple[bytes, Boundary]:
        """Stop here: the bytes of an unfinished frame, to be sent now, and where the stream is then."""
        held = b"".join(self._parts)
        self._parts, self._have = [], 0
        boundary = Boundary()
        boundary.skip, boundary.head, boundary.frames = self._skip, self._head, self._frames
        boundary.is_lost = self.is_lost
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
        if rest:
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
                    items.append(Raw(rest[:length], not self._skip))
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
        """Keep it until the window is known."""
        if self._backlog is not None:
            self._backlog.append(frame)
            self._backlog_bytes += len(frame.raw)
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
        if opcode:
            self._messages += 1
            compressed = self._has_deflate and frame.rsv1
            self._message = MessageState(opcode, compressed, self._messages)
        message = self._message
        if message is None:
            if self._backlog is not None:
                self._remember(frame)  # of a message that began before; the capture knows if it is compressed
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
        if self._backlog is not None:
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
    if message.pieces is None or content is None or message.length > MAX_FRAME:
        message.pieces = None
    else:
        message.pieces.append(content)


#: An empty stored block, what remains of an empty message (RFC 7692 section 7.2.3.6).
EMPTY_BLOCK: Final = b"\x00"
_TAIL: Final = b"\x00\x00\xff\xff"


class Deflater:
    """Compresses messages so that any receiver of the agreed window can inflate them.

    It begins with an empty window, which is always right: what it makes never refers to anything before it.
    """

    def __init__(self, params: DeflateParams, direction: Direction) -> None:
        client = direction is Direction.CLIENT_TO_SERVER
        bits = params.client_max_window_bits if client else params.server_max_window_bits
        # zlib cannot make raw streams with a window of 256 bytes: Huffman coding alone never looks back.
        strategy = zlib.Z_HUFFMAN_ONLY if bits < 9 else zlib.Z_DEFAULT_STRATEGY
        self._bits = min(max(bits, 9), 15)
        self._strategy = strategy
        self._takeover = params.takeover(direction)
        self._zlib = self._new()

    def _new(self) -> zlib._Compress:
        return zlib.compressobj(wbits=-self._bits, strategy=self._strategy)

    def piece(self, plain: bytes, *, first: bool, fin: bool) -> bytes:
        """The payload of one frame of a message."""
        if first and not self._takeover:
            self._zlib = self._new()
        data = self._zlib.compress(plain) + self._zlib.flush(zlib.Z_SYNC_FLUSH)
        if not fin:
            return data
        return data[: -len(_TAIL)] if data.endswith(_TAIL) and len(data) > len(_TAIL) else EMPTY_BLOCK
