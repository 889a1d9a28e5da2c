"""The engine as a child of the terminal program: started, watched, asked to end, started again.

Contract: the engine gets a process group of its own, so that keys of the terminal do not reach it, and goes
on when this program crashes; its output is read all the time and only its `ready` line is used. Ending it
means SIGTERM and waiting until the capture is complete.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from wsinspect.errors import LocalError, UsageError, WsinspectError
from wsinspect.journal.format import is_draining

_START_SECONDS: Final = 30.0
_END_SECONDS: Final = 60.0
_WARNED_SECONDS: Final = 60.0
#: How long a recorder may take to index what a killed engine left, and how often that is looked at.
_DRAIN_SECONDS: Final = 60.0
_DRAIN_PAUSE_SECONDS: Final = 0.05


class Engine(Protocol):
    """Whatever records a capture and was started from here."""

    @property
    def capture(self) -> Path: ...

    @property
    def has_failed(self) -> bool: ...

    def last_words(self) -> str:
        """Why it ended, as far as it said."""

    def warning(self) -> str:
        """What it said last while at work, for about a minute; empty where that is nothing."""

    def stop(self) -> bool:
        """Ask it to end and wait; True when the capture is complete."""

    def restart(self) -> None:
        """Start it again on the same capture."""


class EngineProcess:
    """`wsinspect run --headless --json` with the options that were given.

    Args:
        options: of `run`, without `--headless` and `--json`.
        command: the command before the options.
        program: what to start, before the command.
        capture: where it records, for a command that prints no `ready` line: it is ready when it prints one.

    Attributes:
        ready: the `ready` event.
    """

    def __init__(
        self,
        options: Sequence[str],
        *,
        command: Sequence[str] = ("run", "--headless", "--json"),
        capture: Path | None = None,
        program: Sequence[str] = (sys.executable, "-m", "wsinspect"),
    ) -> None:
        self._program = list(program)
        self._options = list(options)
        self._command = list(command)
        self._known_capture = capture
        # A command that is no engine answers SIGTERM as an interruption, after having ended what it started.
        self._good_codes = (0,) if capture is None else (0, 130)
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: deque[str] = deque(maxlen=20)
        self._said_at = 0.0
        self._is_ready = threading.Event()
        self._said_at_start: list[str] = []
        self.ready: dict[str, Any] = {}

    @property
    def capture(self) -> Path:
        """The file it records to."""
        return Path(self.ready["capture"])

    @property
    def pid(self) -> int | None:
        """Its process."""
        return self._process.pid if self._process is not None else None

    @property
    def has_failed(self) -> bool:
        """Whether its process has ended as it should not."""
        return self.exit_code is not None and self.exit_code not in self._good_codes

    @property
    def exit_code(self) -> int | None:
        """How its process ended; None while it runs."""
        return self._process.poll() if self._process is not None else None

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it and wait until it listens.

        Raises:
            WsinspectError: it did not start; the message is its own.
        """
        self._is_ready.clear()
        self._errors.clear()
        self._said_at_start = []
        self.ready = {}
        process = subprocess.Popen(
            [*self._program, *self._command, *self._options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
        )
        self._process = process
        readers = [
            threading.Thread(target=self._read_out, args=(process,), name="engine-stdout", daemon=True),
            threading.Thread(target=self._read_errors, args=(process,), name="engine-stderr", daemon=True),
        ]
        for reader in readers:
            reader.start()
        self._is_ready.wait(_START_SECONDS)
        self._said_at_start = list(self._errors)
        if self.ready and (self._known_capture is None or self._known_capture.exists()):
            return
        if process.poll() is None:
            process.kill()
        code = process.wait()
        readers[1].join(1.0)
        message = self.last_words() or f"the engine ended with exit code {code} before it was ready"
        raise _error(code)(message)

    def _read_out(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                if self.ready:
                    continue
                if self._known_capture is not None:
                    self.ready = {"capture": str(self._known_capture)}
                    self._is_ready.set()
                elif b'"ready"' in line:
                    self._note_ready(line)
        self._is_ready.set()

    def _note_ready(self, line: bytes) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            return
        if isinstance(event, dict) and event.get("event") == "ready" and "capture" in event:
            self.ready = event
            self._is_ready.set()

    def _read_errors(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                self._errors.append(line.decode("utf-8", "replace").strip().removeprefix("wsinspect: "))
                self._said_at = time.monotonic()

    def warnings(self) -> list[str]:
        """What it said on stderr before it was ready."""
        return list(self._said_at_start)

    def warning(self) -> str:
        """Its last line on stderr since it was ready, for about a minute."""
        if not self.is_alive or time.monotonic() - self._said_at > _WARNED_SECONDS:
            return ""
        later = [line for line in self._errors if self.ready and line not in self._said_at_start]
        return later[-1] if later else ""

    def last_words(self) -> str:
        """Its last line on stderr, else how its process ended."""
        later = [line for line in self._errors if not self.ready or line not in self._said_at_start]
        if later:
            return later[-1]
        code = self._process.poll() if self._process is not None else None
        if code is not None and code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"exit code {code}" if code else ""

    def stop(self) -> bool:
        """SIGTERM, and wait until the capture is complete.

        Returns:
            Whether it ended by itself and well.
        """
        process = self._process
        if process is None:
            return True
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(_END_SECONDS) in self._good_codes
        except subprocess.TimeoutExpired:
            return False  # it goes on indexing; `wsinspect ps` shows it

    def restart(self) -> None:
        """Start it again, adding to the same capture.

        Raises:
            WsinspectError: it did not start.
        """
        if self._known_capture is not None:
            raise UsageError("this was a demo: leave with q, and start it again")
        capture = self.capture
        self.stop()
        _wait_until_drained(capture)
        before, self._options = self._options, without_capture(self._options)
        self._options += ["--capture", str(capture), "--append"]
        try:
            self.start()
        except WsinspectError:
            self._options = before
            self.ready = {"capture": str(capture)}
            raise


def _wait_until_drained(capture: Path) -> None:
    """A killed engine's recorder keeps the capture until all is indexed, and a new engine is refused."""
    deadline = time.monotonic() + _DRAIN_SECONDS
    while is_draining(capture) and time.monotonic() < deadline:
        time.sleep(_DRAIN_PAUSE_SECONDS)


def without_capture(options: Sequence[str]) -> list[str]:
    """Options of `run` without those that name the capture."""
    kept, skip = [], False
    for option in options:
        if skip:
            skip = False
        elif option == "--capture":
            skip = True
        elif option != "--append" and not option.startswith("--capture="):
            kept.append(option)
    return kept


def _error(code: int) -> type[WsinspectError]:
    return UsageError if code == UsageError.exit_code else LocalError


def is_terminal() -> bool:
    """Whether a terminal program can be shown: both ends are a terminal that can do more than print."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
