"""The recorder process of an engine: started, watched, started again when it dies, waited for at the end.

The recorder reads the journal; the pipe to its stdin only wakes it, and tells it by EOF that the engine has
gone. So nothing is lost with a recorder: the next one goes on where the last one committed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from wsinspect.capture.journal import JournalWriter

#: Pauses before the second, third ... start in a row; the last one repeats.
RESTART_SECONDS = (0.0, 0.5, 2.0, 10.0)
#: A recorder that lived this long was well; the pauses begin anew.
WELL_AFTER_SECONDS = 30.0


@dataclass
class Narration:
    """What the recorder prints on the engine's stdout: nothing (None), "human" lines or "json"."""

    style: str | None = None
    with_frames: bool = False

    def arguments(self) -> list[str]:
        if self.style is None:
            return []
        return ["--narrate", self.style, *(["--frames"] if self.with_frames else [])]


@dataclass
class Recorder:
    """Supervises the recorder of one capture; all methods belong to the event loop's thread."""

    capture: Path
    journal: JournalWriter
    narration: Narration
    warn: Callable[[str], None]
    exit_code: int | None = None
    _process: subprocess.Popen[bytes] | None = None
    _wake_fd: int = -1
    _starts: int = 0
    _is_ending: bool = False
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self) -> None:
        """Start the process; it opens the journal itself."""
        loop = asyncio.get_running_loop()
        read_fd, write_fd = os.pipe()
        os.set_blocking(write_fd, False)
        command = [sys.executable, "-m", "wsinspect.capture.recorder", str(self.capture)]
        try:
            process = subprocess.Popen(
                [*command, *self.narration.arguments()], stdin=read_fd, start_new_session=True
            )
        finally:
            os.close(read_fd)
        self._process, self._wake_fd = process, write_fd
        self._started = loop.time()
        self._starts += 1
        self.journal.set_wake_fd(write_fd)
        threading.Thread(target=self._wait, args=(loop, process), name="recorder-wait", daemon=True).start()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def _wait(self, loop: asyncio.AbstractEventLoop, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody is left to be told
            loop.call_soon_threadsafe(self._on_exit, code)

    def _on_exit(self, code: int) -> None:
        self._drop_pipe()
        self.exit_code = code
        if self._is_ending:
            self._ended.set()
            return
        loop = asyncio.get_running_loop()
        if loop.time() - self._started > WELL_AFTER_SECONDS:
            self._starts = 0
        pause = RESTART_SECONDS[min(self._starts, len(RESTART_SECONDS)) - 1]
        self.warn(f"the recorder ended ({_reason(code)}); traffic goes on, starting another")
        loop.call_later(pause, self._start_again)

    def _start_again(self) -> None:
        if not self._is_ending:
            self.start()

    def _drop_pipe(self) -> None:
        if self._wake_fd >= 0:
            self.journal.set_wake_fd(None)
            os.close(self._wake_fd)
            self._wake_fd = -1

    async def finish(self, give_up: asyncio.Event) -> bool:
        """After the journal was closed: let the recorder index what is left.

        Returns: True when the capture is complete; False when `give_up` was set first or the recorder
            failed, and the journal stays for the next reader.
        """
        self._is_ending = True
        process = self._process
        if process is None or process.poll() is not None:
            self._start_last()
        self._drop_pipe()
        waits = [asyncio.ensure_future(self._ended.wait()), asyncio.ensure_future(give_up.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return self._ended.is_set() and self.exit_code == 0

    def _start_last(self) -> None:
        """The recorder had died and no other was started yet: one more, to drain the journal."""
        self._ended.clear()
        self.start()


def _reason(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
