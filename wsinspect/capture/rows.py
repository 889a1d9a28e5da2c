"""One transaction's worth of rows: gathered in memory, written at once, kept until the commit succeeded.

The indexer's decoders move on while rows gather, so a failed commit (disk full) must be repeatable:
`Rows.write` only reads, and `clear` is called after the commit.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, Final

from wsinspect.journal.format import Position

CONNECTION_COLUMNS: Final = (
    "id",
    "tap",
    "client",
    "listener",
    "scheme",
    "host",
    "port",
    "path",
    "http_version",
    "server",
    "server_http_version",
    "client_alpn",
    "server_alpn",
    "status",
    "subprotocol",
    "extensions",
    "client_session",
    "attempt_ns",
    "open_ns",
    "closed_ns",
    "state",
    "error",
    "client_close_code",
    "client_close_reason",
    "server_close_code",
    "server_close_reason",
    "ended_by",
    "how",
    "js_code",
    "js_was_clean",
    "c2s_frames",
    "s2c_frames",
    "c2s_bytes",
    "s2c_bytes",
)
HANDSHAKE_COLUMNS: Final = (
    "connection_id",
    "request_in",
    "request_out",
    "response_in",
    "response_out",
    "informational",
    "body",
    "tcp_ns",
    "tls_ns",
    "server_tcp_start_ns",
    "server_tcp_done_ns",
    "server_tls_done_ns",
    "request_in_ns",
    "request_out_ns",
    "response_in_ns",
    "response_out_ns",
    "server_address",
    "server_sockname",
    "server_reused",
    "client_tls",
    "server_tls",
    "problems",
)


#: `json.dumps` makes an encoder at each call that asks for other separators.
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


def _replace(table: str, columns: Sequence[str]) -> str:
    marks = ", ".join("?" * len(columns))
    return f"INSERT OR REPLACE INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608


#: `sent_after_ns` of a frame that has not been sent on: one that a fault keeps back, or took out.
NOT_SENT: Final = -1
_FRAME: Final = (
    "INSERT INTO frame (id, connection_id, is_s2c, bits, time_ns, span_ns, sent_after_ns, header, "
    "wire_length, payload, message_id, violation) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
#: Rows that one statement inserts: SQLite begins and ends it once for all of them. Some take 999 values.
_TOGETHER: Final = 80
_FRAMES: Final = _FRAME + ", (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)" * (_TOGETHER - 1)
#: Where rows are longer than this on average it saves nothing, and SQLite copies what a statement is given.
_SHORT: Final = 2048
_wire_length: Final = itemgetter(8)
_inflated_length: Final = itemgetter(7)
_MESSAGE: Final = (
    "INSERT INTO stored_message (id, connection_id, is_s2c, opcode, first_frame, last_frame, compressed, "
    "length, data, valid_text, problem) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_MESSAGES: Final = _MESSAGE + ", (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)" * (_TOGETHER - 1)
_MESSAGE_END: Final = (
    "UPDATE stored_message SET last_frame = ?, compressed = ?, length = ?, data = ?, valid_text = ?, "
    "problem = ? WHERE id = ?"
)
_PING: Final = "INSERT INTO ping (ping_frame, connection_id, leg) VALUES (?, ?, ?)"
_PONG: Final = "UPDATE ping SET pong_frame = ?, rtt_ns = ? WHERE ping_frame = ?"
_OPAQUE: Final = (
    "INSERT INTO opaque (connection_id, is_s2c, time_ns, after_frame, length, data, reason) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_EVENT: Final = "INSERT INTO event (time_ns, connection_id, kind, detail) VALUES (?, ?, ?, ?)"
_FAULT: Final = (
    "INSERT INTO fault_event (id, time_ns, connection_id, frame_id, rule, kind, seed, detail) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_FAULT_MARK: Final = "UPDATE frame SET fault_event_id = ?, sent_after_ns = sent_after_ns + ? WHERE id = ?"
_UNSENT: Final = f"UPDATE frame SET sent_after_ns = {NOT_SENT} WHERE id = ?"  # noqa: S608
_SENT: Final = "UPDATE frame SET sent_after_ns = max(0, ? - time_ns) WHERE id = ?"
_DELAY: Final = (
    "UPDATE fault_event SET detail = json_set(detail, '$.delay_ns', "
    "max(0, ? - (SELECT time_ns FROM frame WHERE id = ?))) WHERE id = ?"
)
_META: Final = "INSERT OR REPLACE INTO meta (run, key, value) VALUES (?, ?, ?)"
_CONNECTION: Final = _replace("connection", CONNECTION_COLUMNS)
_HANDSHAKE: Final = _replace("handshake", HANDSHAKE_COLUMNS)
_NOTES: Final = "INSERT OR REPLACE INTO recorder_connection (connection_id, state) VALUES (?, ?)"
_STREAM: Final = (
    "INSERT OR REPLACE INTO recorder_stream (connection_id, is_s2c, state, window) VALUES (?, ?, ?, ?)"
)
_DROP_PENDING: Final = "DELETE FROM recorder_pending WHERE connection_id = ? AND is_s2c = ?"
_PENDING: Final = "INSERT INTO recorder_pending (connection_id, is_s2c, data) VALUES (?, ?, ?)"
_POSITION: Final = "UPDATE recorder_position SET segment = ?, offset = ?, next_frame = ?"
_FORGET: Final = tuple(
    f"DELETE FROM {table} WHERE connection_id = ?"  # noqa: S608
    for table in ("recorder_connection", "recorder_stream", "recorder_pending")
)


class Rows:
    """Row tuples by table, in the order of the statements above."""

    def __init__(self) -> None:
        self.frames: list[tuple[Any, ...]] = []
        self.messages: list[tuple[Any, ...]] = []
        self.message_ends: list[tuple[Any, ...]] = []
        self.pings: list[tuple[int, int, str]] = []
        self.pongs: list[tuple[int, int, int]] = []
        self.opaque: list[tuple[Any, ...]] = []
        self.events: list[tuple[int, int | None, str, str]] = []
        self.faults: list[tuple[Any, ...]] = []
        self.fault_marks: list[tuple[int, int, int]] = []
        self.sent: list[tuple[int, int]] = []
        self.delays: list[tuple[int, int, int]] = []
        self.unsent: list[tuple[int]] = []
        self.meta: list[tuple[int, str, str]] = []
        self.connections: list[tuple[Any, ...]] = []
        self.handshakes: list[tuple[Any, ...]] = []
        self.notes: list[tuple[int, str]] = []
        self.streams: list[tuple[int, int, str, bytes | None]] = []
        self.dropped_pending: list[tuple[int, int]] = []
        self.pending: list[tuple[int, int, bytes]] = []
        self.finished: list[tuple[int]] = []
        self.position: tuple[int, int, int] | None = None

    def clear(self) -> None:
        """For the next transaction."""
        self.position = None
        for _, rows in self._statements():
            rows.clear()

    def place(self, position: Position, next_frame: int) -> None:
        """Where the journal is to be read on from once these rows are committed."""
        self.position = (*position, next_frame)

    def write(self, database: sqlite3.Connection) -> None:
        """All rows in one transaction.

        Raises:
            sqlite3.OperationalError: nothing was written; the same call may be made again later.
        """
        database.execute("BEGIN IMMEDIATE")
        try:
            for sql, rows in self._statements():
                if rows and sql is _FRAME:
                    _insert(database, sql, _FRAMES, rows, map(_wire_length, rows))
                elif rows and sql is _MESSAGE:
                    _insert(database, sql, _MESSAGES, rows, filter(None, map(_inflated_length, rows)))
                elif rows:
                    database.executemany(sql, rows)
            if self.position is not None:
                database.execute(_POSITION, self.position)
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise

    def _statements(self) -> Iterable[tuple[str, list[Any]]]:
        yield _META, self.meta
        yield _CONNECTION, self.connections
        yield _HANDSHAKE, self.handshakes
        yield _FRAME, self.frames
        yield _MESSAGE, self.messages
        yield _MESSAGE_END, self.message_ends
        yield _PING, self.pings
        yield _PONG, self.pongs
        yield _OPAQUE, self.opaque
        yield _EVENT, self.events
        yield _FAULT, self.faults
        yield _FAULT_MARK, self.fault_marks
        yield _UNSENT, self.unsent
        yield _SENT, self.sent
        yield _DELAY, self.delays
        yield _NOTES, self.notes
        yield _STREAM, self.streams
        yield _DROP_PENDING, self.dropped_pending
        yield _PENDING, self.pending
        for sql in _FORGET:
            yield sql, self.finished


def _insert(
    database: sqlite3.Connection, one: str, many: str, rows: list[tuple[Any, ...]], sizes: Iterable[int]
) -> None:
    """All rows, in their order; short ones `_TOGETHER` at a time.

    Args:
        one, many: the statements.
        sizes: bytes of each row's payload.
    """
    grouped = 0
    if sum(sizes) <= _SHORT * len(rows):
        grouped = len(rows) // _TOGETHER * _TOGETHER
        groups = (rows[begin : begin + _TOGETHER] for begin in range(0, grouped, _TOGETHER))
        database.executemany(many, (tuple(chain.from_iterable(group)) for group in groups))
    database.executemany(one, rows[grouped:])


def to_json(value: Any) -> str:
    """Compact JSON for a column."""
    return _encode(value)
