"""The recorder process: `python -m wsinspect.recorder.process CAPTURE`, a child of the engine.

It follows the journal, commits what it makes of it, deletes segments that are committed, and narrates. Its
stdin is the engine's wake pipe: a byte means that there is more to read, the end of it that the engine is
gone. Then it indexes the rest, makes the capture a single file, and exits 0. When SQLite cannot write (disk
full) it says so once and tries again; when the engine is gone and it still cannot, the journal stays for
the next reader and it exits 3.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import select
import signal
import sqlite3
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from wsinspect.capture import schema
from wsinspect.diagnosis.live import Explain, LiveFindings
from wsinspect.errors import LocalError, WsinspectError
from wsinspect.journal.format import (
    ENGINE_LOCK,
    RECORDER_LOCK,
    JournalInUseError,
    JournalLock,
    is_locked,
    journal_directory,
)
from wsinspect.journal.reader import JournalReader
from wsinspect.memory import ROWS, HighWater
from wsinspect.recorder.eviction import Evictor
from wsinspect.recorder.indexer import Indexer
from wsinspect.recorder.narration import Notes
from wsinspect.recorder.narrator import Narrator
from wsinspect.recorder.prepare import close_books, finish
from wsinspect.recorder.restore import NotesError
from wsinspect.vocabulary.events import make_shapes

#: Commits are at least this far apart while little happens, so that the WAL stays small (a commit writes
#: whole pages).
COMMIT_SECONDS: Final = 0.05
#: The longest time between two commits while much happens.
_BUSY_SECONDS: Final = 0.15
_FALLBACK_SECONDS: Final = 1.0
#: The longest sleep while findings are held back for a moment.
_HELD_SECONDS: Final = 0.1
_ORPHAN_SECONDS: Final = 0.1
_RETRY_SECONDS: Final = 1.0
_LAST_RETRIES: Final = 5
_LOCK_SECONDS: Final = 10.0
_NICENESS: Final = 5


class Recorder:
    """Follows one journal until its engine is gone.

    Args:
        path: The capture.
        narrator: reports what happened; None where nobody reads it.
        wants_frames: Whether each frame is narrated.
        wake_fd: The wake pipe's read end.
        explain: what else is known of a finding (`LiveFindings`).
    """

    def __init__(
        self,
        path: Path,
        *,
        narrator: Narrator | None = None,
        wants_frames: bool = False,
        wake_fd: int = 0,
        explain: Explain | None = None,
    ) -> None:
        self._path = path
        self._journal = journal_directory(path)
        self._lock = _take_lock(self._journal)
        try:
            self._database = _open(path, self._journal)
        except BaseException:
            self._lock.release()
            raise
        self._notes = Notes(wants_frames=wants_frames) if narrator else None
        self._narrator = narrator
        self._wake_fd = wake_fd
        self._is_orphan = False
        self._is_bulk = False
        self._last_commit = 0.0
        self._water = HighWater()
        make_shapes()
        self._indexer = Indexer(self._database, self._notes)
        is_restart = self._indexer.position.segment > 0
        self._findings = LiveFindings(self._database, is_restart=is_restart, explain=explain)
        self._evictor = Evictor(self._database, path)
        self._reader = JournalReader(self._journal, self._indexer.position)

    def run(self) -> None:
        """Until the engine is gone and everything is indexed.

        Raises:
            LocalError: The capture cannot be written; the journal was kept.
        """
        while True:
            # Checked before reading, so that everything the engine wrote before its end is read.
            is_over = self._is_engine_gone()
            self._pump()
            if is_over:
                break
            self._wait()
        close_books(self._indexer, self._reader)
        self._commit()
        self._look(is_over=True)
        finish(self._database, self._reader, self._journal)
        self._tell_sessions()

    def close(self) -> None:
        """Give up file and lock."""
        self._reader.close()
        self._database.close()
        self._lock.release()

    def _pump(self) -> None:
        """Index all that is there.

        In a burst SQLite does not wait for the disk (`synchronous = OFF`): that doubles the speed with
        large payloads, and only a crash of the whole machine can do harm to the file meanwhile, not one of
        any process.
        """
        self._set_bulk(False)
        while records := self._reader.read():
            self._indexer.seek(self._reader.start)
            for record in records:
                self._indexer.add(record)
                if self._indexer.is_heavy:
                    self._set_bulk(True)
                    self._commit()
            if time.monotonic() - self._last_commit > _BUSY_SECONDS:
                self._commit()
        self._commit()
        self._look(is_idle=True)
        if self._water.is_due(self._indexer.open_count):
            shrink = partial(schema.shrink_memory, self._database)
            self._water.give_back(self._indexer.open_count, shrink)
        if self._evictor.has_more:
            self._keep_size()

    def _set_bulk(self, is_bulk: bool) -> None:
        if is_bulk is not self._is_bulk:
            self._is_bulk = is_bulk
            schema.set_bulk(self._database, is_bulk)

    def _commit(self) -> None:
        """Commit, however long the disk makes us wait while the engine lives."""
        if not self._indexer.has_uncommitted:
            return
        failures = 0
        while True:
            try:
                self._indexer.commit()
                break
            except sqlite3.OperationalError as error:
                failures += 1
                self._bear(error, failures)
        if failures:
            _say(f"the capture {self._path} can be written again")
        self._last_commit = time.monotonic()
        self._water.rise(self._indexer.open_count)
        self._reader.delete_finished(before=self._indexer.position.segment)
        self._keep_size()
        if self._narrator is not None and self._notes is not None:
            self._narrator.narrate(*self._notes.take())
        self._look()

    def _look(self, *, is_idle: bool = False, is_over: bool = False) -> None:
        """Run the rules on what was committed, and say what they found."""
        indexer = self._indexer
        found = self._findings.look(
            indexer.looks,
            at_ns=indexer.last_ns,
            is_changed=indexer.is_engine_changed,
            is_idle=is_idle,
            is_over=is_over,
        )
        indexer.looks, indexer.is_engine_changed = set(), False
        if found and self._narrator is not None:
            self._narrator.narrate(found)

    def _tell_sessions(self) -> None:
        """Say how each client coped, where anything tested it."""
        if self._narrator is None:
            return
        from wsinspect.recorder.sessions import session_notes

        self._narrator.narrate(session_notes(self._database))

    def _keep_size(self) -> None:
        """Evict what is too old; said once, recorded always."""
        had_evicted = self._evictor.has_evicted
        try:
            self._evictor.keep(self._indexer.max_capture_size, self._indexer.last_ns)
        except sqlite3.OperationalError:
            # The next commit fails for the same reason, reports it, and retries until it succeeds.
            return
        if self._evictor.has_evicted and not had_evicted:
            _say(
                f"the capture {self._path} has reached its size limit: from now on its oldest data is deleted"
            )

    def _bear(self, error: sqlite3.OperationalError, failures: int) -> None:
        """A commit failed: wait before the next try, or give up once the engine is gone."""
        if failures == 1:
            _say(f"cannot write the capture {self._path}: {error}; the journal keeps the traffic meanwhile")
        if self._is_engine_gone() and failures > _LAST_RETRIES:
            raise LocalError(
                f"cannot write {self._path}: {error}", hint=f"{self._journal} is kept, to try again later"
            )
        time.sleep(_RETRY_SECONDS if not self._is_orphan else _ORPHAN_SECONDS)
        self._drain_pipe(0)

    def _wait(self) -> None:
        """Sleep until there is more, and at least until `COMMIT_SECONDS` after the last commit."""
        if self._is_orphan:
            time.sleep(_ORPHAN_SECONDS)
            return
        longest = _HELD_SECONDS if self._findings.is_waiting else _FALLBACK_SECONDS
        self._drain_pipe(longest if not self._evictor.has_more else 0)
        pause = self._last_commit + COMMIT_SECONDS - time.monotonic()
        if pause > 0 and not self._is_orphan:
            time.sleep(pause)

    def _drain_pipe(self, timeout: float) -> None:
        if self._is_orphan:
            return
        ready, _, _ = select.select([self._wake_fd], [], [], timeout)
        if ready and not os.read(self._wake_fd, 65536):
            self._is_orphan = True

    def _is_engine_gone(self) -> bool:
        """The lock decides: a pipe can end for other reasons, or be held open by a stranger."""
        return not is_locked(self._journal, ENGINE_LOCK)


def _take_lock(journal: Path) -> JournalLock:
    """The recorder's lock; a killed predecessor's may take a moment to be given back."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            return JournalLock(journal, RECORDER_LOCK)
        except JournalInUseError as error:
            if time.monotonic() > deadline:
                raise LocalError(f"another recorder is running on {journal}") from error
            time.sleep(COMMIT_SECONDS)
        except OSError as error:
            raise LocalError(f"cannot lock {journal}: {error.strerror}") from error


