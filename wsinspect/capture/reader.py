"""Reading a capture, live or old: typed rows, each call one short read-only transaction.

A long read transaction would keep the recorder's WAL from being emptied, so nothing here hands out open
cursors; ask for `limit` rows and continue after the last id. A capture from a stranger is hostile input: it
is opened read-only with `trusted_schema` off, nothing in it is run, and blobs are cut by SQLite when a limit
is given.
"""

from __future__ import annotations

import json
import math
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_type_hints

from wsinspect.capture import schema
from wsinspect.capture.records import Connection, Event, FrameRow, Handshake, Message, Opaque, Ping
from wsinspect.capture.rows import CONNECTION_COLUMNS, HANDSHAKE_COLUMNS
from wsinspect.closing import Closing
from wsinspect.errors import CaptureError
from wsinspect.journal.format import is_in_use
from wsinspect.vocabulary import NOT_IN_TRACE, NOT_READ
from wsinspect.wire.opcodes import Direction

_DIRECTIONS: Final = (Direction.CLIENT_TO_SERVER, Direction.SERVER_TO_CLIENT)
_NO_LIMIT: Final = -1
#: Captures up to this size are checked whole after reading them all, in some hundredths of a second; larger
#: ones as far as SQLite comes in so many seconds.
_CHECKED_BYTES: Final = 64 * 1024 * 1024
_CHECK_SECONDS: Final = 3.0
#: Steps of SQLite's machine after which a statement is looked at, and how many a row may cost: no statement
#: of ours comes near, and pages that follow each other in a circle reach it in seconds.
_STEPS_AT_ONCE: Final = 1_000_000
_STEPS_OF_ROW: Final = 200
_ROWS_AT_ONCE: Final = 10_000
_WHOLE: Final = (1 << 31) - 1  # substr() takes a 32-bit length
#: The rule that ended a connection; of one that never opened, without that, the first one that acted on it.
#: Rules that act on many frames end nothing, so their rows are left out before their JSON is read.
RULE: Final = (
    "CASE WHEN ended_by IS 'fault' THEN (SELECT rule FROM fault_event "
    "WHERE fault_event.connection_id = connection.id "
    "AND kind NOT IN ('latency', 'bandwidth', 'loss', 'slicer') AND json_valid(detail) "
    "AND json_extract(detail, '$.ends') ORDER BY fault_event.id LIMIT 1) "
    "WHEN open_ns IS NULL THEN (SELECT rule FROM fault_event "
    "WHERE fault_event.connection_id = connection.id ORDER BY fault_event.id LIMIT 1) END"
)
_CONNECTION: Final = (
    f"SELECT {', '.join(CONNECTION_COLUMNS)}, coalesce(payloads, 0), coalesce(bytes, 0), "  # noqa: S608
    f"coalesce(frames, 0), {RULE}, (SELECT group_concat(gap) FROM ("
    "SELECT coalesce(json_extract(detail, '$.direction'), '') || '=' || "
    "coalesce(json_extract(detail, '$.bytes'), '') || "
    f"CASE WHEN json_extract(detail, '$.reason') = '{NOT_IN_TRACE}' THEN '=trace' "
    f"WHEN json_extract(detail, '$.reason') LIKE '{NOT_READ}%' THEN '=unread' ELSE '' END AS gap FROM event "
    "WHERE event.connection_id = connection.id AND kind = 'gap' AND json_valid(detail) "
    "UNION ALL SELECT DISTINCT direction || '==opaque' FROM opaque "
    "WHERE opaque.connection_id = connection.id AND reason = 'gap')) "
    "FROM connection LEFT JOIN evicted ON evicted.connection_id = connection.id"
)
_HANDSHAKE: Final = f"SELECT {', '.join(HANDSHAKE_COLUMNS)} FROM handshake WHERE connection_id = ?"  # noqa: S608
_FRAME: Final = (
    "SELECT id, connection_id, is_s2c, first_ns, time_ns, sent_ns, header, wire_length, "
    "substr(payload, 1, ?), message_id, violation, fault_event_id, payload IS NULL FROM frame"
)
#: substr() of an empty blob is NULL, which would mean here that nothing was kept.
_STORED_MESSAGE: Final = (
    "SELECT id, connection_id, direction, opcode, first_frame, last_frame, compressed, length, "
    "CASE length(data) WHEN 0 THEN data ELSE substr(data, 1, :cut) END, valid_text, problem "
    "FROM stored_message"
)
#: The other half of the view `message`.
_FRAME_MESSAGE: Final = (
    "SELECT id, connection_id, direction, opcode, id, id, 0, length, NULL, "
    "CASE opcode WHEN 1 THEN 1 END, NULL FROM frame "
    "WHERE (bits >> 8) IN (129, 130) AND violation IS NULL AND message_id = id "
    "AND NOT EXISTS (SELECT 1 FROM stored_message WHERE stored_message.id = frame.id)"
)
_OPAQUE: Final = (
    "SELECT id, connection_id, is_s2c, time_ns, after_frame, length, substr(data, 1, ?), reason, "
    "data IS NULL FROM opaque"
)
_PING: Final = "SELECT ping_frame, connection_id, leg, pong_frame, rtt_ns FROM ping"
#: The columns of which a part can be read.
_BLOBS: Final = {"frame": "payload", "stored_message": "data"}
_EVENT: Final = "SELECT id, time_ns, connection_id, kind, detail FROM event"


