"""The tolerant reader of one direction: bytes in, frames and messages out (RFC 6455 section 5).

`StreamDecoder.feed` takes bytes in any pieces and never raises on them. What is wrong is said on the frame
(`violations`), and reading continues behind it as long as its length makes sense; where it does not, the
boundaries are gone and all later bytes are `opaque`. Any chunking of the same bytes gives the same frames,
times apart.

The loop in `feed` is the hot path of the recorder: an unfragmented, correct data frame that arrived whole
costs no method call of ours, or one where it is compressed and small. All others go through
`reader.OpenFrame`.

Restart: `checkpoint()` gives what `restore()` needs apart from the rows that were written from earlier
batches. A frame that is not complete, or a compressed message (its DEFLATE state cannot be saved, only made
again from its first byte), is kept as raw bytes: `Checkpoint.pending`, append-only until `replace` says that
it starts afresh.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from wsinspect.wire import violations
from wsinspect.wire.assembly import Assembler
from wsinspect.wire.deflate import INFLATE_CAP, WHOLE_LIMIT, DeflateParams
from wsinspect.wire.frame import MAX_CONTROL_PAYLOAD, MAX_HEADER, Frame
from wsinspect.wire.header import IN_16_BITS, MAX_LENGTH, shapes
from wsinspect.wire.masking import xor
from wsinspect.wire.messages import INFLATE_FAILED, OVER_CAP, UNFINISHED, Message, OpenMessage, is_utf8
from wsinspect.wire.opcodes import Direction
from wsinspect.wire.pending import PendingLog
from wsinspect.wire.reader import OpenFrame

#: An unfinished frame up to this size is read again when more of it has come.
REREAD_LIMIT: Final = 4096
#: Raw bytes of an unfinished compressed message that are kept for a restart; beyond, it would not be inflated
#: then.
PENDING_LIMIT: Final = 64 * 1024 * 1024

_TEXT_FIN: Final = 0x81
_TEXT_FIN_COMPRESSED: Final = 0xC1
# Nearly all streams have one of these. Made at import: an object made while many connections are open would
# keep their memory from being returned.
for _direction in Direction:
    shapes(_direction, MAX_CONTROL_PAYLOAD)
#: First bytes of an unfragmented message that sets no reserved bit.
_WHOLE: Final = frozenset({_TEXT_FIN, 0x82})
#: The same with RSV1, which permessage-deflate sets on a compressed message.
_WHOLE_COMPRESSED: Final = frozenset({0xC1, 0xC2})


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
        window: None: `restore` takes the last 32 KiB of the joined `data` of this direction's compressed
            messages; else those bytes are not in the stored messages (cut, or beyond the cap), and `restore`
            takes these.
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
        extensions_known: False where an extension that we do not know was accepted: reserved bits and opcodes
            may have a meaning then and are not violations.
        snaplen: bytes kept of a data frame's payload and of a message's inflated data; None for all.
        inflate_cap: bytes beyond which a message is not kept inflated.

    Attributes:
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
        self._is_masked = direction is Direction.CLIENT_TO_SERVER
        self.dropped = 0
        self._lost = ""
        self._assembler = Assembler(
            direction,
            deflate=deflate,
            extensions_known=extensions_known,
            snaplen=snaplen,
            inflate_cap=inflate_cap,
            window=window,
        )
        self._shapes = shapes(direction, min(self._assembler.cut, MAX_CONTROL_PAYLOAD))
        self._partial: OpenFrame | None = None
        self._tail = b""
        self._tail_ns = 0
        self._log = PendingLog()
        self._anchor = -1

    @property
    def lost(self) -> str | None:
        """Code of `violations` once the boundaries of frames are gone."""
        return self._lost or None

    @property
    def frame_count(self) -> int:
        """Frames so far; the next one's ordinal."""
        return self._assembler.frame_count

    @property
    def message_count(self) -> int:
        """Messages begun so far; the next one's ordinal."""
        return self._assembler.message_count

    @property
    def open_message(self) -> int | None:
        """Ordinal of the message whose final fragment has not come."""
        message = self._assembler.open
        return None if message is None else message.ordinal

    def feed(self, data: bytes, time_ns: int) -> Batch:
        """Take the next bytes.

        Args:
            data: any number of bytes.
            time_ns: when they arrived.
        """
        frames: list[Frame] = []
        messages: list[Message] = []
        first_frame = self._assembler.frame_count
        if self._lost:
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
        if pos < len(data) or self._log.is_used or self._assembler.open is not None:
            opaque = self._settle(fresh, data, pos, is_moved=bool(frames))
        return tuple.__new__(Batch, (frames, first_frame, messages, opaque))

    def whole(
        self, data: bytes, pos: int, time_ns: int
    ) -> tuple[bytes, bytes, bytes | None, int] | tuple[Batch, int] | None:
        """`feed` for what most chunks are made of: frames that are correct messages, compressed or not, one
        at each call.

        Args:
            data: the chunk.
            pos: where in it the frame begins.

        Returns:
            Its header, its payload, what a compressed one inflates to (None of another), and where the next
            one begins. None where the bytes there are anything else, or something waits for more: nothing was
            taken then, and the rest of the chunk is for `feed`. What `feed` would return, and where the next
            one begins, where inflating shows that not all of it is correct, or kept.
        """
        end = len(data)
        if self._partial is not None or self._tail or self._lost or self._log.is_used or end < pos + 4:
            return None
        first = data[pos]
        size, length, is_plain = self._shapes[data[pos + 1]]
        assembler = self._assembler
        if length == IN_16_BITS:
            length = data[pos + 2] << 8 | data[pos + 3]
            is_plain = is_plain and MAX_CONTROL_PAYLOAD < length <= assembler.cut
        start = pos + size
        stop = start + length
        if not is_plain or not start <= stop <= end or assembler.open is not None or assembler.is_closed:
            return None  # a length of 64 bits is not read here
        inflater = None
        if first in _WHOLE_COMPRESSED:
            inflater = assembler.inflater
            if inflater is None or length > WHOLE_LIMIT or inflater.dead:
                return None
        elif first not in _WHOLE:
            return None
        payload = data[start:stop]
        if self._is_masked:
            payload = xor(data[start - 4 : start], payload)
        text = None
        if inflater is not None:
            found = inflater.whole(payload)
            if found is None or found[0] is not found[1]:
                return self._odd(data[pos:start], payload, time_ns, found), stop
            text = found[0]
            if first == _TEXT_FIN_COMPRESSED and not (text.isascii() or is_utf8(text)):
                return self._odd(data[pos:start], payload, time_ns, found), stop
        elif first == _TEXT_FIN and not (payload.isascii() or is_utf8(payload)):
            return None
        assembler.frame_count += 1
        assembler.message_count += 1
        return data[pos:start], payload, text, stop

    def _odd(
        self, header: bytes, payload: bytes, time_ns: int, found: tuple[bytes, bytes | None] | None
    ) -> Batch:
        """A whole compressed message, as `_read` has it, of what `Inflater.whole` found."""
        assembler = self._assembler
        ordinal, number = assembler.frame_count, assembler.message_count
        assembler.frame_count += 1
        assembler.message_count += 1
        violation, message = self._inflated(header[0], len(payload), ordinal, number, found)
        frame = Frame(header, time_ns, time_ns, payload, len(header) + len(payload), violation, number)
        return Batch([frame], ordinal, [message], b"")

    def _inflated(
        self, first: int, length: int, ordinal: int, number: int, found: tuple[bytes, bytes | None] | None
    ) -> tuple[str | None, Message]:
        """What is wrong with a whole compressed message, and the message."""
        valid = violation = problem = kept = None
        if found is None:
            violation, problem = violations.INFLATE_FAILED, INFLATE_FAILED
        else:
            text, kept = found
            length = len(text)
            inflater = self._assembler.inflater
            if inflater is not None and inflater.is_over:
                problem = OVER_CAP
            if first == _TEXT_FIN_COMPRESSED:
                valid = text.isascii() or is_utf8(text)
                if not valid:
                    violation = violations.INVALID_UTF8
        return violation, tuple.__new__(
            Message, (number, first & 15, ordinal, ordinal, True, length, kept, valid, problem)
        )

    def _read(
        self, data: bytes, pos: int, first_ns: int, time_ns: int, frames: list[Frame], messages: list[Message]
    ) -> int:
        """The hot loop: read whole frames from `pos` on; returns where the unused bytes begin."""
        end = len(data)
        table = self._shapes
        assembler = self._assembler
        cut = assembler.cut
        masked = self._is_masked
        inflater = assembler.inflater
        is_idle = assembler.is_idle
        ordinal = assembler.frame_count
        number = assembler.message_count
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
            if is_plain and is_idle and first in _WHOLE:
                payload = data[start:stop]
                if masked:
                    payload = xor(data[start - 4 : start], payload)
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
            elif (
                is_plain
                and is_idle
                and inflater is not None
                and first in _WHOLE_COMPRESSED
                and length <= WHOLE_LIMIT
                and not inflater.dead
            ):
                payload = data[start:stop]
                if masked:
                    payload = xor(data[start - 4 : start], payload)
                violation, message = self._inflated(first, length, ordinal, number, inflater.whole(payload))
                frames.append(
                    new(Frame, (data[pos:start], first_ns, time_ns, payload, stop - pos, violation, number))
                )
                messages.append(message)
                ordinal += 1
                number += 1
            else:
                assembler.frame_count = ordinal
                assembler.message_count = number
                self._slow(data, pos, start, stop, first_ns, time_ns, frames, messages)
                ordinal = assembler.frame_count
                number = assembler.message_count
                is_idle = assembler.is_idle
            pos = stop
            first_ns = time_ns
        assembler.frame_count = ordinal
        assembler.message_count = number
        if pos < end and not self._lost:
            self._keep_rest(data, pos, first_ns, REREAD_LIMIT)
        return pos

    def _lose(self, length: int) -> None:
        self._lost = violations.LENGTH_TOP_BIT if length >> 63 else violations.LENGTH_TOO_LARGE

    def _keep_rest(self, data: bytes, pos: int, first_ns: int, limit: int) -> None:
        """A frame is not whole: keep its bytes, or begin it when it is longer than `limit`."""
        if len(data) - pos >= 2:
            size, length, _ = self._shapes[data[pos + 1]]
            start = pos + size
            if length < 0:
                length = int.from_bytes(data[pos + 2 : pos + (4 if length == IN_16_BITS else 10)], "big")
            if start <= len(data) and size + length > limit:
                self._partial = self._assembler.begin(data[pos:start], length, first_ns)
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
        self._assembler.finish(frame, time_ns, frames, messages)
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
        had_open = self._assembler.open
        frame = self._assembler.begin(data[pos:start], stop - start, first_ns)
        frame.take(data[start:stop])
        self._assembler.finish(frame, time_ns, frames, messages)
        if self._assembler.open is not had_open:
            self._anchor = pos

    def end(self) -> Batch:
        """The transport ended in this direction; nothing may be fed afterwards."""
        message = self._assembler.open
        messages = [] if message is None else [message.to_message(None, UNFINISHED)]
        self._keep_rest(self._tail, 0, self._tail_ns, 0)
        opaque = self._tail
        frame = self._partial
        if frame is not None:
            opaque = frame.wire_bytes
            self.dropped = len(frame.header) + frame.received - len(opaque)
        self._assembler.open = self._partial = None
        self._tail = b""
        self._log.start(b"")
        return Batch([], self.frame_count, messages, opaque)

    def _settle(self, fresh: bytes, data: bytes, pos: int, *, is_moved: bool) -> bytes:
        """Log the bytes of what is unfinished: from a compressed message's first byte, else from the frame's.

        Returns:
            The bytes behind lost boundaries.
        """
        if self._lost:
            self._log.start(b"")
            return data[pos:]
        message = self._assembler.open
        partial = self._partial
        if message is not None and message.inflates:
            limit, is_whole_needed = PENDING_LIMIT, True
            is_moved = self._anchor >= 0
            pos = self._anchor
        elif partial is not None:
            is_whole_needed = partial.wants_all
            limit = PENDING_LIMIT if is_whole_needed else len(partial.header) + partial.keep
        else:
            limit, is_whole_needed = REREAD_LIMIT + MAX_HEADER, False
        if is_moved:
            self._log.start(b"")
            fresh = data[pos:]
        self._log.add(fresh, limit, is_whole_needed=is_whole_needed)
        return b""

    def checkpoint(self) -> Checkpoint:
        """What a restart from here needs; to be stored together with the rows of all batches so far."""
        message = self._assembler.open
        inflater = self._assembler.inflater
        partial = self._partial
        replace, pending = self._log.take()
        at_message = message is not None and message.inflates and not self._log.is_over
        state: dict[str, Any] = {
            "lost": self._lost,
            "frames": self.frame_count,
            "messages": self.message_count,
            "closed": self._assembler.is_closed,
            "open": None if message is None or at_message else message.state(),
            "first_ns": partial.first_ns if partial is not None else self._tail_ns,
            "partial": None if partial is None else partial.state(),
            "dead": "",
            "stored_run": 0,
        }
        window = None
        if at_message and message is not None:
            state |= {
                "frames": message.first_frame,
                "messages": message.ordinal,
                "closed": message.was_closed,
            }
        if self._log.is_over:
            state["dead"] = "restarted"
            replace, pending = True, self._tail if partial is None else partial.header
        elif inflater is not None and (at_message or (partial is not None and partial.wants_all)):
            state["stored_run"], window = inflater.before
        elif inflater is not None:
            is_given_up = partial is not None and partial.is_given_up
            state |= {
                "dead": inflater.dead or ("restarted" if is_given_up else ""),
                "stored_run": inflater.stored_run,
            }
            window = inflater.window() if inflater.has_gap else None
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
        """A decoder that continues where `checkpoint` was called; same arguments as the first one."""
        self = cls(
            direction,
            deflate=deflate,
            extensions_known=extensions_known,
            snaplen=snaplen,
            inflate_cap=inflate_cap,
            window=window,
        )
        self._lost = state["lost"]
        assembler = self._assembler
        assembler.frame_count = state["frames"]
        assembler.message_count = state["messages"]
        assembler.is_closed = state["closed"]
        if assembler.inflater is not None:
            assembler.inflater.dead = state["dead"]
            assembler.inflater.stored_run = state["stored_run"]
        if state["open"] is not None:
            assembler.open = OpenMessage.from_state(state["open"])
        if not self._lost:
            self.feed(pending, state["first_ns"])
        if self._partial is not None and state["partial"] is not None:
            self._partial.resume(state["partial"])
        if assembler.inflater is not None:
            assembler.inflater.revive()
        self._log.take()
        return self
