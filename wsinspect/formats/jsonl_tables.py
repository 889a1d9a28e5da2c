"""The lines of a JSONL export: one object a row, keys are the columns of docs/capture-format.md.

The first line is `{"type": "capture", "schema": 1, "format": 1}`. Blobs are `{"text": ...}` where they are
UTF-8, else `{"base64": ...}`; one larger than `PART_BYTES` is `{"bytes": n}` and follows in lines
`{"type": "part", ...}`, so that no line is long. JSON columns are JSON where that says the same, else the
stored text.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from wsinspect.capture.rows import CONNECTION_COLUMNS, HANDSHAKE_COLUMNS

#: Larger blobs are written in parts of this size.
PART_BYTES: Final = 1024 * 1024
#: We write no longer line: a part in base64 or as escaped text, and the other columns.
MAX_LINE_BYTES: Final = 32 * 1024 * 1024
FORMAT: Final = 1
DIRECTIONS: Final = ("c2s", "s2c")


class Table(NamedTuple):
    """How a table becomes lines.

    Attributes:
        type: what its lines are called.
        name: its name in SQLite.
        columns: as stored.
        row_id: the primary key.
        blob: the column that may be large.
        json: columns that hold JSON text.
    """

    type: str
    name: str
    columns: tuple[str, ...]
    row_id: str = "id"
    blob: str | None = None
    json: frozenset[str] = frozenset()


META: Final = Table("meta", "meta", ("run", "key", "value"), "", None, frozenset({"value"}))
_JSON_HANDSHAKE: Final = frozenset({"client_tls", "server_tls", "problems"})
_DETAIL: Final = frozenset({"detail"})

FRAME: Final = Table(
    "frame",
    "frame",
    (
        *("id", "connection_id", "is_s2c", "bits", "time_ns", "span_ns", "sent_after_ns", "header"),
        *("wire_length", "payload", "message_id", "violation", "fault_event_id"),
    ),
    blob="payload",
)
TABLES: Final = (
    Table("connection", "connection", CONNECTION_COLUMNS),
    Table("handshake", "handshake", HANDSHAKE_COLUMNS, "connection_id", json=_JSON_HANDSHAKE),
    FRAME,
    Table(
        "message",
        "stored_message",
        (
            *("id", "connection_id", "is_s2c", "opcode", "first_frame", "last_frame", "compressed", "length"),
            *("data", "valid_text", "problem"),
        ),
        blob="data",
    ),
    Table("ping", "ping", ("ping_frame", "connection_id", "leg", "pong_frame", "rtt_ns"), "ping_frame"),
    Table(
        "opaque",
        "opaque",
        ("id", "connection_id", "is_s2c", "time_ns", "after_frame", "length", "data", "reason"),
        blob="data",
    ),
    Table("evicted", "evicted", ("connection_id", "payloads", "bytes", "frames"), "connection_id"),
    Table("event", "event", ("id", "time_ns", "connection_id", "kind", "detail"), json=_DETAIL),
    Table(
        "fault_event",
        "fault_event",
        ("id", "time_ns", "connection_id", "frame_id", "rule", "kind", "seed", "detail"),
        json=_DETAIL,
    ),
    Table(
        "finding",
        "finding",
        ("id", "rule", "severity", "connection_id", "frame_id", "detail"),
        json=_DETAIL,
    ),
)
