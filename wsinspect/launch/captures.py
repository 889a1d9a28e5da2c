"""The captures in the default place: which is the last, how many there are and how large.

Contract: `last` is what the newest live engine writes, wherever that is; without one the newest in the
default place. Nothing is opened here.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import NamedTuple

from wsinspect.errors import CaptureError
from wsinspect.launch.engines import list_engines
from wsinspect.launch.paths import STAMP_FORMAT, captures_dir

LAST = "last"
_STAMPED = re.compile(r"(?P<stamp>[0-9]{8}-[0-9]{6})-[0-9]+\.db")


class OldCaptures(NamedTuple):
    """What is in the default place: how many captures, and their bytes with journals and WAL files."""

    captures: int
    size_bytes: int


def resolve_capture(name: str | None) -> Path:
    """The path that a CAPTURE argument means; None and `last` are the last one.

    Raises:
        CaptureError: there is no last one.
    """
    if name is not None and name != LAST:
        return Path(name)
    path = last_capture()
    if path is None:
        raise CaptureError(
            f"no capture yet in {captures_dir()}", hint="record one with wsinspect run, or see wsinspect demo"
        )
    return path


def last_capture() -> Path | None:
    """The newest live engine's capture, else the newest one in the default place."""
    live = [info.capture for info in list_engines() if info.capture]
    if live:
        return Path(live[-1])
    return max(_stored(), key=_age_key, default=None)


def old_captures() -> OldCaptures:
    """Count and size of what is in the default place, for the line that `run` says about it."""
    place = captures_dir()
    size = 0
    for path in place.rglob("*") if place.is_dir() else ():
        try:
            size += path.lstat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue  # an indexed journal segment, deleted meanwhile
    return OldCaptures(len(_stored()), size)


def _stored() -> list[Path]:
    place = captures_dir()
    return [path for path in place.glob("*.db") if path.is_file()] if place.is_dir() else []


def _age_key(path: Path) -> tuple[str, int]:
    """Age by the time in the name, which a copy or a look keeps; else by the file's own."""
    modified_ns = path.stat().st_mtime_ns
    match = _STAMPED.fullmatch(path.name)
    stamp = match["stamp"] if match else time.strftime(STAMP_FORMAT, time.localtime(modified_ns / 1e9))
    return stamp, modified_ns
