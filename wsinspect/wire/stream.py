"""The tolerant reader: one direction of one connection, bytes in, frames and messages out (RFC 6455 section 5).

`StreamDecoder.feed` takes bytes in any pieces and never raises on them. What is wrong is said on the frame
(`violations`), and reading goes on behind it as long as its length makes sense; where it does not, the boundaries are
gone and all later bytes are `opaque`. Any chunking of the same bytes gives the same frames, times apart.

The loop in `feed` is the hot path of the recorder: an unfragmented, uncompressed, correct data frame that arrived whole
costs no method call of ours. All others go through `reader.OpenFrame`.

Restart: `checkpoint()` gives what `restore()` needs besides the rows that were written from earlier batches. A frame
that is not complete, or a compressed message (its DEFLATE state cannot be saved, only made again from its first byte),
is kept as raw bytes: `Checkpoint.pending`, append-only until `replace` says that it starts afresh.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from wsinspect.wire import violations
from wsinspect.wire.deflate import INFLATE_CAP, DeflateParams, Inflater
from wsinspect.wire.frame import MAX_CONTROL_PAYLOAD, Frame
from wsinspect.wire.masking import INTEGER_LIMIT, unmask
from wsinspect.wire.messages import (
    INFLATE_FAILED,
    INTERRUPTED,
    NOT_INFLATED,
    OVER_CAP,
    UNFINISHED,
    Message,
    OpenMessage,
    TextCheck,
    is_utf8,
)
from wsinspect.wire.opcodes import CONTROL_BIT, Direction, Opcode, is_reserved
from wsinspect.wire.pending import PendingLog
from wsinspect.wire.reader import (
    IN_16_BITS,
    MAX_LENGTH,
    OpenFrame,
    close_codes_of,
    head_codes,
    length_codes,
    shapes,
)

#: No more than this is kept of one payload; SQLite refuses blobs of 1 GB, and memory is bounded.
MAX_PAYLOAD: Final = 64 * 1024 * 1024
#: An unfinished frame up to this size is simply read again when more of it has come.
REREAD_LIMIT: Final = 4096
#: Raw bytes of an unfinished compressed message that are kept for a restart; beyond, it would not be inflated then.
PENDING_LIMIT: Final = 64 * 1024 * 1024

_TEXT_FIN: Final = 0x81
_BINARY_FIN: Final = 0x82


class Batch(NamedTuple):
    """What one `feed` brought.

    Attributes:
        frames: in the order of their last bytes.
        first_frame: ordinal of `frames[0]` in this direction.
        messages: those that ended, in order.
        opaque: bytes behind lost boundaries; from `end`, the bytes of a truncated frame.
    """

    frames: list[Frame]
    first_frame: int
    messages: list[Message]
    opaque: bytes


class Checkpoint(NamedTuple):
    """What to store, in one transaction with the rows of all batches so far, for `StreamDecoder.restore`.

    Attributes:
        state: small, JSON.
        replace: whether `pending` replaces what was stored, else it is appended.
        pending: raw bytes of what is unfinished and that no earlier checkpoint held.
        window: None: `restore` takes the last 32 KiB of the joined `data` of this direction's compressed messages; else
            those bytes are not in the stored messages (cut, or beyond the cap), and `restore` takes these.
    """

    state: dict[str, Any]
    replace: bool
    pending: bytes
    window: bytes | None


class StreamDecoder:
    """Reads one direction.

    Args:
        direction: says who must mask.
        deflate: the accepted permessage-deflate, None without.
        extensions_known: False where an extension that we do not know was accepted: reserved bits and opcodes may have
            a meaning then and are no violations.
        snaplen: bytes kept of a data frame's payload and of a message's inflated data; None for all.
        inflate_cap: bytes beyond which a message is not kept inflated.

    Attributes:
        lost: code of `violations` once the boundaries of frames are gone.
        frame_count: frames so far; the next one's ordinal.
        message_count: messages so far; the next one's ordinal.
        dropped: after `end`, how many bytes of the truncated frame are not in `opaque`.
    """

    def __init__(
        self,
        direction: Direction,
        *,
        deflate: DeflateParams | None = None,
        extensions_known: bool = True,
        snaplen: int | None = None,
        inflate_cap: int = INFLATE_CAP,
        window: bytes = b"",
    ) -> None:
        self.direction = direction
        self.lost: str | None = None
        self.frame_count = 0
        self.message_count = 0
        self.dropped = 0
        self._extensions_known = extensions_known
        self._cut = MAX_PAYLOAD if snaplen is None else min(snaplen, MAX_PAYLOAD)
        self._shapes = shapes(direction, self._cut)
        self._inflater: Inflater | None = None
        if deflate is not None:
            self._inflater = Inflater(
                bits=deflate.window_bits(direction),
                takeover=deflate.takeover(direction),
                cap=inflate_cap,
                keep=snaplen,
                window=window,
            )
        self._codes: dict[int, tuple[str, ...]] = {}
        self._closed = False
        self._open: OpenMessage | None = None
        self._partial: OpenFrame | None = None
        self._tail = b""
        self._tail_ns = 0
        self._log = PendingLog()
        self._anchor = -1

    @property
    def open_message(self) -> int | None:
        """Ordinal of the message whose final fragment has not come."""
        return None if self._open is None else self._open.ordinal

    def feed(self, data: bytes, time_ns: int) -> Batch:
        """Take the next bytes.

        Args:
            data: any number of bytes.
            time_ns: when they arrived.
        """
        frames: list[Frame] = []
        messages: list[Message] = []
        first_frame = self.frame_count
        if self.lost is not None:
            return Batch(frames, first_frame, messages, data)
        fresh = data
        pos = 0
        first_ns = time_ns
        self._anchor = -1
        if self._partial is not None:
            pos = self._go_on(self._partial, data, time_ns, frames, messages)
        elif self._tail:
            data = self._tail + data
            first_ns = self._tail_ns
            self._tail = b""
        pos = self._read(data, pos, first_ns, time_ns, frames, messages)
        opaque = b""
        if self.lost is not None:
            opaque = data[pos:]
            self._log.start(b"")
        elif pos < len(data) or self._log.is_used or self._open is not None:
            self._note(fresh, data, pos, is_moved=bool(frames))
        return Batch(frames, first_frame, messages, opaque)

    def _read(
        self, data: bytes, pos: int, first_ns: int, time_ns: int, frames: list[Frame], messages: list[Message]
    ) -> int:
        """The hot loop: read whole frames from `pos` on; returns where the first byte that is not used up lies."""
        end = len(data)
        table = self._shapes
        cut = self._cut
        masked = self.direction is Direction.CLIENT_TO_SERVER
        is_idle = self._open is None and not self._closed
        ordinal = self.frame_count
        number = self.message_count
        from_bytes = int.from_bytes
        new = tuple.__new__
        while pos + 2 <= end:
            first = data[pos]
            size, length, is_plain = table[data[pos + 1]]
            start = pos + size
            if length < 0:
                if start > end:
                    break
                is_short = length == IN_16_BITS
                length = from_bytes(data[pos + 2 : pos + (4 if is_short else 10)], "big")
                if length > MAX_LENGTH:
                    self._lose(length)
                    break
                is_plain = is_plain and (125 if is_short else 65535) < length <= cut
            stop = start + length
            if stop > end:
                break
            if is_plain and is_idle and (first == _BINARY_FIN or first == _TEXT_FIN):
                payload = data[start:stop]
                if masked:
                    key = data[start - 4 : start]
                    if length < INTEGER_LIMIT:
                        mask = key * ((length + 3) >> 2)
                        if length & 3:
                            mask = mask[:length]
                        payload = (from_bytes(payload, "little") ^ from_bytes(mask, "little")).to_bytes(
                            length, "little"
                        )
                    else:
                        payload = unmask(payload, key)
                valid = violation = None
                if first == _TEXT_FIN:
                    valid = payload.isascii() or is_utf8(payload)
                    if not valid:
                        violation = violations.INVALID_UTF8
                frames.append(
                    new(Frame, (data[pos:start], first_ns, time_ns, payload, stop - pos, violation, number))
                )
                messages.append(
                    new(Message, (number, first & 15, ordinal, ordinal, False, length, None, valid, None))
                )
                ordinal += 1
                number += 1
            else:
                self.frame_count = ordinal
                self.message_count = number
                self._slow(data, pos, start, stop, first_ns, time_ns, frames, messages)
                ordinal = self.frame_count
                number = self.message_count
                is_idle = self._open is None and not self._closed
            pos = stop
            first_ns = time_ns
        self.frame_count = ordinal
        self.message_count = number
        if pos < end and self.lost is None:
            self._keep_rest(data, pos, first_ns)
        return pos

    def _lose(self, length: int) -> None:
        self.lost = violations.LENGTH_TOP_BIT if length >> 63 else violations.LENGTH_TOO_LARGE

    def _keep_rest(self, data: bytes, pos: int, first_ns: int) -> None:
        """A frame is not whole: keep its bytes, or begin it when it is long."""
        if len(data) - pos >= 2:
            size, length, _ = self._shapes[data[pos + 1]]
            start = pos + size
            if length < 0 and start <= len(data):
                length = int.from_bytes(data[pos + 2 : pos + (4 if length == IN_16_BITS else 10)], "big")
            if size + length > REREAD_LIMIT:
                self._partial = self._begin(data[pos:start], length, first_ns)
                self._partial.take(data[start:])
                return
        self._tail = data[pos:]
        self._tail_ns = first_ns

    def _go_on(
        self, frame: OpenFrame, data: bytes, time_ns: int, frames: list[Frame], messages: list[Message]
    ) -> int:
        """More of a long frame; returns where the next frame begins."""
        need = frame.length - frame.received
        frame.take(data if len(data) <= need else data[:need])
        if len(data) < need:
            return len(data)
        self._partial = None
        self._finish(frame, time_ns, frames, messages)
        return need

    def _slow(
        self,
        data: bytes,
        pos: int,
        start: int,
        stop: int,
        first_ns: int,
        time_ns: int,
        frames: list[Frame],
        messages: list[Message],
    ) -> None:
        """A whole frame that is not on the fast path."""
        had_open = self._open
        frame = self._begin(data[pos:start], stop - start, first_ns)
        frame.take(data[start:stop])
        self._finish(frame, time_ns, frames, messages)
        if self._open is not None and self._open is not had_open:
            self._anchor = pos

    def _begin(self, header: bytes, length: int, first_ns: int) -> OpenFrame:
        """Start on a frame: what its header says, and where its payload goes. Changes no counter and no open message."""
        opcode = header[0] & 0x0F
        keep = max(self._cut, MAX_CONTROL_PAYLOAD) if opcode & CONTROL_BIT else self._cut
        frame = OpenFrame(header, length, first_ns, keep)
        frame.codes += self._head_codes(header)
        frame.codes += length_codes(header, length)
        if opcode & CONTROL_BIT:
            return frame
        if self._closed:
            frame.codes.append(violations.DATA_AFTER_CLOSE)
        if is_reserved(opcode):
            return frame
        if opcode == Opcode.CONTINUATION:
            self._join_open(frame)
        else:
            if self._open is not None:
                frame.codes.append(violations.MESSAGE_INTERRUPTED)
            self._join_new(frame)
        return frame

    def _join_open(self, frame: OpenFrame) -> None:
        message = self._open
        if message is None:
            frame.codes.append(violations.CONTINUATION_UNEXPECTED)
            return
        if frame.header[0] & 0x70:
            message.text = None  # an unknown extension, or a wrong bit: what the payload is cannot be said
        frame.join(message, self._inflater if message.inflates else None, begins=False)

    def _join_new(self, frame: OpenFrame) -> None:
        first = frame.header[0]
        inflater = self._inflater
        compressed = inflater is not None and bool(first & 0x40)
        known = 0x40 if compressed else 0
        text = TextCheck() if frame.opcode == Opcode.TEXT and not first & 0x70 & ~known else None
        message = OpenMessage(
            ordinal=self.message_count,
            opcode=frame.opcode,
            first_frame=self.frame_count,
            compressed=compressed,
            text=text,
        )
        message.was_closed = self._closed
        interrupted = self._open
        if interrupted is not None and interrupted.inflates and inflater is not None:
            interrupted.length = inflater.length
            inflater.abandon()
        if compressed and inflater is not None:
            message.inflates = not inflater.dead
            if message.inflates:
                inflater.begin(mark=True)
        frame.join(message, inflater if message.inflates else None, begins=True)

    def _head_codes(self, header: bytes) -> tuple[str, ...]:
        first = header[0]
        mask_is_wrong = (header[1] >= 0x80) != (self.direction is Direction.CLIENT_TO_SERVER)
        index = first | 0x100 if mask_is_wrong else first
        codes = self._codes.get(index)
        if codes is None:
            allowed = 0 if self._extensions_known else 0x70
            if self._inflater is not None and first & 0x0F in (Opcode.TEXT, Opcode.BINARY):
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

    def _finish(self, frame: OpenFrame, time_ns: int, frames: list[Frame], messages: list[Message]) -> None:
        """A frame's last byte is there: count it, and its message."""
        message = frame.message
        if message is None:
            if frame.opcode == Opcode.CLOSE:
                self._closed = True
                frame.codes += close_codes_of(frame.payload, frame.length)
        else:
            if frame.begins:
                self._admit(message, messages)
            message.last_frame = self.frame_count
            if not message.compressed:
                message.length += frame.length
            if frame.header[0] >= 0x80:
                self._open = None
                messages.append(self._complete(frame, message))
            elif message.inflates and self._inflater is not None:
                message.length = self._inflater.length
            if frame.text_was_valid and message.text is not None and not message.text.is_valid:
                frame.codes.append(violations.INVALID_UTF8)
        frames.append(
            Frame(
                frame.header,
                frame.first_ns,
                time_ns,
                frame.payload,
                len(frame.header) + frame.length,
                ",".join(frame.codes) if frame.codes else None,
                None if message is None else message.ordinal,
            )
        )
        self.frame_count += 1

    def _admit(self, message: OpenMessage, messages: list[Message]) -> None:
        """`message` begins; one that is open will never end."""
        if self._open is not None:
            messages.append(self._open.to_message(None, INTERRUPTED))
        message.ordinal = self.message_count
        self.message_count += 1
        self._open = message

    def _complete(self, frame: OpenFrame, message: OpenMessage) -> Message:
        """The final fragment is there."""
        inflater = self._inflater
        if not message.compressed or inflater is None:
            frame.look_at((), final=True)
            return message.to_message(None, None)
        if not message.inflates:
            return message.to_message(None, NOT_INFLATED)
        was_broken = inflater.failed
        pieces, data = inflater.finish()
        message.length = inflater.length
        if inflater.failed:
            if not was_broken:
                frame.codes.append(violations.INFLATE_FAILED)
            frame.look_at(pieces)
            return message.to_message(None, INFLATE_FAILED)
        frame.look_at(pieces, final=True)
        return message.to_message(data, OVER_CAP if inflater.is_over else None)

    def end(self) -> Batch:
        """The transport ended in this direction; nothing may be fed afterwards."""
        messages = [] if self._open is None else [self._open.to_message(None, UNFINISHED)]
        opaque = self._tail
        if self._partial is not None:
            opaque = self._partial.wire_bytes
            self.dropped = len(self._partial.header) + self._partial.received - len(opaque)
        self._open = self._partial = None
        self._tail = b""
        self._log.start(b"")
        return Batch([], self.frame_count, messages, opaque)

    def _note(self, fresh: bytes, data: bytes, pos: int, *, is_moved: bool) -> None:
        """Log the bytes of what is unfinished: from a compressed message's first byte, else from the frame's."""
        message = self._open
        partial = self._partial
        if message is not None and message.inflates:
            limit, is_whole_needed = PENDING_LIMIT, True
            is_moved = self._anchor >= 0
            pos = self._anchor
        elif partial is not None:
            is_whole_needed = partial.wants_all
            limit = PENDING_LIMIT if is_whole_needed else len(partial.header) + self._cut
        else:
            limit, is_whole_needed = REREAD_LIMIT, False
        if is_moved:
            self._log.start(b"")
            fresh = data[pos:]
        self._log.add(fresh, limit, is_whole_needed=is_whole_needed)

    def checkpoint(self) -> Checkpoint:
        """What a restart from here needs; to be stored together with the rows of all batches so far."""
        message = self._open
        inflater = self._inflater
        partial = self._partial
        replace, pending = self._log.take()
        at_message = message is not None and message.inflates and not self._log.is_over
        state: dict[str, Any] = {
            "lost": self.lost,
            "frames": self.frame_count,
            "messages": self.message_count,
            "closed": self._closed,
            "open": None if message is None or at_message else message.state(),
            "first_ns": partial.first_ns if partial is not None else self._tail_ns,
            "dead": "" if inflater is None else inflater.dead,
            "stored_run": 0 if inflater is None else inflater.stored_run,
            "partial": None if partial is None else partial.state(),
        }
        if at_message and message is not None:
            state |= {
                "frames": message.first_frame,
                "messages": message.ordinal,
                "closed": message.was_closed,
            }
        if self._log.is_over:
            state["dead"] = "restarted"
            replace, pending = True, b"" if partial is None else partial.header
            if partial is None:
                pending = self._tail
        window = None
        if inflater is not None and inflater.has_gap and not state["dead"]:
            in_message = at_message or (partial is not None and partial.wants_all)
            window = inflater.window_before() if in_message else inflater.window()
        return Checkpoint(state, replace, pending, window)

    @classmethod
    def restore(
        cls,
        direction: Direction,
        state: dict[str, Any],
        pending: bytes,
        window: bytes,
        *,
        deflate: DeflateParams | None = None,
        extensions_known: bool = True,
        snaplen: int | None = None,
        inflate_cap: int = INFLATE_CAP,
    ) -> StreamDecoder:
        """A decoder that goes on where `checkpoint` was called, with the same arguments as the first one had."""
        self = cls(
            direction,
            deflate=deflate,
            extensions_known=extensions_known,
            snaplen=snaplen,
            inflate_cap=inflate_cap,
            window=window,
        )
        self.lost = state["lost"]
        self.frame_count = state["frames"]
        self.message_count = state["messages"]
        self._closed = state["closed"]
        if self._inflater is not None:
            self._inflater.dead = state["dead"]
            self._inflater.stored_run = state["stored_run"]
        if state["open"] is not None:
            self._open = OpenMessage.from_state(state["open"])
        if self.lost is None:
            self.feed(pending, state["first_ns"])
        if self._partial is not None and state["partial"] is not None:
            self._partial.resume(state["partial"])
        self._log.take()
        return self
