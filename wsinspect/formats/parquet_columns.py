"""The columns of a Parquet data set, and the frames and messages of a capture as such columns.

Both are read in one pass. A page of rows becomes columns at once, and so do the messages that are one frame
each; only those of fragments or with inflated data are looked at one by one.
"""

from __future__ import annotations

import codecs
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from wsinspect.capture.queries.tables import (
    FRAME_COLUMNS,
    PAGE_BYTES,
    StoredMessage,
    frame_pages,
    stored_data,
    stored_messages_between,
)
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Message
from wsinspect.errors import CaptureError
from wsinspect.formats import transcript
from wsinspect.formats.choice import Choice
from wsinspect.formats.progress import Progress
from wsinspect.version import __version__
from wsinspect.wire.opcodes import Direction, Opcode, opcode_name

#: Bytes of a message that are written; the rest is in the capture.
MAX_DATA: Final = 64 * 1024
#: The version of the columns; it grows with a change that a query would notice.
SCHEMA: Final = 1
_NAME: Final = pa.dictionary(pa.int32(), pa.string())
_TIME: Final = pa.timestamp("us", tz="UTC")
_OPS: Final = pa.array([opcode_name(number) for number in range(16)], pa.string())
_SIDES: Final = pa.array(["c2s", "s2c"], pa.string())
_NOT_INFLATED: Final = frozenset({"inflate-failed", "not-inflated", "over-cap"})
#: Messages whose data is read in one statement.
_MOST_READ: Final = 500
_FIRST_ID: Final = -1 << 63
#: FIN with TEXT or BINARY.
_WHOLE: Final = pa.array([0x81, 0x82], pa.int64())


def _schema(*columns: tuple[str, Any]) -> pa.Schema:
    about = {"wsinspect.schema": str(SCHEMA), "wsinspect.version": __version__}
    return pa.schema(columns, metadata=about)


CONNECTIONS: Final = _schema(
    ("capture", _NAME),
    ("connection_id", pa.int64()),
    ("time", _TIME),
    ("tap", _NAME),
    ("client", pa.string()),
    ("client_address", pa.string()),
    ("listener", _NAME),
    ("url_scheme", _NAME),
    ("url_host", pa.string()),
    ("url_port", pa.int64()),
    ("url_path", pa.string()),
    ("http_version", _NAME),
    ("user_agent", pa.string()),
    ("origin", pa.string()),
    ("handshake_key", pa.string()),
    ("trace_id", pa.string()),
    ("server", pa.string()),
    ("server_http_version", _NAME),
    ("status", pa.int64()),
    ("subprotocol", pa.string()),
    ("extensions", pa.string()),
    ("client_session", pa.int64()),
    ("attempt_ns", pa.int64()),
    ("open_ns", pa.int64()),
    ("closed_ns", pa.int64()),
    ("state", _NAME),
    ("error", pa.string()),
    ("client_close_code", pa.int64()),
    ("client_close_reason", pa.string()),
    ("server_close_code", pa.int64()),
    ("server_close_reason", pa.string()),
    ("ended_by", _NAME),
    ("how", _NAME),
    ("js_code", pa.int64()),
    ("js_was_clean", pa.bool_()),
    ("fault", pa.string()),
    ("c2s_frames", pa.int64()),
    ("s2c_frames", pa.int64()),
    ("c2s_bytes", pa.int64()),
    ("s2c_bytes", pa.int64()),
)
FRAMES: Final = _schema(
    ("capture", _NAME),
    ("connection_id", pa.int64()),
    ("frame_id", pa.int64()),
    ("message_id", pa.int64()),
    ("time", _TIME),
    ("time_ns", pa.int64()),
    ("direction", _NAME),
    ("op", _NAME),
    ("fin", pa.bool_()),
    ("rsv1", pa.bool_()),
    ("masked", pa.bool_()),
    ("length", pa.int64()),
    ("wire_length", pa.int64()),
    ("span_ns", pa.int64()),
    ("sent_after_ns", pa.int64()),
    ("rtt_ns", pa.int64()),
    ("violation", pa.string()),
    ("fault", pa.string()),
)
MESSAGES: Final = _schema(
    ("capture", _NAME),
    ("connection_id", pa.int64()),
    ("message_id", pa.int64()),
    ("last_frame", pa.int64()),
    ("time", _TIME),
    ("time_ns", pa.int64()),
    ("direction", _NAME),
    ("op", _NAME),
    ("length", pa.int64()),
    ("text", pa.string()),
    ("data", pa.binary()),
    ("is_cut", pa.bool_()),
    ("problem", pa.string()),
)
FINDINGS: Final = _schema(
    ("capture", _NAME),
    ("connection_id", pa.int64()),
    ("frame_id", pa.int64()),
    ("time", _TIME),
    ("rule", _NAME),
    ("severity", _NAME),
    ("fault_of", _NAME),
    ("hop", pa.string()),
    ("title", pa.string()),
    ("confidence", _NAME),
    ("evidence", pa.string()),
)


