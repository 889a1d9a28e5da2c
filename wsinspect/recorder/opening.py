"""Opening a capture for reading, whatever state its engine left it in: for all commands, the timeline and the
Python API.

Where an engine and its recorder both died, the journal they left is indexed first; where the recorder could
not make a single file of the capture because somebody was reading, closing it does. The indexer is imported
only then.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from pathlib import Path
from typing import Final

from wsinspect.capture import schema
from wsinspect.capture.reader import Capture
from wsinspect.errors import LocalError
from wsinspect.journal.format import is_in_use, journal_directory

#: What was opened last, to tell a damaged capture from our own bug.
opened: Final[deque[Path]] = deque(maxlen=8)


def open_capture(path: Path | str) -> Capture:
    """Open a capture with all that was recorded.

    Raises:
        CaptureError: it is missing, not a capture, damaged, or of a version that cannot be read.
    """
    path = Path(path)
    if path.is_file() and journal_directory(path).is_dir():
        from wsinspect.recorder.prepare import recover

        try:
            recover(path)
        except LocalError:
            # A read-only copy, or a full disk: what is indexed can be read.
            pass
    opened.append(path)
    return Capture(path, schema.open_for_reading(path), on_close=partial(_tidy, path))


def _tidy(path: Path) -> None:
    """Leave WAL mode for a recorder that could not, if that is possible now."""
    if not path.with_name(path.name + "-wal").exists():
        return
    if journal_directory(path).is_dir() or is_in_use(path):
        return
    from wsinspect.recorder.prepare import tidy

    tidy(path)
