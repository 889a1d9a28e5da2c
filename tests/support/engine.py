"""The real product as a subprocess: `wsinspect run --headless --json`, its `ready` line, its events, and its
end.

`Engine.start` returns once the engine says that it listens. stdout is read by a thread all the time, so a
slow test never slows the engine. Each engine has its own data, state and runtime folders; nothing of the
user's is touched.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from tests.support import warm
from tests.support.healthy import healthy_with_findings
from tests.support.processes import MARK, run_folder

ROOT = Path(__file__).resolve().parents[2]


class HasPorts(Protocol):
    """A server on two ports of 127.0.0.1 (origin.Origin)."""

    port: int
    tls_port: int


class EngineFailedError(Exception):
    """The engine ended before it was ready; the message has its exit code and stderr."""


def private_environment(folder: Path) -> dict[str, str]:
    """The environment of a user whose home is `folder`."""
    environment = dict(os.environ)
    for name, part in {
        "HOME": ".",
        "XDG_DATA_HOME": "data",
        "XDG_STATE_HOME": "state",
        "XDG_RUNTIME_DIR": "runtime",
        "XDG_CONFIG_HOME": "config",
    }.items():
        place = folder / part
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        environment[name] = str(place)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH", "")]))
    return environment


class _Authority:
    """The first engine of a run of the tests makes its certificate authority; the others find a copy of it.

    To make one costs as much as all the rest of a start.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        run = os.environ.get(MARK)
        self.kept = run_folder(run) / "ca" if run else None

    def lend(self) -> None:
        if self.kept and self.kept.exists() and not self.place.exists():
            shutil.copytree(self.kept, self.place)

    def keep(self) -> None:
        if self.kept and self.place.exists() and not self.kept.exists():
            whole = Path(tempfile.mkdtemp(dir=self.kept.parent))
            shutil.copytree(self.place, whole, dirs_exist_ok=True)
            with contextlib.suppress(OSError):  # another worker was first
                whole.rename(self.kept)


def start_engine(origin: HasPorts, folder: Path, *options: str) -> Engine:
    """An engine with all ways to an origin: the taps `plain` and `secure`, and the listener `regular`."""
    return Engine.start(
        *("--listen", "127.0.0.1:0", "--insecure"),
        *("--tap", f"plain=127.0.0.1:0=http://127.0.0.1:{origin.port}"),
        *("--tap", f"secure=127.0.0.1:0=https://127.0.0.1:{origin.tls_port}"),
        *options,
        folder=folder / "engine",
    )


