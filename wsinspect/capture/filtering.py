"""A filter at work on a capture: which frames pass, batch by batch, and which connections.

Each batch is one short read transaction; the first is small, so that a first screen comes at once. SQL
decides what it can (`filter_sql`), the filter's predicate the rest, on facts looked up only when asked for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple

from wsinspect.capture.filter_sql import DELTA, GAP, RTT, Translator
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.filters.ast import Test
from wsinspect.filters.language import Filter
from wsinspect.handshake.heads import RawHead

_FIRST_ROWS: Final = 2_000
_MOST_ROWS: Final = 100_000
_BATCH_SECONDS: Final = 0.03
_COLUMNS: Final = "id, connection_id, is_s2c, bits, time_ns, length(header), wire_length, message_id"
#: What the predicate reads of payloads, and what it reads of them alone.
_CONTENT_KEYS: Final = frozenset({"body", "json", "code", "reason"})
_BODY_KEYS: Final = frozenset({"body", "json"})
#: Faults that name a frame, and the one it is marked with.
_FAULTS: Final = (
    "SELECT rule, kind FROM fault_event WHERE frame_id = ? "
    "OR id = (SELECT fault_event_id FROM frame WHERE id = ?) ORDER BY id"
)
_BODY_COLUMNS: Final = "id, message_id, payload"
#: "Many frames pass" means more than one in this many rows.
_DENSE: Final = 4
_MOST_PLACES: Final = 1000


class Batch(NamedTuple):
    """Frames that pass.

    Attributes:
        ids: ascending.
        scanned_to: every frame up to here has been judged.
        rows: the columns asked for, after the id.
    """

    ids: list[int]
    scanned_to: int
    rows: list[tuple[Any, ...]]


class ConnectionView:
    """A connection of a capture as `filters.ConnectionFacts`."""

    def __init__(self, capture: Capture, row: Connection) -> None:
        self._capture, self._row = capture, row
        self.id, self.tap, self.host, self.port = row.id, row.tap, row.host, row.port
        self.path, self.subprotocol = row.path, row.subprotocol
        self.client_close_code, self.server_close_code = row.client_close_code, row.server_close_code
        self.js_code, self.js_was_clean = row.js_code, row.js_was_clean
        self.how, self.ended_by = row.how, row.ended_by
        self.attempt_ns = row.attempt_ns

    @property
    def is_closed(self) -> bool:
        """Nothing more will come, so how it ended is known; `lost` is one that the engine's death cut off."""
        return self._row.closed_ns is not None or self._row.state == "lost"

    def header_values(self, name: str) -> Sequence[str]:
        """The values of a field in all four heads."""
        values: list[str] = []
        for head in self._heads:
            values += [value.decode("utf-8", "surrogateescape") for value in head.get_all(name)]
        return values

    @cached_property
    def _heads(self) -> list[RawHead]:
        shake = self._capture.handshake(self.id)
        if shake is None:
            return []
        heads = (shake.request_in, shake.request_out, shake.response_in, shake.response_out)
        return [RawHead.parse(raw) for raw in heads if raw]

    @cached_property
    def faults(self) -> Sequence[str]:
        """Rules and kinds of all its faults."""
        rows = self._capture.query("SELECT rule, kind FROM fault_event WHERE connection_id = ?", (self.id,))
        return [str(word) for row in rows for word in row]

    @cached_property
    def findings(self) -> Sequence[tuple[str, str]]:
        """All about it or its frames."""
        rows = self._capture.query("SELECT rule, severity FROM finding WHERE connection_id = ?", (self.id,))
        return [(str(rule), str(severity)) for rule, severity in rows]


