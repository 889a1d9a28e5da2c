"""Any file that we read, as a new capture: which format is it, and what was in it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import IO, Final

from wsinspect.capture import schema
from wsinspect.errors import CaptureError, LocalError, UsageError
from wsinspect.formats.flows import is_flow_file, read_flows
from wsinspect.formats.har_reader import read_har
from wsinspect.formats.jsonl_reader import read_jsonl
from wsinspect.formats.notes import ImportNotes
from wsinspect.formats.progress import Progress, nobody
from wsinspect.formats.staging import Stage

FORMATS: Final = ("har", "jsonl", "flows")
_START: Final = 4096


def sniff(path: Path) -> str:
    """The format of a file by its first bytes: `capture`, `har`, `jsonl` or `flows`.

    Raises:
        CaptureError: none of them, or it cannot be read.
    """
    try:
        with path.open("rb") as source:
            start = source.read(_START)
    except OSError as error:
        raise CaptureError(f"cannot read {path}: {error.strerror}") from None
    if start.startswith(b"SQLite format 3\0"):
        return "capture"
    if is_flow_file(start):
        return "flows"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"{"):
        first = text.split(b"\n", 1)[0]
        return "jsonl" if b'"type"' in first and b'"capture"' in first and b'"format"' in first else "har"
    if not start:
        raise CaptureError(f"{path} is empty")
    raise CaptureError(f"{path} is not a HAR, a JSONL export or a mitmproxy flow file")


def import_file(
    source: Path, target: Path, *, file_format: str | None = None, progress: Progress = nobody
) -> ImportNotes:
    """Make a capture of a HAR, a JSONL export or a flow file.

    Args:
        source: the file.
        target: the capture to make; must not exist.
        file_format: one of `FORMATS`; None looks into the file.
        progress: told how many bytes of it are read.

    Returns:
        What there is to say of it.

    Raises:
        CaptureError: the file cannot be read as that.
        UsageError: `target` exists.
        LocalError: it cannot be written.
    """
    if target.exists():
        raise UsageError(f"{target} exists", hint="name another file with -o")
    if source.exists() and not source.is_file():
        raise CaptureError(f"{source} is not a file", hint="write what comes through a pipe into one first")
    kind = file_format or sniff(source)
    if kind == "capture":
        raise CaptureError(f"{source} is a capture already", hint=f"wsinspect show {source}")
    schema.create(target)
    try:
        with source.open("rb") as file:
            notes = _fill(file, kind, source, target, progress)
        seal(target)
        return notes
    except BaseException as error:
        discard(target)
        if isinstance(error, OSError):
            raise LocalError(f"cannot import {source}: {error.strerror or error}") from None
        raise


def _fill(file: IO[bytes], kind: str, source: Path, target: Path, progress: Progress) -> ImportNotes:
    name = str(source)
    if kind == "jsonl":
        frames = read_jsonl(file, os.fstat(file.fileno()).st_size, target, name, progress)
        return ImportNotes(frames=frames, connections=_count(target))
    stage = Stage(target.absolute().parent)
    try:
        notes = (read_har if kind == "har" else read_flows)(file, stage, name, progress)
        notes.connections = stage.connections
        stage.fill(target, {"imported": {"from": source.name, "format": kind}, "argv": []})
        notes.frames = stage.frames
        return notes
    finally:
        stage.close()


def _count(path: Path) -> int:
    database = schema.open_for_reading(path)
    try:
        count: int = database.execute("SELECT count(*) FROM connection").fetchone()[0]
        return count
    finally:
        database.close()


def seal(path: Path) -> None:
    """One file, as a capture is after a clean end."""
    database = schema.open_for_writing(path)
    try:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise LocalError(f"cannot write {path}: {error}") from None
    finally:
        database.close()


def discard(path: Path) -> None:
    """Remove a capture that could not be finished."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