class Capture(Closing):
    """An open capture; use it as a context manager.

    Attributes:
        path: The file.
    """

    def __init__(
        self, path: Path, database: sqlite3.Connection, *, on_close: Callable[[], None] | None = None
    ) -> None:
        self.path = path
        self._database = database
        self._on_close = on_close
        self._damage: str | None = None
        self._has_checked = False
        self._most_rows = schema.most_rows(path)
        self._steps_left = math.inf
        if self._most_rows != math.inf:
            database.set_progress_handler(self._has_done_enough, _STEPS_AT_ONCE)

    @classmethod
    def open(cls, path: Path | str) -> Capture:
        """Open a capture as its file is; `recorder.opening` also indexes what a dead engine left.

        Raises:
            CaptureError: It is missing, not a capture, or of a version that cannot be read.
        """
        path = Path(path)
        return cls(path, schema.open_for_reading(path))

    def close(self) -> None:
        """Close the database, then call the `on_close` that it was made with."""
        self._database.close()
        if self._on_close is not None:
            self._on_close()

    @property
    def is_live(self) -> bool:
        """Whether an engine or a recorder is at work on it."""
        return is_in_use(self.path)

    @property
    def meta(self) -> dict[str, Any]:
        """What the newest run noted of itself: versions, argv, anchors, taps, changes, closed_cleanly, ..."""
        rows = self.query("SELECT key, value FROM meta WHERE run = (SELECT max(run) FROM meta)")
        return {key: _json(value) for key, value in rows}

    @property
    def start_ns(self) -> int | None:
        """When the first run began."""
        rows = self.query("SELECT value FROM meta WHERE key = 'started_ns' ORDER BY run LIMIT 1")
        if rows:
            value = _json(rows[0][0])
            return value if isinstance(value, int) else None
        (first,) = self.query("SELECT min(attempt_ns) FROM connection")
        return first[0] if isinstance(first[0], int) else None

    def version(self) -> int:
        """A number that changes when somebody has committed to the file."""
        (row,) = self.query("PRAGMA data_version")
        return int(row[0])

    def query(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a short statement.

        Raises:
            CaptureError: The file is damaged.
        """
        self._steps_left = self._most_rows * _STEPS_OF_ROW
        try:
            try:
                rows = self._database.execute(sql, parameters)
            except (
                OverflowError
            ):  # times that do not belong, added up: nothing in the file is beyond the limit
                rows = self._database.execute(sql, _within_sqlite(parameters))
            found: list[tuple[Any, ...]] = []
            while more := rows.fetchmany(_ROWS_AT_ONCE):
                found += more
                if len(found) > self._most_rows:
                    raise CaptureError(f"{self.path} is damaged: it has more rows than fit into the file")
            return found
        except sqlite3.DatabaseError as error:
            if self._steps_left < 0:
                raise CaptureError(f"{self.path} is damaged: reading it does not end") from None
            raise CaptureError(f"cannot read {self.path}: {schema.words_of(error)}") from None

    def _has_done_enough(self) -> bool:
        """SQLite asks this now and then; True interrupts the statement."""
        self._steps_left -= _STEPS_AT_ONCE
        return self._steps_left < 0

    def count(self, table: str) -> int:
        """How many rows a table has.

        SQLite's `count(*)` of a whole table is one step of its machine, which nothing interrupts: where pages
        follow each other in a circle it would not end.

        Raises:
            CaptureError: The file is damaged.
        """
        if self._most_rows == math.inf:
            ((found,),) = self.query(f"SELECT count(*) FROM {table}")  # noqa: S608 - a name of ours
        else:
            most = int(self._most_rows) + 1
            ((found,),) = self.query(f"SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT ?)", (most,))  # noqa: S608
            if found == most:
                raise CaptureError(f"{self.path} is damaged: it has more rows than fit into the file")
        return int(found)

    def page(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any], after: int, *, key: int = 0
    ) -> list[tuple[Any, ...]]:
        """The rows of a statement whose column `key` ascends from above `after`, as pages are read.

        In a damaged file pages of a table may follow each other in a circle, and whoever continues after the
        last row would never end. So what comes before the first row out of order is the last page.

        Raises:
            CaptureError: The first row is out of order, or a row of an earlier page was.
        """
        if self._damage is not None:
            raise CaptureError(self._damage)
        rows = self.query(sql, parameters)
        last = after
        for index, row in enumerate(rows):
            if row[key] <= last:
                self._damage = f"{self.path} is damaged: its rows are out of order"
                if not index:
                    raise CaptureError(self._damage)
                return rows[:index]
            last = row[key]
        return rows

    def check_structure(self) -> None:
        """Called when all has been read: pages in each other's place also hide rows, in silence.

        It is done once, for a file that nobody writes; of a large one as far as SQLite comes in
        `_CHECK_SECONDS`.

        Raises:
            CaptureError: The file is damaged.
        """
        if self._has_checked:
            return
        self._has_checked = True
        if self.is_live:
            return
        if (found := self._structure_in_time()) is not None:
            self._damage = f"{self.path} is damaged: {found}"
            raise CaptureError(self._damage)

    def _structure_in_time(self) -> str | None:
        if self.path.stat().st_size <= _CHECKED_BYTES:
            return self.broken_structure()
        has_stopped = threading.Event()

        def stop() -> None:
            has_stopped.set()
            self._database.interrupt()

        timer = threading.Timer(_CHECK_SECONDS, stop)
        timer.start()
        try:
            return self.broken_structure()
        except CaptureError:
            if has_stopped.is_set():
                return None  # as far as it came all is well
            raise
        finally:
            timer.cancel()
            timer.join()

    def broken_structure(self) -> str | None:
        """What SQLite finds wrong with the file's pages; None where nothing is."""
        ((found,),) = self.query("PRAGMA quick_check(1)")
        return None if found == "ok" else " ".join(str(found).rpartition("***")[2].split())

    def connections(self, *, after: int = 0, limit: int | None = None) -> list[Connection]:
        """Connections with larger ids than `after`."""
        sql = f"{_CONNECTION} WHERE id > ? ORDER BY id LIMIT ?"
        key = (after, _NO_LIMIT if limit is None else limit)
        return [_connection(row) for row in self.page(sql, key, after)]

    def connection(self, connection_id: int) -> Connection | None:
        """The connection with this id; None where the capture has none."""
        rows = self.query(f"{_CONNECTION} WHERE id = ?", (connection_id,))
        return _connection(rows[0]) if rows else None

    def handshake(self, connection_id: int) -> Handshake | None:
        """The opening handshake of a connection."""
        rows = self.query(_HANDSHAKE, (connection_id,))
        return _handshake(rows[0]) if rows else None

    def frames(
        self,
        connection_id: int | None = None,
        *,
        after: int = 0,
        limit: int = 1000,
        payload_limit: int | None = None,
    ) -> list[FrameRow]:
        """Frames with larger ids than `after`, of one connection or of all."""
        rows = self._page(_FRAME, connection_id, after, limit, payload_limit)
        return [frame_row(row) for row in rows]

    def last_frames(
        self, connection_id: int, count: int, *, payload_limit: int | None = None
    ) -> list[FrameRow]:
        """The newest frames of a connection, in order."""
        sql = f"{_FRAME} WHERE connection_id = ? ORDER BY id DESC LIMIT ?"
        rows = self.query(sql, (_bound(payload_limit), connection_id, count))
        return [frame_row(row) for row in reversed(rows)]

    def frame(self, frame_id: int) -> FrameRow | None:
        """The frame with this id and its whole stored payload; None where the capture has none."""
        rows = self.query(f"{_FRAME} WHERE id = ?", (_WHOLE, frame_id))
        return frame_row(rows[0]) if rows else None

    def frames_of(self, ids: Sequence[int], *, payload_limit: int | None = None) -> list[FrameRow]:
        """The frames with these ids, by id; at most some hundreds at once."""
        listed = ",".join(str(int(one)) for one in ids)
        rows = self.query(f"{_FRAME} WHERE id IN ({listed}) ORDER BY id", (_bound(payload_limit),))
        return [frame_row(row) for row in rows]

    def messages(
        self,
        connection_id: int | None = None,
        *,
        after: int = 0,
        limit: int = 1000,
        data_limit: int | None = None,
    ) -> list[Message]:
        """Messages with larger ids than `after`, of one connection or of all."""
        # Not through the view: SQLite would sort all its rows for each page.
        narrow = "id > :after" + ("" if connection_id is None else " AND connection_id = :connection")
        page = "ORDER BY id LIMIT :limit"
        sql = (
            f"SELECT * FROM ({_STORED_MESSAGE} WHERE {narrow} {page}) UNION ALL "  # noqa: S608
            f"SELECT * FROM ({_FRAME_MESSAGE} AND {narrow} {page}) {page}"
        )
        values = {"cut": _bound(data_limit), "after": after, "connection": connection_id, "limit": limit}
        return [_message(row) for row in self.page(sql, values, after)]

    def message(self, message_id: int) -> Message | None:
        """The message with this id and all its stored data; None where the capture has none."""
        sql = f"{_STORED_MESSAGE} WHERE id = :id UNION ALL {_FRAME_MESSAGE} AND id = :id"
        rows = self.query(sql, {"cut": _WHOLE, "id": message_id})
        return _message(rows[0]) if rows else None

    def messages_of(self, ids: Sequence[int], *, data_limit: int | None = None) -> list[Message]:
        """The messages with these ids that have a row of their own; at most some hundreds at once."""
        listed = ",".join(str(int(one)) for one in ids)
        rows = self.query(
            f"{_STORED_MESSAGE} WHERE id IN ({listed}) ORDER BY id", {"cut": _bound(data_limit)}
        )
        return [_message(row) for row in rows]

    def message_payload(self, message: Message, limit: int | None = None) -> bytes:
        """What the message says: its inflated data, else the payloads of its frames as kept.

        Of a compressed message whose data was evicted nothing is left, and its frames would not say it.
        """
        if message.data is not None:
            return message.data[:limit]
        if message.compressed and message.problem is None and message.last_frame is not None:
            return b""
        sql = (
            "SELECT substr(payload, 1, ?) FROM frame WHERE id BETWEEN ? AND ? AND connection_id = ? "
            "AND message_id = ? ORDER BY id"
        )
        last = message.last_frame if message.last_frame is not None else 1 << 62
        key = (_bound(limit), message.first_frame, last, message.connection_id, message.id)
        return b"".join(_bytes(row[0]) for row in self.query(sql, key))[:limit]

    def is_evicted(self, message: Message) -> bool:
        """Whether a part of a message was deleted to make room."""
        if message.compressed:
            rows = self.query("SELECT data IS NULL FROM stored_message WHERE id = ?", (message.id,))
            return rows == [(1,)] and message.problem is None and message.last_frame is not None
        sql = (
            "SELECT count(*), count(payload), min(id) FROM frame WHERE id BETWEEN ? AND ? "
            "AND connection_id = ? AND message_id = ?"
        )
        last = message.last_frame if message.last_frame is not None else 1 << 62
        ((frames, payloads, first),) = self.query(
            sql, (message.first_frame, last, message.connection_id, message.id)
        )
        return bool(frames != payloads or first != message.first_frame)

    def piece(self, table: str, row_id: int, offset: int, size: int) -> bytes:
        """A part of `frame.payload` or `stored_message.data`, the rest unread; empty without one."""
        try:
            with self._database.blobopen(table, _BLOBS[table], row_id, readonly=True) as blob:
                blob.seek(min(offset, len(blob)))
                return blob.read(size)
        except sqlite3.OperationalError:
            return b""  # NULL, a text in place of a blob, or gone
        except sqlite3.DatabaseError as error:
            raise CaptureError(f"cannot read {self.path}: {error}") from None

    def pieces(self, table: str, column: str, row_id: int, size: int) -> Iterator[bytes]:
        """A large blob from its beginning to its end, this many bytes at a time.

        Raises:
            CaptureError: it cannot be read.
        """
        try:
            with self._database.blobopen(table, column, row_id, readonly=True) as blob:
                for _ in range(0, len(blob), size):
                    yield blob.read(size)
        except sqlite3.Error as error:
            raise CaptureError(f"cannot read {self.path}: {error}") from None

    def stored_length(self, table: str, row_id: int) -> int:
        """How many bytes of `frame.payload` or `stored_message.data` are in the capture."""
        rows = self.query(f"SELECT length({_BLOBS[table]}) FROM {table} WHERE id = ?", (row_id,))  # noqa: S608
        return (rows[0][0] or 0) if rows else 0

    def pings(self, connection_id: int | None = None, *, after: int = 0, limit: int = 1000) -> list[Ping]:
        """Pings whose frame has a larger id than `after`, with their pongs."""
        where = "" if connection_id is None else "connection_id = ? AND "
        sql = f"{_PING} WHERE {where}ping_frame > ? ORDER BY ping_frame LIMIT ?"
        key = () if connection_id is None else (connection_id,)
        return [Ping(*row) for row in self.page(sql, (*key, after, limit), after)]

    def opaque(
        self,
        connection_id: int | None = None,
        *,
        after: int = 0,
        limit: int = 1000,
        data_limit: int | None = None,
    ) -> list[Opaque]:
        """Bytes of which no frames could be made."""
        return [_opaque(row) for row in self._page(_OPAQUE, connection_id, after, limit, data_limit)]

    def events(self, connection_id: int | None = None, *, after: int = 0, limit: int = 1000) -> list[Event]:
        """Events with larger ids than `after`, of one connection or of all."""
        where = "" if connection_id is None else "connection_id = ? AND "
        key = () if connection_id is None else (connection_id,)
        rows = self.page(f"{_EVENT} WHERE {where}id > ? ORDER BY id LIMIT ?", (*key, after, limit), after)
        return [
            Event(at_id, time_ns, of, kind, json_object(detail) or {})
            for at_id, time_ns, of, kind, detail in rows
        ]

    def _page(
        self, select: str, connection_id: int | None, after: int, limit: int, blob_limit: int | None
    ) -> list[tuple[Any, ...]]:
        where = "" if connection_id is None else "connection_id = ? AND "
        key = () if connection_id is None else (connection_id,)
        sql = f"{select} WHERE {where}id > ? ORDER BY id LIMIT ?"
        return self.page(sql, (_bound(blob_limit), *key, after, limit), after)


def _bound(limit: int | None) -> int:
    return _WHOLE if limit is None else limit


def _bytes(value: Any) -> bytes:
    """A blob; a stranger's file may hold anything in its place."""
    if isinstance(value, bytes):
        return value
    return b"" if value is None else str(value).encode("utf-8", "surrogateescape")


def _printable(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _json(value: Any) -> Any:
    try:
        return json.loads(value)
    except (TypeError, ValueError, RecursionError):
        return None


def json_object(value: Any) -> dict[str, Any] | None:
    """The JSON object in a column; None without one."""
    decoded = _json(value)
    return decoded if isinstance(decoded, dict) else None


def _bool(value: Any) -> bool | None:
    return None if value is None else bool(value)


#: Of each column of a connection, the type that it has in a file of ours.
_CONNECTION_TYPES: Final = tuple(
    str if kind in (str, str | None) else int for kind in get_type_hints(Connection).values()
)


def _fitted(value: Any, kind: type) -> Any:
    """What a stranger's file has in the place of text or of a number."""
    if kind is str:
        return _printable(value) if isinstance(value, bytes) else str(value)
    return 0


def _connection(row: tuple[Any, ...]) -> Connection:
    connection = Connection._make(
        one if one is None or type(one) is kind else _fitted(one, kind)
        for one, kind in zip(row, _CONNECTION_TYPES, strict=True)
    )
    return connection._replace(
        js_was_clean=_bool(connection.js_was_clean),
        gaps=str(connection.gaps or "")[:1000],
        rule=None if connection.rule is None else str(connection.rule),
    )


def _handshake(row: tuple[Any, ...]) -> Handshake:
    handshake = Handshake(*row)
    problems = _json(handshake.problems)
    return handshake._replace(
        server_reused=_bool(handshake.server_reused),
        client_tls=json_object(handshake.client_tls),
        server_tls=json_object(handshake.server_tls),
        problems=problems if isinstance(problems, list) else [],
    )


#: What SQLite calls the types of values that are not integers; the same words as in `damage`.
_SQLITE_TYPES: Final = {str: "text", bytes: "blob", float: "real"}


def frame_row(row: tuple[Any, ...]) -> FrameRow:
    """A frame of its columns, its direction as 0 or 1, and whether its payload is NULL.

    What a stranger's file may hold in their place becomes empty.
    """
    frame_id, connection_id, side, first_ns, time_ns, sent_ns, header, wire_length, payload = row[:9]
    message_id, violation, fault_event_id, is_evicted = row[9:]
    try:
        is_sent = sent_ns >= time_ns and wire_length >= 0  # otherwise a fault held it back or dropped it
    except TypeError:
        whole = {"time_ns": time_ns, "sent_ns": sent_ns, "wire_length": wire_length}
        column, value = next((name, value) for name, value in whole.items() if not isinstance(value, int))
        found = _SQLITE_TYPES.get(type(value), "null")
        raise CaptureError(f"the capture is damaged: frame.{column} holds {found}, not integer") from None
    # A header has at least two bytes, except in a hostile file.
    header = _bytes(header) if len(_bytes(header)) >= 2 else b"\0\0"
    return FrameRow(
        frame_id,
        connection_id,
        _DIRECTIONS[bool(side)],
        first_ns,
        time_ns,
        sent_ns if is_sent else None,
        header,
        wire_length,
        _bytes(payload),
        message_id,
        violation,
        fault_event_id,
        bool(is_evicted),
    )


def _message(row: tuple[Any, ...]) -> Message:
    message = Message(*row)
    return message._replace(
        direction=_DIRECTIONS[row[2] == "s2c"],
        compressed=bool(message.compressed),
        data=None if message.data is None else _bytes(message.data),
        valid_text=_bool(message.valid_text),
    )


def _opaque(row: tuple[Any, ...]) -> Opaque:
    opaque = Opaque(*row)
    return opaque._replace(
        direction=_DIRECTIONS[bool(opaque.direction)],
        data=_bytes(opaque.data),
        is_evicted=bool(opaque.is_evicted),
    )


def _within_sqlite(parameters: Sequence[Any] | Mapping[str, Any]) -> Sequence[Any] | Mapping[str, Any]:
    """Parameters with integers of at most 64 bits, which compare as the larger ones do."""

    def bounded(value: Any) -> Any:
        return min(max(value, -(1 << 63)), (1 << 63) - 1) if isinstance(value, int) else value

    if isinstance(parameters, Mapping):
        return {name: bounded(value) for name, value in parameters.items()}
    return [bounded(value) for value in parameters]
