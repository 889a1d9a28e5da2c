"""Child processes of a benchmark run: ended by their own pid, their memory read from /proc."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeVar

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")


class BenchError(Exception):
    """A peer or a measurement failed; the message says which and how."""


def wait_for(
    what: str,
    probe: Callable[[], T | None],
    *,
    seconds: float,
    alive: Callable[[], bool],
    every: float = 0.02,
) -> T:
    """Ask until there is an answer; an error when the process is gone or the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer is not None:
            return answer
        if not alive():
            raise BenchError(f"{what}: the process has ended")
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: nothing within {seconds:g} s")
        time.sleep(every)


class Child:
    """One process with its output in files."""

    def __init__(self, command: list[str], folder: Path, name: str, checkout: Path = ROOT) -> None:
        self.name = name
        self.out = folder / f"{name}.out"
        self.err = folder / f"{name}.err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            # `python -m` takes the modules of the folder it starts in, before what is installed.
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=out, stderr=err, cwd=checkout
            )
        self.pid = self._process.pid

    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def wait_line(self, seconds: float, key: str) -> dict[str, Any]:
        """The first JSON object with ``key`` on its standard output."""

        def probe() -> dict[str, Any] | None:
            for line in self.out.read_bytes().splitlines(keepends=True):
                if line.endswith(b"\n") and line.startswith(b"{"):
                    found: dict[str, Any] = json.loads(line)
                    if key in found:
                        return found
            return None

        try:
            return wait_for(self.name, probe, seconds=seconds, alive=self.is_alive, every=0.005)
        except BenchError as error:
            last = self.err.read_text(errors="replace").strip().splitlines()[-1:]
            raise BenchError(f"{error} {' '.join(last)}".strip()) from None

    def stop(self, seconds: float = 60, sign: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end, then make it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self.is_alive():
            self._process.send_signal(sign)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)


class Load:
    """The load client, line by line."""

    def __init__(
        self, measure: str, port: int, *, payload: int, frames: int, timeout: float = 120, **options: int
    ) -> None:
        numbers = ["--payload", payload, "--frames", frames, "--timeout", timeout]
        for name, value in options.items():
            numbers += [f"--{name.replace('_', '-')}", value]
        command = [sys.executable, "-m", "tests.benchmarks.load", measure, str(port), *map(str, numbers)]
        self._timeout = timeout
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )

    def result(self) -> dict[str, Any]:
        """The next result."""
        line = _stream(self._process.stdout).readline()
        if not line:
            error = _stream(self._process.stderr).read().strip().splitlines()[-1:]
            raise BenchError(f"load client: {' '.join(error) or 'no result'}")
        result: dict[str, Any] = json.loads(line)
        return result

    def go_on(self) -> None:
        """Let the next burst begin, or the connection end."""
        stdin = _stream(self._process.stdin)
        stdin.write("\n")
        stdin.flush()

    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def finish(self) -> None:
        """Wait for its end; kill it when it does not come."""
        try:
            self._process.communicate(timeout=self._timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def abandon(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.communicate()


def _stream(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise BenchError("load client: a pipe is missing")
    return stream


def descendants(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in task.read_text().split():
                found += descendants(int(child))
        except OSError:
            continue
    return found


def cpu_s(pid: int, *, alone: bool = False) -> float:
    """CPU seconds of a process, and all below it, so far; those of ended children left out."""
    ticks = 0
    for each in [pid] if alone else descendants(pid):
        try:
            facts = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            ticks += int(facts[11]) + int(facts[12])
        except (OSError, IndexError):
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int, *, alone: bool = False) -> float:
    """Resident memory of a process, and all below it, in MB (10^6 bytes); shared pages count in each."""
    pages = 0
    for each in [pid] if alone else descendants(pid):
        try:
            pages += int(Path(f"/proc/{each}/statm").read_text().split()[1])
        except (OSError, IndexError):
            continue
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
