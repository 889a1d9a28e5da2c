"""SIGINT, SIGTERM and SIGHUP never between starting a process and knowing of it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """What a signal raises in `one_interrupt`.

    CPython remembers for good that a KeyboardInterrupt, and no subclass of it, left code that was compiled
    from a string, as a dataclass makes it in an import; then it kills the process with SIGINT at its end,
    whatever exit code that has.

    Attributes:
        exit_code: what a shell would see of a program that the signal ended: the same before this one has
            its handlers.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


class Ended(Interrupted):
    """What the first signal raises in `Ending`."""


class Ending:
    """The end in steps of a program that has started others, asked for by SIGINT, SIGTERM or SIGHUP.

    The first signal is raised where it comes, as `Ended`, and noted: raised in a callback of the import
    machinery or in a task of an event loop it may reach nobody. Later ones do not disturb the end.

    Attributes:
        number: the first signal; None before it.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._tell: Callable[[], object] | None = None

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """The signals are taken meanwhile."""
        before = {number: signal.signal(number, self._came) for number in _NUMBERS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _came(self, number: int, _frame: FrameType | None) -> None:
        is_first = self.number is None
        self.number = self.number or number
        if self._tell is not None:
            self._tell()
        elif is_first:
            raise Ended(number)

    def check(self) -> None:
        """Between two steps.

        Raises:
            Ended: a signal has come.
        """
        if self.number is not None:
            raise Ended(self.number)

    def hand_over(self, tell: Callable[[], object] = lambda: None) -> None:
        """Nothing is raised from now on: `tell` is called instead, at once where a signal has come."""
        self._tell = tell
        if self.number is not None:
            tell()


@contextlib.contextmanager
def nothing_to_end() -> Iterator[None]:
    """Nothing is started yet, and modules are imported: SIGINT ends the program on the spot.

    A KeyboardInterrupt would be lost where it comes in a callback of the import machinery. Only where SIGINT
    is Python's own, as on the command line.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(128 + signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def left_to_child() -> Iterator[None]:
    """Another program has the terminal: its Ctrl-C is not for this one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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

    def interrupt(came: int, _frame: FrameType | None) -> None:
        for number in _NUMBERS:
            signal.signal(number, signal.SIG_IGN)
        raise Interrupted(came)

    before = {number: signal.signal(number, interrupt) for number in _NUMBERS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
