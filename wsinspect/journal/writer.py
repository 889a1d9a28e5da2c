"""Writing the journal: the engine's hot path, and the thread that owns the disk.

Contract:

- *Cheap.* `JournalWriter.data()` packs a header and extends a list; it never blocks and never fails for
  reasons of the disk. A thread writes what gathered at most 20 ms later, so a slow disk never stalls the
  event loop.
- *Only whole records.* A write that fails is cut back to the last whole record.
- *Nothing is lost in silence.* Chunks that could not be written are counted, the streams they belong to are
  named in an `unstored` event, and heads and events are kept in memory for a later try.

Only the standard library is imported: the engine loads this module.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from wsinspect.journal.budget import Budget, JournalRoom
from wsinspect.journal.format import (
    BODY,
    DATA,
    EVENT,
    HEAD,
    HEADER,
    MAX_RECORD_BYTES,
    SEGMENT_BYTES,
    JournalLock,
    segment_numbers,
    segment_path,
)
from wsinspect.vocabulary.events import Event, Unstored

#: Made once: making it takes longer than encoding most events.
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode
BACKLOG_BYTES: Final = 16 * 1024 * 1024
#: How many header blocks and events are kept for a later try while the disk is full.
KEPT_BYTES: Final = 1024 * 1024
#: Linux takes 1024 buffers in one writev (IOV_MAX); two are one record.
_BUFFERS_A_WRITE: Final = 1024
_BATCH_SECONDS: Final = 0.010
_MAX_U32: Final = 0xFFFF_FFFF


class JournalWriter:
    """Appends records to the journal from a thread of its own.

    `data`, `head`, `body` and `event` must be called from one thread (the event loop's); they never block and
    never fail for reasons of the disk. What they append is written at most 20 ms later.

    Args:
        directory: The journal directory; created with mode 0700 if absent.
        first_segment: The smallest number the first segment may have (a capture that is appended to says
            which); segments that are there already are continued after, never written to.
        segment_bytes: A new segment is begun once one has grown to this.
        backlog_limit: More unwritten bytes than this make `is_full` true.
        wake_fd: A non-blocking pipe that gets one byte after each flush; see `set_wake_fd`.
        on_unstored: Called from the writer thread as (bytes, reason) once when storing begins to fail.
        on_drained: Called from the writer thread when a backlog that was reported full has halved.
        budget: Keeps the journal within its share; None for no limit.

    Raises:
        JournalInUseError: Another engine writes to this journal.
        OSError: The directory or the first segment cannot be created.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        first_segment: int = 1,
        segment_bytes: int = SEGMENT_BYTES,
        backlog_limit: int = BACKLOG_BYTES,
        wake_fd: int | None = None,
        on_unstored: Callable[[int, str], None] | None = None,
        on_drained: Callable[[], None] | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.directory = Path(directory)
        self.on_unstored = on_unstored
        self.on_drained = on_drained
        room = JournalRoom(self.directory, budget) if budget else None
        segment_bytes = min(segment_bytes, budget.segment) if budget else segment_bytes
        self._segments = _SegmentFile(self.directory, first_segment, segment_bytes, room)
        self._write_bytes = segment_bytes // 2
        self._loss = _Loss()
        self._limit = backlog_limit
        self._wake_fd = wake_fd
        # One list that is only ever extended at its end (loop) and cut at its start (thread): each of these
        # is one C call under the GIL, so no lock is needed and a record is never seen by half.
        self._buffers: list[bytes] = []
        self._extend = self._buffers.extend
        self._appended_bytes = 0
        self._settled_bytes = 0
        self._was_full = False
        self._is_dormant = False
        self._is_closing = False
        self._tokens: queue.SimpleQueue[threading.Event | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="wsinspect-journal", daemon=True)
        self._thread.start()

    # -- the event loop's side

    def data(
        self, connection: int, direction: int, chunk: bytes, time_ns: int, sent_after_ns: int = 0
    ) -> None:
        """A chunk of bytes after the 101, as it came from a socket at `time_ns`."""
        length = len(chunk)
        if sent_after_ns > _MAX_U32:
            sent_after_ns = _MAX_U32
        self._extend((HEADER.pack(length, DATA, direction, 0, connection, time_ns, sent_after_ns), chunk))
        self._appended_bytes += length + 24
        if self._is_dormant:
            self._wake()

    def head(self, connection: int, part: int, raw: bytes, time_ns: int, sent_after_ns: int = 0) -> None:
        """A raw head (`HEAD_REQUEST_IN` and so on), cut at `MAX_RECORD_BYTES`: a longer one is damage."""
        self._append(HEAD, part, connection, time_ns, sent_after_ns, raw[:MAX_RECORD_BYTES])

    def body(self, connection: int, chunk: bytes, time_ns: int) -> None:
        """More of the beginning of a refused attempt's body; the caller stops after `BODY_BYTES`."""
        self._append(BODY, 0, connection, time_ns, 0, chunk)

    def event(self, connection: int, event: Event, time_ns: int) -> None:
        """What happened at a connection; 0 is the engine itself."""
        self._append(EVENT, 0, connection, time_ns, 0, _encode(event.as_json()).encode())

    @property
    def backlog_bytes(self) -> int:
        """How many appended bytes are not on the disk yet."""
        return self._appended_bytes - self._settled_bytes

    @property
    def is_full(self) -> bool:
        """Whether the engine should stop reading its sockets until `on_drained` is called."""
        if self._appended_bytes - self._settled_bytes <= self._limit:
            return False
        self._was_full = True
        return True

    @property
    def unstored_bytes(self) -> int:
        """How many payload bytes could not be stored, ever."""
        return self._loss.total_bytes

    def set_wake_fd(self, fd: int | None) -> None:
        """Use another wake pipe (a restarted recorder's). The caller keeps owning the descriptor."""
        self._wake_fd = fd

    def flush(self, timeout: float | None = 5.0) -> bool:
        """Wait until what was appended so far is written (or given up); false when that took too long."""
        done = threading.Event()
        self._tokens.put(done)
        return done.wait(timeout)

    def close(self, timeout: float | None = 10.0) -> bool:
        """Write what is left, end the thread and give the lock back. May be called twice.

        Args:
            timeout: seconds in which nothing more was written. A recorder that is behind may hold the writer
                up for longer, and nothing is lost as long as both make progress.

        Returns:
            False when that passed: the thread continues, and gives the lock back at its end.
        """
        self._is_closing = True
        self._tokens.put(None)
        while True:
            settled = self._settled_bytes
            self._thread.join(timeout)
            if not self._thread.is_alive():
                return True
            if self._settled_bytes == settled:
                return False

    def _append(
        self, kind: int, part: int, connection: int, time_ns: int, sent_after_ns: int, raw: bytes
    ) -> None:
        header = HEADER.pack(len(raw), kind, part, 0, connection, time_ns, min(sent_after_ns, _MAX_U32))
        self._extend((header, raw))
        self._appended_bytes += len(raw) + 24
        if self._is_dormant:
            self._wake()

    def _wake(self) -> None:
        self._is_dormant = False
        self._tokens.put(None)

    # -- the thread's side

    def _run(self) -> None:
        """Sleep while there is nothing, else write what gathered in each window of 10 ms."""
        waiting: list[threading.Event] = []
        while True:
            if not self._buffers and not self._is_closing:
                self._is_dormant = True
                if not self._buffers:
                    self._take_token(None, waiting)
                self._is_dormant = False
            if not (waiting or self._is_closing):
                self._take_token(_BATCH_SECONDS, waiting)
            is_last = self._is_closing
            self._flush()
            while waiting:
                waiting.pop().set()
            if is_last and not self._buffers:
                # Not in `close`, which may have stopped waiting: the recorder ends when the lock is free.
                self._segments.close()
                return

    def _take_token(self, timeout: float | None, waiting: list[threading.Event]) -> None:
        with contextlib.suppress(queue.Empty):
            token = self._tokens.get(timeout=timeout)
            if token is not None:
                waiting.append(token)

    def _flush(self) -> None:
        count = len(self._buffers)
        buffers = self._buffers[:count]
        del self._buffers[:count]
        if self._loss.is_pending and not self._report_loss():
            self._loss.add(buffers)
            self._settle(buffers)
            buffers.clear()
        step = self._buffers_a_write(buffers)
        # From its end, so that what is written is let go at once: a backlog is in memory once, not twice.
        buffers.reverse()
        while buffers:
            group = buffers[-step:]
            group.reverse()
            stored, error = self._segments.append(group)
            if error is not None:
                buffers.reverse()
                self._give_up(buffers[stored:], error)
                self._settle(buffers)
                break
            del buffers[-step:]
            self._settle(group)
        if count:
            self._write_wake_byte()
        self._report_drained()

    def _settle(self, buffers: Sequence[bytes]) -> None:
        """These are no longer in the backlog: they are written, or lost."""
        self._settled_bytes += sum(map(len, buffers))

    def _buffers_a_write(self, buffers: Sequence[bytes]) -> int:
        """How many to hand to one writev, so that a segment hardly outgrows its size."""
        records = len(buffers) // 2 or 1
        average = max(1, sum(map(len, buffers)) // records)
        return min(_BUFFERS_A_WRITE, 2 * max(1, self._write_bytes // average))

    def _report_loss(self) -> bool:
        """Storing failed before: write what was kept and say what was lost, all or nothing."""
        stored, error = self._segments.append(self._loss.report())
        if error is None:
            self._loss.clear()
        elif stored:
            self._loss.forget(stored)
        return error is None

    def _give_up(self, buffers: Sequence[bytes], error: OSError) -> None:
        lost = self._loss.begin(buffers, error)
        if self.on_unstored is not None:
            # A RuntimeError: the event loop that was to be notified is closed already.
            with contextlib.suppress(RuntimeError):
                self.on_unstored(lost, self._loss.reason)

    def _report_drained(self) -> None:
        if self._was_full and self.backlog_bytes <= self._limit // 2:
            self._was_full = False
            if self.on_drained is not None:
                with contextlib.suppress(RuntimeError):
                    self.on_drained()

    def _write_wake_byte(self) -> None:
        fd = self._wake_fd
        if fd is not None:
            # A full pipe wakes the recorder just as well; noticing and replacing a broken one is up to the
            # engine.
            with contextlib.suppress(OSError):
                os.write(fd, b"\0")


class _SegmentFile:
    """The segment being written, and the next one when it has grown enough; the thread's alone."""

    def __init__(
        self, directory: Path, first_segment: int, segment_bytes: int, room: JournalRoom | None
    ) -> None:
        directory.mkdir(mode=0o700, exist_ok=True)
        self._directory = directory
        self._lock = JournalLock(directory, "engine.lock")
        self._segment_bytes = segment_bytes
        self._room = room
        self._number = max([first_segment - 1, *segment_numbers(directory)])
        self._offset = 0
        self._fd = -1
        try:
            self._open_next()
        except OSError:
            self._lock.release()
            raise

    def append(self, buffers: Sequence[bytes]) -> tuple[int, OSError | None]:
        """Write header, payload, header, payload...

        Returns:
            How many of the buffers are in the file for good (whole records only), and what stopped the rest.
        """
        try:
            if self._fd < 0 or self._offset >= self._segment_bytes:
                self._open_next()
        except OSError as error:
            # Without a descriptor for the next segment this one just grows.
            if self._fd < 0 or error.errno not in (errno.EMFILE, errno.ENFILE):
                return 0, error
        total = sum(map(len, buffers))
        written = 0
        try:
            written = os.writev(self._fd, buffers)
            if written < total:
                # A short write means that the next one will fail: let that one name the reason.
                rest = memoryview(b"".join(buffers))
                while written < total:
                    written += os.write(self._fd, rest[written:])
        except OSError as error:
            return self._cut_back(buffers, written), error
        self._offset += total
        return len(buffers), None

    def close(self) -> None:
        """Close the segment and give the engine's lock back."""
        self._close_segment()
        self._lock.release()

    def _open_next(self) -> None:
        if self._room is not None:
            self._room.wait()
        path = segment_path(self._directory, self._number + 1)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._close_segment()
        self._fd, self._number, self._offset = fd, self._number + 1, 0

    def _close_segment(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _cut_back(self, buffers: Sequence[bytes], written: int) -> int:
        """Keep the records that were written whole and cut the torn one off the file."""
        stored = size = 0
        for index in range(0, len(buffers), 2):
            record = len(buffers[index]) + len(buffers[index + 1])
            if size + record > written:
                break
            size += record
            stored = index + 2
        self._offset += size
        if size < written:
            try:
                os.ftruncate(self._fd, self._offset)
            except OSError:
                # The torn tail stays: only the last thing of a segment may be torn, so this one is finished.
                self._close_segment()
        return stored


class _Loss:
    """What could not be written since storing began to fail, and the small records kept for a later try."""

    def __init__(self) -> None:
        self.reason = ""
        self.total_bytes = 0
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._bytes = 0
        self._records = 0
        #: Lost bytes of each direction, and connections that lost a header block, a body or an event.
        self._streams: dict[tuple[int, int], int] = {}
        self._connections: set[int] = set()
        self.is_pending = False

    def begin(self, buffers: Sequence[bytes], error: OSError) -> int:
        """Storing has just failed for these records; returns how many payload bytes are lost by it."""
        self.is_pending = True
        self.reason = error.strerror or type(error).__name__
        self.add(buffers)
        return self._bytes

    def add(self, buffers: Sequence[bytes]) -> None:
        """These records cannot be written either: count the chunks, keep heads and events."""
        for index in range(0, len(buffers), 2):
            header, payload = buffers[index], buffers[index + 1]
            _, kind, part, _, connection, _, _ = HEADER.unpack(header)
            size = len(header) + len(payload)
            if kind in (HEAD, EVENT) and self._kept_bytes + size <= KEPT_BYTES:
                self._kept += (header, payload)
                self._kept_bytes += size
                continue
            self._bytes += len(payload)
            self.total_bytes += len(payload)
            self._records += 1
            if kind == DATA:
                key = connection, part
                self._streams[key] = self._streams.get(key, 0) + len(payload)
            elif connection:
                self._connections.add(connection)

    def report(self) -> list[bytes]:
        """The records to write once storing works again: `unstored`, then what was kept."""
        if not self._records:
            return list(self._kept)
        event = Unstored(
            bytes=self._bytes,
            records=self._records,
            reason=self.reason,
            streams=sorted(self._streams),
            stream_bytes=[self._streams[key] for key in sorted(self._streams)],
            connections=sorted(self._connections),
        )
        raw = _encode(event.as_json()).encode()
        return [HEADER.pack(len(raw), EVENT, 0, 0, 0, time.time_ns(), 0), raw, *self._kept]

    def forget(self, stored: int) -> None:
        """The first `stored` buffers of the report did get written before it failed again."""
        if self._records and stored:
            stored -= 2
            self._bytes = self._records = 0
            self._streams.clear()
            self._connections.clear()
        del self._kept[:stored]
        self._kept_bytes = sum(map(len, self._kept))

    def clear(self) -> None:
        """The report was written."""
        self.is_pending = False
        self._kept.clear()
        self._streams.clear()
        self._connections.clear()
        self._kept_bytes = self._bytes = self._records = 0
