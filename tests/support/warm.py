"""Engines that start in a fraction of the time: forked from a process that has imported everything already.

Most of an engine's start is the import of mitmproxy, and hundreds of tests start one. `start` asks a server
process, one for each worker of the tests, to fork; the child takes over the given arguments, environment,
folder and descriptors, and runs `wsinspect` as `python -m wsinspect` would.

What such a process starts itself, an engine its recorder and a demo its engine, is forked too: while it has
one thread it forks a process that stands by (to fork later, with threads, would not be safe), and the first
`python -m wsinspect` or `python -m wsinspect.recorder.process` that it starts is that one. The second, as
after a crash, is an ordinary process.

Run as `python -m tests.support.warm DESCRIPTOR` this module is the server. It ends when its client does.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import importlib
import io
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from tests.support import sql_guard
from tests.support.processes import note_starter
from wsinspect.testing.forking import fork_on_request

ROOT = Path(__file__).resolve().parents[2]
REQUEST_BYTES = 256 * 1024
#: What the process that stands by can become, and the options of `subprocess.Popen` that it knows.
_MODULES = ("wsinspect", "wsinspect.recorder.process")
_OPTIONS = {"stdin", "stdout", "stderr", "pass_fds", "start_new_session"}
#: Commands that may start a recorder, or an engine that does.
_STARTING = ("run", "demo", "check", "connect", "mock", "replay", "browser", "doctor")
#: What recorders and commands import when they need it: each that is forked would do it again.
_IMPORTED_LATER = (
    *("recorder", "diagnosis", "clients", "findings", "present", "capture", "filters", "faults", "proxy"),
    *("decoders", "explain", "formats", "replay", "doctor", "launch", "tui"),
)
#: No descriptor of a process that begins is above this.
_BEYOND = 200


class _Forked(ABC):
    """What the product and the tests use of `subprocess.Popen`.

    Attributes:
        stdout: the read end of its stdout, where that is a pipe.
        stderr: the same of its stderr.
        returncode: None while it runs; negative for a signal.
    """

    def __init__(self, pid: int, args: list[str]) -> None:
        self.pid = pid
        self.args = args
        self.stdout: IO[bytes] | None = None
        self.stderr: IO[bytes] | None = None
        self.returncode: int | None = None
        self._ended = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    @abstractmethod
    def _exit_code(self) -> int:
        """Wait for its end."""

    def _watch(self) -> None:
        self.returncode = self._exit_code()
        self._ended.set()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if not self._ended.wait(timeout) or self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended, and the report is on its way
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class WarmProcess(_Forked):
    """A process that the server forked; the server waits for it and tells how it ended."""

    def __init__(self, report: IO[bytes], stdout: IO[bytes]) -> None:
        first = report.readline()
        assert first, "the server of warm engines has ended; its stderr says why"
        self._report = report
        super().__init__(int(first), ["python", "-m", "wsinspect"])
        self.stdout = stdout

    def _exit_code(self) -> int:
        with self._report as report:
            line = report.readline()
        return int(line) if line else -signal.SIGKILL


class TextProcess:
    """A forked process as `subprocess.Popen` with `text=True` and pipes has it.

    Attributes:
        stdout: read while it runs.
        stderr: what it has said by now; it never waits for more.
    """

    def __init__(self, process: WarmProcess, stderr: IO[str]) -> None:
        assert process.stdout is not None
        self.process, self.pid = process, process.pid
        self.stdout: IO[str] = io.TextIOWrapper(process.stdout, "utf-8")
        self.stderr = stderr
        self.poll, self.wait = process.poll, process.wait
        self.send_signal, self.terminate, self.kill = process.send_signal, process.terminate, process.kill

    @property
    def returncode(self) -> int | None:
        return self.process.returncode

    def communicate(self, timeout: float = 60.0) -> tuple[str, str]:
        """What it says until its end, which is a kill after so many seconds."""
        guard = threading.Timer(timeout, self.kill)
        guard.start()
        with contextlib.closing(self.stdout), self.stderr:
            out = "" if self.stdout.closed else self.stdout.read()
            self.wait(timeout)
            guard.cancel()
            return out, self.stderr.read()


def start_text(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    stdin: IO[bytes] | None = None,
    module: str = "wsinspect",
) -> TextProcess:
    """As `start`, for tests that read what it says."""
    with tempfile.NamedTemporaryFile() as stderr:
        process = start(
            arguments, folder=Path.cwd(), environment=environment, stderr=stderr, stdin=stdin, module=module
        )
        return TextProcess(process, Path(stderr.name).open(encoding="utf-8"))


def start(
    arguments: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    stderr: IO[bytes],
    stdin: IO[bytes] | None = None,
    module: str = "wsinspect",
) -> WarmProcess:
    """A module with these arguments, in a session of its own, its stdin empty and its stdout a pipe.

    Args:
        module: one of `_MODULES`.
    """
    read_out, write_out = os.pipe()
    nothing = os.open(os.devnull, os.O_RDONLY) if stdin is None else os.dup(stdin.fileno())
    try:
        request = {
            "module": module,
            "arguments": [*map(str, arguments)],
            "folder": str(folder),
            "environment": dict(environment),
            "has_session": True,
        }
        report = fork(request, [nothing, write_out, stderr.fileno()])
    finally:
        for each in (nothing, write_out):
            os.close(each)
    process = WarmProcess(report, os.fdopen(read_out, "rb"))
    note_starter(process.pid)
    return process


def fork(request: Mapping[str, Any], descriptors: Sequence[int]) -> IO[bytes]:
    """Let the server fork for a request, whose stdin, stdout and stderr stay the caller's.

    Returns:
        a pipe with the process id in its first line and, at the end, the exit code in its second.
    """
    reading, writing = os.pipe()
    try:
        wanted = {**request, "descriptors": [0, 1, 2]}
        socket.send_fds(_server(), [json.dumps(wanted).encode()], [*descriptors, writing])
    finally:
        os.close(writing)
    return os.fdopen(reading, "rb")


def run(
    arguments: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    timeout: float = 60.0,
    stdin: IO[bytes] | None = None,
) -> subprocess.CompletedProcess[str]:
    """`wsinspect` with these arguments to its end, as `subprocess.run` would.

    What Python reads of the environment when it starts (PYTHONUTF8, the locale) is as it is in the tests.
    """
    with tempfile.TemporaryFile() as stderr:
        process = start(arguments, folder=folder, environment=environment, stderr=stderr, stdin=stdin)
        guard = threading.Timer(timeout, process.kill)
        guard.start()
        assert process.stdout is not None
        with process.stdout as stdout:
            out = stdout.read()
        code = process.wait(timeout)
        guard.cancel()
        stderr.seek(0)
        errors = stderr.read()
    return subprocess.CompletedProcess(process.args, code, out.decode(), errors.decode())


_lock = threading.Lock()
_running: tuple[socket.socket, subprocess.Popen[bytes]] | None = None


def _server() -> socket.socket:
    """The server's socket; the server is started once in a process."""
    global _running
    with _lock:
        if _running is None:
            control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            # It lives longer than the test that happens to be the first to need it.
            environment = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.warm", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # nothing is written; sys.stdout suits a pipe in the children
                cwd=ROOT,
                env=environment,
            )
            theirs.close()
            _running = (control, process)
        return _running[0]


