"""What a capture says, read with nothing but SQLite and its documented format (docs/capture-format.md)."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.support.bytes_of_frames import xor
from tests.support.origin import CASE

OPEN = "SELECT state, path FROM connection WHERE state IN ('connecting', 'open') LIMIT 20"
SETTLED = "SELECT count(*) FROM connection WHERE state IN ('connecting', 'open')"
CONNECTIONS = "SELECT id, path, state, ended_by, how, js_code, js_was_clean FROM connection"
HEADS = "SELECT request_out, coalesce(informational, x''), response_in FROM handshake WHERE connection_id = ?"
FRAMES = "SELECT id, header, payload, masked FROM frame WHERE connection_id = ? AND is_s2c = ?"
OPAQUE = "SELECT coalesce(after_frame, 0), id, data FROM opaque WHERE connection_id = ? AND is_s2c = ?"


@dataclass(frozen=True)
class Recorded:
    """One connection as the capture has it; the streams are the bytes after the heads."""

    state: str
    ended_by: str | None
    how: str | None
    js_code: int | None
    js_was_clean: bool | None
    request_out: bytes
    response_in: bytes
    c2s: bytes
    s2c: bytes


def wait_until_settled(capture: Path, connections: int, timeout: float = 60.0) -> None:
    """Wait until so many connections are recorded and all of them have ended.

    Raises:
        TimeoutError: they have not.
    """
    deadline = time.monotonic() + timeout
    while True:
        with closing(sqlite3.connect(f"file:{capture}?mode=ro", uri=True)) as database:
            (open_ones,) = database.execute(SETTLED).fetchone()
            (all_ones,) = database.execute("SELECT count(*) FROM connection").fetchone()
        if not open_ones and all_ones >= connections:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{all_ones} of {connections} connections, not ended: {_not_ended(capture)}")
        time.sleep(0.05)


def _not_ended(capture: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(f"file:{capture}?mode=ro", uri=True)) as database:
        return database.execute(OPEN).fetchall()


def recorded(capture: Path) -> dict[str, Recorded]:
    """All connections of the lab's cases, by the tag in their path."""
    with closing(sqlite3.connect(f"file:{capture}?mode=ro", uri=True)) as database:
        found = {}
        for number, path, state, ended_by, how, js_code, clean in database.execute(CONNECTIONS).fetchall():
            match = CASE.search((path or "").encode())
            if match is not None:
                heads = database.execute(HEADS, (number,)).fetchone() or (b"", b"", b"")
                found[match[1].decode()] = Recorded(
                    state=state,
                    ended_by=ended_by,
                    how=how,
                    js_code=js_code,
                    js_was_clean=None if clean is None else bool(clean),
                    request_out=heads[0] or b"",
                    response_in=heads[1] + (heads[2] or b""),
                    c2s=_stream(database, number, 0),
                    s2c=_stream(database, number, 1),
                )
        return found


def _stream(database: sqlite3.Connection, connection: int, side: int) -> bytes:
    """One direction's bytes, made again from frames and opaque bytes."""
    pieces: list[tuple[int, int, bytes]] = []
    for number, header, payload, masked in database.execute(FRAMES, (connection, side)):
        body = xor(payload or b"", header[-4:]) if masked else payload or b""
        pieces.append((number, 0, header + body))
    for after, number, data in database.execute(OPAQUE, (connection, side)):
        pieces.append((after, number, data))
    return b"".join(piece for _, _, piece in sorted(pieces, key=lambda piece: piece[:2]))
