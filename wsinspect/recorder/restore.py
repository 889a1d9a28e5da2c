"""What a restarted recorder takes up again: connections and streams from committed rows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from wsinspect.capture.rows import CONNECTION_COLUMNS, HANDSHAKE_COLUMNS
from wsinspect.journal.budget import Budget
from wsinspect.recorder.connections import ConnectionRows
from wsinspect.recorder.streams import StreamRows
from wsinspect.wire.deflate import INFLATE_CAP, WINDOW
from wsinspect.wire.opcodes import Direction
from wsinspect.wire.stream import StreamDecoder

_CONNECTION: Final = f"SELECT {', '.join(CONNECTION_COLUMNS)} FROM connection WHERE id = ?"  # noqa: S608
_HANDSHAKE: Final = f"SELECT {', '.join(HANDSHAKE_COLUMNS)} FROM handshake WHERE connection_id = ?"  # noqa: S608
_WINDOW: Final = (
    "SELECT data FROM stored_message WHERE connection_id = ? AND is_s2c = ? AND compressed "
    "AND length(data) > 0 ORDER BY id DESC"
)


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
    # One payload must not push out all others.
    longest = Budget.of(size).longest
    return StreamOptions(longest if snaplen is None else min(snaplen, longest), min(cap, longest), size)


def _size(meta: Mapping[str, Any], key: str) -> int | None:
    value = meta.get(key)
    return value if isinstance(value, int) and value >= 0 else None


def load_connection(database: sqlite3.Connection, connection_id: int) -> ConnectionRows | None:
    """The connection as an earlier transaction left it; None if there was none."""
    row = database.execute(_CONNECTION, (connection_id,)).fetchone()
    if row is None:
        return None
    handshake = database.execute(_HANDSHAKE, (connection_id,)).fetchone()
    facts = database.execute(
        "SELECT state FROM recorder_connection WHERE connection_id = ?", (connection_id,)
    ).fetchone()
    connection = ConnectionRows(connection_id)
    connection.restore(
        dict(zip(CONNECTION_COLUMNS, row, strict=True)),
        dict(zip(HANDSHAKE_COLUMNS, handshake, strict=True)) if handshake else None,
        json.loads(facts[0]) if facts else {},
    )
    # No notes for a restart: the connection had ended, and this is a straggler.
    connection.is_closed = facts is None
    return connection


def load_stream(
    database: sqlite3.Connection, connection: ConnectionRows, direction: Direction, options: StreamOptions
) -> StreamRows:
    """The direction as an earlier transaction left it, else from its beginning."""
    key = (connection.id, int(direction))
    negotiation = connection.negotiation()
    deflate = connection.deflate(negotiation)
    # Without a response's head (it could not be stored) nobody knows what was agreed.
    has_response = bool(connection.handshake["response_in"] or connection.handshake["response_out"])
    settings: dict[str, Any] = {
        "deflate": deflate,
        "extensions_known": has_response and negotiation.are_extensions_known,
        "snaplen": options.snaplen,
        "inflate_cap": options.inflate_cap,
    }
    stored = database.execute(
        "SELECT state, window FROM recorder_stream WHERE connection_id = ? AND is_s2c = ?", key
    ).fetchone()
    state = json.loads(stored[0]) if stored else None
    if state is None or state["decoder"] is None:
        decoder = StreamDecoder(direction, **settings)
    else:
        window = stored[1] if stored[1] is not None else _window(database, key) if deflate else b""
        pending = b"".join(
            row[0]
            for row in database.execute(
                "SELECT data FROM recorder_pending WHERE connection_id = ? AND is_s2c = ? ORDER BY id", key
            )
        )
        decoder = StreamDecoder.restore(direction, state["decoder"], pending, window, **settings)
    stream = StreamRows(
        connection.id, direction, decoder, has_deflate=deflate is not None, snaplen=options.snaplen
    )
    if state is not None:
        stream.restore(state)
    elif connection.is_closed:
        stream.close()
    return stream


def _window(database: sqlite3.Connection, key: tuple[int, int]) -> bytes:
    """The last 32 KiB that were inflated (RFC 7692 section 7.2.3.2: what context takeover refers back to)."""
    parts: list[bytes] = []
    size = 0
    for (data,) in database.execute(_WINDOW, key):
        parts.append(data[-WINDOW:])
        size += len(parts[-1])
        if size >= WINDOW:
            break
    return b"".join(reversed(parts))[-WINDOW:]
