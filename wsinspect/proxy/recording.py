"""One capture being written: its journal, and the recorder process that makes rows of it.

`Recording` is what an engine (or an addon for stock mitmproxy) opens, begins and finishes;
`RecorderSupervisor` keeps the process: started, watched, started again when it dies, waited for at the end.

The recorder reads the journal; the pipe to its stdin only wakes it, and tells it by EOF that the engine has
gone. So nothing is lost with a recorder: the next one continues where the last one committed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mitmproxy import version as mitmproxy_version

from wsinspect.journal.budget import Budget
from wsinspect.journal.writer import JournalWriter
from wsinspect.proxy.clock import Clock
from wsinspect.recorder.prepare import prepare_capture
from wsinspect.version import __version__
from wsinspect.vocabulary import events

#: Bytes that may wait for the journal; above this the sockets are not read (docs/benchmarks.md, memory).
BACKLOG_BYTES = 16 << 20
#: After this long a shutdown that has much to index says so, and can be hurried.
PATIENCE_SECONDS = 2.0
#: How often our clock is compared with the wall clock.
WALL_CHECK_SECONDS = 5.0
#: Pauses before the second, third, ... start in a row; the last one repeats.
RESTART_SECONDS = (0.0, 0.5, 2.0, 10.0)
#: A recorder that lived this long was healthy: the pauses start from the shortest again.
WELL_AFTER_SECONDS = 30.0


@dataclass
class Narration:
    """What the recorder prints on the engine's stdout: nothing (None), "human" lines or "json".

    Attributes:
        configurations: of hops, to name the lines that findings come from.
    """

    style: str | None = None
    with_frames: bool = False
    configurations: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """What is run as the recorder."""
        return "wsinspect.proxy.placing" if self.configurations else "wsinspect.recorder.process"

    def arguments(self) -> list[str]:
        """What follows the capture's name."""
        places = [word for one in self.configurations for word in ("--config", one)]
        if self.style is None:
            return places
        return [*places, "--narrate", self.style, *(["--frames"] if self.with_frames else [])]


