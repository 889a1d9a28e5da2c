"""Captures for tests of the screens, written row by row: fixed times, fixed bytes, every kind of row."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from tests.support.journals import new_capture
from wsinspect.capture import schema
from wsinspect.handshake.negotiation import accept_key
from wsinspect.journal.format import ENGINE_LOCK, JournalLock, journal_directory
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.masking import unmask

#: 2026-01-02 03:04:05 UTC.
START_NS = 1_767_323_045_000_000_000
MS = 1_000_000
SECOND = 1_000 * MS
KEY = b"\x37\xfa\x21\x3d"
SAMPLE_KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


class CaptureBuilder:
    """Writes one capture; use it as a context manager, or call `commit` while readers look on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        new_capture(path)
        self.database = schema.open_for_writing(path)
        self.database.execute("BEGIN")
        self.next_frame = 1
        self._meta("started_ns", START_NS)
        self._meta(
            "taps", [{"tap": "reverse", "mode": "reverse", "target": "http://localhost:8765", "host": "keep"}]
        )
        self.event(
            0, None, "listening", {"listeners": [{"tap": "reverse", "host": "127.0.0.1", "port": 8080}]}
        )

    def taps(self, *names: str) -> None:
        """Taps around hops, from the client on, in place of the one that there is."""
        self._meta(
            "taps", [{"tap": name, "mode": "reverse", "target": "http://127.0.0.1:80"} for name in names]
        )

    def __enter__(self) -> CaptureBuilder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def commit(self) -> None:
        self.database.execute("COMMIT")
        self.database.execute("BEGIN")

    def close(self, *, clean: bool = True) -> None:
        if clean:
            self._meta("closed_cleanly", True)
            self._meta("stopped_ns", START_NS + 600 * SECOND)
        self.database.execute("COMMIT")
        self.database.close()

    def insert(self, table: str, **columns: Any) -> int:
        names = ", ".join(columns)
        marks = ", ".join("?" * len(columns))
        cursor = self.database.execute(
            f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(columns.values())
        )
        return int(cursor.lastrowid or 0)

    def _meta(self, key: str, value: Any) -> None:
        self.database.execute("INSERT OR REPLACE INTO meta VALUES (1, ?, ?)", (key, json.dumps(value)))

    def event(self, t_ms: float, connection: int | None, kind: str, detail: dict[str, Any]) -> None:
        self.insert("event", time_ns=at(t_ms), connection_id=connection, kind=kind, detail=json.dumps(detail))

    def connection(self, number: int, t_ms: float = 0, **columns: Any) -> int:
        known = {
            "id": number,
            "tap": "reverse",
            "client": f"127.0.0.1:{50100 + number}",
            "listener": "127.0.0.1:8080",
            "scheme": "ws",
            "host": "localhost",
            "port": 8080,
            "path": "/chat?room=1",
            "http_version": "HTTP/1.1",
            "server": "127.0.0.1:8765",
            "server_http_version": "HTTP/1.1",
            "status": 101,
            "attempt_ns": at(t_ms),
            "open_ns": at(t_ms + 3.8),
            "state": "open",
        }
        self.insert("connection", **{**known, **columns})
        return number

    def refused(self, number: int, t_ms: float, status: int = 403, **columns: Any) -> int:
        self.handshake(number, t_ms, status=status)
        return self.connection(
            number,
            t_ms,
            **{
                "state": "refused",
                "status": status,
                "open_ns": None,
                "closed_ns": at(t_ms + 2),
                "ended_by": "server",
                "how": "refused",
                "js_code": 1006,
                "js_was_clean": 0,
                **columns,
            },
        )

    def handshake(self, number: int, t_ms: float = 0, *, status: int = 101, **columns: Any) -> None:
        request = (
            b"GET /chat?room=1 HTTP/1.1\r\nHost: localhost:8080\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\n"
            b"Sec-WebSocket-Key: " + SAMPLE_KEY + b"\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Protocol: chat.v2, chat.v1\r\nOrigin: http://localhost:3000\r\n\r\n"
        )
        if status == 101:
            response = (
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: "
                + accept_key(SAMPLE_KEY)
                + b"\r\nSec-WebSocket-Protocol: chat.v2\r\n\r\n"
            )
        else:
            response = b"HTTP/1.1 %d Forbidden\r\nContent-Length: 9\r\n\r\n" % status
        known = {
            "connection_id": number,
            "request_in": request,
            "request_out": request.replace(b"Host: localhost:8080", b"Host: localhost:8765"),
            "response_in": response,
            "response_out": response,
            "body": None if status == 101 else b"forbidden",
            "tcp_ns": at(t_ms - 1),
            "request_in_ns": at(t_ms),
            "server_tcp_start_ns": at(t_ms + 0.5),
            "server_tcp_done_ns": at(t_ms + 1),
            "request_out_ns": at(t_ms + 1.2),
            "response_in_ns": at(t_ms + 3.5),
            "response_out_ns": at(t_ms + 3.8),
            "server_address": "127.0.0.1:8765",
            "problems": "[]",
        }
        self.insert("handshake", **{**known, **columns})

    def frame(
        self,
        connection: int,
        t_ms: float,
        opcode: int,
        payload: bytes = b"",
        *,
        s2c: bool = False,
        fin: bool = True,
        rsv: int = 0,
        held_ms: float = 0,
        **columns: Any,
    ) -> int:
        """A frame; from the client it is masked. Returns its id."""
        number = self.next_frame
        self.next_frame += 1
        wire = serialize_frame(opcode, payload, fin=fin, rsv=rsv, key=None if s2c else KEY)
        header = wire[: len(wire) - len(payload)]
        known = {
            "id": number,
            "connection_id": connection,
            "is_s2c": int(s2c),
            "bits": header[0] << 8 | header[1],
            "time_ns": at(t_ms),
            "span_ns": 0,
            "sent_after_ns": int(held_ms * MS),
            "header": header,
            "wire_length": len(wire),
            "payload": payload,
            "message_id": number if opcode in (1, 2) and fin else None,
            "violation": None,
        }
        self.insert("frame", **{**known, **columns})
        return number

    def message(self, number: int, connection: int, first: int, last: int | None, **columns: Any) -> None:
        known = {
            "id": number,
            "connection_id": connection,
            "is_s2c": 0,
            "opcode": 1,
            "first_frame": first,
            "last_frame": last,
            "compressed": 0,
        }
        self.insert("stored_message", **{**known, **columns})

    def ping(self, ping_frame: int, connection: int, pong_frame: int | None, rtt_ms: float = 0) -> None:
        self.insert(
            "ping",
            ping_frame=ping_frame,
            connection_id=connection,
            leg="client",
            pong_frame=pong_frame,
            rtt_ns=int(rtt_ms * MS) if pong_frame is not None else None,
        )

    def finding(
        self, rule: str, severity: str, connection: int | None, frame: int | None, **detail: Any
    ) -> None:
        self.insert(
            "finding",
            rule=rule,
            severity=severity,
            connection_id=connection,
            frame_id=frame,
            detail=json.dumps(detail),
        )

    def fault(self, rule: str, kind: str, connection: int, frame: int, t_ms: float, **detail: Any) -> int:
        number = self.insert(
            "fault_event",
            time_ns=at(t_ms),
            connection_id=connection,
            frame_id=frame,
            rule=rule,
            kind=kind,
            seed=1,
            detail=json.dumps(detail) if detail else None,
        )
        self.database.execute("UPDATE frame SET fault_event_id = ? WHERE id = ?", (number, frame))
        return number


def at(t_ms: float) -> int:
    """Epoch nanoseconds of a time of the capture."""
    return START_NS + round(t_ms * MS)


def deployed(closed_ms: float) -> dict[str, Any]:
    """The columns of a connection that its server closed for a deploy, with 1001."""
    return {
        "state": "closed",
        "closed_ns": at(closed_ms),
        "ended_by": "server",
        "how": "close-frame",
        "js_code": 1001,
        "js_was_clean": 1,
        "server_close_code": 1001,
        "server_close_reason": "deploy",
    }


def masked(payload: bytes) -> bytes:
    """A payload as the builder's clients send it."""
    return unmask(payload, KEY)


def chat_capture(path: Path, *, clean: bool = True) -> Path:
    """The screens' standard example: three connections, every kind of row of the drawings."""
    builder = CaptureBuilder(path)
    builder.refused(1, 0, path="/admin")
    builder.connection(
        2,
        5_000,
        path="/feed",
        state="closed",
        closed_ns=at(9_000),
        ended_by="server",
        how="fin",
        js_code=1006,
        js_was_clean=0,
        c2s_frames=0,
        s2c_frames=1,
        c2s_bytes=0,
        s2c_bytes=7,
    )
    builder.handshake(2, 5_000)
    builder.frame(2, 5_100, 2, b"\x00\x01\x02\xff\xfe", s2c=True)
    builder.connection(
        3,
        10_000,
        subprotocol="chat.v2",
        extensions="permessage-deflate; server_max_window_bits=8",
        **deployed(15_000),
        client_close_code=1001,
        client_close_reason="",
        c2s_frames=6,
        s2c_frames=6,
        c2s_bytes=900,
        s2c_bytes=5000,
    )
    builder.handshake(3, 10_000)
    chat_frames(builder, 3, 12_000)
    builder.close(clean=clean)
    return path


