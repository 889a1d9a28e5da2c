"""Engines that start in a fraction of the time: forked from a process that has imported everything already.

Most of an engine's start is the import of mitmproxy, and hundreds of tests start one. `start` asks a server
process, one for each worker of the tests, to fork; the child takes over the given arguments, environment,
folder and descriptors, and runs `wsinspect` as `python -m wsinspect` would. The recorder and all else that an
engine starts are ordinary processes.

Run as `python -m tests.support.warm DESCRIPTOR` this module is the server. It ends when its client does.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from tests.support.processes import note_starter

ROOT = Path(__file__).resolve().parents[2]
_REQUEST_BYTES = 256 * 1024


class WarmProcess:
    """A forked engine, with what tests use of `subprocess.Popen`.

    Attributes:
        stdout: the read end of its stdout.
        returncode: None while it runs; negative for a signal.
    """

    def __init__(self, report: IO[bytes], stdout: IO[bytes]) -> None:
        first = report.readline()
        assert first, "the server of warm engines has ended; its stderr says why"
        self.pid = int(first)
        self.args = ["python", "-m", "wsinspect"]
        self.stdout: IO[bytes] | None = stdout
        self.returncode: int | None = None
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, args=(report,), daemon=True)
        self._watcher.start()

    def _watch(self, report: IO[bytes]) -> None:
        with report:
            line = report.readline()
        self.returncode = int(line) if line else -signal.SIGKILL
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


def start(
    arguments: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    stderr: IO[bytes],
    is_brief: bool = False,
) -> WarmProcess:
    """`wsinspect` with these arguments, in a session of its own, its stdin empty and its stdout a pipe.

    Args:
        is_brief: leave without taking the interpreter down, which costs more than most commands do.
    """
    control = _server()
    read_out, write_out = os.pipe()
    read_report, write_report = os.pipe()
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        request = {
            "arguments": list(arguments),
            "folder": str(folder),
            "environment": dict(environment),
            "is_brief": is_brief,
        }
        socket.send_fds(
            control, [json.dumps(request).encode()], [nothing, write_out, stderr.fileno(), write_report]
        )
    finally:
        for each in (nothing, write_out, write_report):
            os.close(each)
    process = WarmProcess(os.fdopen(read_report, "rb"), os.fdopen(read_out, "rb"))
    note_starter(process.pid)
    return process


def run(
    arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str], timeout: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """`wsinspect` with these arguments to its end, as `subprocess.run` would.

    What Python reads of the environment when it starts (PYTHONUTF8, the locale) is as it is in the tests.
    """
    with tempfile.TemporaryFile() as stderr:
        process = start(arguments, folder=folder, environment=environment, stderr=stderr, is_brief=True)
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
            process.communicate(timeout=10)
            _running = None


# -- the server


def serve(control: socket.socket) -> dict[str, Any] | None:
    """Fork for each request until the client is gone; a forked child returns with its request.

    One thread only, for a process with more must not fork.
    """
    import wsinspect.proxy.engine
    import wsinspect.recorder.opening  # noqa: F401
    from wsinspect.cli.main import COMMANDS

    for lazy in COMMANDS.values():
        importlib.import_module(lazy.place.partition(":")[0])

    gc.freeze()
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write)
    reports: dict[int, int] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(wake_read, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == wake_read:
                    os.read(wake_read, 4096)
                    _reap(reports)
                    continue
                data, descriptors, _, _ = socket.recv_fds(control, _REQUEST_BYTES, 4)
                if not data:
                    return None
                pid = os.fork()
                if pid == 0:
                    selector.close()
                    control.close()
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for each in (wake_read, wake_write, *reports.values()):
                        os.close(each)
                    return _become(json.loads(data), descriptors)
                reports[pid] = descriptors.pop()
                os.write(reports[pid], f"{pid}\n".encode())
                for each in descriptors:
                    os.close(each)


def _reap(reports: dict[int, int]) -> None:
    """Tell those who wait how their processes ended."""
    while reports:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        report = reports.pop(pid)
        try:
            os.write(report, f"{os.waitstatus_to_exitcode(status)}\n".encode())
        except BrokenPipeError:
            continue  # the test waits no more
        finally:
            os.close(report)


def _become(request: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
    """In the child: its own session, folder, environment and standard streams."""
    os.setsid()
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for number, each in enumerate(descriptors[:3]):
        os.dup2(each, number)
    for each in descriptors:
        os.close(each)
    return request


if __name__ == "__main__":
    asked = serve(socket.socket(fileno=int(sys.argv[1])))
    if asked is not None:
        sys.argv = ["wsinspect", *asked["arguments"]]
        try:
            runpy.run_module("wsinspect", run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            if not asked["is_brief"] or not isinstance(ended.code, int):
                raise
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(ended.code)
