"""SIGINT, SIGTERM and SIGHUP as one interrupt, never between starting a process and knowing of it."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """While `watched`, the first signal raises KeyboardInterrupt, and later ones do not disturb the end."""

    def __init__(self) -> None:
        self._is_held = False
        self._is_pending = False

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """To be entered in the main thread."""
        before = {number: signal.signal(number, self._on_signal) for number in _NUMBERS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """A signal that comes here interrupts afterwards."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        if self._is_pending:
            self._interrupt()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._is_pending = True
        if not self._is_held:
            self._interrupt()

    def _interrupt(self) -> None:
        for number in _NUMBERS:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt


__all__ = ["Interrupts"]
