"""Processes that tests start: which belong to a run of the tests, by which test, and how they are ended.

A run marks its environment with `MARK`, and pytest keeps the running test's name there too, so both are in
`/proc/PID/environ` of everything that a test starts, however many processes are between them and however long
ago the parents died. Without `/proc` (macOS) nothing is found.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

#: Names the run of the tests in the environment; set once by the process that starts the run.
MARK = "WSINSPECT_TEST_RUN"
#: A forked process may get a folder for temporary files of its own, which has to stay as the test wants it.
_TEMPORARY = Path(tempfile.gettempdir())


def run_folder(run: str) -> Path:
    """A folder of the run's own, made by whoever needs it first; its starter removes it."""
    folder = _TEMPORARY / f"wsinspect-tests-{run}"
    folder.mkdir(exist_ok=True)
    return folder


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """Processes that count, until the body is over."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for one in loops:
            one.kill()
            one.wait()


def note_starter(pid: int) -> None:
    """Say that the running test started a process whose environment does not: one that was forked."""
    run, test = os.environ.get(MARK), os.environ.get("PYTEST_CURRENT_TEST")
    if run and test:
        (run_folder(run) / str(pid)).write_text(test)


@dataclass(frozen=True)
class Started:
    """A process that a test started, directly or not.

    Attributes:
        test: the test's id and phase as pytest writes them (`tests/x.py::test_y (call)`); empty where the
            process was started outside any test.
    """

    pid: int
    command: str
    test: str

    def __str__(self) -> str:
        return f"{self.pid} {self.command} (started by {self.test or 'no test'})"


def started_by(run: str) -> Iterator[Started]:
    """The living processes of a run, but for the calling one."""
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        try:
            block = (folder / "environ").read_bytes().decode("utf-8", "replace")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended meanwhile, or is another user's
        variables = dict(each.partition("=")[::2] for each in block.split("\0"))
        command = command_line(pid)
        if variables.get(MARK) == run and pid != os.getpid() and command:  # a zombie has no command line
            note = run_folder(run) / folder.name
            test = note.read_text() if note.exists() else variables.get("PYTEST_CURRENT_TEST", "")
            yield Started(pid, command[:200].strip(), test)


def left_over(
    run: str, *, is_meant: Callable[[Started], bool] = lambda _: True, patience: float
) -> list[Started]:
    """What is still there after so many seconds; it is killed, and gone.

    A process may need a moment to end by itself: a recorder empties its journal after its engine was killed.
    """
    deadline = time.monotonic() + patience
    while True:
        found = [each for each in started_by(run) if is_meant(each)]
        if not found:
            return []
        if time.monotonic() > deadline:
            for each in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each.pid, signal.SIGKILL)
            for each in found:
                wait_until_gone(each.pid)  # on a busy machine a moment later
            return found
        time.sleep(0.1)


def wait_until_gone(pid: int, timeout: float = 20.0) -> None:
    """Wait for the end of a process that is not ours to wait for.

    Raises:
        TimeoutError: it is still there.
    """
    deadline = time.monotonic() + timeout
    while is_running(pid):
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {pid} is still there")
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid: int) -> list[int]:
    """The direct children of a process."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def command_line(pid: int) -> str:
    """Its arguments with blanks between them; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def resident_bytes(pid: int) -> int:
    """Resident memory of one process, in bytes; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    for line in status.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def family_bytes(pid: int) -> int:
    """Resident memory of a process and all its descendants (pages they share are counted for each)."""
    return resident_bytes(pid) + sum(family_bytes(child) for child in children(pid))
