"""The stored findings, as whoever judges while traffic passes reads and writes them (`diagnosis.live`)."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from wsinspect.capture.records import Query
from wsinspect.capture.schema import Database

_INSERT: Final = (
    "INSERT INTO finding (rule, severity, connection_id, frame_id, detail) VALUES (?, ?, ?, ?, ?)"
)
_WITHDRAW: Final = "DELETE FROM finding WHERE id IN (SELECT value FROM json_each(?))"
_AT: Final = (
    "SELECT id, connection_id, rule, detail FROM finding "
    "WHERE connection_id IS json_extract(?1, '$[0]') AND rule = json_extract(?1, '$[1]') ORDER BY id"
)
_PLACES: Final = (
    "SELECT DISTINCT connection_id, rule FROM finding WHERE connection_id IN (SELECT value FROM json_each(?))"
)
_ALL_PLACES: Final = "SELECT DISTINCT connection_id, rule FROM finding"
_ABOUT_THE_CAPTURE: Final = (
    "SELECT detail FROM finding WHERE connection_id IS NULL OR rule LIKE 'WS-RC-%' ORDER BY id DESC LIMIT ?"
)

#: Of a finding: the connection, None where it is about all of the capture, and the rule.
Place = tuple[int | None, str]


class NewFinding(NamedTuple):
    """A row of `finding` that has no id yet; `detail` is JSON."""

    rule: str
    severity: str
    connection_id: int | None
    frame_id: int | None
    detail: str


def about_the_capture(query: Query, limit: int) -> list[Any]:
    """The details (JSON) of the newest findings that are not of one connection, and of series of attempts."""
    return [row[0] for row in query(_ABOUT_THE_CAPTURE, (limit,))]


class StoredFinding(NamedTuple):
    """A row of `finding`; `detail` is JSON."""

    id: int
    connection_id: int | None
    rule: str
    detail: str


def at(query: Query, place: Place) -> list[StoredFinding]:
    """What is stored of a rule about a connection, in order."""
    return list(map(StoredFinding._make, query(_AT, (json.dumps(place),))))


def places(query: Query, numbers: Collection[int] | None = None) -> set[Place]:
    """What is stored about these connections, or of all."""
    rows = query(_ALL_PLACES, ()) if numbers is None else query(_PLACES, (json.dumps(list(numbers)),))
    return {(connection, rule) for connection, rule in rows}


def replace(database: Database, new: Sequence[NewFinding], gone: Collection[int]) -> None:
    """Store findings and withdraw those with these row ids, in one transaction.

    Raises:
        schema.DatabaseError: nothing was changed.
    """
    database.execute("BEGIN IMMEDIATE")
    try:
        if gone:
            database.execute(_WITHDRAW, (json.dumps(list(gone)),))
        database.executemany(_INSERT, new)
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
