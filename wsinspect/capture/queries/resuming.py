"""What a recorder takes up again where another one stopped: the notes and rows of what was not over.

They are asked of the recorder's own database, between its transactions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from wsinspect.capture.rows import CONNECTION_COLUMNS, HANDSHAKE_COLUMNS
from wsinspect.capture.schema import Database

_CONNECTION: Final = f"SELECT {', '.join(CONNECTION_COLUMNS)} FROM connection WHERE id = ?"  # noqa: S608
_HANDSHAKE: Final = f"SELECT {', '.join(HANDSHAKE_COLUMNS)} FROM handshake WHERE connection_id = ?"  # noqa: S608
_NOTES: Final = "SELECT state FROM recorder_connection WHERE connection_id = ?"
_STREAM: Final = "SELECT state, window FROM recorder_stream WHERE connection_id = ? AND is_s2c = ?"
_PENDING: Final = "SELECT data FROM recorder_pending WHERE connection_id = ? AND is_s2c = ? ORDER BY id"
_INFLATED: Final = (
    "SELECT data FROM stored_message WHERE connection_id = ? AND is_s2c = ? AND compressed "
    "AND length(data) > 0 ORDER BY id DESC"
)


class Progress(NamedTuple):
    """How far a capture has come.

    Attributes:
        segment, offset: where reading the journal continues; the offset is in bytes.
        next_frame: the id of the next frame.
        newest_fault, newest_connection, newest_run: the largest ids; 0 without any.
    """

    segment: int
    offset: int
    next_frame: int
    newest_fault: int
    newest_connection: int
    newest_run: int


class StoredConnection(NamedTuple):
    """A connection's rows, by column; `notes` (JSON) are there until its end."""

    connection: dict[str, Any]
    handshake: dict[str, Any] | None
    notes: str | None


def progress(database: Database) -> Progress:
    """How far the capture has come."""
    found: tuple[int, ...] = database.execute(
        "SELECT segment, offset, next_frame, (SELECT coalesce(max(id), 0) FROM fault_event), "
        "(SELECT coalesce(max(id), 0) FROM connection), (SELECT coalesce(max(run), 0) FROM meta) "
        "FROM recorder_position"
    ).fetchone()
    return Progress._make(found)


def meta_of(database: Database, run: int) -> dict[str, str]:
    """What a run noted of itself: JSON by key."""
    return dict(database.execute("SELECT key, value FROM meta WHERE run = ?", (run,)))


def unfinished_connections(database: Database) -> list[int]:
    """The ids of connections whose end is not recorded, ascending."""
    return [row[0] for row in database.execute("SELECT connection_id FROM recorder_connection")]


def stored_connection(database: Database, connection_id: int) -> StoredConnection | None:
    """A connection as an earlier transaction left it; None if there was none."""
    row = database.execute(_CONNECTION, (connection_id,)).fetchone()
    if row is None:
        return None
    handshake = database.execute(_HANDSHAKE, (connection_id,)).fetchone()
    notes = database.execute(_NOTES, (connection_id,)).fetchone()
    return StoredConnection(
        dict(zip(CONNECTION_COLUMNS, row, strict=True)),
        dict(zip(HANDSHAKE_COLUMNS, handshake, strict=True)) if handshake else None,
        notes[0] if notes else None,
    )


def stored_stream(database: Database, connection_id: int, side: int) -> tuple[str, bytes | None] | None:
    """The notes (JSON) about a direction, and what was inflated last where they hold it."""
    found: tuple[str, bytes | None] | None = database.execute(_STREAM, (connection_id, side)).fetchone()
    return found


def pending_bytes(database: Database, connection_id: int, side: int) -> bytes:
    """The beginning of a frame of a direction that was not complete."""
    return b"".join(row[0] for row in database.execute(_PENDING, (connection_id, side)))


def inflated_backwards(database: Database, connection_id: int, side: int) -> Iterator[bytes]:
    """The inflated data of a direction's compressed messages, the newest first."""
    return (row[0] for row in database.execute(_INFLATED, (connection_id, side)))
