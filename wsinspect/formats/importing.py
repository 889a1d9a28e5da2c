"""Any file that we read, as a new capture: which format is it, and what was in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from wsinspect.capture.making import new_capture
from wsinspect.capture.queries import count_connections
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.live import store_findings
from wsinspect.errors import CaptureError, LocalError, UsageError
from wsinspect.formats.flows import is_flow_file, read_flows
from wsinspect.formats.har_reader import read_har
from wsinspect.formats.jsonl_reader import read_jsonl
from wsinspect.formats.notes import ImportNotes
from wsinspect.formats.packets.files import is_packet_file
from wsinspect.formats.packets.tls import KeyLog
from wsinspect.formats.packets.trace import Found, KeyLogFile, Stop, import_trace, is_stream
from wsinspect.formats.progress import Progress, nobody
from wsinspect.formats.staging import Stage
from wsinspect.memory import making_rows

FORMATS: Final = ("har", "jsonl", "flows", "packets")
_START: Final = 4096


def sniff(path: Path) -> str:
    """The format of a file by its first bytes: `capture`, `har`, `jsonl`, `flows` or `packets`.

    A pipe cannot be looked at without taking from it: what comes through one is `packets`.

    Raises:
        CaptureError: it is not one of them, or cannot be read.
    """
    if is_stream(path):
        return "packets"
    try:
        with path.open("rb") as source:
            start = source.read(_START)
    except OSError as error:
        raise CaptureError(f"cannot read {path}: {error.strerror}") from None
    if start.startswith(b"SQLite format 3\0"):
        return "capture"
    if is_flow_file(start):
        return "flows"
    if is_packet_file(start):
        return "packets"
    if start[:2] == b"\x1f\x8b":
        raise CaptureError(f"{path} is compressed", hint=f"gunzip -c {path} | wsinspect import -")
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"{"):
        first = text.split(b"\n", 1)[0]
        return "jsonl" if b'"type"' in first and b'"capture"' in first and b'"format"' in first else "har"
    if not start:
        raise CaptureError(f"{path} is empty")
    raise CaptureError(f"{path} is not a HAR, a JSONL export, a mitmproxy flow file or a packet trace")


@dataclass(frozen=True, kw_only=True)
class PacketOptions:
    """How packets are read.

    Attributes:
        key_log: an SSLKEYLOGFILE.
        taps: names of places by the server's address or port.
        follow: wait for more where a file ends.
        stop: whether the user wants an end: 0 no, 1 after what is on its way, 2 now.
    """

    key_log: Path | None = None
    taps: Mapping[str, str] = field(default_factory=dict)
    follow: bool = False
    stop: Stop = lambda: 0

    @property
    def first(self) -> str | None:
        """The option that was given, of several the first one; None without any."""
        if self.follow:
            return "--follow"
        return "--keylog" if self.key_log is not None else "--tap" if self.taps else None


def import_file(
    source: Path,
    target: Path,
    *,
    file_format: str | None = None,
    progress: Progress = nobody,
    packets: PacketOptions | None = None,
    found: Found | None = None,
) -> ImportNotes:
    """Make a capture of a HAR, a JSONL export, a flow file or packets.

    Args:
        source: the file; of packets also a pipe, `-` for stdin.
        target: the capture to make; must not exist.
        file_format: one of `FORMATS`; None looks into the file.
        progress: called with the number of bytes read.
        packets: options of that format.
        found: gets what is found, which is stored too; None stores none. A JSONL export has its own.

    Returns:
        What there is to say of it.

    Raises:
        CaptureError: the file cannot be read as that.
        UsageError: `target` exists.
        LocalError: it cannot be written.
    """
    if target.exists():
        raise UsageError(f"{target} exists", hint="name another file with -o")
    kind = file_format or sniff(source)
    if kind == "packets":
        return _import_packets(source, target, progress, packets or PacketOptions(), found)
    if packets is not None and (option := packets.first):
        raise UsageError(f"{option} is about packets", hint=f"{source} is a {kind} file")
    if str(source) == "-" or (source.exists() and not source.is_file()):
        raise CaptureError(f"{source} is not a file", hint="write the pipe's data to a file first")
    if kind == "capture":
        raise CaptureError(f"{source} is a capture already", hint=f"wsinspect show {source}")
    try:
        with making_rows(), new_capture(target), source.open("rb") as file:
            notes = _fill(file, kind, source, target, progress)
            if found is not None and kind != "jsonl":
                found(store_findings(target))
            return notes
    except OSError as error:
        raise LocalError(f"cannot import {source}: {error.strerror or error}") from None


def _import_packets(
    source: Path, target: Path, progress: Progress, options: PacketOptions, found: Found | None
) -> ImportNotes:
    secrets = KeyLogFile(options.key_log) if options.key_log is not None else KeyLog()
    try:
        with making_rows():
            return import_trace(
                source,
                target,
                secrets=secrets,
                taps=options.taps,
                follow=options.follow,
                stop=options.stop,
                progress=progress,
                found=found,
                stdin=sys.stdin.buffer if str(source) == "-" else None,
            )
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