class Columns:
    """The frames and messages of a capture, in one pass.

    Args:
        capture: what to read.
        names: the one name that the column `capture` has.
        choice: which of them.

    Attributes:
        cut: messages of which the capture does not have everything.
        long: messages cut after `MAX_DATA`.
        not_inflated: messages whose compressed bytes stand for them.
    """

    def __init__(self, capture: Capture, names: pa.Array, choice: Choice) -> None:
        self.cut = self.long = self.not_inflated = 0
        self._capture = capture
        self._names = names
        self._choice = choice
        self._stored = _Stored(capture)

    def batches(self, progress: Progress) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Rows of `frames` and of `messages`, with the table's name.

        Raises:
            CaptureError: the capture is damaged.
        """
        done, after = 0, _FIRST_ID
        for rows in frame_pages(self._capture, MAX_DATA):
            page = _Page(rows)
            yield "frames", self._chosen(page, self._frames(page), self._keeps_frame)
            self._stored.read(after, page.ids[-1])
            complete = list(self._stored.complete(page))
            whole = self._whole(page)
            if whole.num_rows:
                yield "messages", whole
            yield from (("messages", batch) for batch in self._one_by_one(complete))
            done, after = done + len(rows), page.ids[-1]
            progress(done)
        yield from (("messages", batch) for batch in self._one_by_one(self._stored.rest()))

    # -- what is chosen

    def _keeps_frame(self, row: tuple[Any, ...]) -> bool:
        return self._keeps_connection(row[1]) and self._choice.has("frame", row[0])

    def _keeps_message(self, row: tuple[Any, ...]) -> bool:
        return self._keeps_connection(row[1]) and self._choice.has("message", row[0])

    def _keeps_connection(self, connection: int) -> bool:
        chosen = self._choice.connections
        return chosen is None or connection in chosen

    def _chosen(
        self, page: _Page, batch: pa.RecordBatch, keeps: Callable[[tuple[Any, ...]], bool]
    ) -> pa.RecordBatch:
        if self._choice.connections is None and self._choice.frames is None:
            return batch
        return batch.filter(pa.array(list(map(keeps, page.rows)), pa.bool_()))

    # -- frames

    def _capture_column(self, rows: int) -> pa.Array:
        return capture_column(self._names, rows)

    def _frames(self, page: _Page) -> pa.RecordBatch:
        number, bits = page.numbers, page.numbers["bits"]

        def bit(place: int) -> pa.Array:
            return pc.not_equal(pc.bit_wise_and(bits, 1 << place), 0)

        sent = number["sent_after_ns"]
        columns = [
            self._capture_column(len(bits)),
            number["connection_id"],
            number["id"],
            number["message_id"],
            _timestamps(number["time_ns"]),
            number["time_ns"],
            page.sides,
            page.ops,
            bit(15),
            bit(14),
            bit(7),
            page.lengths,
            number["wire_length"],
            number["span_ns"],
            pc.if_else(pc.less(sent, 0), pa.scalar(None, pa.int64()), sent),
            number["rtt_ns"],
            page.violations,
            pa.array(page.values["fault"], pa.string()),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=FRAMES)

    # -- messages

    def _whole(self, page: _Page) -> pa.RecordBatch:
        """The messages of a page that are one uncompressed frame each: nearly all there are, without looking
        at one by itself."""
        number = page.numbers
        is_whole = pc.and_(
            pc.equal(number["message_id"], number["id"]),
            pc.is_in(pc.shift_right(number["bits"], 8), value_set=_WHOLE),
        )
        if self._stored.page_ids:
            has_row = pc.is_in(number["id"], value_set=pa.array(self._stored.page_ids, pa.int64()))
            is_whole = pc.and_(is_whole, pc.invert(has_row))
        kept = pc.fill_null(number["data_length"], 0)
        is_cut, is_long = pc.not_equal(page.lengths, kept), pc.greater(kept, MAX_DATA)
        data = pc.fill_null(page.data, b"")
        is_text = pc.and_(page.is_text, is_whole)
        texts = _texts(pc.if_else(is_text, data, pa.scalar(None, pa.binary())), pc.or_(is_cut, is_long))
        batch = pa.RecordBatch.from_arrays(
            [
                self._capture_column(len(kept)),
                number["connection_id"],
                number["id"],
                number["id"],
                _timestamps(number["time_ns"]),
                number["time_ns"],
                page.sides,
                page.ops,
                page.lengths,
                texts,
                pc.if_else(pc.is_null(texts), data, pa.scalar(None, pa.binary())),
                pc.or_(is_cut, is_long),
                page.violations,
            ],
            schema=MESSAGES,
        )
        mask = pc.fill_null(is_whole, False)
        if self._choice.connections is not None or self._choice.messages is not None:
            mask = pc.and_(mask, pa.array(list(map(self._keeps_message, page.rows)), pa.bool_()))
        self.cut += pc.sum(pc.and_(mask, is_cut)).as_py() or 0
        self.long += pc.sum(pc.and_(mask, is_long)).as_py() or 0
        return batch.filter(mask)

    def _one_by_one(self, messages: Sequence[_Complete]) -> Iterator[pa.RecordBatch]:
        chosen = [
            one
            for one in messages
            if self._keeps_connection(one.message.connection_id)
            and self._choice.has("message", one.message.id)
        ]
        for some in _in_parts(chosen):
            yield rows_batch(MESSAGES, self._names, list(self._rows(some)))

    def _rows(self, messages: Sequence[_Complete]) -> Iterator[tuple[Any, ...]]:
        ids = [one.message.id for one in messages if one.message.data_length is not None]
        found = stored_data(self._capture, ids, MAX_DATA) if ids else {}
        for message, time_ns, problem in messages:
            data, size = self._data(message, found)
            # Where inflating failed its compressed bytes stand for it, and their number says nothing.
            is_inflated = not message.compressed or message.data_length is not None or message.problem is None
            is_cut = is_inflated and message.length is not None and size != message.length
            is_long = size > MAX_DATA
            self.cut += is_cut
            self.long += is_long
            self.not_inflated += problem in _NOT_INFLATED
            text = _as_text(data, is_cut or is_long) if message.opcode == Opcode.TEXT else None
            yield (
                *(message.connection_id, message.id, message.last_frame or message.first_frame),
                *(time_ns // 1000, time_ns, _SIDES[bool(message.is_s2c)].as_py()),
                *(opcode_name(message.opcode), message.length, text, data if text is None else None),
                *(is_cut or is_long, problem),
            )

    def _data(self, message: StoredMessage, found: dict[int, bytes | None]) -> tuple[bytes, int]:
        """What is written of its data, and how long it is in the capture."""
        if message.compressed and message.data_length is not None:
            return found.get(message.id) or b"", message.data_length
        if message.compressed and message.problem is None and message.last_frame is not None:
            return b"", 0  # deleted to make room
        whole = self._capture.message_payload(
            Message(
                *(message.id, message.connection_id, Direction(bool(message.is_s2c)), message.opcode),
                *(message.first_frame, message.last_frame, bool(message.compressed), message.length),
                *(None, None, message.problem),
            )
        )
        return whole[:MAX_DATA], len(whole)


class _Page:
    """Some frames, as rows and as columns."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self.rows = rows
        self.values = dict(zip(FRAME_COLUMNS, zip(*rows, strict=True), strict=True))
        self.ids: tuple[int, ...] = self.values["id"]
        other = ("violation", "fault", "data")
        self.numbers = {
            name: pa.array(values, pa.int64()) for name, values in self.values.items() if name not in other
        }
        opcodes = pc.bit_wise_and(pc.shift_right(self.numbers["bits"], 8), 15).cast(pa.int32())
        self.ops = pa.DictionaryArray.from_arrays(opcodes, _OPS)
        self.is_text = pc.equal(opcodes, int(Opcode.TEXT))
        sides = pc.not_equal(self.numbers["is_s2c"], 0).cast(pa.int32())
        self.sides = pa.DictionaryArray.from_arrays(sides, _SIDES)
        self.lengths = pc.subtract(self.numbers["wire_length"], self.numbers["header_length"])
        self.violations = pa.array(self.values["violation"], pa.string())
        self.data = pa.array(self.values["data"], pa.binary())

    def time_of_last(self, message: StoredMessage) -> int | None:
        """When the last frame of a message came; None where it is not here."""
        place = bisect_left(self.ids, message.last_frame or 0)
        if place == len(self.ids) or self.ids[place] != message.last_frame:
            return None
        values = self.values
        is_its = (values["message_id"][place], values["connection_id"][place]) == message[:2]
        time_ns = values["time_ns"][place]
        return time_ns if is_its and isinstance(time_ns, int) else None


