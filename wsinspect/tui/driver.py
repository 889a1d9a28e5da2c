"""Textual's driver, made to outlive its terminal.

Textual writes from a thread. When the terminal hangs up, that thread ends with EIO, and the event loop then
waits forever to hand it the next piece: no signal, no key ends the program any more, and the engine below it
continues. Here what cannot be written goes nowhere, so that SIGHUP ends everything in order. A terminal that
is slow gets fewer paints (`pacing`).
"""

from __future__ import annotations

import contextlib
import os
from typing import IO, Any

from textual import events
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

from wsinspect.tui.differences import Shown
from wsinspect.tui.pacing import QUESTION, Pacing


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
    """Draws on stderr's terminal for as long as it is there, as fast as it can.

    Attributes:
        pacing: how far it is behind.
    """

    def __init__(self, app: App[Any], **options: Any) -> None:
        self._program = app
        self.pacing: Pacing = getattr(app, "pacing", None) or Pacing(app)
        self._shown = Shown()
        self._is_asking = False
        self._given = 0
        super().__init__(app, **options)
        terminal: Any = self._file
        file: Any = HangupProofFile(terminal)
        self._file = file

    def start_application_mode(self) -> None:
        """From here on the terminal's answers are read; the first one tells whether it gives any."""
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self._is_asking = True
        self._shown.forget()
        self.flush()

    def stop_application_mode(self) -> None:
        """Read the last answers: the shell would take them for keys."""
        self._is_asking = False
        self.pacing.finish(self.fileno)
        super().stop_application_mode()

    def write(self, data: str) -> None:
        """Behind a slow line, only what the terminal does not show yet."""
        if self.pacing.is_slow:
            data = self._shown.changes(data, self._program.size)
        else:
            self._shown.forget()
        if data:
            self._given += len(data)
            super().write(data)

    def flush(self) -> None:
        """Behind each paint: ask when the terminal has drawn it."""
        if self._is_asking and self._given and not self.pacing.is_silent:
            length, self._given = self._given, 0
            super().write(QUESTION)
            self.pacing.asked(length)
        super().flush()

    def process_message(self, message: Message) -> None:
        """Everything but the answers is for the screens."""
        if not (isinstance(message, events.CursorPosition) and self.pacing.answered()):
            super().process_message(message)

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
        super().start_application_mode()
        self.write("\x1b[?25h")