@dataclass
class RecorderSupervisor:
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
        command = [sys.executable, "-m", self.narration.module, str(self.capture)]
        try:
            process = subprocess.Popen(
                [*command, *self.narration.arguments()], stdin=read_fd, start_new_session=True
            )
        except OSError:
            os.close(write_fd)
            raise
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
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody is left to notify
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
        self.warn(f"the recorder exited ({_reason(code)}); traffic continues, starting another one")
        loop.call_later(pause, self._start_again)

    def _start_again(self) -> None:
        if self._is_ending:
            return
        try:
            self.start()
        except OSError as error:
            # Out of descriptors or processes: others will end and free some.
            self.warn(f"the recorder cannot be started ({error.strerror}); trying again")
            asyncio.get_running_loop().call_later(RESTART_SECONDS[-1], self._start_again)

    def _drop_pipe(self) -> None:
        if self._wake_fd >= 0:
            self.journal.set_wake_fd(None)
            os.close(self._wake_fd)
            self._wake_fd = -1

    async def finish(self, give_up: asyncio.Event) -> bool:
        """After the journal was closed: let the recorder index what is left.

        Returns:
            True when the capture is complete; False when `give_up` was set first or the recorder failed: then
            the journal stays for the next reader.
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


class Recording:
    """See the module docstring; all methods belong to the event loop's thread.

    Attributes:
        capture: the SQLite file.
        journal: takes the records (`attempts.Sink`).
        first_connection: the number for the first attempt.

    Raises:
        CaptureError: the file is there and `append` is false, or it cannot be appended to.
        LocalError: it cannot be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        append: bool = False,
        narration: Narration | None = None,
        warn: Callable[[str], None] = lambda line: None,
        max_capture_size: int | None = None,
    ) -> None:
        self.clock = Clock()
        self.warn = warn
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Callable[[], None]] = []
        self._prepared = prepare_capture(path, append=append)
        self._is_new = not append
        self.capture = self._prepared.path
        self.first_connection = self._prepared.first_connection
        self.journal = JournalWriter(
            self._prepared.journal,
            first_segment=self._prepared.first_segment,
            backlog_limit=BACKLOG_BYTES,
            on_unstored=self._on_unstored,
            on_drained=self._on_drained,
            budget=None if max_capture_size is None else Budget.of(max_capture_size),
        )
        self._max_capture_size = max_capture_size
        self._recorder = RecorderSupervisor(self.capture, self.journal, narration or Narration(), warn)
        self._wall_timer: asyncio.TimerHandle | None = None
        self._may_give_up = False
        self._has_warned = False
        self._give_up = asyncio.Event()

    def when_unblocked(self, callback: Callable[[], None]) -> None:
        """Call back once the journal takes records again."""
        self._waiting.append(callback)

    def event(self, event: events.Event) -> None:
        """An event of the engine itself."""
        self.journal.event(0, event, self.clock.now_ns())

    def begin(
        self,
        *,
        run_file: str | None = None,
        snaplen: int | None = None,
        inflate_cap: int | None = None,
        session_by: str | None = None,
        taps: Sequence[dict[str, Any]] = (),
        changes: Sequence[str],
    ) -> None:
        """Say who writes, and start the recorder; for the arguments see `events.EngineStarted`."""
        versions = {
            "wsinspect": __version__,
            "mitmproxy": mitmproxy_version.VERSION,
            "python": platform.python_version(),
        }
        self.event(
            events.EngineStarted(
                versions=versions,
                argv=sys.argv,
                anchor_wall_ns=self.clock.anchor_wall_ns,
                anchor_mono_ns=self.clock.anchor_mono_ns,
                max_capture_size=self._max_capture_size,
                hostname=platform.node() or None,
                run_file=run_file,
                snaplen=snaplen,
                inflate_cap=inflate_cap,
                session_by=session_by,
                taps=list(taps),
                changes=list(changes),
            )
        )
        self._recorder.start()
        self._check_wall()

    async def finish(self) -> bool:
        """Write the last record, close the journal, and let the recorder index what is left.

        Returns:
            True when the capture is complete; else what is left is in the journal, and read on opening.
        """
        has_begun = self._wall_timer is not None
        if self._wall_timer:
            self._wall_timer.cancel()
            self.event(events.EngineStopped())
        has_all = await asyncio.to_thread(self.journal.close)
        if not has_begun:
            return True
        if not has_all:
            self.warn("the disk is too slow: the last traffic could not be stored")
            return False
        slow = self._loop.call_later(PATIENCE_SECONDS, self._offer_to_give_up)
        is_complete = await self._recorder.finish(self._give_up)
        slow.cancel()
        if not is_complete:
            self.warn(
                f"the rest of the capture is in {self._prepared.journal}, and is indexed when it is opened"
            )
        return is_complete

    def hurry(self) -> None:
        """The user wants to go; honoured once they have seen what is still under way."""
        if self._may_give_up:
            self._give_up.set()

    def discard(self) -> None:
        """After `finish`, when nothing was begun: leave no empty capture behind."""
        if not self._is_new:
            return
        journal = self._prepared.journal
        if journal.is_dir():
            for segment in journal.iterdir():
                segment.unlink(missing_ok=True)
            journal.rmdir()
        self.capture.unlink(missing_ok=True)

    def _offer_to_give_up(self) -> None:
        self._may_give_up = True
        self.warn(
            "indexing what was recorded (interrupt again to skip: the next command that opens it does it)"
        )

    def _check_wall(self) -> None:
        if step := self.clock.wall_step_ns():
            self.event(events.WallStep(step_ns=step))
        self._wall_timer = self._loop.call_later(WALL_CHECK_SECONDS, self._check_wall)

    def _on_unstored(self, size: int, reason: str) -> None:
        """Called in the writer's thread, each time storing begins to fail: said once, counted always."""
        if self._has_warned:
            return
        self._has_warned = True
        line = f"cannot store the traffic ({reason}); it continues, and the capture says how much is missing"
        self._loop.call_soon_threadsafe(self.warn, line)

    def _on_drained(self) -> None:
        """Called in the writer's thread."""
        self._loop.call_soon_threadsafe(self._unblock)

    def _unblock(self) -> None:
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()


def _reason(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