class _Complete(NamedTuple):
    message: StoredMessage
    time_ns: int
    problem: str | None


class _Stored:
    """The messages that have rows of their own, read as the frames go by.

    Attributes:
        page_ids: of those whose first frame is in the page.
    """

    def __init__(self, capture: Capture) -> None:
        self.page_ids: list[int] = []
        self._capture = capture
        self._open: dict[int, StoredMessage] = {}
        self._endless: list[StoredMessage] = []
        self._ends: dict[tuple[int, bool], int] = {}
        self._overlaps: dict[int, int] = {}

    def read(self, after: int, last: int) -> None:
        """Read those whose first frame is in a page."""
        self.page_ids.clear()
        for message in stored_messages_between(self._capture, after, last):
            self.page_ids.append(message.id)
            self._open[message.id] = message
            self._check_overlap(message)

    def complete(self, page: _Page) -> Iterator[_Complete]:
        """Those whose last frame is in a page."""
        last = page.ids[-1]
        for message in [one for one in self._open.values() if (one.last_frame or last + 1) <= last]:
            del self._open[message.id]
            time_ns = page.time_of_last(message)
            if time_ns is None:
                self._endless.append(message)
            else:
                yield _Complete(message, time_ns, message.problem)

    def rest(self) -> list[_Complete]:
        """Those whose last frame never came."""
        found = []
        for message in sorted([*self._open.values(), *self._endless]):
            frame = self._capture.frame(message.first_frame)
            found.append(_Complete(message, frame.time_ns if frame else 0, "unfinished"))
        return found

    def _check_overlap(self, message: StoredMessage) -> None:
        """Fragments of two messages are never mixed; each message that claims them costs a look at them."""
        if message.last_frame is None:
            return
        side = message.connection_id, bool(message.is_s2c)
        before = self._ends.get(side, 0)
        self._ends[side] = max(before, message.last_frame)
        if message.first_frame <= before:
            count = self._overlaps[side[0]] = self._overlaps.get(side[0], 0) + 1
            if count > transcript.MOST_OVERLAPS:
                raise CaptureError(f"{self._capture.path} is damaged: its messages overlap")