class FrameView:
    """A frame of a capture as `filters.FrameFacts`; what costs a look-up is a property."""

    __slots__ = (
        "_bits",
        "_scan",
        "direction",
        "id",
        "length",
        "message_id",
        "number",
        "time_ns",
        "wire_length",
    )

    def __init__(self, scan: FrameScan, row: tuple[Any, ...]) -> None:
        self._scan = scan
        (
            self.id,
            self.number,
            self.direction,
            self._bits,
            self.time_ns,
            header,
            self.wire_length,
            message,
        ) = row[:8]
        self.length = self.wire_length - header
        self.message_id: int | None = message

    @property
    def connection(self) -> ConnectionView:
        """The connection it belongs to."""
        return self._scan.connection(self.number)

    @property
    def opcode(self) -> int:
        return int(self._bits >> 8 & 15)

    @property
    def fin(self) -> bool:
        return bool(self._bits >> 15)

    @property
    def rsv1(self) -> bool:
        return bool(self._bits >> 14 & 1)

    @property
    def rsv2(self) -> bool:
        return bool(self._bits >> 13 & 1)

    @property
    def rsv3(self) -> bool:
        return bool(self._bits >> 12 & 1)

    @property
    def masked(self) -> bool:
        return bool(self._bits >> 7 & 1)

    @property
    def fragment(self) -> int | None:
        """Its place among the frames of its message."""
        if self.message_id is None or (self.fin and self.opcode != 0):
            return None
        return self._scan.place(self.message_id, self.number, self.id)

    @property
    def payload(self) -> bytes:
        payload = self._scan.one("SELECT payload FROM frame WHERE id = ?", (self.id,))
        return payload if isinstance(payload, bytes) else b""

    @property
    def body(self) -> bytes:
        """The message it ends, else its own payload; nothing inside a compressed message."""
        if self.message_id is None or self.message_id not in self._scan.stored_messages:
            return self.payload
        message = self._scan.capture.message(self.message_id)
        if message is None:
            return self.payload
        if message.last_frame != self.id:
            return b"" if message.compressed else self.payload
        return self._scan.capture.message_payload(message)

    @property
    def rtt_ns(self) -> int | None:
        return self._expression(RTT)

    @property
    def gap_ns(self) -> int | None:
        return self._expression(GAP)

    @property
    def delta_ns(self) -> int | None:
        return self._expression(DELTA)

    @property
    def t_ns(self) -> int | None:
        return None if self._scan.base_ns is None else self.time_ns - self._scan.base_ns

    @property
    def faults(self) -> Sequence[str]:
        rows = self._scan.capture.query(_FAULTS, (self.id, self.id))
        return [str(word) for row in rows for word in row]

    @property
    def findings(self) -> Sequence[tuple[str, str]]:
        rows = self._scan.capture.query("SELECT rule, severity FROM finding WHERE frame_id = ?", (self.id,))
        return [(str(rule), str(severity)) for rule, severity in rows]

    def _expression(self, sql: str) -> int | None:
        value = self._scan.one(f"SELECT {sql} FROM frame WHERE id = ?", (self.id,))  # noqa: S608
        return value if isinstance(value, int) else None


class PayloadView(FrameView):
    """A frame whose payload was read with it."""

    __slots__ = ("_row",)

    def __init__(self, scan: FrameScan, row: tuple[Any, ...]) -> None:
        self._scan, self._row = scan, row
        self.id, self.number, self.direction, self._bits = row[:4]
        self.message_id = row[7]

    @property
    def payload(self) -> bytes:
        payload = self._row[8]
        return payload if isinstance(payload, bytes) else b""

    @property
    def body(self) -> bytes:
        if self.message_id not in self._scan.stored_messages:
            return self.payload
        return super().body

    def __getattr__(self, name: str) -> Any:
        """What is asked for rarely is taken from the row then."""
        if name == "time_ns":
            return self._row[4]
        if name == "wire_length":
            return self._row[6]
        if name == "length":
            return self._row[6] - self._row[5]
        raise AttributeError(name)


class Body:
    """All that a filter on content asks of most frames; one object for all of them."""

    __slots__ = ("body",)
    body: bytes


