"""What the first bytes of a frame say, and frames whose payload comes in pieces (RFC 6455 section 5.2).

`head_codes` names what is wrong with a header, `OpenFrame` takes the payload of every frame that is not on
the fast path of `stream.StreamDecoder`: a fragment, a compressed or faulty frame, or one that did not arrive
whole. It keeps at most `keep` bytes and looks at all of them once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from wsinspect.wire import violations
from wsinspect.wire.close_codes import is_legal_on_wire
from wsinspect.wire.deflate import Inflater
from wsinspect.wire.frame import MAX_CONTROL_PAYLOAD
from wsinspect.wire.header import LENGTH_16, LENGTH_64, MASK_BIT
from wsinspect.wire.masking import rotate_key, unmask
from wsinspect.wire.messages import OpenMessage, TextCheck
from wsinspect.wire.opcodes import CONTROL_BIT, Direction, is_reserved

#: Bytes of a compressed payload inflated at a time, to at most 4 MiB.
_INFLATE_PIECE: Final = 4 * 1024


def head_codes(
    first: int, *, mask_is_wrong: bool, direction: Direction, allowed_rsv: int, any_opcode: bool
) -> Iterable[str]:
    """What is wrong with a header whose first byte is `first`, whatever its length.

    Args:
        allowed_rsv: the bits of 0x70 that accepted extensions may set on this opcode.
        any_opcode: an extension that we do not know was accepted; it may define opcodes.
    """
    opcode = first & 0x0F
    if mask_is_wrong:
        client = direction is Direction.CLIENT_TO_SERVER
        yield violations.MASK_MISSING if client else violations.MASK_UNEXPECTED
    if first & 0x70 & ~allowed_rsv:
        yield violations.RESERVED_BIT
    if is_reserved(opcode) and not any_opcode:
        yield violations.RESERVED_OPCODE
    if opcode >= CONTROL_BIT and not first & 0x80:
        yield violations.CONTROL_FRAGMENTED


def length_codes(header: bytes, length: int) -> Iterable[str]:
    """What is wrong with the length and how it is written."""
    short = header[1] & 0x7F
    if (short == LENGTH_16 and length < LENGTH_16) or (short == LENGTH_64 and length < 1 << 16):
        yield violations.LENGTH_NOT_MINIMAL
    if length > MAX_CONTROL_PAYLOAD and header[0] & CONTROL_BIT:
        yield violations.CONTROL_TOO_LONG


def close_body_codes(payload: bytes, length: int) -> Iterable[str]:
    """What is wrong with the body of a CLOSE frame (RFC 6455 section 5.5.1)."""
    if length == 1:
        yield violations.CLOSE_TRUNCATED
    if len(payload) < 2:
        return
    if not is_legal_on_wire(int.from_bytes(payload[:2], "big")):
        yield violations.CLOSE_CODE
    if length <= MAX_CONTROL_PAYLOAD:  # then all of it is there
        try:
            payload[2:].decode()
        except UnicodeDecodeError:
            yield violations.CLOSE_UTF8


class OpenFrame:
    """A frame whose header is known and whose payload is being taken.

    Attributes:
        keep: how many bytes of the payload are kept.
        received: payload bytes taken so far.
        message: the message it belongs to, or will begin; None for control frames and stray ones.
        begins: whether `message` begins with it.
        inflater: set when the payload goes on to it.
    """

    __slots__ = (
        "_kept", "_key", "begins", "codes", "first_ns", "header", "inflater", "keep", "length", "message",
        "parts", "received", "text_was_valid",
    )  # fmt: skip

    def __init__(self, header: bytes, length: int, first_ns: int, keep: int) -> None:
        self.header = header
        self.length = length
        self.first_ns = first_ns
        self.received = 0
        self.parts: list[bytes] = []
        self.codes: list[str] = []
        self.message: OpenMessage | None = None
        self.begins = False
        self.inflater: Inflater | None = None
        self.text_was_valid = True
        self.keep = keep
        self._kept = 0
        self._key = header[-4:] if header[1] >= MASK_BIT else None

    @property
    def opcode(self) -> int:
        """The low four bits of the first byte, 0 to 15 (RFC 6455 section 5.2)."""
        return self.header[0] & 0x0F

    def join(self, message: OpenMessage, inflater: Inflater | None, *, begins: bool) -> None:
        """Say where the payload belongs."""
        self.message = message
        self.begins = begins
        self.inflater = inflater
        self.text_was_valid = message.text is None or message.text.is_valid

    def take(self, raw: bytes) -> None:
        """The next piece of the payload, masked as it came."""
        offset = self.received
        self.received += len(raw)
        text = None if self.message is None or self.message.compressed else self.message.text
        room = self.keep - self._kept
        if text is None and self.inflater is None:
            raw = raw[: max(room, 0)]
        if self._key is not None and raw:
            raw = unmask(raw, rotate_key(self._key, offset))
        if room > 0:
            self.parts.append(raw[:room])
            self._kept += len(self.parts[-1])
        if self.inflater is not None:
            self._inflate(self.inflater, raw)
        elif text is not None:
            text.feed(raw)

    def _inflate(self, inflater: Inflater, raw: bytes) -> None:
        was_broken = inflater.failed
        # What comes out is up to a thousand times as much, all of a call's in memory at once; and a restart
        # takes all that is pending as one piece.
        for start in range(0, len(raw), _INFLATE_PIECE):
            self.look_at(inflater.feed(raw[start : start + _INFLATE_PIECE]))
        if inflater.failed and not was_broken:
            self.mark_broken()

    def mark_broken(self) -> None:
        """Its data do not inflate; what came out before depends on the chunking and is not judged."""
        self.codes.append(violations.INFLATE_FAILED)
        if self.message is not None and self.text_was_valid:
            self.message.text = None

    def look_at(self, pieces: Iterable[bytes], *, final: bool = False) -> None:
        """Check the UTF-8 of inflated pieces, where the message is text; `final` says there are no more."""
        text = None if self.message is None else self.message.text
        if text is None:
            return
        for piece in pieces:
            text.feed(piece)
        if final:
            text.feed(b"", final=True)

    @property
    def payload(self) -> bytes:
        """What was kept of the payload, unmasked."""
        return self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)

    @property
    def wire_bytes(self) -> bytes:
        """Header and kept payload as they came."""
        return self.header + (self.payload if self._key is None else unmask(self.payload, self._key))

    @property
    def wants_all(self) -> bool:
        """Whether the payload must be seen once more after a restart, beyond what is kept."""
        return self.inflater is not None

    @property
    def is_given_up(self) -> bool:
        """Whether it begins a compressed message that is not inflated."""
        message = self.message
        return self.begins and message is not None and message.compressed and not message.inflates

    def state(self) -> dict[str, Any]:
        """JSON that `resume` takes."""
        text = None if self.message is None or self.message.text is None else self.message.text.state()
        return {"received": self.received, "text": text, "text_was_valid": self.text_was_valid}

    def resume(self, state: dict[str, Any]) -> None:
        """Continue where `state` was called; what is between that and the bytes taken again is not kept."""
        if state["received"] > self.received:
            self.keep = min(self.keep, self._kept)
            self.received = state["received"]
        if self.message is not None and self.message.text is not None and state["text"] is not None:
            self.message.text = TextCheck(state["text"])
            self.text_was_valid = state["text_was_valid"]


def header_violations(
    header: bytes, direction: Direction, *, deflate: bool, extensions_known: bool = True
) -> Iterable[str]:
    """What a whole header breaks by itself, whatever follows it.

    Args:
        deflate: whether permessage-deflate was accepted.
        extensions_known: False where an extension that we do not know was accepted.
    """
    first, short = header[0], header[1] & 0x7F
    is_masked = header[1] >= MASK_BIT
    allowed = 0x70 if not extensions_known else 0x40 if deflate and first & 0x0F in (1, 2) else 0
    yield from head_codes(
        first,
        mask_is_wrong=is_masked != (direction is Direction.CLIENT_TO_SERVER),
        direction=direction,
        allowed_rsv=allowed,
        any_opcode=not extensions_known,
    )
    length = int.from_bytes(header[2 : 4 if short == LENGTH_16 else 10], "big")
    yield from length_codes(header, length if short in (LENGTH_16, LENGTH_64) else short)
