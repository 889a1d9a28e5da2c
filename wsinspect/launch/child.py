"""An engine as a child process: started, watched, asked to end, started again.

Contract: the child has a session of its own, so that the terminal's keys and its end do not reach it, and it
keeps running when this program crashes. It writes its `ready` event to a pipe of its own (`--ready-fd`),
whatever it prints: a pipe that closes without the event means that it did not start. Ending it means SIGTERM
and waiting until the capture is complete.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
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
from wsinspect.launch.interrupts import held_signals
from wsinspect.units import SECOND, format_duration

START_SECONDS: Final = 30.0
#: An engine that ends may have to index what is left of its journal.
END_SECONDS: Final = 60.0
_WARNED_SECONDS: Final = 60.0
#: How long a recorder may take to index what a killed engine left, and how often that is looked at.
_DRAIN_SECONDS: Final = 60.0
_DRAIN_PAUSE_SECONDS: Final = 0.05
#: Most bytes from a child's `--ready-fd`: the event of an engine with very many listeners.
_READY_BYTES: Final = 1 << 20


class Engine(Protocol):
    """Whatever records a capture and was started from here."""

    @property
    def capture(self) -> Path: ...

    @property
    def has_failed(self) -> bool: ...

    def last_words(self) -> str:
        """Why it ended, as far as it said."""

    def warning(self) -> str:
        """The last line it wrote to stderr while running, for about a minute; else empty."""

    def stop(self) -> bool:
        """Ask it to end and wait; True when the capture is complete."""

    def restart(self) -> None:
        """Start it again on the same capture."""


class EngineChild:
    """A command that runs an engine: `wsinspect run --headless`, or the whole demo.

    Args:
        options: of the command, without `--headless`, `--capture` and `--append`.
        capture: the file it records to.
        appends: whether it adds to a capture that exists.
        command: what stands before the options.
        program: what to start, before the command.
        speaks: it writes to our stdout and stderr; otherwise stdout is dropped and stderr kept here.
        can_restart: whether `restart` makes sense.

    Attributes:
        ready: the `ready` event; empty before it.
    """

    def __init__(
        self,
        options: Sequence[str],
        capture: Path,
        *,
        appends: bool = False,
        command: Sequence[str] = ("run", "--headless"),
        program: Sequence[str] = (sys.executable, "-m", "wsinspect"),
        speaks: bool = False,
        can_restart: bool = True,
    ) -> None:
        self.capture = capture
        self.ready: dict[str, Any] = {}
        self._command = [*program, *command, *options]
        self._appends = appends
        self._speaks = speaks
        self._can_restart = can_restart
        self._process: subprocess.Popen[bytes] | None = None
        self._ready_pipe: int | None = None
        self._errors: deque[str] = deque(maxlen=20)
        self._errors_end: threading.Thread | None = None
        self._said_at = 0.0
        self._said_at_start: list[str] = []

    @property
    def pid(self) -> int | None:
        """Its process id; None before the first start."""
        return self._process.pid if self._process is not None else None

    @property
    def exit_code(self) -> int | None:
        """As `Popen.returncode`: negative for a signal; None while it runs."""
        return self._process.poll() if self._process is not None else None

    @property
    def has_failed(self) -> bool:
        """Whether its process has ended as it should not."""
        return self.exit_code is not None and not self._has_ended_well

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def _has_ended_well(self) -> bool:
        # On SIGTERM a demo ends what it started, then exits as if interrupted.
        return self.exit_code == 0 or (self.exit_code == 130 and not self._can_restart)

    def start(self) -> None:
        """Start it and wait until it listens; what fails or is interrupted leaves no process behind.

        Raises:
            WsinspectError: it did not start; the message is its own.
        """
        try:
            self.spawn()
            self.wait_ready()
        except BaseException:
            self.stop()
            raise

    def spawn(self) -> None:
        """Start the process, and do not wait for it. `stop` is the caller's to call from here on.

        Raises:
            LocalError: no process could be started.
        """
        self._errors.clear()
        self._said_at_start = []
        self.ready = {}
        append = ["--append"] * self._appends
        reading, writing = os.pipe()
        command = [*self._command, f"--ready-fd={writing}", f"--capture={self.capture}", *append]
        with held_signals():
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=None if self._speaks else subprocess.DEVNULL,
                    stderr=None if self._speaks else subprocess.PIPE,
                    pass_fds=(writing,),
                    start_new_session=True,
                )
            except OSError as error:
                os.close(reading)
                raise LocalError(f"cannot start {command[0]}: {error.strerror}") from error
            finally:
                os.close(writing)
            self._ready_pipe = reading
        self._errors_end = None
        if not self._speaks:
            self._errors_end = threading.Thread(
                target=self._read_errors, args=(self._process,), name="engine-stderr", daemon=True
            )
            self._errors_end.start()

    def wait_ready(self) -> None:
        """Wait for the `ready` event of the process that `spawn` started.

        Raises:
            WsinspectError: it did not come; the process has ended, and the message is its own.
        """
        assert self._process is not None
        assert self._ready_pipe is not None
        line, is_silent = _read_line(self._ready_pipe, START_SECONDS)
        os.close(self._ready_pipe)
        self._ready_pipe = None
        self._said_at_start = list(self._errors)
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and event.get("event") == "ready":
                self.ready = event
                return
        code = self._end(0.0 if is_silent else 1.0)
        if self._errors_end is not None:
            self._errors_end.join(1.0)
        # It has printed its own error; all that is left to say is that we could not continue.
        is_usage = code == UsageError.exit_code and not self._speaks
        raise (UsageError if is_usage else LocalError)(self._why_not(code, is_silent))

    def _why_not(self, code: int, is_silent: bool) -> str:
        if said := self.last_words() if self._errors else "":
            return said
        if is_silent:
            return f"the proxy did not start within {format_duration(round(START_SECONDS * SECOND))}"
        see = ", see the line above" if self._speaks else ""
        return f"the proxy did not start (exit code {code}{see})"

    def _read_errors(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                self._errors.append(line.decode("utf-8", "replace").strip().removeprefix("wsinspect: "))
                self._said_at = time.monotonic()

    def warnings(self) -> list[str]:
        """What it wrote to stderr before it was ready."""
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
        code = self.exit_code
        if code is not None and code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"exit code {code}" if code else ""

    def stop(self, patience: float = END_SECONDS, *, kill: bool = False) -> bool:
        """SIGTERM, and wait until the capture is complete.

        Args:
            patience: seconds to wait.
            kill: end it with SIGKILL after that; otherwise it continues, and `wsinspect ps` shows it.

        Returns:
            Whether it has ended by itself and well.
        """
        if self._process is None:
            return True
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            if kill:
                self._process.kill()
                self._process.wait()
            return False
        finally:
            if self._ready_pipe is not None and not self.is_alive:
                os.close(self._ready_pipe)
                self._ready_pipe = None
        return self._has_ended_well

    def _end(self, patience: float) -> int:
        """Wait for the end of a process that did not start well, and make it end; its exit code."""
        assert self._process is not None
        try:
            return self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def restart(self) -> None:
        """Start it again, adding to the same capture.

        Raises:
            WsinspectError: it did not start.
        """
        if not self._can_restart:
            raise UsageError("this was a demo: press q to leave, and start it again")
        self.stop()
        _wait_until_drained(self.capture)
        before, self._appends, ready = self._appends, True, self.ready
        try:
            self.start()
        except WsinspectError:
            self._appends, self.ready = before, ready
            raise


def _read_line(pipe: int, patience: float) -> tuple[bytes, bool]:
    """The first line, or what there is of it when the pipe closes; and whether time ran out before."""
    deadline = time.monotonic() + patience
    line = b""
    while b"\n" not in line and len(line) < _READY_BYTES:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([pipe], [], [], left)[0]:
            return line, True
        data = os.read(pipe, 65536)
        if not data:
            break
        line += data
    return line.partition(b"\n")[0], False


def _wait_until_drained(capture: Path) -> None:
    """A killed engine's recorder keeps the capture until all is indexed, and a new engine is refused."""
    deadline = time.monotonic() + _DRAIN_SECONDS
    while is_draining(capture) and time.monotonic() < deadline:
        time.sleep(_DRAIN_PAUSE_SECONDS)
