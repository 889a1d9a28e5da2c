"""The captures in the default directory: their names, which is the last, their sizes, and removing them.

Contract: `last` is what the newest live engine writes, wherever that is; without one the newest in the
default directory in which something happened. A name without a folder is a file of the working directory,
else a capture of the default directory.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from wsinspect.capture.queries import has_content
from wsinspect.capture.reader import Capture
from wsinspect.errors import CaptureError, UsageError
from wsinspect.journal.format import is_in_use, journal_directory
from wsinspect.launch.engines import list_engines
from wsinspect.launch.paths import CAPTURE_NAME, STAMP_FORMAT, captures_dir, ensure_private_dir

LAST = "last"
#: What is said about a run that no client used.
NOTHING_KEPT = "no client came: nothing was recorded, so the capture was not kept"
_STAMPED = re.compile(r"(?P<stamp>[0-9]{8}-[0-9]{6})-[0-9]+\.db")


class OldCaptures(NamedTuple):
    """What is in the default directory: how many captures, and their bytes with journals and WAL files."""

    captures: int
    size_bytes: int


def resolve_capture(name: str | None) -> Path:
    """The path that a CAPTURE argument means: None and `last` are the last one, see also `named`.

    Raises:
        CaptureError: there is no last one.
    """
    if name is not None and name != LAST:
        return Path(name) if Path(name).exists() or (stored := named(name)) is None else stored
    path = last_capture()
    if path is None:
        raise CaptureError(
            f"no capture yet in {captures_dir()}", hint="record one with wsinspect run, or see wsinspect demo"
        )
    return path


def last_capture() -> Path | None:
    """The newest live engine's capture, else the newest one in the default directory."""
    live = [info.capture for info in list_engines() if info.capture]
    if live:
        return Path(live[-1])
    return next(filter(is_worth_keeping, newest_first()), None)


def newest_first() -> list[Path]:
    """The captures of the default directory."""
    return sorted(_stored(), key=_age_key, reverse=True)


def named(name: str) -> Path | None:
    """The capture of the default directory with that name, with or without `.db`; None without one."""
    if not CAPTURE_NAME.fullmatch(name):
        return None
    found = captures_dir() / f"{name.removesuffix('.db')}.db"
    return found if found.is_file() else None


def path_for(name: str) -> Path:
    """Where a run called `name` records to; its directory exists.

    Raises:
        UsageError: it cannot be a name, or there is such a capture.
    """
    if not CAPTURE_NAME.fullmatch(name) or name == LAST or name.isdigit():
        raise UsageError(
            f"invalid name {name!r}", hint="letters, digits, - and _, such as checkout-bug; not a number"
        )
    if (there := named(name)) is not None:
        raise UsageError(f"{there} exists", hint=f"choose another name, or remove it: wsinspect rm {name}")
    return ensure_private_dir(captures_dir()) / f"{name.removesuffix('.db')}.db"


def is_worth_keeping(path: Path) -> bool:
    """Whether something happened in a capture; what cannot be read now is not judged."""
    if journal_directory(path).exists():
        return True
    try:
        with Capture.open(path) as capture:
            return has_content(capture)
    except CaptureError:
        return True


def discard_if_empty(path: Path) -> bool:
    """Remove a capture that ended without anything in it; whether it was removed."""
    if not path.is_file() or is_in_use(path) or is_worth_keeping(path):
        return False
    remove(path)
    return True


def remove(path: Path) -> int:
    """Delete a capture with its journal and what SQLite keeps next to it.

    Returns:
        Bytes that were in use.

    Raises:
        CaptureError: an engine is writing it; or it is outside the default directory and not a capture.
        OSError: it may not be deleted.
    """
    if path.absolute().parent != captures_dir():  # a damaged one there may be removed, too
        Capture.open(path).close()
    if is_in_use(path):
        raise CaptureError(f"an engine is writing {path}", hint="wsinspect stop ends it")
    size = size_of(path)
    if (journal := journal_directory(path)).is_dir():
        shutil.rmtree(journal)
    for ending in ("-wal", "-shm", ""):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    return size


def size_of(path: Path) -> int:
    """Bytes of a capture, with its journal and what SQLite keeps next to it."""
    journal = journal_directory(path)
    files = [path.with_name(path.name + ending) for ending in ("", "-wal", "-shm")]
    return _bytes_of([*files, *(journal.iterdir() if journal.is_dir() else ())])


def old_captures() -> OldCaptures:
    """Count and size of what is in the default directory, for the line that `run` says about it."""
    place = captures_dir()
    return OldCaptures(len(_stored()), _bytes_of(place.rglob("*") if place.is_dir() else ()))


def _bytes_of(paths: Iterable[Path]) -> int:
    size = 0
    for path in paths:
        try:
            size += path.lstat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue  # an indexed journal segment, deleted meanwhile
    return size


def _stored() -> list[Path]:
    place = captures_dir()
    return [path for path in place.glob("*.db") if path.is_file()] if place.is_dir() else []


def _age_key(path: Path) -> tuple[str, int]:
    """Age by the time in the name, which a copy or a look keeps; else by the file's own."""
    modified_ns = path.stat().st_mtime_ns
    match = _STAMPED.fullmatch(path.name)
    stamp = match["stamp"] if match else time.strftime(STAMP_FORMAT, time.localtime(modified_ns / 1e9))
    return stamp, modified_ns