def stop() -> None:
    """End the server, where there is one; what it forked is not its to end."""
    global _running
    with _lock:
        if _running is not None:
            control, process = _running
            control.close()
            process.communicate(timeout=20)
            _running = None


# -- the server


def serve(control: socket.socket) -> dict[str, Any] | None:
    """Fork for each request until the client is gone; a forked child returns with its request.

    One thread only, for a process with more must not fork.
    """
    import wsinspect.proxy.engine
    import wsinspect.recorder.opening
    import wsinspect.recorder.process  # noqa: F401
    from wsinspect.cli.main import COMMANDS

    for lazy in COMMANDS.values():
        importlib.import_module(lazy.place.partition(":")[0])
    for package in _IMPORTED_LATER:
        path = importlib.import_module(f"wsinspect.{package}").__path__
        for module in pkgutil.walk_packages(path, f"wsinspect.{package}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)

    sql_guard.watch()
    return fork_on_request(control, _become)


def _become(request: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
    """In the child: its own session, folder, environment and descriptors; then the request is to be run.

    The process that stands by returns too, when it is needed, and with the request that it is needed for.
    """
    if request["has_session"]:
        os.setsid()
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    tempfile.tempdir = None  # it is what the environment says, and was asked for before
    # Those that came may have the numbers that others are to have.
    apart = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, _BEYOND) for each in descriptors]
    for each in descriptors:
        os.close(each)
    for each, number in zip(apart, request["descriptors"], strict=True):
        os.dup2(each, number)
        os.close(each)
    return _with_standby(request) if _starts_others(request) else request