class FrameScan:
    """One filter over one capture.

    Args:
        capture: open; used in the thread that opened it.
        flt: the filter.
        connection_id: its frames only; `t` then counts from its attempt, else from the capture's start.
        columns: SQL columns of `frame` to be given with each id.
    """

    def __init__(
        self, capture: Capture, flt: Filter, *, connection_id: int | None = None, columns: Sequence[str] = ()
    ) -> None:
        self.capture = capture
        self._filter = flt
        self._only = connection_id
        self._columns = columns
        self._views: dict[int, ConnectionView] = {}
        #: The fragment asked for last, and its number in its message.
        self._places: dict[int, tuple[int, int]] = {}
        #: Messages that have a row: compressed, fragmented, or broken.
        self.stored_messages: frozenset[int] = frozenset()
        only = capture.connection(connection_id) if connection_id is not None else None
        self.base_ns = only.attempt_ns if only else capture.start_ns
        base = "NULL" if self.base_ns is None else str(self.base_ns)
        self._translator = Translator(base, self._ids_of)
        self._predicate = flt.frame_predicate()
        self._is_dense = False
        self._view = PayloadView if flt.keys & _CONTENT_KEYS else FrameView

    def batches(self, after: int = 0, upto: int | None = None) -> Iterator[Batch]:
        """The frames after one id up to another (None: the newest now), in order."""
        end = self._newest() if upto is None else upto
        self._views.clear()
        condition = self._translator.condition(self._filter.root)
        size = _FIRST_ROWS
        while after < end:
            begun = time.monotonic()
            to = min(after + size, end)
            yield self._batch(condition.sql, condition.parameters, condition.is_exact, after, to)
            after = to
            spent = time.monotonic() - begun
            size = min(size * 4, _MOST_ROWS) if spent < _BATCH_SECONDS else max(size // 2, 500)

    def matches(self, frame_id: int) -> bool:
        """Whether one frame passes."""
        return any(batch.ids for batch in self.batches(frame_id - 1, frame_id))

    def connection(self, number: int) -> ConnectionView:
        """The facts of a connection, made once; one without a row, as in a damaged file, counts as lost."""
        view = self._views.get(number)
        if view is None:
            row = self.capture.connection(number)
            view = self._views[number] = ConnectionView(self.capture, row or _unknown(number))
        return view

    def _read_stored(self, after: int, to: int) -> None:
        """Which messages of the frames that follow have a row of their own."""
        sql = (
            "SELECT DISTINCT message_id FROM frame WHERE id > ? AND id <= ? AND message_id IN "
            "(SELECT id FROM stored_message)"
        )
        self.stored_messages = frozenset(row[0] for row in self.capture.query(sql, (after, to)))

    def one(self, sql: str, parameters: tuple[Any, ...]) -> Any:
        """The first column of the first row."""
        rows = self.capture.query(sql, parameters)
        return rows[0][0] if rows else None

    def place(self, message: int, connection: int, frame: int) -> int:
        """The place of a frame among those of its message, counted from the one that was asked for last."""
        last, place = self._places.get(message, (0, 0))
        if last > frame:
            last = place = 0
        # The index by connection is in order of id: with "id > ?" each row is visited once.
        sql = "SELECT count(*) FROM frame WHERE connection_id = ? AND message_id = ? AND id > ? AND id <= ?"
        place += int(self.one(sql, (connection, message, max(last, message - 1), frame)))
        if len(self._places) >= _MOST_PLACES:
            self._places.clear()
        self._places[message] = frame, place
        return place

    def _newest(self) -> int:
        return int(self.one("SELECT max(id) FROM frame", ()) or 0)

    def _batch(self, sql: str, parameters: tuple[Any, ...], is_exact: bool, after: int, to: int) -> Batch:
        where = f"id > ? AND id <= ? AND {sql}"
        key: tuple[Any, ...] = (after, to, *parameters)
        if self._only is not None:
            where, key = f"connection_id = ? AND {where}", (self._only, *key)
        if is_exact:
            columns = ", ".join(("id", *self._columns))
            rows = self.capture.query(f"SELECT {columns} FROM frame WHERE {where} ORDER BY id", key)  # noqa: S608
            return Batch([row[0] for row in rows], to, rows if self._columns else [])
        return self._judged(where, key, after, to)

    def _judged(self, where: str, key: tuple[Any, ...], after: int, to: int) -> Batch:
        """Those that SQL let pass and the predicate does, too.

        While many pass, the columns that are asked for are read with what the predicate needs; while few do,
        afterwards.
        """
        own = self._filter.keys <= _BODY_KEYS
        if self._view is PayloadView:
            self._read_stored(after, to)
        needed = _BODY_COLUMNS if own else _COLUMNS + (", payload" if self._view is PayloadView else "")
        extra = self._columns if self._is_dense else ()
        sql = f"SELECT {', '.join((needed, *extra))} FROM frame WHERE {where} ORDER BY id"  # noqa: S608
        rows = self.capture.query(sql, key)
        passing = self._with_body(rows) if own else self._with_view(rows)
        ids = [row[0] for row in passing]
        if self._is_dense:
            first = needed.count(", ") + 1
            found = [(row[0], *row[first:]) for row in passing]
        else:
            found = self._rows(ids) if self._columns and ids else []
        self._is_dense = bool(self._columns) and len(ids) > len(rows) // _DENSE
        return Batch(ids, to, found)

    def _with_view(self, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        view, passes = self._view, self._predicate
        return [row for row in rows if passes(view(self, row))]

    def _with_body(self, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        passes, stored = self._predicate, self.stored_messages
        found = []
        alone: Any = Body()
        for row in rows:
            payload = row[2]
            if row[1] in stored or not isinstance(payload, bytes):
                facts: Any = PayloadView(self, (row[0], *(None,) * 6, row[1], payload))
            else:
                alone.body = payload
                facts = alone
            if passes(facts):
                found.append(row)
        return found

    def _rows(self, ids: list[int]) -> list[tuple[Any, ...]]:
        columns = ", ".join(("id", *self._columns))
        rows: list[tuple[Any, ...]] = []
        for at in range(0, len(ids), 500):
            part = ids[at : at + 500]
            sql = f"SELECT {columns} FROM frame WHERE id IN ({','.join(map(str, part))}) ORDER BY id"  # noqa: S608
            rows += self.capture.query(sql)
        return rows

    def _ids_of(self, test: Test) -> Sequence[int] | None:
        predicate = test.predicate()
        return [one.id for one in self.capture.connections() if predicate(ConnectionView(self.capture, one))]


def matching_connections(capture: Capture, flt: Filter) -> list[Connection]:
    """The connections that pass a filter that `lists_connections`, by id."""
    passes = flt.connection_predicate()
    return [one for one in capture.connections() if passes(ConnectionView(capture, one))]


def _unknown(number: int) -> Connection:
    """A connection without a row, in a damaged file."""
    fields = dict.fromkeys(Connection._fields)
    return Connection(**{**fields, "id": number, "state": "lost"})  # type: ignore[arg-type]
