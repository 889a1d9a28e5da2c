"""Textual's driver, made to outlive its terminal.

Textual writes from a thread. When the terminal hangs up, that thread ends with EIO, and the event loop then
waits forever to hand it the next piece: no signal, no key ends the program any more, and the engine below it
continues. Here what cannot be written goes nowhere, so that SIGHUP ends everything in order.
"""

from __future__ import annotations

import contextlib
import os
from typing import IO, Any

from textual.app import App
from textual.drivers.linux_driver import LinuxDriver


class HangupProofFile:
    """A file whose writes may fail silently; all else is the file's own."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        """Write it, if there is still somewhere to write to."""
        with contextlib.suppress(OSError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._file.flush()


def has_job_control() -> bool:
    """Whether a shell started this program as a job of its own: it can continue what was stopped."""
    parent = os.getppid()
    try:
        return os.getsid(parent) == os.getsid(0) and os.getpgid(parent) != os.getpgrp()
    except OSError:  # the parent has ended meanwhile
        return False


class TerminalDriver(LinuxDriver):
    """Draws on stderr's terminal for as long as it is there."""

    def __init__(self, app: App[Any], **options: Any) -> None:
        self._program = app
        super().__init__(app, **options)
        terminal: Any = self._file
        file: Any = HangupProofFile(terminal)
        self._file = file

    def _sigcont_application(self, *arguments: Any) -> None:
        """Draw again after `fg`; not while the program ends.

        A terminal that hangs up sends SIGCONT behind its SIGHUP. A program that was ending just then would
        read keys again, from a terminal that is gone, and never end.
        """
        if self._program.is_running:
            super()._sigcont_application(*arguments)


class PlainDriver(TerminalDriver):
    """The same with the terminal's cursor shown: a screen reader reads the line that it is in."""

    def start_application_mode(self) -> None:
        """Textual hides the cursor when it starts."""
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self.write("\x1b[?25h")
