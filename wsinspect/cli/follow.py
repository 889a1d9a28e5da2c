"""Waiting for what a recorder adds to a live capture."""

from __future__ import annotations

import time
from collections.abc import Iterator

from wsinspect.capture.reader import Capture

#: A frame can be read 250 ms after it was relayed; looking this often adds little to that.
_POLL_S = 0.1


def rounds(capture: Capture) -> Iterator[bool]:
    """One item when there may be something new to read, at first and after each commit.

    The item says whether the capture is live; the one that says it is not is the last.
    """
    seen: int | None = None
    while True:
        is_live = capture.is_live
        version = capture.version()
        if version != seen or not is_live:
            seen = version
            yield is_live
        if not is_live:
            return
        time.sleep(_POLL_S)
