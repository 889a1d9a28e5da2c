"""Keeping a capture within `--max-capture-size`: the oldest data goes first, and that is recorded.

What is stored is counted off in generations, each a 64th of the file's share. The newest ones, a quarter of
the share, are not touched; of the others go, one stage after the other and oldest first in each:

1. payloads, inflated messages, opaque data and bodies of connections that have ended;
2. those of connections that are still open;
3. rows of frames, messages, pings, what faults did to them, and opaque data;
4. connections that have ended and have no frames left, with their handshakes and events.

Should all of that not be enough, the quarter shrinks. Evicted data is NULL; the table `evicted` counts it for
each connection, and an `event` of kind `evicted` for each 16th of the share, in the transaction that evicts.

Contract: each step is a short transaction (some milliseconds), so that rows go on being committed meanwhile,
readers are never kept out, and a process killed in the middle leaves a capture that says what it lacks. What
a restarted recorder needs of an open connection (the last 32 KiB that a compressed stream inflated to) stays.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from wsinspect.capture.rows import to_json
from wsinspect.journal.budget import Budget
from wsinspect.wire.deflate import WINDOW

#: Parts of the file's share: a generation, what is left alone, and what is freed in one go (one event).
_GENERATION: Final = 64
_PROTECTED: Final = 4
_ROUND: Final = 16
#: Rows and bytes of one step.
_STEP_ROWS: Final = 1000
_STEP_BYTES: Final = 4 * 1024 * 1024
_STEP_CONNECTIONS: Final = 100
_VACUUM_PAGES: Final = 128
#: How long evicting may keep the recorder from its next commit, and how long if the file is full.
_PATIENCE_SECONDS: Final = 0.04
_FULL_SECONDS: Final = 0.2
#: How long beginning the WAL anew may wait for readers, whose transactions are short. For those of others,
#: which are not, the pause until the next try doubles.
_READERS_MS: Final = 400
_LEAST_PAUSE_SECONDS: Final = 0.1
_MOST_PAUSE_SECONDS: Final = 5.0
#: Streams whose last 32 KiB are remembered.
_MAX_WINDOWS: Final = 10_000

#: What is evicted next of a generation.
ENDED, OPEN, ROWS = range(3)


class Column(NamedTuple):
    """A column that is evicted, and the number of its rows that a generation bounds."""

    table: str
    key: str
    blob: str
    bound: str


_FRAME: Final = Column("frame", "id", "payload", "frame")
_MESSAGE: Final = Column("stored_message", "id", "data", "frame")
_PING: Final = Column("ping", "ping_frame", "NULL", "frame")
_FAULT: Final = Column("fault_event", "frame_id", "NULL", "frame")
_OPAQUE: Final = Column("opaque", "id", "data", "opaque")
_BODY: Final = Column("handshake", "connection_id", "body", "connection")
_NEWEST: Final = (
    "SELECT (SELECT next_frame - 1 FROM recorder_position), (SELECT coalesce(max(id), 0) FROM opaque), "
    "(SELECT coalesce(max(id), 0) FROM connection), (SELECT coalesce(max(id), 0) FROM event)"
)
_COLUMNS: Final = {
    ENDED: (_FRAME, _MESSAGE, _OPAQUE, _BODY),
    OPEN: (_FRAME, _MESSAGE, _OPAQUE, _BODY),
    ROWS: (_FRAME, _MESSAGE, _PING, _FAULT, _OPAQUE),
}
_COUNT: Final = (
    "INSERT INTO evicted (connection_id, payloads, bytes, frames) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (connection_id) DO UPDATE SET payloads = payloads + excluded.payloads, "
    "bytes = bytes + excluded.bytes, frames = frames + excluded.frames"
)
_IS_OPEN: Final = "IN (SELECT connection_id FROM recorder_connection)"
#: Tables with rows of a connection, besides its own.
_PARTS: Final = (
    "handshake",
    "event",
    "stored_message",
    "ping",
    "opaque",
    "fault_event",
    "finding",
    "evicted",
)


class Generation(NamedTuple):
    """A part of the capture: what was stored up to these ids and after those of the generation before it."""

    id: int
    frame: int
    opaque: int
    connection: int
    event: int
    size: int
    stage: int


class Account:
    """What was evicted, for its `event`; a new one is begun when it has grown large."""

    def __init__(self, limit: int, at_ns: int) -> None:
        self.limit = limit
        self.at_ns = at_ns
        self.freed = 0
        self.event: int | None = None
        self.payloads = self.bytes = self.frames = self.connections = self.events = 0

    def store(self, database: sqlite3.Connection) -> None:
        """Insert or update the event; part of the transaction that evicts."""
        names = ("payloads", "bytes", "frames", "connections", "events")
        detail = {"limit": self.limit, **{name: getattr(self, name) for name in names if getattr(self, name)}}
        if len(detail) == 1:
            return
        if self.event is None:
            row = (self.at_ns, to_json(detail))
            sql = "INSERT INTO event (time_ns, kind, detail) VALUES (?, 'evicted', ?)"
            self.event = database.execute(sql, row).lastrowid
        else:
            database.execute("UPDATE event SET detail = ? WHERE id = ?", (to_json(detail), self.event))


class Evictor:
    """Keeps one capture within its size; used between the transactions of whoever writes it.

    Args:
        database: The writer's own connection.
        path: The capture, to see its WAL.

    """

    def __init__(self, database: sqlite3.Connection, path: Path) -> None:
        self._database = database
        self._wal = Path(f"{path}-wal")
        self._next_restart = 0.0
        self._pause = _LEAST_PAUSE_SECONDS
        self._page = self._pragma("page_size")
        self._budget: Budget | None = None
        self._grown = 0
        self._used = self._used_bytes()
        self._is_evicting = False
        self._account: Account | None = None
        self._windows: dict[tuple[int, int], int] = {}
        self._names: dict[str, list[str]] = {}
        self._load()

    @property
    def has_evicted(self) -> bool:
        """Whether anything had to go since this object was made."""
        return self._account is not None

    @property
    def has_more(self) -> bool:
        """Whether `keep` should be called again soon, even if nothing is added."""
        return self._budget is not None and (self._is_evicting or self._is_file_large(self._budget))

    def keep(self, limit: int | None, at_ns: int) -> None:
        """Evict what is too much, for as long as that does not delay the next commit.

        Args:
            limit: `--max-capture-size`; None for none.
            at_ns: The capture's time by now.

        Raises:
            sqlite3.OperationalError: The capture cannot be written now.
        """
        if limit is None:
            return
        if self._budget is None or self._budget.limit != limit:
            budget = Budget.of(limit)
            self._set_wal(budget)
            if not self._generations:
                self._adopt(budget)
            self._budget = budget
        budget = self._budget
        self._note_growth(budget)
        self._bound_wal(budget)
        most = budget.database - budget.reserve - self._wal_excess(budget)
        if self._is_evicting or self._used > most:
            self._is_evicting = self._evict(budget, most, at_ns)
        if self._is_file_large(budget):
            self._database.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
            if not self._is_file_large(budget):
                # The file itself is cut when the WAL is copied into it.
                self._database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _evict(self, budget: Budget, most: int, at_ns: int) -> bool:
        """Free so much that there is room for a while; true if that has to go on later.

        Whole rows go only as far as they must: what remains of a frame without its payload is small.
        """
        started = time.monotonic()
        while self._used > most - budget.database // _ROUND:
            if self._account is None or self._account.freed > budget.database // _ROUND:
                self._account = Account(budget.limit, at_ns)
            patience = _FULL_SECONDS if self._used > budget.database else _PATIENCE_SECONDS
            if time.monotonic() - started > patience:
                return True
            if not self._step(budget, self._account, may_drop=self._used > most):
                return False
            self._bound_wal(budget)
            used, self._used = self._used, self._used_bytes()
            self._account.freed += max(0, used - self._used)
        return False

    # -- measuring

    def _pragma(self, name: str) -> int:
        return int(self._database.execute(f"PRAGMA {name}").fetchone()[0])

    def _used_bytes(self) -> int:
        return (self._pragma("page_count") - self._pragma("freelist_count")) * self._page

    def _is_file_large(self, budget: Budget) -> bool:
        """Whether there are free pages at the cost of a file beyond its share (it was larger once)."""
        return (
            self._pragma("page_count") * self._page > budget.database and self._pragma("freelist_count") > 0
        )

    def _wal_excess(self, budget: Budget) -> int:
        """What a WAL that a reader keeps from being copied takes beyond its share."""
        return max(0, self._wal_bytes() - budget.wal)

    def _wal_bytes(self) -> int:
        try:
            return self._wal.stat().st_size
        except FileNotFoundError:
            return 0

    def _bound_wal(self, budget: Budget) -> None:
        """Begin the WAL anew when it has used up its share.

        SQLite does so by itself when nobody reads; between readers that come one after the other there is no
        such moment, so here they are waited for, each of which is short.
        """
        if self._wal_bytes() <= budget.wal - budget.commit or time.monotonic() < self._next_restart:
            return
        (timeout,) = self._database.execute("PRAGMA busy_timeout").fetchone()
        self._database.execute(f"PRAGMA busy_timeout = {_READERS_MS}")
        try:
            (is_busy, _, _) = self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            self._database.execute(f"PRAGMA busy_timeout = {timeout}")
        self._next_restart = time.monotonic() + self._pause if is_busy else 0.0
        self._pause = min(_MOST_PAUSE_SECONDS, self._pause * 2) if is_busy else _LEAST_PAUSE_SECONDS

    def _set_wal(self, budget: Budget) -> None:
        pages = max(1, budget.wal // 4 // self._page)
        self._database.execute(f"PRAGMA wal_autocheckpoint = {pages}")
        self._database.execute(f"PRAGMA journal_size_limit = {budget.wal // 2}")

    def _note_growth(self, budget: Budget) -> None:
        """Begin another generation when enough was stored since the last one."""
        used = self._used_bytes()
        self._grown += max(0, used - self._used)
        self._used = used
        if self._grown >= budget.database // _GENERATION:
            self._begin_generation(self._database.execute(_NEWEST).fetchone(), self._grown)
            self._grown = 0

    def _begin_generation(self, newest: Sequence[int], size: int) -> None:
        frame, opaque, connection, event = newest
        number = self._generations[-1].id + 1 if self._generations else 1
        generation = Generation(number, frame, opaque, connection, event, size, ENDED)
        self._database.execute("INSERT INTO recorder_generation VALUES (?, ?, ?, ?, ?, ?, ?)", generation)
        self._generations.append(generation)

    def _adopt(self, budget: Budget) -> None:
        """Divide what was recorded when there was no limit, as well as one can: by its ids."""
        newest = self._database.execute(_NEWEST).fetchone()
        count = self._used * _GENERATION // budget.database
        self._database.execute("BEGIN IMMEDIATE")
        for part in range(1, count + 1):
            self._begin_generation([each * part // count for each in newest], self._used // count)
        self._database.execute("COMMIT")

    # -- one step

    def _load(self) -> None:
        sql = "SELECT id, frame, opaque, connection, event, size, stage FROM recorder_generation ORDER BY id"
        self._generations = [Generation(*row) for row in self._database.execute(sql)]
        self._cursors: dict[tuple[int, int, str], int] = {}

    def _step(self, budget: Budget, account: Account, *, may_drop: bool) -> bool:
        """Evict a little in one transaction; false when there is nothing that may go."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            has_evicted = self._do_step(budget, account, may_drop)
            account.store(self._database)
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            # What was counted and passed is not in the file: begin anew from there.
            self._account = None
            self._load()
            raise
        return has_evicted

    def _do_step(self, budget: Budget, account: Account, may_drop: bool) -> bool:
        protected = budget.database // _PROTECTED
        while True:
            old = self._generations[: self._count_old(protected)]
            for stage in (ENDED, OPEN, ROWS) if may_drop else (ENDED, OPEN):
                for index, generation in enumerate(old):
                    if generation.stage <= stage:
                        self._take_some(index, stage, account)
                        return True
            if not may_drop:
                return False
            if self._generations:
                oldest = self._generations[0]
                if self._drop_connections(oldest, account) or self._drop_events(oldest, account):
                    return True
            if not protected:
                return False
            protected = protected // 2 if protected > budget.commit else 0

    def _count_old(self, protected: int) -> int:
        """How many generations come before the newest ones, which hold so many bytes."""
        for index in range(len(self._generations), 0, -1):
            if protected <= 0:
                return index
            protected -= self._generations[index - 1].size
        return 0

    def _take_some(self, index: int, stage: int, account: Account) -> None:
        """Evict a little of a generation; when nothing is left for the stage, it is ready for the next."""
        generation = self._generations[index]
        for column in _COLUMNS[stage]:
            place = (generation.id, stage, column.table)
            begin = getattr(self._generations[index - 1], column.bound) if index else 0
            first, bound = max(begin, self._cursors.get(place, 0)), getattr(generation, column.bound)
            if first < bound:
                last = self._reach(column, first, bound)
                (self._delete if stage == ROWS else self._strip)(column, first, last, stage, account)
                self._cursors[place] = last
                return
            self._cursors.pop(place, None)
        if stage == ROWS:
            self._database.execute("DELETE FROM recorder_generation WHERE id = ?", (generation.id,))
            del self._generations[index]
        else:
            generation = generation._replace(stage=stage + 1)
            row = (generation.stage, generation.id)
            self._database.execute("UPDATE recorder_generation SET stage = ? WHERE id = ?", row)
            self._generations[index] = generation

    def _reach(self, column: Column, first: int, bound: int) -> int:
        """The last key of a step that begins behind `first`."""
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

    def _strip(self, column: Column, first: int, last: int, stage: int, account: Account) -> None:
        """Forget the data of some rows, and count it."""
        where = f"{column.key} > ? AND {column.key} <= ? AND length({column.blob}) > 0"
        if column is _FRAME:
            # A close code says how a connection ended, and costs next to nothing.
            where += " AND bits >> 8 & 15 <> 8"
        if stage == ENDED:
            where += f" AND NOT connection_id {_IS_OPEN}"
        elif column is _MESSAGE:
            where += f" AND NOT id IN ({self._needed(first, last)})"
        self._count(column, where, (first, last), account)
        self._rewrite(column, where, (first, last))

    def _rewrite(self, column: Column, where: str, key: tuple[int, int]) -> None:
        """Put rows without their data in place of those with it.

        SQLite does not join pages whose rows have become shorter, but does so when rows are deleted.
        """
        names = self._names.get(column.table)
        if names is None:
            # Generated columns are not among them.
            info = self._database.execute(f"PRAGMA table_info({column.table})")
            names = self._names[column.table] = [row[1] for row in info]
        picked = ", ".join("NULL" if name == column.blob else name for name in names)
        rows = self._database.execute(f"SELECT {picked} FROM {column.table} WHERE {where}", key)  # noqa: S608
        kept = rows.fetchall()
        self._database.execute(f"DELETE FROM {column.table} WHERE {where}", key)  # noqa: S608
        marks = ", ".join("?" * len(names))
        sql = f"INSERT INTO {column.table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608
        self._database.executemany(sql, kept)

    def _delete(self, column: Column, first: int, last: int, stage: int, account: Account) -> None:
        """Delete some rows, and count those of frames and what data they still had."""
        where = f"{column.key} > ? AND {column.key} <= ?"
        if column is _MESSAGE:
            where += f" AND last_frame IS NOT NULL AND NOT id IN ({self._needed(first, last)})"
        self._count(column, where, (first, last), account, has_rows=column is _FRAME)
        self._database.execute(f"DELETE FROM {column.table} WHERE {where}", (first, last))  # noqa: S608

    def _count(
        self, column: Column, where: str, key: tuple[int, int], account: Account, *, has_rows: bool = False
    ) -> None:
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
        for _, payloads, size, rows in counts:
            account.payloads += payloads
            account.bytes += size
            account.frames += rows

    # -- what must stay

    def _needed(self, first: int, last: int) -> str:
        """Messages among these that a restarted recorder would need, as an SQL list."""
        sql = (
            "SELECT id, connection_id, is_s2c FROM stored_message WHERE id > ? AND id <= ? AND compressed "  # noqa: S608
            f"AND length(data) > 0 AND connection_id {_IS_OPEN}"
        )
        needed = []
        for message, *stream in self._database.execute(sql, (first, last)).fetchall():
            key = (stream[0], stream[1])
            if message >= self._windows.get(key, 0) and message >= self._window_begin(key):
                needed.append(message)
        return ", ".join(map(str, needed))

    def _window_begin(self, stream: tuple[int, int]) -> int:
        """The first message of the last 32 KiB that a stream inflated to (`restore` reads them)."""
        sql = (
            "SELECT id, length(data) FROM stored_message WHERE connection_id = ? AND is_s2c = ? "
            "AND compressed AND length(data) > 0 ORDER BY id DESC"
        )
        begin = size = 0
        for message, length in self._database.execute(sql, stream):
            begin = message
            size += length
            if size >= WINDOW:
                break
        if len(self._windows) >= _MAX_WINDOWS:
            self._windows.clear()
        # It only ever moves on, so what is before it may go without another look.
        self._windows[stream] = begin
        return begin

    # -- connections

    def _drop_connections(self, bound: Generation, account: Account) -> bool:
        """Delete the oldest connections that have ended and have no frames left."""
        sql = (
            "SELECT id FROM connection WHERE id <= ? AND id < (SELECT max(id) FROM connection) "  # noqa: S608
            f"AND NOT id {_IS_OPEN} "
            "AND NOT EXISTS (SELECT 1 FROM frame WHERE frame.connection_id = connection.id) "
            f"ORDER BY id LIMIT {_STEP_CONNECTIONS}"
        )
        ids = [row[0] for row in self._database.execute(sql, (bound.connection,))]
        if not ids:
            return False
        among = f"IN ({', '.join(map(str, ids))})"
        for table in _PARTS:
            self._database.execute(f"DELETE FROM {table} WHERE connection_id {among}")  # noqa: S608
        self._database.execute(f"DELETE FROM connection WHERE id {among}")  # noqa: S608
        account.connections += len(ids)
        return True

    def _drop_events(self, bound: Generation, account: Account) -> bool:
        """Delete the oldest events of the engine itself, earlier rounds of evictions among them."""
        sql = (
            "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE connection_id IS NULL AND id <= ? "  # noqa: S608
            f"AND id IS NOT ? ORDER BY id LIMIT {_STEP_ROWS})"
        )
        dropped = self._database.execute(sql, (bound.event, account.event)).rowcount
        account.events += max(0, dropped)
        return dropped > 0
