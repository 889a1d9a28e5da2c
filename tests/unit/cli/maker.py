"""Captures for the tests of `show`: records as an engine writes them, indexed by whoever opens it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.support import warm
from tests.support.journals import Foreign
from wsinspect.handshake.negotiation import accept_key
from wsinspect.journal.format import (
    HEAD_INFORMATIONAL,
    HEAD_REQUEST_IN,
    HEAD_REQUEST_OUT,
    HEAD_RESPONSE_IN,
    HEAD_RESPONSE_OUT,
)
from wsinspect.journal.writer import JournalWriter
from wsinspect.recorder.prepare import prepare_capture
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.opcodes import Direction

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
START_NS = 1_767_225_600_000_000_000
MS = 1_000_000
C2S, S2C = Direction.CLIENT_TO_SERVER, Direction.SERVER_TO_CLIENT
MASK = b"\x01\x02\x03\x04"


class CaptureMaker:
    """Writes one capture; times are milliseconds from the start."""

    def __init__(self, path: Path) -> None:
        self.path = path
        prepared = prepare_capture(path)
        self.writer = JournalWriter(prepared.journal, first_segment=prepared.first_segment)
        engine = {
            "event": "engine",
            "versions": {"wsinspect": "0"},
            "argv": ["run"],
            "taps": [],
            "snaplen": None,
        }
        anchors = {"anchor_wall_ns": START_NS, "anchor_mono_ns": 0, "run_file": "/none", "changes": []}
        self.event(0, 0, **engine, **anchors)

    def event(self, connection: int, at_ms: float, **facts: Any) -> None:
        self.writer.event(connection, Foreign(facts), self.time(at_ms))

    @staticmethod
    def time(at_ms: float) -> int:
        return START_NS + int(at_ms * MS)

    def attempt(
        self, number: int, at_ms: float = 0, *, path: str = "/chat", extra: bytes = b"", tap: str = "main"
    ) -> None:
        facts = {"scheme": "ws", "host": "example.org", "port": 80, "path": path, "http_version": "HTTP/1.1"}
        ends = {"tap": tap, "client": "127.0.0.1:5000", "listener": "127.0.0.1:8080"}
        steps = {"tcp_ns": self.time(at_ms), "tls_ns": None, "client_tls": None}
        self.event(number, at_ms, event="attempt", **facts, **ends, **steps)
        lines = [b"GET " + path.encode() + b" HTTP/1.1", b"Host: localhost:8080", b"Connection: Upgrade"]
        lines += [b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: " + KEY]
        request = b"\r\n".join(lines) + b"\r\n" + extra + b"\r\n"
        self.writer.head(number, HEAD_REQUEST_IN, request, self.time(at_ms + 1))
        tcp = {"tcp_start_ns": self.time(at_ms + 1), "tcp_done_ns": self.time(at_ms + 2), "tls_done_ns": None}
        peers = {"address": "example.org:80", "peer": "10.0.0.1:80", "sockname": "10.0.0.2:6000"}
        self.event(number, at_ms + 2, event="server", **peers, **tcp, reused=False, tls=None, error=None)
        sent = request.replace(b"Host: localhost:8080", b"Host: example.org")
        self.writer.head(number, HEAD_REQUEST_OUT, sent, self.time(at_ms + 2))

    def open(self, number: int, at_ms: float = 5, *, extra: bytes = b"") -> None:
        lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"]
        lines.append(b"Sec-WebSocket-Accept: " + accept_key(KEY))
        response = b"\r\n".join(lines) + b"\r\n" + extra + b"\r\n"
        self.writer.head(number, HEAD_RESPONSE_IN, response, self.time(at_ms))
        self.writer.head(number, HEAD_RESPONSE_OUT, response, self.time(at_ms))
        self.event(number, at_ms, event="open")

    def refuse(self, number: int, body: bytes, at_ms: float = 5) -> None:
        self.writer.head(
            number, HEAD_INFORMATIONAL, b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", self.time(at_ms)
        )
        response = b"HTTP/1.1 403 Forbidden\r\nX-Why: \x1b[31mno\r\n\r\n"
        self.writer.head(number, HEAD_RESPONSE_IN, response, self.time(at_ms))
        self.writer.head(number, HEAD_RESPONSE_OUT, response, self.time(at_ms))
        self.writer.body(number, body, self.time(at_ms))
        self.event(number, at_ms, event="refused", status=403)
        self.closed(number, at_ms + 1)

    def frame(
        self,
        number: int,
        direction: Direction,
        opcode: int,
        payload: bytes,
        at_ms: float,
        *,
        held_ms: float = 0,
        **how: Any,
    ) -> None:
        key = how.pop("key", None if direction else MASK)
        self.raw(number, direction, serialize_frame(opcode, payload, key=key, **how), at_ms, held_ms=held_ms)

    def raw(
        self, number: int, direction: Direction, data: bytes, at_ms: float, *, held_ms: float = 0
    ) -> None:
        self.writer.data(number, direction, data, self.time(at_ms), int(held_ms * MS))

    def closed(self, number: int, at_ms: float, **how: str) -> None:
        if how:
            self.event(number, at_ms, event="end", **how)
        self.event(number, at_ms, event="closed")

    def flush(self) -> None:
        assert self.writer.flush()

    def finish(self, *, is_killed: bool = False) -> Path:
        """The engine's end; what it wrote is indexed by the next reader."""
        if not is_killed:
            self.event(0, 1e6, event="engine_stop")
        self.writer.close()
        return self.path


def home(tmp_path: Path) -> dict[str, str]:
    """An environment whose captures and run files lie below `tmp_path`."""
    empty = {"XDG_DATA_HOME": "", "XDG_STATE_HOME": "", "XDG_RUNTIME_DIR": ""}
    root = Path(__file__).parents[3]
    return {**os.environ, **empty, "HOME": str(tmp_path), "PYTHONPATH": str(root), "TZ": "UTC"}


def diagnose(folder: Path, *arguments: object, code: int = 0) -> tuple[str, str]:
    """What `wsinspect diagnose` prints, and says on stderr."""
    done = warm.run(["diagnose", *map(str, arguments)], folder=folder, environment=home(folder))
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def har(path: Path, *entries: dict[str, Any]) -> Path:
    """A HAR file as a browser exports it."""
    log = {"version": "1.2", "creator": {"name": "WebInspector", "version": "1"}, "entries": list(entries)}
    path.write_text(json.dumps({"log": log}))
    return path
