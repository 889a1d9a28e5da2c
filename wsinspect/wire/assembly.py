"""Frames off the fast path, and the messages that frames make (RFC 6455 sections 5.4, 5.5, RFC 7692).

`Assembler` holds what one direction knows across frames: the open message, whether CLOSE was seen, the
inflater, the counters. A frame goes through `begin`, `OpenFrame.take` for each piece of its payload, and
`finish`. `begin` changes no counter and no open message, so that a frame can be begun again after a restart.
"""

from __future__ import annotations

from typing import Final

from wsinspect.wire import violations
from wsinspect.wire.deflate import INFLATE_CAP, DeflateParams, Inflater
from wsinspect.wire.frame import MAX_CONTROL_PAYLOAD, Frame
from wsinspect.wire.messages import (
    INFLATE_FAILED,
    INTERRUPTED,
    NOT_INFLATED,
    OVER_CAP,
    Message,
    OpenMessage,
    TextCheck,
)
from wsinspect.wire.opcodes import CONTROL_BIT, Direction, Opcode, is_reserved
from wsinspect.wire.reader import OpenFrame, close_body_codes, head_codes, length_codes

#: At most this is kept of one payload; SQLite refuses blobs of 1 GB, and memory is bounded.
MAX_PAYLOAD: Final = 64 * 1024 * 1024


class Assembler:
    """What one direction knows across frames.

    Attributes:
        cut: bytes kept of a data frame's payload.
        frame_count: ordinal of the next frame.
        message_count: ordinal of the next message.
        open: the message whose final fragment has not come.
        is_closed: whether a CLOSE frame was seen.
        inflater: set under permessage-deflate.
    """

    def __init__(
        self,
        direction: Direction,
        *,
        deflate: DeflateParams | None,
        extensions_known: bool,
        snaplen: int | None,
        inflate_cap: int = INFLATE_CAP,
        window: bytes = b"",
    ) -> None:
        self.direction = direction
        self.cut = MAX_PAYLOAD if snaplen is None else min(snaplen, MAX_PAYLOAD)
        self.frame_count = 0
        self.message_count = 0
        self.open: OpenMessage | None = None
        self.is_closed = False
        self.inflater: Inflater | None = None
        if deflate is not None:
            self.inflater = Inflater(
                bits=deflate.window_bits(direction),
                takeover=deflate.takeover(direction),
                cap=inflate_cap,
                keep=snaplen,
                window=window,
            )
        self._extensions_known = extensions_known
        self._codes: dict[int, tuple[str, ...]] = {}

    @property
    def is_idle(self) -> bool:
        """Whether an unfragmented data frame may come next."""
        return self.open is None and not self.is_closed

    def begin(self, header: bytes, length: int, first_ns: int) -> OpenFrame:
        """Start on a frame: what its header says, and where its payload goes."""
        opcode = header[0] & 0x0F
        keep = max(self.cut, MAX_CONTROL_PAYLOAD) if opcode & CONTROL_BIT else self.cut
        frame = OpenFrame(header, length, first_ns, keep)
        frame.codes += self._head_codes(header)
        frame.codes += length_codes(header, length)
        if opcode & CONTROL_BIT:
            return frame
        if self.is_closed:
            frame.codes.append(violations.DATA_AFTER_CLOSE)
        if opcode == Opcode.CONTINUATION:
            self._join_open(frame)
        elif not is_reserved(opcode):
            if self.open is not None:
                frame.codes.append(violations.MESSAGE_INTERRUPTED)
            self._join_new(frame)
        return frame

    def _join_open(self, frame: OpenFrame) -> None:
        message = self.open
        if message is None:
            frame.codes.append(violations.CONTINUATION_UNEXPECTED)
            return
        if frame.header[0] & 0x70:
            message.text = None  # an unknown extension or a wrong bit: the payload's meaning is unknown
        frame.join(message, self.inflater if message.inflates else None, begins=False)

    def _join_new(self, frame: OpenFrame) -> None:
        first = frame.header[0]
        inflater = self.inflater
        compressed = inflater is not None and bool(first & 0x40)
        unknown_bits = first & 0x70 & ~(0x40 if compressed else 0)
        message = OpenMessage(
            ordinal=self.message_count,
            opcode=frame.opcode,
            first_frame=self.frame_count,
            compressed=compressed,
            text=TextCheck() if frame.opcode == Opcode.TEXT and not unknown_bits else None,
        )
        message.was_closed = self.is_closed
        if inflater is not None:
            if self.open is not None and self.open.inflates:
                inflater.abandon()
            message.inflates = compressed and not inflater.dead
            if message.inflates:
                inflater.begin()
        frame.join(message, inflater if message.inflates else None, begins=True)

    def _head_codes(self, header: bytes) -> tuple[str, ...]:
        first = header[0]
        mask_is_wrong = (header[1] >= 0x80) != (self.direction is Direction.CLIENT_TO_SERVER)
        index = first | 0x100 if mask_is_wrong else first
        codes = self._codes.get(index)
        if codes is None:
            allowed = 0 if self._extensions_known else 0x70
            if self.inflater is not None and first & 0x0F in (Opcode.TEXT, Opcode.BINARY):
                allowed |= 0x40
            codes = self._codes[index] = tuple(
                head_codes(
                    first,
                    mask_is_wrong=mask_is_wrong,
                    direction=self.direction,
                    allowed_rsv=allowed,
                    any_opcode=not self._extensions_known,
                )
            )
        return codes

    def finish(self, frame: OpenFrame, time_ns: int, frames: list[Frame], messages: list[Message]) -> None:
        """A frame's last byte is there: count it, and end its message where it is the final fragment."""
        message = frame.message
        if message is None:
            if frame.opcode == Opcode.CLOSE:
                self.is_closed = True
                frame.codes += close_body_codes(frame.payload, frame.length)
        else:
            self._advance(frame, message, messages)
        header = frame.header
        frames.append(
            Frame(
                header,
                frame.first_ns,
                time_ns,
                frame.payload,
                len(header) + frame.length,
                ",".join(frame.codes) if frame.codes else None,
                None if message is None else message.ordinal,
            )
        )
        self.frame_count += 1

    def _advance(self, frame: OpenFrame, message: OpenMessage, messages: list[Message]) -> None:
        if frame.begins:
            if self.open is not None:
                messages.append(self.open.to_message(None, INTERRUPTED))
            message.ordinal = self.message_count
            self.message_count += 1
            self.open = message
        message.last_frame = self.frame_count
        message.length += frame.length
        if frame.header[0] >= 0x80:
            self.open = None
            messages.append(self._complete(frame, message))
        if frame.text_was_valid and message.text is not None and not message.text.is_valid:
            frame.codes.append(violations.INVALID_UTF8)

    def _complete(self, frame: OpenFrame, message: OpenMessage) -> Message:
        """The final fragment is there."""
        inflater = self.inflater
        if not message.compressed or inflater is None:
            frame.look_at((), final=True)
            return message.to_message(None, None)
        if not message.inflates:
            return message.to_message(None, NOT_INFLATED)
        was_broken = inflater.failed
        pieces, data = inflater.finish()
        if inflater.failed:
            if not was_broken:
                frame.mark_broken()
            return message.to_message(None, INFLATE_FAILED)
        message.length = inflater.length
        frame.look_at(pieces, final=True)
        return message.to_message(data, OVER_CAP if inflater.is_over else None)
