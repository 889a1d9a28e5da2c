"""The recorder as a process, fed by a journal that a test writes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support import warm
from wsinspect.journal.writer import JournalWriter
from wsinspect.recorder.prepare import PreparedCapture, prepare_capture

#: Facts are waited for this long before a test fails; how fast they come is another matter.
PATIENCE = 60.0


class Rig:
    """An engine's half: a journal writer, and recorders started on its wake pipe."""

    def __init__(self, path: Path, *, append: bool = False, **options: Any) -> None:
        self.prepared: PreparedCapture = prepare_capture(path, append=append)
        self.path = path
        self.writer = JournalWriter(
            self.prepared.journal, first_segment=self.prepared.first_segment, **options
        )
        self.recorder: subprocess.Popen[str] | warm.TextProcess | None = None
        self._wake = -1

    def start(
        self, *arguments: str, is_forked: bool = True, **options: Any
    ) -> subprocess.Popen[str] | warm.TextProcess:
        """Start a recorder.

        Args:
            is_forked: from a process that has imported more than a recorder does; not where memory is judged.
            options: of `subprocess.Popen`, for an ordinary process.
        """
        self._close_pipe()
        read, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        words, module = [str(self.path), *arguments], "wsinspect.recorder.process"
        with os.fdopen(read, "rb") as wakes:
            if options or not is_forked:
                self.recorder = subprocess.Popen(
                    [sys.executable, "-m", module, *words],
                    stdin=wakes,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    **options,
                )
            else:
                self.recorder = warm.start_text(words, environment=os.environ, stdin=wakes, module=module)
        self.writer.set_wake_fd(self._wake)
        return self.recorder

    def kill_recorder(self) -> None:
        assert self.recorder is not None
        self.recorder.kill()
        self.recorder.communicate()

    def stop(self, patience: float = PATIENCE) -> tuple[int, str, str]:
        """An orderly end, at most `patience` seconds: returns the recorder's exit code, stdout and stderr."""
        self.writer.close()
        self._close_pipe()
        assert self.recorder is not None
        out, err = self.recorder.communicate(timeout=patience)
        assert self.recorder.returncode is not None
        return self.recorder.returncode, out, err

    def close(self) -> None:
        self.writer.close()
        self._close_pipe()
        if self.recorder is not None and self.recorder.stderr is not None and not self.recorder.stderr.closed:
            self.kill_recorder()

    def _close_pipe(self) -> None:
        self.writer.set_wake_fd(None)
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1


def wait_for(fact: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)