# -- in a process that the server forked


def _starts_others(request: dict[str, Any]) -> bool:
    command = (request["arguments"] or ["run"])[0]
    return request["module"] == "wsinspect" and command in _STARTING


class _Standby(_Forked):
    """The process that stands by, once it is needed."""

    def _exit_code(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def _with_standby(request: dict[str, Any]) -> dict[str, Any]:
    """Fork a process that stands by, and let `subprocess.Popen` use it for the first that it can be."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        ours.close()
        data, descriptors, _, _ = socket.recv_fds(theirs, REQUEST_BYTES, 16)
        theirs.close()
        if not data:
            os._exit(0)  # whoever would need it has ended
        note_starter(os.getpid())
        return _become(json.loads(data), descriptors)
    theirs.close()
    ordinary = subprocess.Popen
    waiting = [pid]

    def popen(command: Any, **options: Any) -> Any:
        is_ours = command[:2] == [sys.executable, "-m"] and command[2] in _MODULES
        if not is_ours or not options.keys() <= _OPTIONS or not waiting:
            return ordinary(command, **options)
        return _use(ours, waiting.pop(), command, **options)

    subprocess.Popen = popen  # type: ignore[assignment,misc]
    return request


def _use(
    control: socket.socket,
    pid: int,
    command: list[str],
    *,
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
    pass_fds: Sequence[int] = (),
    start_new_session: bool = False,
) -> _Standby:
    """Let the process that stands by become this command, as `subprocess.Popen` would start it."""
    request = {
        "module": command[2],
        "arguments": command[3:],
        "folder": str(Path.cwd()),
        "environment": dict(os.environ),
        "has_session": start_new_session,
        "descriptors": [0, 1, 2, *pass_fds],
    }
    pipes: dict[int, IO[bytes]] = {}
    with contextlib.ExitStack() as sent, control:
        descriptors = []
        for number, given in enumerate((stdin, stdout, stderr)):
            if given == subprocess.PIPE:
                reading, given = os.pipe()
                pipes[number] = os.fdopen(reading, "rb")
                sent.callback(os.close, given)
            elif given == subprocess.DEVNULL:
                given = os.open(os.devnull, os.O_RDWR)
                sent.callback(os.close, given)
            descriptors.append(number if given is None else given)
        socket.send_fds(control, [json.dumps(request).encode()], [*descriptors, *pass_fds])
    process = _Standby(pid, command)
    process.stdout, process.stderr = pipes.get(1), pipes.get(2)
    return process


if __name__ == "__main__":
    asked = serve(socket.socket(fileno=int(sys.argv[1])))
    if asked is not None:
        sys.argv = [asked["module"], *asked["arguments"]]
        sys.modules.pop(asked["module"] if asked["module"] != "wsinspect" else "", None)  # or runpy warns
        try:
            runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            if not isinstance(ended.code, int):
                raise
            # As the interpreter ends, but for taking down thousands of objects, which costs more than most
            # commands do.
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(ended.code)
