"""The rows that `--max-capture-size` deletes: how much room there is, and deleting and counting them.

`recorder.eviction` decides what goes and when. All of it belongs to the writer's own connection, between its
transactions or in one (`transaction`); a step is some thousand rows, so that each is short.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from wsinspect.capture.rows import to_json
from wsinspect.capture.schema import Database
from wsinspect.vocabulary.events import Evicted

#: Rows, bytes and connections of one step.
_STEP_ROWS: Final = 1000
_STEP_BYTES: Final = 4 * 1024 * 1024
_STEP_CONNECTIONS: Final = 100
_IS_OPEN: Final = "IN (SELECT connection_id FROM recorder_connection)"
#: Tables with rows of a connection, apart from its own.
_PARTS: Final = (
    *("handshake", "event", "stored_message", "ping", "opaque", "fault_event", "finding", "evicted"),
)
_NEWEST: Final = (
    "SELECT (SELECT next_frame - 1 FROM recorder_position), (SELECT coalesce(max(id), 0) FROM opaque), "
    "(SELECT coalesce(max(id), 0) FROM connection), (SELECT coalesce(max(id), 0) FROM event)"
)
_GENERATIONS: Final = (
    "SELECT id, frame, opaque, connection, event, size, stage FROM recorder_generation ORDER BY id"
)
_COUNT: Final = (
    "INSERT INTO evicted (connection_id, payloads, bytes, frames) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (connection_id) DO UPDATE SET payloads = payloads + excluded.payloads, "
    "bytes = bytes + excluded.bytes, frames = frames + excluded.frames"
)
_COMPRESSED: Final = (
    "SELECT id, connection_id, is_s2c FROM stored_message WHERE id > ? AND id <= ? AND compressed "  # noqa: S608
    f"AND length(data) > 0 AND connection_id {_IS_OPEN}"
)
_INFLATED: Final = (
    "SELECT id, length(data) FROM stored_message WHERE connection_id = ? AND is_s2c = ? "
    "AND compressed AND length(data) > 0 ORDER BY id DESC"
)
_OVER: Final = (
    "SELECT id FROM connection WHERE id <= ? AND id < (SELECT max(id) FROM connection) "  # noqa: S608
    f"AND NOT id {_IS_OPEN} "
    "AND NOT EXISTS (SELECT 1 FROM frame WHERE frame.connection_id = connection.id) "
    f"ORDER BY id LIMIT {_STEP_CONNECTIONS}"
)
_DROP_EVENTS: Final = (
    "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE connection_id IS NULL AND id <= ? "  # noqa: S608
    f"AND id IS NOT ? ORDER BY id LIMIT {_STEP_ROWS})"
)


class Column(NamedTuple):
    """A column that is evicted, and the number of its rows that a generation bounds."""

    table: str
    key: str
    blob: str
    bound: str


FRAME: Final = Column("frame", "id", "payload", "frame")
MESSAGE: Final = Column("stored_message", "id", "data", "frame")
PING: Final = Column("ping", "ping_frame", "NULL", "frame")
FAULT: Final = Column("fault_event", "frame_id", "NULL", "frame")
OPAQUE: Final = Column("opaque", "id", "data", "opaque")
BODY: Final = Column("handshake", "connection_id", "body", "connection")


class Newest(NamedTuple):
    """The largest id of each table at one moment, 0 where it is empty: where a generation ends."""

    frame: int
    opaque: int
    connection: int
    event: int


class Generation(NamedTuple):
    """A part of the capture: what was stored up to these ids and after those of the generation before it."""

    id: int
    frame: int
    opaque: int
    connection: int
    event: int
    size: int
    stage: int


class Freed(NamedTuple):
    """What was deleted: payloads, their bytes, and rows of frames."""

    payloads: int
    bytes: int
    frames: int


class EvictableRows:
    """The rows of one capture, for whoever keeps it within its size.

    Args:
        database: the writer's own connection.

    Attributes:
        page: bytes of a page of the file.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._names: dict[str, list[str]] = {}
        self.page = self._pragma("page_size")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing.

        Raises:
            sqlite3.OperationalError: nothing was changed.
        """
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    # -- the file

    @property
    def file_bytes(self) -> int:
        """Bytes of the file, free pages among them."""
        return self._pragma("page_count") * self.page

    @property
    def used_bytes(self) -> int:
        """Bytes of the pages that hold something."""
        return (self._pragma("page_count") - self._pragma("freelist_count")) * self.page

    @property
    def has_free_pages(self) -> bool:
        """Whether the file could be shorter."""
        return self._pragma("freelist_count") > 0

    def give_back(self, pages: int) -> None:
        """Cut this many free pages off the file; `copy_wal` makes it shorter."""
        self._database.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()

    def copy_wal(self) -> None:
        """Copy the WAL into the file as far as no reader needs it."""
        self._database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def restart_wal(self, patience_ms: int) -> bool:
        """Copy all of the WAL and begin it again; False where readers took longer than our patience."""
        (timeout,) = self._database.execute("PRAGMA busy_timeout").fetchone()
        self._database.execute(f"PRAGMA busy_timeout = {patience_ms}")
        try:
            (is_busy, _, _) = self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            self._database.execute(f"PRAGMA busy_timeout = {timeout}")
        return not is_busy

    def set_wal(self, copy_at: int, keep: int) -> None:
        """How many bytes of WAL are copied at once, and how many it keeps on the disk."""
        self._database.execute(f"PRAGMA wal_autocheckpoint = {max(1, copy_at // self.page)}")
        self._database.execute(f"PRAGMA journal_size_limit = {keep}")

    def _pragma(self, name: str) -> int:
        return int(self._database.execute(f"PRAGMA {name}").fetchone()[0])

    # -- generations

    def newest(self) -> Newest:
        """The largest ids by now."""
        return Newest(*self._database.execute(_NEWEST).fetchone())

    def generations(self) -> list[Generation]:
        """All generations, the oldest (of the lowest id) first."""
        return [Generation(*row) for row in self._database.execute(_GENERATIONS)]

    def add_generation(self, one: Generation) -> None:
        self._database.execute("INSERT INTO recorder_generation VALUES (?, ?, ?, ?, ?, ?, ?)", one)

    def set_stage(self, one: Generation) -> None:
        """Remember how far it was evicted."""
        sql = "UPDATE recorder_generation SET stage = ? WHERE id = ?"
        self._database.execute(sql, (one.stage, one.id))

    def drop_generation(self, one: Generation) -> None:
        """Nothing of it is left."""
        self._database.execute("DELETE FROM recorder_generation WHERE id = ?", (one.id,))

    # -- a step

    def reach(self, column: Column, first: int, bound: int) -> int:
        """The last key of a step that begins behind `first` and goes no further than `bound`."""
        sql = (
            f"SELECT {column.key}, length({column.blob}) FROM {column.table} "  # noqa: S608
            f"WHERE {column.key} > ? AND {column.key} <= ? ORDER BY {column.key} LIMIT {_STEP_ROWS}"
        )
        size = 0
        rows = self._database.execute(sql, (first, bound)).fetchall()
        for key, length in rows:
            size += length or 0
            if size >= _STEP_BYTES:
                return int(key)
        return int(rows[-1][0]) if len(rows) == _STEP_ROWS else bound

    def strip(
        self, column: Column, first: int, last: int, *, only_ended: bool, but: Collection[int] = ()
    ) -> Freed:
        """Forget the data of rows behind `first` up to `last`, and count it.

        Args:
            only_ended: only those of connections that have ended.
            but: keys of rows that keep theirs.
        """
        where = f"{column.key} > ? AND {column.key} <= ? AND length({column.blob}) > 0"
        if column is FRAME:
            # CLOSE payloads stay: they say how a connection ended, and are tiny.
            where += " AND bits >> 8 & 15 <> 8"
        if only_ended:
            where += f" AND NOT connection_id {_IS_OPEN}"
        where += _but(column, but)
        freed = self._count(column, where, (first, last))
        self._rewrite(column, where, (first, last))
        return freed

    def delete(self, column: Column, first: int, last: int, *, but: Collection[int] = ()) -> Freed:
        """Delete rows behind `first` up to `last`, and count those of frames and what data they still had.

        Args:
            but: keys of rows that stay; messages that are not complete do so, too.
        """
        where = f"{column.key} > ? AND {column.key} <= ?{_but(column, but)}"
        if column is MESSAGE:
            where += " AND last_frame IS NOT NULL"
        freed = self._count(column, where, (first, last), has_rows=column is FRAME)
        self._database.execute(f"DELETE FROM {column.table} WHERE {where}", (first, last))  # noqa: S608
        return freed

    def _rewrite(self, column: Column, where: str, key: tuple[int, int]) -> None:
        """Put rows without their data in place of those with it.

        SQLite does not join pages whose rows have become shorter, but does so when rows are deleted.
        """
        names = self._names.get(column.table)
        if names is None:
            # Generated columns cannot be inserted.
            info = self._database.execute(f"PRAGMA table_info({column.table})")
            names = self._names[column.table] = [row[1] for row in info]
        picked = ", ".join("NULL" if name == column.blob else name for name in names)
        rows = self._database.execute(f"SELECT {picked} FROM {column.table} WHERE {where}", key)  # noqa: S608
        kept = rows.fetchall()
        self._database.execute(f"DELETE FROM {column.table} WHERE {where}", key)  # noqa: S608
        marks = ", ".join("?" * len(names))
        sql = f"INSERT INTO {column.table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608
        self._database.executemany(sql, kept)

    def _count(self, column: Column, where: str, key: tuple[int, int], *, has_rows: bool = False) -> Freed:
        sql = (
            f"SELECT connection_id, coalesce(sum(length({column.blob}) > 0), 0), "  # noqa: S608
            f"coalesce(sum(length({column.blob})), 0), count(*) FROM {column.table} WHERE {where} "
            "GROUP BY connection_id"
        )
        counts = [
            (connection, payloads, size, rows if has_rows else 0)
            for connection, payloads, size, rows in self._database.execute(sql, key)
            if payloads or has_rows
        ]
        self._database.executemany(_COUNT, counts)
        return Freed(*(sum(row[place] for row in counts) for place in (1, 2, 3)))

    # -- what must stay

    def compressed_of_open(self, first: int, last: int) -> Sequence[tuple[int, int, int]]:
        """Compressed messages among these whose connection is open: id, connection, direction."""
        return self._database.execute(_COMPRESSED, (first, last)).fetchall()

    def inflated_backwards(self, connection_id: int, side: int) -> Iterator[tuple[int, int]]:
        """Id and inflated bytes of a direction's compressed messages, the newest first."""
        return self._database.execute(_INFLATED, (connection_id, side))

    # -- connections and events

    def drop_connections(self, upto: int) -> int:
        """Delete the oldest connections that have ended and have no frames left; how many."""
        ids = [row[0] for row in self._database.execute(_OVER, (upto,))]
        if ids:
            among = f"IN ({', '.join(map(str, ids))})"
            for table in _PARTS:
                self._database.execute(f"DELETE FROM {table} WHERE connection_id {among}")  # noqa: S608
            self._database.execute(f"DELETE FROM connection WHERE id {among}")  # noqa: S608
        return len(ids)

    def drop_events(self, upto: int, but: int | None) -> int:
        """Delete the oldest events of the engine itself but for one; how many."""
        return max(0, self._database.execute(_DROP_EVENTS, (upto, but)).rowcount)

    def store_event(self, event_id: int | None, time_ns: int, event: Evicted) -> int:
        """Insert the event that says what was evicted (`event_id` None), or bring it up to date; its id."""
        detail = to_json(event.stored_detail())
        if event_id is not None:
            self._database.execute("UPDATE event SET detail = ? WHERE id = ?", (detail, event_id))
            return event_id
        sql = "INSERT INTO event (time_ns, kind, detail) VALUES (?, ?, ?)"
        return int(self._database.execute(sql, (time_ns, event.KIND, detail)).lastrowid or 0)


def _but(column: Column, keys: Collection[int]) -> str:
    return f" AND NOT {column.key} IN ({', '.join(map(str, keys))})" if keys else ""
