"""One frame as it was on the wire (RFC 6455 section 5.2).

`Frame` is a plain tuple with names, because a million of them a few seconds apart must be cheap: everything
that the header says is worked out when asked for. With header and whole payload the bytes on the wire can be
made again.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from wsinspect.wire.header import LENGTH_16, LENGTH_64, MASK_BIT, HeaderFields
from wsinspect.wire.masking import unmask

#: RFC 6455 section 5.5: "All control frames MUST have a payload length of 125 bytes or less".
MAX_CONTROL_PAYLOAD: Final = 125
#: Two bytes, a 64-bit length, a masking key.
MAX_HEADER: Final = 14


class _Frame(NamedTuple):
    header: bytes
    first_ns: int
    time_ns: int
    payload: bytes
    wire_length: int
    violation: str | None = None
    message: int | None = None


class Frame(_Frame, HeaderFields):
    """A frame and when it came.

    Attributes:
        header: as received, 2 to 14 bytes, the masking key included.
        first_ns: when its first byte arrived, epoch nanoseconds.
        time_ns: when its last byte arrived.
        payload: unmasked, not inflated; a data frame's is cut at the snap length.
        wire_length: bytes on the wire: header and whole payload.
        violation: codes of `violations.VIOLATIONS` joined by commas; None for a correct frame.
        message: ordinal of its message in this direction; None for control frames, reserved opcodes and a
            continuation of nothing.
    """

    __slots__ = ()

    @property
    def is_cut(self) -> bool:
        """Whether `payload` holds less than was on the wire."""
        return self.wire_length != len(self.header) + len(self.payload)

    @property
    def wire_bytes(self) -> bytes:
        """Header and (stored) payload as they were on the wire."""
        key = self.mask_key
        return self.header + (self.payload if key is None else unmask(self.payload, key))


def serialize_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    key: bytes | None = None,
    length_bytes: int | None = None,
) -> bytes:
    """The wire bytes of a frame, correct or not.

    Args:
        opcode: 0 to 15.
        payload: unmasked.
        fin: whether it is the final fragment.
        rsv: the reserved bits as a number: 4 is RSV1, 2 RSV2, 1 RSV3.
        key: four bytes to mask with; None for no mask.
        length_bytes: 0, 2 or 8 extended length bytes; None chooses the fewest (RFC 6455 section 5.2 demands
            that).
    """
    size = len(payload)
    if length_bytes is None:
        length_bytes = 0 if size < LENGTH_16 else 2 if size < 1 << 16 else 8
    short = {0: size, 2: LENGTH_16, 8: LENGTH_64}[length_bytes]
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    second = short | (0 if key is None else MASK_BIT)
    head = bytes((first, second)) + (size.to_bytes(length_bytes, "big") if length_bytes else b"")
    return head + payload if key is None else head + key + unmask(payload, key)
