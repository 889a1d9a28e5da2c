"""What a restarted recorder takes up again: connections and streams from committed rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from wsinspect.capture.queries import resuming
from wsinspect.capture.reader import json_object
from wsinspect.capture.schema import Database
from wsinspect.journal.budget import Budget
from wsinspect.recorder.connections import ConnectionRows
from wsinspect.recorder.streams import StreamRows
from wsinspect.wire.deflate import INFLATE_CAP, WINDOW
from wsinspect.wire.opcodes import Direction
from wsinspect.wire.stream import StreamDecoder


class StreamOptions(NamedTuple):
    """What the user asked for: bytes kept of a payload (None: all), of an inflated message, and of it all."""

    snaplen: int | None = None
    inflate_cap: int = INFLATE_CAP
    max_capture_size: int | None = None


def stream_options(meta: Mapping[str, Any]) -> StreamOptions:
    """The options that the engine noted for its run."""
    snaplen, cap, size = (_size(meta, key) for key in ("snaplen", "inflate_cap", "max_capture_size"))
    cap = INFLATE_CAP if cap is None else cap
    if size is None:
        return StreamOptions(snaplen, cap)
    # One payload must not crowd out all others.
    longest = Budget.of(size).longest
    return StreamOptions(longest if snaplen is None else min(snaplen, longest), min(cap, longest), size)


def _size(meta: Mapping[str, Any], key: str) -> int | None:
    value = meta.get(key)
    return value if isinstance(value, int) and value >= 0 else None


class NotesError(Exception):
    """What an earlier recorder noted of a connection is not what one notes: the file is damaged."""

    def __init__(self, connection: int) -> None:
        super().__init__(f"what was noted of connection {connection}, to continue it, cannot be read")


def _notes(text: str, connection: int) -> dict[str, Any]:
    """The notes of a connection or of one of its directions.

    Raises:
        NotesError: they are no object of JSON, or one of a depth or with numbers that no recorder writes.
    """
    notes = json_object(text)
    if notes is None:
        raise NotesError(connection)
    return notes


def load_connection(database: Database, connection_id: int) -> ConnectionRows | None:
    """The connection as an earlier transaction left it; None if there was none."""
    found = resuming.stored_connection(database, connection_id)
    if found is None:
        return None
    connection = ConnectionRows(connection_id)
    notes = _notes(found.notes, connection_id) if found.notes else {}
    connection.restore(found.connection, found.handshake, notes)
    # No notes: the connection had already ended before the restart, and this is a straggler.
    connection.is_closed = found.notes is None
    return connection


def load_stream(
    database: Database, connection: ConnectionRows, direction: Direction, options: StreamOptions
) -> StreamRows:
    """The direction as an earlier transaction left it, else from its beginning."""
    key = (database, connection.id, int(direction))
    negotiation = connection.negotiation()
    deflate = connection.deflate(negotiation)
    # Without the response headers (they could not be stored) nobody knows what was agreed.
    has_response = bool(connection.handshake["response_in"] or connection.handshake["response_out"])
    settings: dict[str, Any] = {
        "deflate": deflate,
        "extensions_known": has_response and negotiation.are_extensions_known,
        "snaplen": options.snaplen,
        "inflate_cap": options.inflate_cap,
    }
    stored = resuming.stored_stream(*key) if connection.is_stored else None
    state = _notes(stored[0], connection.id) if stored else None
    try:
        if state is None or state["decoder"] is None:
            decoder = StreamDecoder(direction, **settings)
        else:
            window = b""
            if stored is not None and stored[1] is not None:
                window = stored[1]
            elif deflate:
                window = _window(*key)
            pending = resuming.pending_bytes(*key)
            decoder = StreamDecoder.restore(direction, state["decoder"], pending, window, **settings)
        stream = StreamRows(
            connection.id, direction, decoder, has_deflate=deflate is not None, snaplen=options.snaplen
        )
        if state is not None:
            stream.restore(state)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        if state is None:
            raise  # nothing of it came from the file
        raise NotesError(connection.id) from error
    if state is None and connection.is_closed:
        stream.close()
    return stream


def _window(database: Database, connection_id: int, side: int) -> bytes:
    """The last 32 KiB that were inflated (RFC 7692 section 7.2.3.2: what context takeover refers back to)."""
    parts: list[bytes] = []
    size = 0
    for data in resuming.inflated_backwards(database, connection_id, side):
        parts.append(data[-WINDOW:])
        size += len(parts[-1])
        if size >= WINDOW:
            break
    return b"".join(reversed(parts))[-WINDOW:]
