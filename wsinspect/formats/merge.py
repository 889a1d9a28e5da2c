"""Several captures put together on one time axis; `capture.merging` says how."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wsinspect.capture.making import new_capture
from wsinspect.capture.merging import Merged, Source, merge_into
from wsinspect.errors import CaptureError, UsageError
from wsinspect.journal.format import is_in_use
from wsinspect.recorder.opening import open_capture

__all__ = ["Merged", "Source", "merge"]


def merge(sources: Sequence[Source], target: Path) -> Merged:
    """Make `target` of several captures.

    Raises:
        UsageError: `target` exists, or is one of the sources.
        CaptureError: one of the sources is not a capture, is damaged, or is being written.
        LocalError: `target` cannot be written.
    """
    if target.exists():
        raise UsageError(f"{target} exists", hint="name another file with -o")
    for source in sources:
        _check(source.path)
    with new_capture(target):
        return merge_into(target, sources)


def _check(path: Path) -> None:
    if is_in_use(path):
        raise CaptureError(
            f"{path} is being written by an engine", hint="stop it first: wsinspect ps lists them"
        )
    with open_capture(path):
        pass  # refuse what is not a capture, and index what is left in a journal
