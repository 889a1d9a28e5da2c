"""One direction of one connection on its way into rows.

A `StreamRows` feeds raw chunks to the decoder, gives frames and messages their row ids and makes tuples of
them. The decoder counts per direction, the capture over all of it: `frame id = ordinal + shift`, with a new
shift for each batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from itertools import count
from typing import Any, Final, NamedTuple, Protocol

from wsinspect.capture.rows import Rows, to_json
from wsinspect.wire.frame import Frame
from wsinspect.wire.messages import Message
from wsinspect.wire.opcodes import Direction
from wsinspect.wire.stream import Batch, StreamDecoder

#: Pings without a pong remembered for each direction; a peer can send any number.
MAX_OPEN_PINGS: Final = 256
#: First header bytes of frames that are whole messages: FIN, no reserved bit, TEXT or BINARY.
_PLAIN: Final = frozenset((0x81, 0x82))
#: What a frame costs in memory apart from its payload (measured: tuple, integers, header).
FRAME_BYTES: Final = 600
#: The same with RSV1.
_TEXT_COMPRESSED: Final = 0xC1
_COMPRESSED: Final = frozenset((_TEXT_COMPRESSED, 0xC2))
_COMPRESSED_TOO: Final = _PLAIN | _COMPRESSED


class Ids(Protocol):
    """The next row id of a frame; a message has the id of its first frame."""

    next_frame: int


class Fed(NamedTuple):
    """What a chunk brought.

    Attributes:
        batch: What the decoder made of it.
        first_id: The row id of the first frame.
        special: Row id and frame of all that may be something else than a whole, correct message each.
    """

    batch: Batch
    first_id: int
    special: list[tuple[int, Frame]]


class OpenMessage(NamedTuple):
    """A message that has begun in one batch and continues in another; its id is its first frame's."""

    ordinal: int
    id: int
    last_frame: int
    opcode: int
    compressed: bool


class OpenPing(NamedTuple):
    """A ping that waits for its pong."""

    id: int
    payload: bytes
    sent_ns: int


class Held(NamedTuple):
    """A frame that the engine keeps back.

    Attributes:
        frame: its row id.
        fault: the ledger's row that planned its delay.
    """

    frame: int
    fault: int | None