def capture_column(names: pa.Array, rows: int) -> pa.Array:
    """The first column: the same name in each row."""
    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), rows), names)


def rows_batch(schema: pa.Schema, names: pa.Array, rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    """Rows without the column `capture`, as columns."""
    columns = [
        pa.array(values, field.type)
        for field, values in zip([*schema][1:], zip(*rows, strict=True), strict=True)
    ]
    return pa.RecordBatch.from_arrays([capture_column(names, len(rows)), *columns], schema=schema)


def _in_parts(messages: Sequence[_Complete]) -> Iterator[list[_Complete]]:
    """So many that their data fits into memory."""
    some: list[_Complete] = []
    size = 0
    for one in messages:
        some.append(one)
        size += min(one.message.data_length or one.message.length or 0, MAX_DATA)
        if len(some) >= _MOST_READ or size >= PAGE_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def _timestamps(times_ns: pa.Array) -> pa.Array:
    """Microseconds, rounded down for all times after 1970."""
    return pc.divide(times_ns, 1000).cast(_TIME)


def _texts(data: pa.Array, is_cut: pa.Array) -> pa.Array:
    """Data as text; null where it is not UTF-8."""
    if not pc.any(pc.and_(is_cut, pc.is_valid(data))).as_py():
        try:
            return data.cast(pa.string())
        except pa.ArrowInvalid:
            pass  # one of them is not UTF-8, and Arrow does not say which
    cut = is_cut.to_pylist()
    return pa.array(
        [
            None if one is None else _as_text(one, bool(cut[place]))
            for place, one in enumerate(data.to_pylist())
        ],
        pa.string(),
    )


def _as_text(data: bytes, is_cut: bool) -> str | None:
    """The text; None where it is not UTF-8, but for a character that was cut."""
    try:
        if not is_cut:
            return data.decode()
        return codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return None
