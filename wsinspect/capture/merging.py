"""Several captures copied into one, on one time axis.

New ids are given in time order; each capture keeps its own order. All references follow.
Connections get the ids of the first capture, then those of the second and so on; each run of each capture
keeps its `meta`. The work is done by SQLite, in temporary files where memory does not do.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from wsinspect.capture import schema
from wsinspect.capture.making import place_after_frames
from wsinspect.capture.rows import CONNECTION_COLUMNS, HANDSHAKE_COLUMNS, to_json
from wsinspect.capture.schema import Database
from wsinspect.errors import CaptureError, LocalError
from wsinspect.units import whole_number

_LARGEST: Final = 1 << 60
_TIMES: Final = ("attempt_ns", "open_ns", "closed_ns")


class Source(NamedTuple):
    """A capture to merge; its clock is moved by `shift_ns`."""

    path: Path
    shift_ns: int = 0


class Merged(NamedTuple):
    """How much went into the new capture."""

    connections: int
    frames: int


def merge_into(target: Path, sources: Sequence[Source]) -> Merged:
    """Fill a new, empty capture with several others.

    Raises:
        CaptureError: one of the sources is damaged.
        LocalError: `target` cannot be written.
    """
    try:
        with closing(schema.open_for_writing(target)) as database:
            return _Merge(database, sources).run()
    except sqlite3.OperationalError as error:
        raise LocalError(f"cannot write {target}: {error}") from None
    except sqlite3.Error as error:
        raise CaptureError(f"one of the captures is damaged: {error}") from None


class _Merge:
    def __init__(self, database: Database, sources: Sequence[Source]) -> None:
        self._database = database
        self._sources = sources
        self._connections = 0
        self._sessions = 0
        self._runs = 0

    def run(self) -> Merged:
        execute = self._database.execute
        execute("PRAGMA temp_store = FILE")
        execute("PRAGMA synchronous = OFF")
        self._map("frame", "id")
        self._map("event", "id")
        self._map("fault_event", "id")
        for number, source in enumerate(self._sources):
            with self._attached(source.path):
                self._copy(number, source)
        place_after_frames(self._database)
        (connections,) = execute("SELECT count(*) FROM connection").fetchone()
        (frames,) = execute("SELECT count(*) FROM frame").fetchone()
        return Merged(connections, frames)

    @contextmanager
    def _attached(self, path: Path) -> Iterator[None]:
        try:
            self._database.execute("ATTACH ? AS source", (f"file:{quote(str(path.absolute()))}?mode=ro",))
        except sqlite3.OperationalError as error:  # as when its header says that its text is UTF-16
            raise CaptureError(f"{path.name} is damaged: {error}") from None
        try:
            yield
        finally:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            self._database.execute("DETACH source")

    def _map(self, table: str, key: str) -> None:
        """New ids in the order of time. A row is never before one that its own capture has before it."""
        execute = self._database.execute
        execute("CREATE TEMP TABLE stage (source INTEGER, old INTEGER, order_ns INTEGER)")
        for number, source in enumerate(self._sources):
            with self._attached(source.path):
                execute(
                    f"INSERT INTO stage SELECT ?, {key}, max(time_ns + ?) OVER (ORDER BY {key}) "  # noqa: S608
                    f"FROM source.{table}",
                    (number, source.shift_ns),
                )
        execute(
            f"CREATE TEMP TABLE {table}_map (source INTEGER, old INTEGER, new INTEGER, "
            "PRIMARY KEY (source, old)) WITHOUT ROWID"
        )
        execute(
            f"INSERT INTO {table}_map SELECT source, old, row_number() OVER (ORDER BY order_ns, source, old) "  # noqa: S608
            "FROM stage ORDER BY source, old"
        )
        execute("DROP TABLE stage")

    def _copy(self, number: int, source: Source) -> None:
        execute = self._database.execute
        # The capture's name keeps connections of unnamed taps apart.
        values = {
            "source": number,
            "shift": source.shift_ns,
            "connections": self._connections,
            "sessions": self._sessions,
            "tap": source.path.stem,
        }
        execute("BEGIN IMMEDIATE")
        self._copy_meta(source)
        for sql in _COPIES:
            needed = {name: value for name, value in values.items() if f":{name}" in sql}
            execute(sql, needed)
        execute("COMMIT")
        self._connections = _largest(self._database, "id")
        self._sessions = _largest(self._database, "client_session")

    def _copy_meta(self, source: Source) -> None:
        rows = self._database.execute("SELECT run, key, value FROM source.meta ORDER BY run").fetchall()
        first = self._runs
        for run in sorted({row[0] for row in rows}) or [1]:
            self._runs += 1
            found = {key: value for number, key, value in rows if number == run}
            merged = {"from": source.path.name, "run": run, "shift_ns": source.shift_ns}
            found["merged"] = to_json(merged)
            if source.shift_ns:
                for key in ("started_ns", "stopped_ns", "anchor_wall_ns"):
                    time_ns = whole_number(str(found.get(key, "")), 19)
                    if time_ns is not None:
                        found[key] = str(time_ns + source.shift_ns)
            self._database.executemany(
                "INSERT INTO meta (run, key, value) VALUES (?, ?, ?)",
                [(self._runs, key, value) for key, value in found.items()],
            )
        assert self._runs > first


def _largest(database: Database, column: str) -> int:
    (value,) = database.execute(f"SELECT coalesce(max({column}), 0) FROM connection").fetchone()  # noqa: S608
    if not isinstance(value, int) or not 0 <= value < _LARGEST:
        raise CaptureError(f"one of the captures is damaged: connection.{column} is {value!r}")
    return value


def _columns(names: Sequence[str], changed: dict[str, str]) -> str:
    return ", ".join(changed.get(name, name) for name in names)


def _new(table: str, column: str) -> str:
    """What a reference becomes."""
    return f"(SELECT new FROM {table}_map WHERE source = :source AND old = {column})"  # noqa: S608


_CONNECTION: Final = "connection_id + :connections"
_FRAME_COLUMNS: Final = (
    *(
        "id",
        "connection_id",
        "is_s2c",
        "bits",
        "time_ns",
        "span_ns",
        "sent_after_ns",
        "header",
        "wire_length",
    ),
    *("payload", "message_id", "violation", "fault_event_id"),
)
_MESSAGE_COLUMNS: Final = (
    *("id", "connection_id", "is_s2c", "opcode", "first_frame", "last_frame", "compressed", "length", "data"),
    *("valid_text", "problem"),
)
_HANDSHAKE_TIMES: Final = tuple(name for name in HANDSHAKE_COLUMNS if name.endswith("_ns"))


def _copy_sql(table: str, names: Sequence[str], changed: dict[str, str]) -> str:
    return (
        f"INSERT INTO main.{table} ({', '.join(names)}) SELECT {_columns(names, changed)} "  # noqa: S608
        f"FROM source.{table} ORDER BY {names[0]}"
    )


_COPIES: Final = (
    _copy_sql(
        "connection",
        CONNECTION_COLUMNS,
        {
            "id": "id + :connections",
            "tap": "coalesce(tap, :tap)",
            "client_session": "client_session + :sessions",
            **{name: f"{name} + :shift" for name in _TIMES},
        },
    ),
    _copy_sql(
        "handshake",
        HANDSHAKE_COLUMNS,
        {"connection_id": _CONNECTION, **{name: f"{name} + :shift" for name in _HANDSHAKE_TIMES}},
    ),
    _copy_sql(
        "frame",
        _FRAME_COLUMNS,
        {
            "id": _new("frame", "frame.id"),
            "connection_id": _CONNECTION,
            "time_ns": "time_ns + :shift",
            "message_id": _new("frame", "message_id"),
            "fault_event_id": _new("fault_event", "fault_event_id"),
        },
    ),
    _copy_sql(
        "stored_message",
        _MESSAGE_COLUMNS,
        {
            "id": _new("frame", "stored_message.id"),
            "connection_id": _CONNECTION,
            "first_frame": _new("frame", "first_frame"),
            "last_frame": _new("frame", "last_frame"),
        },
    ),
    _copy_sql(
        "ping",
        ("ping_frame", "connection_id", "leg", "pong_frame", "rtt_ns"),
        {
            "ping_frame": _new("frame", "ping_frame"),
            "connection_id": _CONNECTION,
            "pong_frame": _new("frame", "pong_frame"),
        },
    ),
    _copy_sql(
        "opaque",
        ("id", "connection_id", "is_s2c", "time_ns", "after_frame", "length", "data", "reason"),
        {
            "id": "NULL",
            "connection_id": _CONNECTION,
            "time_ns": "time_ns + :shift",
            "after_frame": _new("frame", "after_frame"),
        },
    ),
    _copy_sql(
        "event",
        ("id", "time_ns", "connection_id", "kind", "detail"),
        {"id": _new("event", "event.id"), "time_ns": "time_ns + :shift", "connection_id": _CONNECTION},
    ),
    _copy_sql(
        "fault_event",
        ("id", "time_ns", "connection_id", "frame_id", "rule", "kind", "seed", "detail"),
        {
            "id": _new("fault_event", "fault_event.id"),
            "time_ns": "time_ns + :shift",
            "connection_id": _CONNECTION,
            "frame_id": _new("frame", "frame_id"),
        },
    ),
    _copy_sql("evicted", ("connection_id", "payloads", "bytes", "frames"), {"connection_id": _CONNECTION}),
    _copy_sql(
        "finding",
        ("id", "rule", "severity", "connection_id", "frame_id", "detail"),
        {"id": "NULL", "connection_id": _CONNECTION, "frame_id": _new("frame", "frame_id")},
    ),
)