class StreamRows:
    """Rows of one direction.

    Attributes:
        frames: frames so far.
        bytes: wire bytes so far, opaque ones included.
        has_deflate: whether permessage-deflate was accepted.
        last_frame: the newest frame's row id, or None.
        gap: whether chunks of this direction could not be stored: the rest is opaque.
        is_touched: whether anything changed since the last checkpoint.
    """

    def __init__(
        self,
        connection_id: int,
        direction: Direction,
        decoder: StreamDecoder,
        *,
        has_deflate: bool,
        snaplen: int | None = None,
    ) -> None:
        self.decoder = decoder
        self.direction = direction
        self.frames = 0
        self.bytes = 0
        self.last_frame: int | None = None
        self.gap = False
        self.is_touched = False
        self.open_pings: deque[OpenPing] = deque(maxlen=MAX_OPEN_PINGS)
        self._connection = connection_id
        self._side = int(direction)
        self.has_deflate = has_deflate
        self._cut = snaplen
        self._open: OpenMessage | None = None
        self._is_open_stored = False
        self._ended = False
        self._newest = (0, 0)  # ordinal and row id of the first frame of the newest batch
        self._held: dict[int, Held] = {}  # by ordinal
        self._plans: dict[int, int] = {}  # the ledger's rows of the newest batch, by ordinal

    def feed_whole(
        self, chunk: bytes, pos: int, time_ns: int, sent_after_ns: int, ids: Ids, rows: Rows
    ) -> tuple[int, int, Fed | None]:
        """Index the frames at the beginning of a chunk that are correct messages each: the same rows as
        `feed` makes, in half the time.

        Args:
            chunk: bytes of the direction.
            pos: how many of them were taken before.

        Returns:
            Where the bytes begin that were not taken: they are for `feed` (the end of the chunk where there
            are none). What the rows cost in memory. What `feed` returns of the last frame taken, where
            inflating shows that its message is not correct.
        """
        start, cost = pos, 0
        end = len(chunk)
        if self.gap or self._ended:
            return pos, cost, None
        whole = self.decoder.whole
        first = self.decoder.frame_count, ids.next_frame
        connection, side = self._connection, self._side
        odd = None
        while pos < end:
            found = whole(chunk, pos, time_ns)
            if found is None:
                break
            if len(found) == 2:
                odd, pos = found
                break
            header, payload, text, stop = found
            bits = header[0]
            frame_id = ids.next_frame
            ids.next_frame = frame_id + 1
            rows.frames.append(
                (
                    frame_id,
                    connection,
                    side,
                    bits << 8 | header[1],
                    time_ns,
                    0,
                    sent_after_ns,
                    header,
                    stop - pos,
                    payload,
                    frame_id,
                    None,
                )
            )
            pos = stop
            cost += FRAME_BYTES
            if text is not None:
                size = len(text)
                cost += size
                valid = True if bits == _TEXT_COMPRESSED else None
                opcode = bits & 15
                rows.messages.append(
                    (frame_id, connection, side, opcode, frame_id, frame_id, True, size, text, valid, None)
                )
        if pos == start:
            return pos, cost, None
        self.bytes += pos - start
        self.is_touched = True
        if (taken := ids.next_frame - first[1]) > 0:
            self.frames += taken
            self.last_frame = ids.next_frame - 1
        if not start:
            self._begin(*first)
        fed = None
        if odd is not None:
            fed = self._take(odd, time_ns, sent_after_ns, ids, rows, is_rest=True)
        return pos, cost, fed

    def _begin(self, ordinal: int, frame_id: int) -> None:
        """The first frame of a chunk: its number in this direction, and its row id."""
        self._newest = ordinal, frame_id
        if self._plans:
            self._plans.clear()

    def feed(
        self,
        chunk: bytes,
        time_ns: int,
        sent_after_ns: int,
        ids: Ids,
        rows: Rows,
        *,
        is_rest: bool = False,
    ) -> Fed | None:
        """Index a chunk; None where the decoder is out of work.

        Args:
            is_rest: it is what `feed_whole` left of one.
        """
        self.bytes += len(chunk)
        self.is_touched = True
        if self.gap or self._ended:
            self._add_opaque(chunk, len(chunk), time_ns, "gap" if self.gap else "after-end", rows)
            return None
        batch = self.decoder.feed(chunk, time_ns)
        return self._take(batch, time_ns, sent_after_ns, ids, rows, is_rest=is_rest)

    def _take(
        self, batch: Batch, time_ns: int, sent_after_ns: int, ids: Ids, rows: Rows, *, is_rest: bool
    ) -> Fed:
        first_id = ids.next_frame
        ids.next_frame = first_id + len(batch.frames)
        special: list[tuple[int, Frame]] = []
        if batch.frames:
            if not is_rest:
                self._begin(batch.first_frame, first_id)
            special = self._add_frames(batch, sent_after_ns, first_id, rows)
        if batch.opaque:
            self._add_opaque(batch.opaque, len(batch.opaque), time_ns, self.decoder.lost, rows)
        return tuple.__new__(Fed, (batch, first_id, special))

    def end(self, time_ns: int, rows: Rows, reason: str = "unfinished-frame") -> None:
        """The transport ended, or a chunk is missing: say what was left unfinished."""
        if self._ended or self.gap:
            return
        self._ended = True
        self.is_touched = True
        batch = self.decoder.end()
        self._add_messages(batch, 0, [], frozenset(), rows)
        if batch.opaque:
            self._add_opaque(batch.opaque, len(batch.opaque) + self.decoder.dropped, time_ns, reason, rows)

    def mark_gap(self, time_ns: int, rows: Rows) -> None:
        """Chunks of this direction are missing: frame boundaries are unknown from here on."""
        if not self.gap:
            self.end(time_ns, rows, "gap")
            self.gap = True

    def close(self) -> None:
        """The connection's books are closed: stragglers are opaque."""
        self._ended = True

    def abandon(self) -> None:
        """The decoder failed: what comes from here on is opaque."""
        self.gap = self.is_touched = True

    def checkpoint(self, rows: Rows) -> None:
        """Add what a restart needs; called once for each transaction that has rows of this stream."""
        key = (self._connection, self._side)
        self.is_touched = False
        if self._open is not None and not self._is_open_stored:
            message = self._open
            rows.messages.append(
                (message.id, *key, message.opcode, message.id, None, message.compressed, *[None] * 4)
            )
            self._is_open_stored = True
        decoder: dict[str, Any] | None = None
        window = None
        if self._ended or self.gap:
            rows.dropped_pending.append(key)
        else:
            decoder, replace, pending, window = self.decoder.checkpoint()
            if replace:
                rows.dropped_pending.append(key)
            if pending:
                rows.pending.append((*key, pending))
        state = {
            "decoder": decoder,
            "frames": self.frames,
            "bytes": self.bytes,
            "last_frame": self.last_frame,
            "gap": self.gap,
            "ended": self._ended,
            "open": self._open,
            "newest": self._newest,
            "held": [(ordinal, *held) for ordinal, held in self._held.items()],
            "pings": [(ping.id, ping.payload.hex(), ping.sent_ns) for ping in self.open_pings],
        }
        rows.streams.append((*key, to_json(state), window))

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `checkpoint` noted (the decoder was restored by the caller)."""
        self.frames = state["frames"]
        self.bytes = state["bytes"]
        self.last_frame = state["last_frame"]
        self.gap = state["gap"]
        self._ended = state["ended"]
        self._newest = (state["newest"][0], state["newest"][1]) if "newest" in state else (0, 0)
        self._open = OpenMessage(*state["open"]) if state["open"] else None
        self._is_open_stored = self._open is not None
        self._held = {ordinal: Held(frame, fault) for ordinal, frame, fault in state.get("held", ())}
        self.open_pings.extend(OpenPing(i, bytes.fromhex(p), t) for i, p, t in state["pings"])

    def frame_id(self, ordinal: int) -> int | None:
        """The row id of a frame of the newest batch, by its number in this direction."""
        first, first_id = self._newest
        found = first_id + ordinal - first
        is_newest = first <= ordinal and self.last_frame is not None and found <= self.last_frame
        return found if is_newest else None

    def note_fault(self, ordinal: int, fault_id: int, *, is_plan: bool) -> None:
        """The ledger has a row about a frame; one that plans a delay gets the real one later."""
        if is_plan:
            self._plans[ordinal] = fault_id

    def hold(self, ordinal: int, frame_id: int) -> None:
        """The engine keeps a frame back."""
        self._held[ordinal] = Held(frame_id, self._plans.pop(ordinal, None))
        self.is_touched = True

    def held_id(self, ordinal: int) -> int | None:
        """The row id of a frame that is kept back."""
        held = self._held.get(ordinal)
        return held.frame if held is not None else None

    def forget_held(self, ordinal: int) -> Held | None:
        """A frame is kept back no longer."""
        self.is_touched = True
        return self._held.pop(ordinal, None)

    def sent_ping(self, frame_id: int, sent_ns: int) -> None:
        """A ping that was kept back has left."""
        for index, ping in enumerate(self.open_pings):
            if ping.id == frame_id:
                self.open_pings[index] = ping._replace(sent_ns=sent_ns)
                return

    def delay_ping(self, frame_id: int, delay_ns: int | None) -> None:
        """A fault held a ping back for so long, or took it out (None): no peer answers late."""
        for index, ping in enumerate(self.open_pings):
            if ping.id == frame_id:
                if delay_ns is None:
                    del self.open_pings[index]
                else:
                    self.open_pings[index] = ping._replace(sent_ns=ping.sent_ns + delay_ns)
                return

    def match_pong(self, payload: bytes) -> OpenPing | None:
        """The ping of this direction that a pong of the other one answers, if any.

        RFC 6455 section 5.5.3 lets a peer answer only the newest of several pings, so of equal payloads the
        newest is taken; older ones may still be answered later.
        """
        for index in range(len(self.open_pings) - 1, -1, -1):
            ping = self.open_pings[index]
            if ping.payload == payload:
                del self.open_pings[index]
                return ping
        return None

    def _add_opaque(self, data: bytes, length: int, time_ns: int, reason: str | None, rows: Rows) -> None:
        rows.opaque.append(
            (self._connection, self._side, time_ns, self.last_frame, length, data[: self._cut], reason)
        )

    def _add_frames(
        self, batch: Batch, sent_after_ns: int, first_id: int, rows: Rows
    ) -> list[tuple[int, Frame]]:
        frames = batch.frames
        if self._open is None and len(batch.messages) == len(frames):
            whole = _COMPRESSED_TOO if self.has_deflate else _PLAIN
            for frame in frames:
                if frame[5] is not None or frame[0][0] not in whole:
                    break
            else:
                self._add_whole(batch, sent_after_ns, first_id, rows)
                return []
        special = [
            (frame_id, frame)
            for frame_id, frame in enumerate(frames, first_id)
            if frame[5] is not None or frame[0][0] not in _PLAIN
        ]
        message_ids = self._message_ids(frames, first_id)
        connection, side = self._connection, self._side
        rows.frames += [
            (
                frame_id,
                connection,
                side,
                header[0] << 8 | header[1],
                time_ns,
                time_ns - first_ns,
                sent_after_ns,
                header,
                wire_length,
                payload,
                message_id,
                violation,
            )
            for frame_id, message_id, (header, first_ns, time_ns, payload, wire_length, violation, _) in zip(
                count(first_id), message_ids, frames, strict=False
            )
        ]
        self.frames += len(frames)
        self.last_frame = first_id + len(frames) - 1
        odd = frozenset(frame_id for frame_id, _ in special)
        self._add_messages(batch, first_id, message_ids, odd, rows)
        self._note_open(frames, first_id, message_ids)
        return special

    def _add_whole(self, batch: Batch, sent_after_ns: int, first_id: int, rows: Rows) -> None:
        """What nearly all chunks contain: frames that are correct messages each; the same rows as below."""
        connection, side = self._connection, self._side
        add = rows.frames.append
        frame_id = first_id
        for header, first_ns, time_ns, payload, wire_length, _, _ in batch.frames:
            first = header[0]
            add(
                (
                    frame_id,
                    connection,
                    side,
                    first << 8 | header[1],
                    time_ns,
                    time_ns - first_ns,
                    sent_after_ns,
                    header,
                    wire_length,
                    payload,
                    frame_id,
                    None,
                )
            )
            if first in _COMPRESSED:
                message = batch.messages[frame_id - first_id]
                key = (frame_id, connection, side, message[1], frame_id, frame_id)
                rows.messages.append((*key, *message[4:]))
            frame_id += 1
        self.frames += frame_id - first_id
        self.last_frame = frame_id - 1

    def _message_ids(self, frames: Sequence[Frame], first_id: int) -> Sequence[int | None]:
        """The message id of each frame: that of the first frame of its message."""
        ids: dict[int | None, int | None] = {None: None}
        if self._open is not None:
            ids[self._open.ordinal] = self._open.id
        return [ids.setdefault(frame[6], frame_id) for frame_id, frame in enumerate(frames, first_id)]

    def _note_open(self, frames: Sequence[Frame], first_id: int, message_ids: Sequence[int | None]) -> None:
        """Remember the message that continues in the next batch, and its last frame so far."""
        ordinal = self.decoder.open_message
        found = [index for index, frame in enumerate(frames) if frame[6] == ordinal is not None]
        if not found:
            return
        last_id = first_id + found[-1]
        if self._open is not None:
            self._open = self._open._replace(last_frame=last_id)
            return
        frame = frames[found[0]]
        compressed = self.has_deflate and frame.rsv1
        message_id = message_ids[found[0]]
        if ordinal is not None and message_id is not None:
            self._open = OpenMessage(ordinal, message_id, last_id, frame.opcode, compressed)
            self._is_open_stored = False

    def _add_messages(
        self,
        batch: Batch,
        first_id: int,
        message_ids: Sequence[int | None],
        odd: Collection[int],
        rows: Rows,
    ) -> None:
        """Store the messages that the `message` view cannot make of a frame."""
        shift = first_id - batch.first_frame
        for message in batch.messages:
            opened = self._open
            if opened is not None and message.ordinal == opened.ordinal:
                self._open = None
                is_here = message.last_frame >= batch.first_frame
                last_frame = message.last_frame + shift if is_here else opened.last_frame
                self._finish_open(opened, message, last_frame, rows)
                continue
            row_id = message.first_frame + shift
            if message.first_frame != message.last_frame or row_id in odd or message.problem is not None:
                key = (row_id, self._connection, self._side)
                facts = (
                    message.compressed,
                    message.length,
                    message.data,
                    message.valid_text,
                    message.problem,
                )
                rows.messages.append((*key, message.opcode, row_id, message.last_frame + shift, *facts))

    def _finish_open(self, opened: OpenMessage, message: Message, last_frame: int, rows: Rows) -> None:
        """The message that began in an earlier batch is complete."""
        facts = (message.compressed, message.length, message.data, message.valid_text, message.problem)
        if self._is_open_stored:
            rows.message_ends.append((last_frame, *facts, opened.id))
        else:
            key = (opened.id, self._connection, self._side)
            rows.messages.append((*key, message.opcode, opened.id, last_frame, *facts))
