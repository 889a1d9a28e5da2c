"""The journal's format: segment files of records, and the locks next to them.

A directory (mode 0700) holds `00000001.seg`, `00000002.seg` and so on (mode 0600) and two lock files that
their owners hold with flock, `engine.lock` and `recorder.lock`. A segment is a sequence of records; a
record is `HEADER` (24 bytes, little endian) and as many payload bytes as it says. docs/capture-format.md
describes it for strangers.

Only the standard library is imported: the engine loads this module.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from pathlib import Path
from typing import Final, NamedTuple

HEADER: Final = struct.Struct("<IBBHIqI")
"""Payload length, kind, part, reserved, connection, time in epoch ns, ns from arrival to sending on."""

DATA: Final = 1
"""A raw chunk after the opening handshake; part is the direction (0 client to server, 1 server to client)."""
HEAD: Final = 2
"""A raw head; part is one of the HEAD_ constants."""
BODY: Final = 3
"""The beginning of the body of a refused attempt."""
EVENT: Final = 4
"""A UTF-8 JSON object with the key "event"."""
KINDS: Final = frozenset((DATA, HEAD, BODY, EVENT))

HEAD_REQUEST_IN: Final = 0
HEAD_REQUEST_OUT: Final = 1
HEAD_RESPONSE_IN: Final = 2
HEAD_RESPONSE_OUT: Final = 3
HEAD_INFORMATIONAL: Final = 4

SEGMENT_BYTES: Final = 16 * 1024 * 1024
BODY_BYTES: Final = 64 * 1024
#: A longer record than this was never written; a larger length means that the segment is damaged.
MAX_RECORD_BYTES: Final = 64 * 1024 * 1024
ENGINE_LOCK: Final = "engine.lock"
RECORDER_LOCK: Final = "recorder.lock"
_LOCK_TRIES: Final = 4
_LOCK_PAUSE_SECONDS: Final = 0.01


class Record(NamedTuple):
    """One record of the journal, in the order it was written."""

    kind: int
    part: int
    connection: int
    time_ns: int
    sent_after_ns: int
    payload: bytes


class Position(NamedTuple):
    """A place in the journal: the next record begins at `offset` of segment number `segment`."""

    segment: int
    offset: int


class JournalInUseError(RuntimeError):
    """Another living process holds the lock of this journal."""


def journal_directory(capture: str | os.PathLike[str]) -> Path:
    """The journal directory that belongs to a capture file."""
    path = Path(capture)
    return path.with_name(path.name + ".journal")


def segment_path(directory: Path, number: int) -> Path:
    """The file of one segment."""
    return directory / f"{number:08d}.seg"


def segment_numbers(directory: Path) -> list[int]:
    """The segments there are, oldest first; an absent directory has none."""
    try:
        names = [path.stem for path in directory.iterdir() if path.suffix == ".seg"]
    except FileNotFoundError:
        return []
    return sorted(int(name) for name in names if name.isdecimal())


class JournalLock:
    """One of the two lock files: held by flock while its owner lives, so a dead owner holds nothing."""

    def __init__(self, directory: Path, name: str) -> None:
        self._fd = os.open(directory / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for tries_left in reversed(range(_LOCK_TRIES)):
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as error:
                if not tries_left:
                    os.close(self._fd)
                    raise JournalInUseError(f"{directory / name} is held by another process") from error
            # Somebody may only be checking whether it is held (`is_locked`).
            time.sleep(_LOCK_PAUSE_SECONDS)

    def release(self) -> None:
        """Give the lock back (closing the file does it)."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def is_locked(directory: Path, name: str) -> bool:
    """Whether a living process holds the lock `name` ("engine.lock" or "recorder.lock")."""
    try:
        fd = os.open(directory / name, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def is_in_use(path: Path) -> bool:
    """Whether an engine or a recorder is at work on the capture."""
    journal = journal_directory(path)
    return is_locked(journal, ENGINE_LOCK) or is_locked(journal, RECORDER_LOCK)


def is_draining(path: Path) -> bool:
    """Whether the engine is gone and its recorder still indexes what it left: that ends by itself."""
    journal = journal_directory(path)
    return not is_locked(journal, ENGINE_LOCK) and is_locked(journal, RECORDER_LOCK)
