"""What a receiver of compressed messages has inflated up to some frame: out of a live capture.

The engine does not inflate what it relays. When a fault is armed on an open connection with context takeover
(RFC 7692 section 7), the sender's window is needed from there on; the recorder has it, a moment later.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final, NamedTuple

from wsinspect.capture.reader import Capture
from wsinspect.errors import CaptureError
from wsinspect.wire.deflate import WINDOW
from wsinspect.wire.opcodes import Direction

_COUNTS: Final = "SELECT c2s_frames, s2c_frames FROM connection WHERE id = ?"
_LAST: Final = "SELECT id FROM frame WHERE connection_id = ? AND is_s2c = ? ORDER BY id DESC LIMIT 1 OFFSET ?"
_MESSAGES: Final = (
    "SELECT data, length, problem FROM stored_message WHERE connection_id = ? AND is_s2c = ? "
    "AND compressed = 1 AND last_frame <= ? ORDER BY id DESC LIMIT 1000 OFFSET ?"
)
_OPEN: Final = (
    "SELECT id FROM stored_message WHERE connection_id = ? AND is_s2c = ? AND compressed = 1 "
    "AND id <= ? AND (last_frame IS NULL OR last_frame > ?) ORDER BY id DESC LIMIT 1"
)
_PIECES: Final = (
    "SELECT payload, wire_length - length(header) FROM frame WHERE connection_id = ? AND message_id = ? "
    "AND id <= ? ORDER BY id"
)


class Known(NamedTuple):
    """The state of a sender's compression.

    Attributes:
        window: the last 32 KiB that its finished messages inflate to.
        begun: the payload so far of the compressed message that is under way; None without one.
    """

    window: bytes
    begun: bytes | None


class UnknownWindowError(Exception):
    """The capture does not hold it: cut, evicted, or broken by its sender."""


def window_at(path: Path, connection: int, direction: Direction, frames: int) -> Known | None:
    """The state behind the first `frames` frames of a direction; None while they are not all in the capture.

    Raises:
        UnknownWindowError: it will never be known.
    """
    try:
        with Capture.open(path) as capture:
            capture.query("BEGIN")
            return _look(capture, connection, direction, frames)
    except (CaptureError, sqlite3.Error) as error:
        raise UnknownWindowError(str(error)) from None


def _look(capture: Capture, connection: int, direction: Direction, frames: int) -> Known | None:
    if not frames:
        return Known(b"", None)
    side = int(direction)
    counts = capture.query(_COUNTS, (connection,))
    if not counts or counts[0][side] < frames:
        return None
    found = capture.query(_LAST, (connection, side, counts[0][side] - frames))
    if not found:
        raise UnknownWindowError("the frames are no longer in the capture")
    last = found[0][0]
    begun = capture.query(_OPEN, (connection, side, last, last))
    return Known(
        _window(capture, connection, side, last),
        _begun(capture, connection, begun[0][0], last) if begun else None,
    )


def _window(capture: Capture, connection: int, side: int, last: int) -> bytes:
    parts: list[bytes] = []
    size = offset = 0
    while size < WINDOW:
        rows = capture.query(_MESSAGES, (connection, side, last, offset))
        for data, length, problem in rows:
            if problem is not None or not isinstance(data, bytes) or len(data) != length:
                raise UnknownWindowError("a message before was not kept whole")
            parts.append(data)
            size += len(data)
            if size >= WINDOW:
                break
        offset += len(rows)
        if not rows:
            break
    return b"".join(reversed(parts))[-WINDOW:]


def _begun(capture: Capture, connection: int, message: int, last: int) -> bytes:
    pieces = capture.query(_PIECES, (connection, message, last))
    if not all(isinstance(payload, bytes) and len(payload) == length for payload, length in pieces):
        raise UnknownWindowError("the message under way was not kept whole")
    return b"".join(payload for payload, _ in pieces)
