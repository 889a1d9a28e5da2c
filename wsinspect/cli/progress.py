"""A progress bar on stderr, where that is a terminal and the work takes longer than a moment."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Nothing is drawn before.
_PATIENCE_S = 0.5
_REDRAW_S = 0.1
_CELLS = 30


@contextmanager
def progress_bar(label: str, total: int, *, is_wanted: bool = True) -> Iterator[Callable[[int], None]]:
    """Gives what to call with how much is done of `total`."""
    bar = _Bar(label, total, is_wanted and sys.stderr.isatty())
    _drawn.append(bar)
    try:
        yield bar.update
    finally:
        bar.clear()
        _drawn.remove(bar)


def clear_bar() -> None:
    """Make room on the terminal for a line; the bar is drawn again below it."""
    for bar in _drawn:
        bar.clear()


class _Bar:
    def __init__(self, label: str, total: int, is_shown: bool) -> None:
        self._label = label
        self._total = max(total, 1)
        self._next = time.monotonic() + _PATIENCE_S
        self._is_shown = is_shown
        self._is_drawn = False

    def update(self, done: int) -> None:
        if not self._is_shown or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _REDRAW_S
        part = min(done / self._total, 1.0)
        filled = round(part * _CELLS)
        print(
            f"\r{self._label} [{'#' * filled}{'.' * (_CELLS - filled)}] {part:4.0%}",
            end="",
            file=sys.stderr,
            flush=True,
        )
        self._is_drawn = True

    def clear(self) -> None:
        if self._is_drawn:
            width = len(self._label) + _CELLS + 9
            print("\r" + " " * width, end="\r", file=sys.stderr, flush=True)
            self._is_drawn = False


#: Bars that are at work: one at most, in fact.
_drawn: list[_Bar] = []
