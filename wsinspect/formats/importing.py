"""Any file that we read, as a new capture: which format is it, and what was in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Final

from wsinspect.capture.making import new_capture
from wsinspect.capture.queries import count_connections
from wsinspect.capture.reader import Capture
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
        progress: called with the number of bytes read.

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
        raise CaptureError(f"{source} is not a file", hint="write the pipe's data to a file first")
    kind = file_format or sniff(source)
    if kind == "capture":
        raise CaptureError(f"{source} is a capture already", hint=f"wsinspect show {source}")
    try:
        with new_capture(target), source.open("rb") as file:
            return _fill(file, kind, source, target, progress)
    except OSError as error:
        raise LocalError(f"cannot import {source}: {error.strerror or error}") from None


def _fill(file: IO[bytes], kind: str, source: Path, target: Path, progress: Progress) -> ImportNotes:
    name = str(source)
    if kind == "jsonl":
        frames = read_jsonl(file, os.fstat(file.fileno()).st_size, target, name, progress)
        with Capture.open(target) as capture:
            return ImportNotes(frames=frames, connections=count_connections(capture))
    stage = Stage(target.absolute().parent)
    try:
        notes = (read_har if kind == "har" else read_flows)(file, stage, name, progress)
        notes.connections = stage.connections
        stage.fill(target, {"from": source.name, "format": kind})
        notes.frames = stage.frames
        return notes
    finally:
        stage.close()