class Engine:
    """A running `wsinspect run`.

    Attributes:
        pid: of the engine.
        capture: the capture's path.
        ready: the whole `ready` event.
        events: every event so far, in order.
    """

    def __init__(self, process: subprocess.Popen[bytes] | warm.WarmProcess, stderr: Path) -> None:
        self.process = process
        self.stderr_path = stderr
        self.events: list[dict[str, Any]] = []
        self._arrived = threading.Condition()
        self._ready: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.ready: dict[str, Any] = {}

    @classmethod
    def start(
        cls,
        *options: str,
        folder: Path,
        environment: dict[str, str] | None = None,
        python: Sequence[str] = (),
        timeout: float = 30.0,
    ) -> Engine:
        """Start an engine with `options` beside `--headless --json`; `folder` is its home.

        Args:
            environment: further variables; they may be the interpreter's, so that one is started then.
            python: the command that starts the interpreter, where it is to be another or a fresh one. Without
                both the engine is forked from a process that has imported it (tests.support.warm).

        Raises:
            EngineFailedError: it ended, or said nothing in time.
        """
        folder.mkdir(parents=True, exist_ok=True)
        arguments = ["run", "--headless", "--json", *options]
        variables = {**private_environment(folder), **(environment or {})}
        authority = _Authority(Path(variables["XDG_DATA_HOME"], "wsinspect", "ca"))
        authority.lend()
        log = folder / "stderr.log"
        process: subprocess.Popen[bytes] | warm.WarmProcess
        with log.open("wb") as stderr:
            if python or environment:
                process = subprocess.Popen(
                    [*(python or [sys.executable]), "-m", "wsinspect", *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    cwd=folder,
                    env=variables,
                    start_new_session=True,
                )
            else:
                process = warm.start(arguments, folder=folder, environment=variables, stderr=stderr)
        engine = cls(process, log)
        try:
            first = engine._ready.get(timeout=timeout)
        except queue.Empty:
            first = None
        if first is None:
            engine.kill()
            raise EngineFailedError(f"exit code {process.returncode}: {engine.stderr.strip()}")
        engine.ready = first
        authority.keep()
        return engine

    @property
    def pid(self) -> int:
        return int(self.ready["pid"])

    @property
    def capture(self) -> Path:
        return Path(self.ready["capture"])

    @property
    def stderr(self) -> str:
        return self.stderr_path.read_text("utf-8", "replace")

    def port(self, tap: str) -> int:
        """The port of the tap of this name, as the `ready` event tells it."""
        for listener in self.ready["listeners"]:
            if listener["tap"] == tap:
                return int(listener["port"])
        raise KeyError(tap)

    def wait_for(self, fits: Callable[[dict[str, Any]], bool], timeout: float = 30.0) -> dict[str, Any]:
        """The first event that fits, waiting for it."""
        deadline = time.monotonic() + timeout
        looked_at = 0
        with self._arrived:
            while True:
                for event in self.events[looked_at:]:
                    if fits(event):
                        return event
                looked_at = len(self.events)
                if not self._arrived.wait(deadline - time.monotonic()):
                    raise TimeoutError(
                        f"no such event among {self.events[-5:]}; stderr: {self.stderr[-500:]}"
                    )

    def wait_for_event(self, name: str, timeout: float = 30.0, **fields: Any) -> dict[str, Any]:
        """The first event of this name with these fields."""
        return self.wait_for(
            lambda event: event.get("event") == name and all(event.get(k) == v for k, v in fields.items()),
            timeout,
        )

    def wait_for_stderr(self, words: str, timeout: float = 30.0) -> str:
        """All of stderr, once these words are in it."""
        deadline = time.monotonic() + timeout
        while words not in (text := self.stderr):
            if time.monotonic() > deadline:
                raise TimeoutError(f"stderr does not say {words!r}: {text[-2000:]}")
            time.sleep(0.02)
        return text

    def stop(self, timeout: float = 100.0) -> int:
        """SIGTERM and wait; returns the exit code.

        An engine's end waits until its recorder has indexed everything. That one lets others go first: after
        thousands of connections, beside tests that use all processors, it may need half a minute.
        """
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self._wait(timeout)
        if code == 0 and self.capture.exists():
            # Whatever the test is about: a finding about a healthy session is a false alarm.
            assert healthy_with_findings(self.capture) == []
        return code

    def kill(self) -> None:
        """SIGKILL, as a crash; the recorder is left to find out."""
        if self.process.poll() is None:
            self.process.kill()
        self._wait(30)

    def _wait(self, timeout: float) -> int:
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(30)
            raise
        finally:
            # The recorder has the same stdout and may go on for a moment.
            self._reader.join(timeout)
            if not self._reader.is_alive() and self.process.stdout:
                self.process.stdout.close()
        return code

    def _read(self) -> None:
        stdout = self.process.stdout
        assert stdout is not None
        for line in stdout:
            event = json.loads(line)
            with self._arrived:
                self.events.append(event)
                self._arrived.notify_all()
            if event.get("event") == "ready":
                self._ready.put(event)
        self._ready.put(None)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def wsinspect_json(folder: Path, *arguments: object, timeout: float = 60.0) -> tuple[int, Any]:
    """A command with `--json`: its exit code, and its JSON or else what it printed on stderr."""
    words = [*map(str, arguments), "--json"]
    done = warm.run(words, folder=folder, environment=private_environment(folder), timeout=timeout)
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr
