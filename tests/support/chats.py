"""Captures for the tests of formats and replay."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.support.journals import Foreign, Script, index, random_script, text, write_journal
from wsinspect.capture.reader import Capture

SECRET_REQUEST = (
    b"GET /room?id=7&token=abc123 HTTP/1.1\r\nHost: chat.example\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Cookie: sid=s3cr3t; theme=dark\r\nAuthorization: Bearer t0k3n\r\n\r\n"
)
RESPONSE = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSet-Cookie: fresh=c00k1e; Path=/\r\n\r\n"
)


class Chat(Script):
    """A script with WebSockets to chat.example."""

    def tick(self, milliseconds: int = 10) -> None:
        self.now += milliseconds * 1_000_000

    def begin(
        self, connection: int, request: bytes, path: str, version: str = "HTTP/1.1", **facts: Any
    ) -> None:
        self.event(
            connection,
            "attempt",
            client="127.0.0.1:5",
            listener="127.0.0.1:8080",
            scheme="ws",
            host="chat.example",
            port=80,
            path=path,
            http_version=version,
            **facts,
        )
        self.head(connection, 0, request)
        self.head(connection, 1, request)
        self.event(connection, "server", address="chat.example:80", peer="10.0.0.1:80", reused=False)

    def answer(self, connection: int, response: bytes = RESPONSE) -> None:
        self.head(connection, 2, response)
        self.head(connection, 3, response)

    def accept(
        self, connection: int, request: bytes = SECRET_REQUEST, path: str = "/room?id=7&token=abc123"
    ) -> None:
        self.begin(connection, request, path)
        self.answer(connection)
        self.event(connection, "open")

    def fault(self, connection: int, rule: str, kind: str, **facts: Any) -> None:
        """A rule acted."""
        found = {"event": "fault", "rule": rule, "kind": kind, **facts}
        self._add("event", connection, Foreign(found), self.now)

    def client(self, connection: int, payload: bytes, **options: Any) -> None:
        self.data(connection, 0, text(payload, **options), 0)

    def server(self, connection: int, payload: bytes, **options: Any) -> None:
        self.data(connection, 1, text(payload, masked=False, **options), 0)


def store(path: Path, script: Script) -> Path:
    write_journal(path, script.stop())
    index(path)
    return path


def random_capture(path: Path, seed: int = 5, chunks: int = 200) -> Path:
    write_journal(path, random_script(seed, chunks=chunks))
    index(path)
    return path


def chat_capture(
    path: Path, *, request: bytes = SECRET_REQUEST, target: str = "/room?id=7&token=abc123"
) -> Path:
    """A session with text, binary and control frames, and a refused attempt."""
    script = Chat()
    script.accept(1, request, target)
    script.tick()
    script.client(1, b'{"op":"join","room":7}')
    script.now += 20_000_000 - 1000
    script.server(1, b'{"op":"welcome","id":"a1b2"}')
    script.tick()
    script.server(1, b"p1", opcode=9)
    script.now += 1_000_000 - 1000
    script.client(1, b"p1", opcode=10)
    script.tick()
    script.server(1, b"\x00\x01\x02", opcode=2)
    script.tick()
    script.client(1, (1000).to_bytes(2, "big") + b"bye", opcode=8)
    script.tick()
    script.server(1, (1000).to_bytes(2, "big"), opcode=8)
    script.end(1, "server")
    script.tick()
    refused = b"GET /admin HTTP/1.1\r\nHost: chat.example\r\nUpgrade: websocket\r\nOrigin: http://evil.example\r\n\r\n"
    script.begin(2, refused, "/admin")
    script.answer(2, b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\n\r\n")
    script.body(2, b"no entry")
    script.event(2, "refused", status=403)
    script.event(2, "closed")
    return store(path, script)


def sandwich_capture(path: Path, taps: tuple[str, ...] = ("edge", "origin")) -> Path:
    """A client's connection as each tap saw it, a refused one, and one that only the last tap saw."""
    script = Chat()
    key = b"dGhlIHNhbXBsZSBub25jZQ=="
    for number, tap in enumerate(taps, 1):
        script.tick(1)
        script.begin(number, SECRET_REQUEST, "/room", tap=tap)
    for number in range(len(taps), 0, -1):
        script.answer(number)
        script.event(number, "open")
    script.tick(20)
    for number in range(1, len(taps) + 1):
        script.client(number, b"from a browser")
    for number in range(1, len(taps) + 1):
        script.server(number, b"an answer")
        script.end(number, "client")
    script.tick(500)
    last = len(taps) + 1
    for number, tap in enumerate(taps, last):
        script.begin(number, SECRET_REQUEST.replace(key, b"AQIDBAUGBwgJCgsMDQ4PEA=="), "/refused", tap=tap)
    for number in range(last + len(taps) - 1, last - 1, -1):
        script.answer(number, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        script.event(number, "refused", status=403)
        script.event(number, "closed")
    script.tick(500)
    inside = last + len(taps)
    script.begin(inside, SECRET_REQUEST.replace(key, b"FBUWFxgZGhscHR4fICEiIw=="), "/metrics", tap=taps[-1])
    script.answer(inside)
    script.event(inside, "open")
    script.client(inside, b"from inside")
    script.end(inside, "client")
    return store(path, script)


def rows(path: Path, tables: Iterable[str] = ()) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of the tables that are part of the format."""
    with closing(sqlite3.connect(path)) as database:
        names = [
            name
            for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
            if not name.startswith(("recorder_", "sqlite_")) and (not tables or name in tables)
        ]
        return {
            name: sorted(database.execute(f"SELECT * FROM {name}").fetchall(), key=repr) for name in names
        }


def said(path: Path, connection: int) -> list[tuple[str, int, int, bytes]]:
    """The messages of a connection: direction, opcode, time, data."""
    with Capture.open(path) as capture:
        found = []
        for message in capture.messages(connection, limit=1 << 30):
            last = capture.frame(message.last_frame or message.first_frame)
            assert last is not None
            data = capture.message_payload(message)
            found.append((message.direction.short, message.opcode, last.time_ns, data))
        return sorted(found, key=lambda one: one[2])