def _open(path: Path, journal: Path) -> sqlite3.Connection:
    """The capture; on a full disk even opening it has to wait for room, as long as the engine lives.

    Raises:
        CaptureError: It is not a capture.
        LocalError: It cannot be opened, and the engine is gone.
    """
    has_said = False
    while True:
        is_last = not is_locked(journal, ENGINE_LOCK)
        try:
            return schema.open_for_writing(path)
        except LocalError as error:
            if is_last:
                raise
            if not has_said:
                _say(f"{error}; the journal keeps the traffic meanwhile")
            has_said = True
        time.sleep(_RETRY_SECONDS)


def _say(text: str) -> None:
    print(f"wsinspect: {text}", file=sys.stderr, flush=True)


def give_way() -> None:
    """Let the relay have its turn first: what is written to the journal can wait to be indexed.

    Longer, rarer turns (sched(7), SCHED_BATCH), and a third of the relay's share where both want the
    processor. No less: on a busy machine a recorder of the lowest class got no turn for seconds, and the
    journal filled. A policy that somebody has chosen for the proxy as a whole (chrt) stays as it is, and
    a nice value of its own is what the recorder is nicer than.
    """
    if hasattr(os, "SCHED_BATCH"):
        if os.sched_getscheduler(0) != os.SCHED_OTHER:
            return
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    os.nice(_NICENESS)


def main(arguments: Sequence[str] | None = None, explain: Explain | None = None) -> int:
    """Run a recorder; returns its exit code.

    Args:
        explain: what else is known of a finding (`LiveFindings`).
    """
    parser = argparse.ArgumentParser(
        prog="wsinspect.recorder.process", description="Index the journal of a capture."
    )
    parser.add_argument("capture", type=Path)
    parser.add_argument("--narrate", choices=("human", "json"), help="print a line an event")
    parser.add_argument("--frames", action="store_true", help="a line a frame too")
    options = parser.parse_args(arguments)
    # The engine decides when it is over: a signal to the whole process group must not end us before the
    # journal is read.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    give_way()
    gc.set_threshold(*ROWS)
    narrator = Narrator(as_json=options.narrate == "json") if options.narrate else None
    try:
        recorder = Recorder(options.capture, narrator=narrator, wants_frames=options.frames, explain=explain)
        try:
            recorder.run()
        finally:
            recorder.close()
    except WsinspectError as error:
        _say(str(error))
        return error.exit_code
    except (sqlite3.Error, OSError, NotesError) as error:
        _say(f"cannot continue recording {options.capture}: {error}; the journal is kept")
        return LocalError.exit_code
    finally:
        if narrator is not None:
            narrator.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
