"""A new capture out of something else than traffic: rows of an export, frames of another format, captures.

It is made in one go and by one process: nothing of it remains where that fails, and a single file where it
does not.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wsinspect.capture import schema
from wsinspect.capture.schema import Database
from wsinspect.errors import LocalError


@contextmanager
def new_capture(path: Path) -> Iterator[None]:
    """Make the file, and leave it as a capture is after a clean end; remove it where something goes wrong.

    Raises:
        CaptureError: the file exists.
        LocalError: it cannot be written.
    """
    schema.create(path)
    try:
        yield
        with writing(path) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            database.execute("PRAGMA journal_mode = DELETE")
    except BaseException:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        raise


@contextmanager
def writing(path: Path, *, is_bulk: bool = False) -> Iterator[Database]:
    """A capture to write to.

    Args:
        is_bulk: for speed, do not wait for the disk.

    Raises:
        LocalError: SQLite cannot write, also in the block.
    """
    database = schema.open_for_writing(path)
    try:
        if is_bulk:
            schema.set_bulk(database, True)
        yield database
    except sqlite3.Error as error:
        raise LocalError(f"cannot write {path}: {error}") from None
    finally:
        database.close()


class RowsRefusedError(ValueError):
    """What SQLite says of rows, or of a part of a blob, that it does not take."""


class RowLoader:
    """Takes rows of whole tables as they were exported, in batches.

    Args:
        database: of a new capture (`writing`).
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def declared(self, table: str) -> dict[str, tuple[str, bool]]:
        """Of each stored column its type (`INTEGER`, `TEXT`, `BLOB`), and whether it may not be missing."""
        rows = self._database.execute(f"PRAGMA table_info({table})")
        return {name: (kind, bool(not_null) or bool(is_key)) for _, name, kind, not_null, _, is_key in rows}

    def insert(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, sized: Sequence[str] = ()
    ) -> None:
        """Insert rows in one transaction.

        Args:
            sized: columns with a number of bytes in each row, in the place of a blob that parts will fill.

        Raises:
            RowsRefusedError: of one of them, and none is inserted.
        """
        marks = ", ".join("zeroblob(?)" if name in sized else "?" for name in columns)
        sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._database.executemany(sql, rows)
            self._database.execute("COMMIT")
        except (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.DataError, OverflowError) as error:
            self._database.execute("ROLLBACK")
            raise RowsRefusedError(str(error)) from None

    def write_part(self, table: str, column: str, row_id: int, offset: int, data: bytes) -> None:
        """Fill a part of a blob.

        Raises:
            RowsRefusedError: there is no such blob, or it is shorter.
        """
        try:
            with self._database.blobopen(table, column, row_id) as blob:
                blob.seek(offset)
                blob.write(data)
        except (sqlite3.Error, ValueError, OverflowError) as error:
            raise RowsRefusedError(str(error)) from None

    def count(self, connections: Collection[int]) -> None:
        """Have these connections say how many frames and bytes they have, from their frames."""
        counted = self._database.execute(
            "SELECT connection_id, is_s2c, count(*), sum(wire_length) FROM frame"
            " GROUP BY connection_id, is_s2c"
        ).fetchall()
        self._database.execute("BEGIN IMMEDIATE")
        for side, prefix in enumerate(("c2s", "s2c")):
            self._database.executemany(
                f"UPDATE connection SET {prefix}_frames = ?, {prefix}_bytes = ? WHERE id = ?",  # noqa: S608
                (
                    (frames, size, number)
                    for number, of, frames, size in counted
                    if of == side and number in connections
                ),
            )
        self._database.execute("COMMIT")

    def finish(self) -> None:
        """All rows are there: a recorder that appends continues behind the last frame."""
        place_after_frames(self._database)


def place_after_frames(database: Database) -> None:
    """Let the recorder's next frame get the id behind the largest one."""
    database.execute("UPDATE recorder_position SET next_frame = (SELECT coalesce(max(id), 0) + 1 FROM frame)")
