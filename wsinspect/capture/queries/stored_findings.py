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
_WITHDRAW: Final = (
    "DELETE FROM finding WHERE (connection_id, rule) IN "
    "(SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)) "
    "RETURNING connection_id, rule"
)
_ABOUT_THE_CAPTURE: Final = (
    "SELECT detail FROM finding WHERE connection_id IS NULL OR rule LIKE 'WS-RC-%' ORDER BY id DESC LIMIT ?"
)
_IS_STORED: Final = "SELECT 1 FROM finding WHERE connection_id IS ? AND rule = ? LIMIT 1"

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


def is_stored(query: Query, connection_id: int | None, rule: str) -> bool:
    """Whether a rule's finding about a connection is stored."""
    return bool(query(_IS_STORED, (connection_id, rule)))


def replace(database: Database, new: Sequence[NewFinding], gone: Collection[Place]) -> set[Place]:
    """Store findings and withdraw others, in one transaction.

    Returns:
        Those of `gone` that were there.

    Raises:
        schema.DatabaseError: nothing was changed.
    """
    database.execute("BEGIN IMMEDIATE")
    try:
        taken = database.execute(_WITHDRAW, (json.dumps(list(gone)),)).fetchall() if gone else []
        database.executemany(_INSERT, new)
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
    return {(connection, rule) for connection, rule in taken}