def chat_frames(builder: CaptureBuilder, conn: int, t_ms: float) -> None:
    """Text, three fragments around a ping, a gap, faults, a violation, and CLOSE both ways."""
    builder.frame(conn, t_ms, 1, b'{"op":"sub","ch":"x"}')
    first = builder.frame(conn, t_ms + 3, 1, b'{"items":[1,', s2c=True, fin=False, message_id=90)
    ping = builder.frame(conn, t_ms + 3.1, 9, b"p1", s2c=True)
    middle = builder.frame(conn, t_ms + 4, 0, b"2,", s2c=True, fin=False, message_id=90)
    pong = builder.frame(conn, t_ms + 8.2, 10, b"p1")
    last = builder.frame(conn, t_ms + 9, 0, b"3]}", s2c=True, message_id=90)
    assert first < middle < last
    builder.message(90, conn, first, last, is_s2c=1, length=17, valid_text=1)
    builder.ping(ping, conn, pong, 5.1)
    builder.frame(conn, t_ms + 10, 9, b"lost")
    builder.ping(builder.next_frame - 1, conn, None)
    held = builder.frame(conn, t_ms + 2319, 1, b"held back", held_ms=250)
    builder.fault("latency_c2s", "latency", conn, held, t_ms + 2319, latency="250ms")
    dropped = builder.frame(conn, t_ms + 2330, 2, b"\xde\xad\xbe\xef" * 8)
    builder.fault("drop_c2s", "drop", conn, dropped, t_ms + 2330)
    builder.database.execute("UPDATE frame SET sent_after_ns = -1 WHERE id = ?", (dropped,))
    odd = builder.frame(conn, t_ms + 2340, 3, b"reserved-op", s2c=True, violation="reserved-opcode")
    builder.finding(
        "WS-FR-003",
        "error",
        conn,
        odd,
        title="reserved opcode 0x3",
        meaning="RFC 6455 reserves it",
        fault_of="server",
        evidence=["83 0b"],
        fixes=[{"for": "the server", "text": "send 0x1 or 0x2"}],
    )
    builder.frame(conn, t_ms + 2502, 8, b"\x03\xe9deploy", s2c=True)
    builder.frame(conn, t_ms + 2503, 8, b"\x03\xe9")


def many_frames(path: Path, count: int, *, every_ms: float = 0.1, clean: bool = True) -> Path:
    """One connection with so many frames, a ping in a thousand."""
    builder = CaptureBuilder(path)
    builder.connection(1, 0, c2s_frames=count // 2, s2c_frames=count - count // 2)
    builder.handshake(1, 0)
    step = round(every_ms * MS)
    header = {True: b"\x81\x18", False: b"\x81\x98" + KEY}
    builder.database.executemany(
        "INSERT INTO frame (id, connection_id, is_s2c, bits, time_ns, span_ns, sent_after_ns, header, "
        "wire_length, payload, message_id) VALUES (?, 1, ?, ?, ?, 0, 0, ?, ?, ?, ?)",
        (
            (
                number,
                number & 1,
                0x8900 if number % 1000 == 0 else 0x8118 if number & 1 else 0x8198,
                START_NS + number * step,
                header[bool(number & 1)],
                24 + len(header[bool(number & 1)]),
                b'{"op":"tick","n":%07d}' % number,
                number,
            )
            for number in range(1, count + 1)
        ),
    )
    builder.next_frame = count + 1
    builder.close(clean=clean)
    return path


def connect(path: Path) -> sqlite3.Connection:
    """A writer, to change what a stranger's file may hold."""
    return sqlite3.connect(path, isolation_level=None)


def hold_engine_lock(capture: Path) -> JournalLock:
    """Make the capture look live until the lock is released."""
    journal = journal_directory(capture)
    journal.mkdir(mode=0o700, exist_ok=True)
    return JournalLock(journal, ENGINE_LOCK)


def many_more(path: Path, start: int, count: int) -> int:
    """More frames into a capture that is being shown."""
    database = connect(path)
    database.execute("BEGIN")
    for number in range(start + 1, start + count + 1):
        database.execute(
            "INSERT INTO frame (id, connection_id, is_s2c, bits, time_ns, span_ns, sent_after_ns, header, "
            "wire_length, payload) VALUES (?, 1, 1, 33026, ?, 0, 0, x'8102', 4, x'6869')",
            (number, at(number * 0.1)),
        )
    database.execute("COMMIT")
    database.close()
    return start + count
