"""Looking at a capture once, or again and again while an engine adds to it.

Contract: the file is closed between two looks. A reader that kept it open would keep the recorder from making
it a single file again at its end, and opening it costs about a millisecond.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from wsinspect.capture.reader import Capture
from wsinspect.journal.format import is_draining, is_in_use
from wsinspect.recorder.opening import open_capture

#: A frame can be read 250 ms after it was relayed; polling this often adds little to that.
_POLL_S = 0.1


class Look(NamedTuple):
    """The capture as it is now; open until the next look.

    Attributes:
        capture: for reading.
        is_last: nothing will be added after this look, or nobody wants to wait for it.
    """

    capture: Capture
    is_last: bool


def looks(path: Path, *, follow: bool, every: float = _POLL_S) -> Iterator[Look]:
    """One look, or when following one every 100 ms until no engine and no recorder works on the capture.

    Args:
        every: seconds between two looks.
    """
    while True:
        while follow and is_draining(path):
            time.sleep(_POLL_S)  # the recorder is finishing: do not interfere
        # Asked first, so that whatever was written before the end is read below.
        is_last = not (follow and is_in_use(path))
        with open_capture(path) as capture:
            yield Look(capture, is_last)
        if is_last:
            return
        time.sleep(every)
