"""SIGINT, SIGTERM and SIGHUP never between starting a process and knowing of it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """What a signal raises in `one_interrupt`.

    CPython remembers for good that a KeyboardInterrupt, and no subclass of it, left code that was compiled
    from a string, as a dataclass makes it in an import; then it kills the process with SIGINT at its end,
    whatever exit code that has.
    """


@contextlib.contextmanager
def held_signals() -> Iterator[None]:
    """A signal that comes meanwhile reaches its handler at the end.

    Handlers are replaced and signals not blocked, because a process started meanwhile inherits a mask.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python runs signal handlers only in the main thread
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda sent, _frame: came.append(sent)) for number in _NUMBERS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for sent in came:
        signal.raise_signal(sent)


@contextlib.contextmanager
def one_interrupt() -> Iterator[None]:
    """The first signal raises KeyboardInterrupt, and later ones do not disturb the end."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for number in _NUMBERS:
            signal.signal(number, signal.SIG_IGN)
        raise Interrupted

    before = {number: signal.signal(number, interrupt) for number in _NUMBERS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
