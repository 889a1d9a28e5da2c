"""Before the first record and after the last one: making a capture ready, recovering, and closing it.

`prepare_capture` is the engine's; `recover` is for whoever comes after engine and recorder both died;
`finish` is what both the recorder and `recover` do at the end.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import NamedTuple

from wsinspect.capture import schema
from wsinspect.capture.queries import resuming
from wsinspect.errors import CaptureError, LocalError
from wsinspect.journal.format import (
    ENGINE_LOCK,
    RECORDER_LOCK,
    JournalInUseError,
    JournalLock,
    Position,
    is_in_use,
    journal_directory,
    segment_numbers,
)
from wsinspect.journal.reader import JournalReader
from wsinspect.recorder.eviction import Evictor
from wsinspect.recorder.indexer import Indexer
from wsinspect.recorder.restore import NotesError


class PreparedCapture(NamedTuple):
    """A capture that an engine may begin to write.

    Attributes:
        path: The SQLite file.
        journal: Its journal directory; `JournalWriter` creates it.
        first_connection: The id to give to the first connection.
        first_segment: What to tell `JournalWriter`.
    """

    path: Path
    journal: Path
    first_connection: int
    first_segment: int


def prepare_capture(path: Path | str, *, append: bool = False) -> PreparedCapture:
    """Create a capture, or with `append` get an existing one ready for more.

    Raises:
        CaptureError: It exists and `append` is false; or it is in use, not a capture, of another version.
        LocalError: It cannot be created or written there.
    """
    path = Path(path)
    journal = journal_directory(path)
    check_new(path, append=append)
    if not path.exists():
        schema.create(path)
    if is_in_use(path):
        raise CaptureError(f"{path} is being written by another wsinspect", hint="wsinspect ps lists them")
    recover(path)
    database = schema.open_for_writing(path)
    try:
        progress = resuming.progress(database)
    except sqlite3.Error as error:
        raise CaptureError(f"{path} is damaged: {error}") from None
    finally:
        database.close()
    return PreparedCapture(path, journal, progress.newest_connection + 1, progress.segment + 1)


def check_new(path: Path, *, append: bool) -> None:
    """Whether an engine may begin to write there, before anything is created.

    Raises:
        CaptureError: It exists and `append` is false, or of an earlier one only the journal is left.
    """
    journal = journal_directory(path)
    if not append and (path.exists() or journal.exists()):
        what = path if path.exists() else journal
        raise CaptureError(f"{what} exists", hint="--append adds to a capture; else name another file")
    if not path.exists() and journal.exists():
        raise CaptureError(
            f"{journal} belongs to a capture that no longer exists", hint="remove it, or name another file"
        )


def recover(path: Path) -> bool:
    """Index what an engine and a recorder that both died left behind.

    Returns:
        Whether there was a journal to deal with; false also when somebody else is at work on it.

    Raises:
        CaptureError: Not a capture of this version.
        LocalError: The capture cannot be written.
    """
    journal = journal_directory(path)
    if not journal.is_dir():
        return False
    try:
        engine = JournalLock(journal, ENGINE_LOCK)
    except (JournalInUseError, FileNotFoundError):
        return False
    except OSError as error:
        raise LocalError(f"cannot lock {journal}: {error.strerror}") from None
    try:
        recorder = JournalLock(journal, RECORDER_LOCK)
    except (JournalInUseError, OSError):
        engine.release()
        return False
    try:
        _index_rest(path, journal)
        return True
    except NotesError as error:
        raise CaptureError(f"{path} is damaged: {error}") from None
    except (sqlite3.OperationalError, OSError) as error:
        raise LocalError(
            f"cannot write {path}: {error}", hint="its journal is kept, to try again later"
        ) from None
    finally:
        recorder.release()
        engine.release()


def _index_rest(path: Path, journal: Path) -> None:
    database = schema.open_for_writing(path)
    try:
        indexer = Indexer(database)
        evictor = Evictor(database, path)
        reader = JournalReader(journal, indexer.position)
        while records := reader.read():
            indexer.seek(reader.start)
            for record in records:
                indexer.add(record)
                if indexer.is_heavy:
                    indexer.commit()
                    evictor.keep(indexer.max_capture_size, indexer.last_ns)
            if indexer.has_uncommitted:
                indexer.commit()
            evictor.keep(indexer.max_capture_size, indexer.last_ns)
            reader.delete_finished()
        close_books(indexer, reader)
        if indexer.has_uncommitted:
            indexer.commit()
        finish(database, reader, journal)
    finally:
        database.close()


def close_books(indexer: Indexer, reader: JournalReader) -> None:
    """The engine is gone and all its records are committed: add what its end means. The caller commits."""
    segment, offset = reader.position
    # After the torn part, so that it is not counted again if we are interrupted.
    indexer.seek(Position(segment, offset + reader.skip_rest()))
    indexer.note_damage(reader.damaged_bytes)
    indexer.end_open()
    indexer.mark_clean()


def tidy(path: Path) -> None:
    """Leave WAL mode for a recorder that could not because somebody was reading, if that is possible now."""
    journal = journal_directory(path)
    if not path.with_name(path.name + "-wal").exists() or journal.is_dir() or is_in_use(path):
        return
    try:
        database = schema.open_for_writing(path)
    except (LocalError, CaptureError):
        return
    try:
        schema.leave_wal(database)
    finally:
        database.close()


def finish(database: schema.Database, reader: JournalReader, journal: Path) -> None:
    """Make the capture a single file again and remove its journal.

    The journal goes last: until then the stored position says that its records are indexed already. While
    another program has the capture open, SQLite keeps the WAL mode; everything is in the one file all the
    same.
    """
    # Deleting what was kept of unfinished frames has left holes.
    schema.give_back_pages(database)
    # A reader may have it open: then `tidy` will do it.
    schema.leave_wal(database)
    reader.delete_finished(before=reader.position.segment + 1)
    reader.close()
    if segment_numbers(journal):
        return
    for name in (ENGINE_LOCK, RECORDER_LOCK):
        (journal / name).unlink(missing_ok=True)
    try:
        journal.rmdir()
    except OSError:
        # It contains something that is not ours: leave it.
        return
