"""What goes through faults: frames with their exact bytes, looked at only when asked; other bytes; the end.

What is not a whole frame (the rest of one that began before, one too large to hold, anything after lost
boundaries) is `Raw` and passes as it came.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from wsinspect.wire.header import MASK_BIT
from wsinspect.wire.masking import unmask
from wsinspect.wire.opcodes import CONTROL_BIT

if TYPE_CHECKING:
    from wsinspect.filters.facts import ConnectionFacts


class MessageState:
    """A message under way.

    Attributes:
        opcode: TEXT or BINARY.
        compressed: by permessage-deflate.
        number: of this direction, from 1.
        fragments: frames so far.
        length: payload bytes so far; inflated where that is known.
        content: so far; None where it is too large or not known.
    """

    __slots__ = ("compressed", "content", "fragments", "length", "number", "opcode")

    def __init__(self, opcode: int, compressed: bool, number: int) -> None:
        self.opcode = opcode
        self.compressed = compressed
        self.number = number
        self.fragments = 0
        self.length = 0
        self.content: bytearray | None = bytearray()


class WireFrame:
    """One whole frame; it is a `filters.facts.FrameFacts`.

    Attributes:
        raw: the bytes on the wire.
        ordinal: its number in the direction's stream from 0; of one that we made, its neighbour's.
        time_ns: when its last byte arrived.
        message: None for control frames, and where its message began before we looked.
        plain: what the payload inflates to; None where it is not compressed, or not known.
        sequence: its number among the frames of compressed messages; None without such an order.
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
            return bytes(message.content) if message.content is not None else b""
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
        payload_length: of the data frame that begins here and is too large to hold; 0 for anything else.
    """

    __slots__ = ("data", "ends_frame", "payload_length")

    def __init__(self, data: bytes, ends_frame: bool, payload_length: int = 0) -> None:
        self.data = data
        self.ends_frame = ends_frame
        self.payload_length = payload_length


class Piece(Raw):
    """Bytes behind the encoder.

    Attributes:
        frame: the frame they are of; None for a frame of ours, and where boundaries are not known.
        starts: whether they are its beginning: a rule decides once for a frame, however it is cut.
    """

    __slots__ = ("frame", "starts")

    def __init__(self, data: bytes, ends_frame: bool, frame: WireFrame | None, starts: bool = True) -> None:
        super().__init__(data, ends_frame)
        self.frame = frame
        self.starts = starts


class End:
    """The end of the direction: "fin", "rst", "timeout" or "close_notify", in order with what came before."""

    __slots__ = ("how",)

    def __init__(self, how: str) -> None:
        self.how = how


Item = WireFrame | Raw | End
#: Memory per held item in addition to its bytes; without it, held frames of two bytes each would take
#: gigabytes.
ITEM_BYTES: Final = 512


def size(item: Item) -> int:
    """Its bytes on the wire."""
    if isinstance(item, WireFrame):
        return len(item.raw)
    return len(item.data) if isinstance(item, Raw) else 0


def cost(item: Item) -> int:
    """Bytes of memory that holding an item takes, roughly."""
    if isinstance(item, WireFrame):
        return len(item.raw) + ITEM_BYTES
    return len(item.data) + ITEM_BYTES if isinstance(item, Raw) else 0
