"""One direction of one connection on its way into rows.

A `StreamRows` feeds raw chunks to the decoder, gives frames and messages their row ids and makes tuples of
them. The decoder counts per direction, the capture over all of it: `frame id = ordinal + shift`, with a new
shift for each batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

from wsinspect.capture.rows import Rows, to_json
from wsinspect.wire.messages import Message
from wsinspect.wire.opcodes import Direction
from wsinspect.wire.stream import Batch, StreamDecoder

#: Pings without a pong that are remembered for each direction; a peer can send any number.
MAX_OPEN_PINGS: Final = 256


class Ids(Protocol):
    """The next row ids; they are given in journal order."""

    next_frame: int
    next_message: int


class OpenMessage(NamedTuple):
    """A message that has begun in one batch and goes on in another."""

    ordinal: int
    id: int
    first_frame: int
    last_frame: int
    opcode: int
    compressed: bool


class OpenPing(NamedTuple):
    """A ping that waits for its pong."""

    id: int
    payload: bytes
    sent_ns: int


class StreamRows:
    """Rows of one direction.

    Attributes:
        frames: frames so far.
        bytes: wire bytes so far, opaque ones included.
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
        self._has_deflate = has_deflate
        self._cut = snaplen
        self._next_ordinal = 0
        self._open: OpenMessage | None = None
        self._is_open_stored = False
        self._ended = False

    def feed(self, chunk: bytes, time_ns: int, sent_after_ns: int, ids: Ids, rows: Rows) -> Batch | None:
        """Index a chunk; returns what the decoder made of it (None where it was not asked)."""
        self.bytes += len(chunk)
        self.is_touched = True
        if self.gap or self._ended:
            self._add_opaque(chunk, len(chunk), time_ns, "gap" if self.gap else "after-end", rows)
            return None
        batch = self.decoder.feed(chunk, time_ns)
        if batch.frames:
            self._add_frames(batch, sent_after_ns, ids, rows)
        elif batch.messages:
            self._add_messages(batch, 0, 0, rows)
        if batch.opaque:
            self._add_opaque(batch.opaque, len(batch.opaque), time_ns, self.decoder.lost, rows)
        return batch

    def end(self, time_ns: int, rows: Rows, reason: str = "unfinished-frame") -> None:
        """The transport ended, or a chunk is missing: say what was left unfinished."""
        if self._ended or self.gap:
            return
        self._ended = True
        batch = self.decoder.end()
        self._add_messages(batch, 0, 0, rows)
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
                (message.id, *key, message.opcode, message.first_frame, None, message.compressed, *[None] * 4)
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
            "next_ordinal": self._next_ordinal,
            "open": self._open,
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
        self._next_ordinal = state["next_ordinal"]
        self._open = OpenMessage(*state["open"]) if state["open"] else None
        self._is_open_stored = self._open is not None
        self.open_pings.extend(OpenPing(i, bytes.fromhex(p), t) for i, p, t in state["pings"])

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

    def _add_frames(self, batch: Batch, sent_after_ns: int, ids: Ids, rows: Rows) -> None:
        frames = batch.frames
        connection, side = self._connection, self._side
        first_id = ids.next_frame
        frame_shift = first_id - batch.first_frame
        opened = self._open
        open_ordinal, open_id = (opened.ordinal, opened.id) if opened else (-1, 0)
        # Ordinals are given without holes, so one shift serves all messages that begin in this batch.
        first_ordinal = self._next_ordinal
        shift = ids.next_message - first_ordinal
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
                None if message is None else message + shift if message != open_ordinal else open_id,
                violation,
            )
            for frame_id, (header, first_ns, time_ns, payload, wire_length, violation, message) in enumerate(
                frames, first_id
            )
        ]
        count = len(frames)
        self.frames += count
        ids.next_frame = first_id + count
        self.last_frame = first_id + count - 1
        for frame in reversed(frames):
            if frame[6] is not None:
                self._next_ordinal = max(frame[6] + 1, first_ordinal)
                break
        ids.next_message += self._next_ordinal - first_ordinal
        self._add_messages(batch, shift, frame_shift, rows)
        self._note_open(batch, shift, first_ordinal)

    def _note_open(self, batch: Batch, shift: int, first_ordinal: int) -> None:
        """Remember the message that goes on in the next batch, and its last frame so far."""
        ordinal = self.decoder.open_message
        if ordinal is None or ordinal >= self._next_ordinal:
            return
        first_id = (self.last_frame or 0) - len(batch.frames) + 1
        found = [(first_id + index, frame) for index, frame in enumerate(batch.frames) if frame[6] == ordinal]
        if not found:
            return
        last_id = found[-1][0]
        if ordinal < first_ordinal:
            if self._open is not None:
                self._open = self._open._replace(last_frame=last_id)
            return
        frame_id, frame = found[0]
        compressed = self._has_deflate and frame.rsv1
        self._open = OpenMessage(ordinal, ordinal + shift, frame_id, last_id, frame.opcode, compressed)
        self._is_open_stored = False

    def _add_messages(self, batch: Batch, shift: int, frame_shift: int, rows: Rows) -> None:
        messages = batch.messages
        if not messages:
            return
        opened = self._open
        if opened is not None and messages[0].ordinal == opened.ordinal:
            self._open = None
            is_here = messages[0].last_frame >= batch.first_frame
            last_frame = messages[0].last_frame + frame_shift if is_here else opened.last_frame
            self._finish_open(opened, messages[0], last_frame, rows)
            messages = messages[1:]
        connection, side = self._connection, self._side
        rows.messages += [
            (
                message[0] + shift,
                connection,
                side,
                message[1],
                message[2] + frame_shift,
                message[3] + frame_shift,
                *message[4:],
            )
            for message in messages
        ]

    def _finish_open(self, opened: OpenMessage, message: Message, last_frame: int, rows: Rows) -> None:
        """The message that began in an earlier batch is complete."""
        facts = (message.compressed, message.length, message.data, message.valid_text, message.problem)
        if self._is_open_stored:
            rows.message_ends.append((last_frame, *facts, opened.id))
        else:
            key = (opened.id, self._connection, self._side)
            rows.messages.append((*key, message.opcode, opened.first_frame, last_frame, *facts))
