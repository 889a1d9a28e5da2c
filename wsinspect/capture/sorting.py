"""Frames and connections that come in any order, and are wanted in that of time: a temporary file sorts them.

It is not a capture: whoever imports another format fills one of these and plays it, in order, into a
recorder. Times are epoch nanoseconds.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from wsinspect.errors import LocalError

_TABLES: Final = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE item (
    seq INTEGER PRIMARY KEY, connection INTEGER, order_ns INTEGER, time_ns INTEGER, side INTEGER,
    first INTEGER, data BLOB
);
CREATE TABLE connection (number INTEGER PRIMARY KEY, attempt_ns INTEGER, facts TEXT);
CREATE TABLE request (seq INTEGER PRIMARY KEY, answered_ns INTEGER, began_ns INTEGER, who TEXT, facts TEXT);
"""
_ADD_FRAMES: Final = (
    "INSERT INTO item (connection, order_ns, time_ns, side, first, data) VALUES (?, ?, ?, ?, ?, ?)"
)
_ADD_REQUESTS: Final = "INSERT INTO request (answered_ns, began_ns, who, facts) VALUES (?, ?, ?, ?)"
_REBASE: Final = (
    "UPDATE item SET order_ns = order_ns / ?1 + ?2, time_ns = time_ns / ?1 + ?2 WHERE connection = ?3"
)
_COLUMNS: Final = "connection, time_ns, side, first, data"


class SortedFrame(NamedTuple):
    """A frame on its way: when it is played, when it came, direction, first header byte and payload."""

    connection: int
    order_ns: int
    time_ns: int
    side: int
    first: int
    data: bytes


class SortedConnection(NamedTuple):
    """A connection on its way; `facts` are the importer's own, as text."""

    number: int
    attempt_ns: int
    facts: str


class SortedRequest(NamedTuple):
    """A plain request on its way; `who` is its client, `facts` are the importer's own, as text."""

    answered_ns: int
    began_ns: int
    who: str
    facts: str


class Sorter:
    """See the module docstring.

    Args:
        folder: where the temporary file is made.
    """

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.NamedTemporaryFile(prefix=".import-", suffix=".stage", dir=folder)  # noqa: SIM115
        self._database = sqlite3.connect(self._file.name, isolation_level=None)
        self._database.executescript(_TABLES)

    def close(self) -> None:
        """Close the database and delete its temporary file."""
        self._database.close()
        self._file.close()

    def add(
        self,
        frames: Sequence[SortedFrame],
        connections: Sequence[SortedConnection],
        requests: Sequence[SortedRequest] = (),
    ) -> None:
        """Take some of both.

        Raises:
            LocalError: there is no room for them.
        """
        try:
            self._database.execute("BEGIN")
            self._database.executemany(_ADD_FRAMES, frames)
            self._database.executemany("INSERT INTO connection VALUES (?, ?, ?)", connections)
            self._database.executemany(_ADD_REQUESTS, requests)
            self._database.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise LocalError(f"cannot write {self._file.name}: {error}") from None

    def rebase(self, connection: int, start_ns: int, divisor: int) -> None:
        """A connection's times count from a start, in units that are this many times shorter."""
        self._database.execute(_REBASE, (divisor, start_ns, connection))

    def first_attempt_ns(self) -> int:
        """When the first connection was attempted; 0 without any."""
        ((first,),) = self._database.execute("SELECT coalesce(min(attempt_ns), 0) FROM connection")
        return int(first)

    def connections(self) -> Iterator[SortedConnection]:
        """In the order of time."""
        sql = "SELECT number, attempt_ns, facts FROM connection ORDER BY attempt_ns, number"
        return map(SortedConnection._make, self._database.execute(sql))

    def requests(self) -> Iterator[SortedRequest]:
        """In the order in which they were answered."""
        sql = "SELECT answered_ns, began_ns, who, facts FROM request ORDER BY answered_ns, seq"
        return map(SortedRequest._make, self._database.execute(sql))

    def frames(self, *, is_ordered: bool) -> Iterator[tuple[int, int, int, int, bytes]]:
        """Connection, time, direction, first header byte and payload, in the order in which they are played.

        Args:
            is_ordered: they came in that order.
        """
        if is_ordered:
            return self._database.execute(f"SELECT {_COLUMNS} FROM item ORDER BY seq")  # noqa: S608
        # Sort without the data, which may be larger than memory.
        self._database.execute("CREATE INDEX by_time ON item (order_ns, seq)")
        return self._database.execute(
            f"SELECT {_COLUMNS} FROM item INDEXED BY by_time ORDER BY order_ns, seq"  # noqa: S608
        )
