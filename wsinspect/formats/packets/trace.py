"""A trace, read to its end or while it grows, as a new capture."""

from __future__ import annotations

import io
import os
import select
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Final, Protocol

from wsinspect.capture.making import new_capture, writing
from wsinspect.capture.records import Note
from wsinspect.closing import Closing
from wsinspect.diagnosis.live import LiveFindings
from wsinspect.errors import CaptureError
from wsinspect.formats.notes import ImportNotes
from wsinspect.formats.packets.files import Source, pages
from wsinspect.formats.packets.reader import PacketReader
from wsinspect.formats.packets.tls import KeyLog
from wsinspect.formats.progress import Progress
from wsinspect.formats.staging import Feed
from wsinspect.journal.format import ENGINE_LOCK, JournalLock, journal_directory
from wsinspect.recorder.indexer import Indexer
from wsinspect.version import __version__
from wsinspect.vocabulary import events

#: How often what came is committed, so that other commands see it.
_COMMIT_SECONDS: Final = 0.25
_POLL_SECONDS: Final = 0.1
_AT_ONCE: Final = 512
_MAX_KEY_LOG_LINE: Final = 1 << 16


#: Takes notes of findings, as `run --headless` prints them.
Found = Callable[[list[Note]], None]


class Stop(Protocol):
    """Whether somebody wants an end: 0 no, 1 after what is on its way, 2 now."""

    def __call__(self) -> int: ...


class KeyLogFile(KeyLog):
    """An SSLKEYLOGFILE that its client may still be writing: what is missing is looked for again.

    Raises:
        CaptureError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._read_to = 0
        self._identity: tuple[int, int] | None = None
        try:
            self._read()
        except OSError as error:
            raise CaptureError(f"cannot read {path}: {error.strerror}") from None
        if not self.lines and self._read_to:
            raise CaptureError(f"{path} has no TLS secrets", hint="SSLKEYLOGFILE makes a client write them")

    def get(self, random: bytes) -> dict[str, bytes] | None:
        """The secrets of a connection; None without any."""
        found = super().get(random)
        if found is None or len(found) < 4:
            try:
                self._read()
            except OSError:
                return found
            return super().get(random)
        return found

    def _read(self) -> None:
        with self._path.open("rb") as file:
            facts = os.fstat(file.fileno())
            if self._identity not in (None, (facts.st_dev, facts.st_ino)) or facts.st_size < self._read_to:
                self._read_to = 0
            self._identity = facts.st_dev, facts.st_ino
            if facts.st_size == self._read_to:
                return
            file.seek(self._read_to)
            while line := file.readline(_MAX_KEY_LOG_LINE):
                if not line.endswith(b"\n") and len(line) < _MAX_KEY_LOG_LINE and self.lines:
                    break  # its end is still to come
                self.add(line)
                self._read_to += len(line)


class Growing:
    """A pipe, or a file that grows, as a `Source`.

    Args:
        file: unbuffered.
        is_endless: its end is only where it ends now: a file that is followed.
        stop: asked while nothing comes.
        idle: called while nothing comes.
    """

    def __init__(self, file: IO[bytes], *, is_endless: bool, stop: Stop, idle: Callable[[], None]) -> None:
        self._descriptor = file.fileno()
        self._is_endless = is_endless
        self._stop = stop
        self._idle = idle

    def read1(self, size: int, /) -> bytes:
        """What there is, once there is something; nothing where nothing more will come."""
        while self._stop() < 2:
            if self._is_endless:
                if data := os.read(self._descriptor, size):
                    return data
                if self._stop():
                    return b""
                self._idle()
                time.sleep(_POLL_SECONDS)
            elif select.select([self._descriptor], [], [], _POLL_SECONDS)[0]:
                return os.read(self._descriptor, size)
            else:
                self._idle()
        return b""


class _Busy(Closing):
    """Marks a capture as one that is being written, as an engine does, for those who follow it."""

    def __init__(self, path: Path) -> None:
        self._folder = journal_directory(path)
        self._folder.mkdir(mode=0o700)
        self._lock = JournalLock(self._folder, ENGINE_LOCK)

    def close(self) -> None:
        """Take the mark away."""
        self._lock.release()
        (self._folder / ENGINE_LOCK).unlink(missing_ok=True)
        self._folder.rmdir()


def is_stream(path: Path) -> bool:
    """Whether a name is a pipe's, `-` for stdin: it can be read once, and nobody knows its size."""
    return str(path) == "-" or path.is_fifo()


