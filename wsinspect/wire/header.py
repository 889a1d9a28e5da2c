"""The header of a frame (RFC 6455 section 5.2): the one place that says how long it is and what follows.

The reader of frames, the scan for their boundaries and the faults' splitter take their tables from here; they
read the two or eight bytes of a long length in their own loops, where a call would cost more than the rest.
"""

from __future__ import annotations

from functools import cache
from typing import Final, Protocol

from wsinspect.wire.opcodes import Direction

MASK_BIT: Final = 0x80
#: In the second byte: the length follows in 2 or in 8 bytes.
LENGTH_16: Final = 126
LENGTH_64: Final = 127
#: A larger length means that frame boundaries were lost: nobody sends a frame of 1 TiB.
MAX_LENGTH: Final = 1 << 40
#: In a shape: the length follows in 2 or in 8 bytes.
IN_16_BITS: Final = -1
IN_64_BITS: Final = -2

Shape = tuple[int, int, bool]


def header_length(second: int) -> int:
    """Bytes of a header with this second byte: 2 to 14."""
    short = second & 0x7F
    extended = 8 if short == LENGTH_64 else 2 if short == LENGTH_16 else 0
    return 2 + extended + (4 if second >= MASK_BIT else 0)


def whole_header(data: bytes) -> bytes:
    """The header that `data` begins with; empty where not all of it is there."""
    size = header_length(data[1]) if len(data) > 1 else 0
    return data[:size] if len(data) >= size else b""


#: Bytes of the whole frame by its second byte, where that says it all; otherwise 0.
SHORT: Final = tuple(
    0 if (second & 0x7F) >= LENGTH_16 else header_length(second) + (second & 0x7F) for second in range(256)
)


@cache
def shapes(direction: Direction, cut: int) -> tuple[Shape, ...]:
    """By second byte: size of the header, payload length, and whether the fast path may take the frame.

    The length is `IN_16_BITS` or `IN_64_BITS` where it follows. The fast path takes frames that are masked as
    the direction demands and, where the length is there, not longer than `cut`. Beyond 125 `cut` makes no
    difference: pass 125, so that connections share one table.
    """
    table: list[Shape] = []
    for second in range(256):
        short = second & 0x7F
        right = (second >= MASK_BIT) == (direction is Direction.CLIENT_TO_SERVER)
        if short >= LENGTH_16:
            length, may_be_plain = (IN_16_BITS if short == LENGTH_16 else IN_64_BITS), right
        else:
            length, may_be_plain = short, right and short <= cut
        table.append((header_length(second), length, may_be_plain))
    return tuple(table)


def frame_length(data: bytes, position: int = 0) -> int | None:
    """Bytes of the frame that begins at `position`; None while its length is not there, -1 for nonsense."""
    if len(data) < position + 2:
        return None
    second = data[position + 1]
    short = second & 0x7F
    if short < LENGTH_16:
        return SHORT[second]
    extended = 8 if short == LENGTH_64 else 2
    if len(data) < position + 2 + extended:
        return None
    length = int.from_bytes(data[position + 2 : position + 2 + extended], "big")
    return -1 if length > MAX_LENGTH else header_length(second) + length


class _HasHeader(Protocol):
    @property
    def header(self) -> bytes: ...

    @property
    def wire_length(self) -> int: ...


class HeaderFields:
    """What a frame's header says, worked out when asked for; a base for tuples with both fields below.

    `header` is the whole header as it was on the wire, 2 to 14 bytes; `wire_length` counts the payload too.
    """

    __slots__ = ()

    @property
    def fin(self: _HasHeader) -> bool:
        """Whether it is the final fragment of its message."""
        return self.header[0] >= 0x80

    @property
    def rsv1(self: _HasHeader) -> bool:
        """The first reserved bit; "Per-Message Compressed" under permessage-deflate (RFC 7692 section 6)."""
        return bool(self.header[0] & 0x40)

    @property
    def rsv2(self: _HasHeader) -> bool:
        """The second reserved bit."""
        return bool(self.header[0] & 0x20)

    @property
    def rsv3(self: _HasHeader) -> bool:
        """The third reserved bit."""
        return bool(self.header[0] & 0x10)

    @property
    def opcode(self: _HasHeader) -> int:
        """The low four bits of the first byte, 0 to 15, reserved values included."""
        return self.header[0] & 0x0F

    @property
    def masked(self: _HasHeader) -> bool:
        """Whether a masking key was sent."""
        return self.header[1] >= MASK_BIT

    @property
    def mask_key(self: _HasHeader) -> bytes | None:
        """The four bytes of the masking key; None where the frame is not masked."""
        return self.header[-4:] if self.header[1] >= MASK_BIT else None

    @property
    def length(self: _HasHeader) -> int:
        """The payload's length on the wire; what is stored of it may be less."""
        return self.wire_length - len(self.header)
