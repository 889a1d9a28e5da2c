"""The driver outlives its terminal: what cannot be written goes nowhere, and nobody waits for it."""

from __future__ import annotations

import errno
import io
import sys
from typing import Any

from textual.drivers._writer_thread import MAX_QUEUED_WRITES, WriterThread

from tests.support.terminal import Terminal
from wsinspect.tui.driver import HangupProofFile


class HungUp(io.StringIO):
    """A terminal that is gone."""

    def write(self, text: str) -> int:
        raise OSError(errno.EIO, "Input/output error")

    def flush(self) -> None:
        raise OSError(errno.EIO, "Input/output error")


def test_what_can_be_written_is_written():
    file = io.StringIO()
    assert HangupProofFile(file).write("drawn") == 5
    HangupProofFile(file).flush()
    assert file.getvalue() == "drawn"
    assert not HangupProofFile(file).isatty()


def test_a_terminal_that_hangs_up_never_holds_up_the_event_loop():
    """More pieces than Textual's queue holds: with the bare file the last `write` would never return."""
    terminal: Any = HangupProofFile(HungUp())
    writer = WriterThread(terminal)
    writer.start()
    for _ in range(3 * MAX_QUEUED_WRITES):
        writer.write("drawn")
    writer.stop()
    assert not writer.is_alive()


PROGRAM = """
import os, signal, threading
from textual.app import App
from wsinspect.tui.driver import TerminalDriver

class Ends(App):
    def on_mount(self):
        self.set_timer(0.01, self.exit)

Ends(driver_class=TerminalDriver).run()
os.kill(os.getpid(), signal.SIGCONT)
names = [one.name for one in threading.enumerate() if one.name.startswith("textual")]
os._exit(len(names))
"""


def test_a_program_that_ends_does_not_begin_again_when_it_is_continued():
    """A terminal that hangs up sends SIGCONT: keys would be read from it for ever."""
    program = Terminal([sys.executable, "-c", PROGRAM])
    assert program.end() == 0