def import_trace(
    source: Path,
    target: Path,
    *,
    secrets: KeyLog,
    taps: Mapping[str, str],
    follow: bool,
    stop: Stop,
    progress: Progress,
    found: Found | None = None,
    stdin: IO[bytes] | None = None,
) -> ImportNotes:
    """Make a capture of a pcap or pcapng file, or of what a pipe brings.

    Args:
        source: the file; `-` is `stdin`.
        target: must not exist.
        secrets: of TLS connections; those that the file holds are added.
        taps: names by the server's address or port.
        follow: wait for more where a file ends, until `stop` says so; a pipe on stdin ends with its writer.
        progress: called with the number of bytes read.
        found: gets findings as they come, which are stored; None stores none.

    Raises:
        CaptureError: it is not a trace, or damaged.
        OSError: it cannot be read.
    """
    name = "stdin" if str(source) == "-" else str(source)
    if str(source) == "-":
        assert stdin is not None
        file = io.FileIO(stdin.fileno(), closefd=False)
    else:
        file = io.FileIO(source)
    mode = os.fstat(file.fileno()).st_mode
    is_live = follow or not stat.S_ISREG(mode)
    with file, new_capture(target), writing(target, is_bulk=not is_live) as database:
        feed = Feed(Indexer(database), is_live=is_live)
        judge = None if found is None else _Judge(LiveFindings(database), feed.indexer, found)
        reader = PacketReader(feed, secrets, taps)
        if is_live:
            with _Busy(target):
                due = _Due(feed, judge)
                # Nobody can write to stdin once its pipe has no writer; a named one may get another.
                is_endless = follow and not (str(source) == "-" and stat.S_ISFIFO(mode))
                growing = Growing(file, is_endless=is_endless, stop=stop, idle=due.now)
                _read(growing, name, reader, feed, due.perhaps, judge)
        else:
            with io.BufferedReader(file, 1 << 20) as buffered:
                _read(buffered, name, reader, feed, lambda: progress(file.tell()), judge)
        notes = ImportNotes(connections=reader.connections, entries=reader.connections)
        notes.said = [*reader.notes()]
        notes.frames = feed.indexer.next_frame - 1
    return notes


class _Judge:
    """Runs the rules on what was committed, as the recorder of an engine does."""

    def __init__(self, findings: LiveFindings, indexer: Indexer, found: Found) -> None:
        self._findings = findings
        self._indexer = indexer
        self._found = found

    def look(self, *, is_over: bool = False) -> None:
        indexer = self._indexer
        notes = self._findings.look(
            indexer.looks,
            at_ns=indexer.last_ns,
            is_changed=indexer.is_engine_changed,
            is_idle=True,
            is_over=is_over,
        )
        indexer.looks, indexer.is_engine_changed = set(), False
        if notes:
            self._found(notes)


class _Due:
    """Commits what came now and then, and looks at it."""

    def __init__(self, feed: Feed, judge: _Judge | None) -> None:
        self._feed = feed
        self._judge = judge
        self._last = time.monotonic()

    def perhaps(self) -> None:
        if time.monotonic() - self._last > _COMMIT_SECONDS:
            self.now()

    def now(self) -> None:
        if self._feed.indexer.has_uncommitted:
            self._feed.indexer.commit()
        if self._judge is not None:
            self._judge.look()
        self._last = time.monotonic()


def _read(
    source: Source,
    name: str,
    reader: PacketReader,
    feed: Feed,
    now_and_then: Callable[[], None],
    judge: _Judge | None,
) -> None:
    has_begun = False
    add = reader.add
    count = due = 0
    for page in pages(source, name):
        if isinstance(page, list):
            if not has_begun:
                has_begun = True
                _begin(feed, page[0].time_ns, name)
            count += len(page)
        add(page)
        if count >= due:
            due = count + _AT_ONCE
            now_and_then()
    if not has_begun:
        _begin(feed, 0, name)
    reader.finish()
    feed.finish(reader.last_ns)
    if judge is not None:
        judge.look(is_over=True)


def _begin(feed: Feed, start_ns: int, name: str) -> None:
    versions = {"wsinspect": __version__}
    imported = {"from": Path(name).name, "format": "packets"}
    begun = events.ImportStarted(versions=versions, imported=imported, argv=[], anchor_wall_ns=start_ns)
    feed.event(0, start_ns, begun)
