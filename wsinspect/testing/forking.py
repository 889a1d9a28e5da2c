"""Engines that start in a fraction of the time: forked from a process that has imported everything already.

Most of an engine's start is the import of mitmproxy, and a test suite starts many. `ForkServer` starts one
process that imports and then forks; the child takes over arguments, environment and descriptors and runs as
`python -m wsinspect` would, in a session of its own.

`main` is that process. It ends when the one that started it does; what it forked ends by itself or by whoever
asked for it.
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
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, Final

from wsinspect.closing import Closing
from wsinspect.errors import LocalError

_REQUEST_BYTES: Final = 256 * 1024
_END_SECONDS: Final = 10.0


class ForkedProcess:
    """A process that the server forked.

    Attributes:
        pid: its process id.
        exit_code: as `Popen.returncode`; None while it runs.
    """

    def __init__(self, report: IO[bytes]) -> None:
        first = report.readline()
        if not first:
            raise LocalError("the process that starts proxies has ended")
        self.pid = int(first)
        self.exit_code: int | None = None
        self._ended = threading.Event()
        threading.Thread(target=self._watch, args=(report,), name="proxy-end", daemon=True).start()

    def _watch(self, report: IO[bytes]) -> None:
        with report:
            line = report.readline()
        self.exit_code = int(line) if line else -signal.SIGKILL
        self._ended.set()

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within that time."""
        return self._ended.wait(seconds)

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended, and the report is on its way
                os.kill(self.pid, number)


class ForkServer(Closing):
    """The process that forks; started with the first `start`."""

    def __init__(self) -> None:
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self, arguments: Sequence[str], *, environment: Mapping[str, str], stdout: int, stderr: int
    ) -> ForkedProcess:
        """`wsinspect` with these arguments, its stdin empty.

        Args:
            stdout, stderr: descriptors; they stay the caller's.

        Raises:
            LocalError: no process could be started.
        """
        control = self._connected()
        reading, writing = os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        request = {"arguments": list(arguments), "environment": dict(environment)}
        try:
            socket.send_fds(control, [json.dumps(request).encode()], [nothing, stdout, stderr, writing])
        except OSError as error:
            os.close(reading)
            raise LocalError(f"cannot start a proxy: {error.strerror}") from error
        finally:
            os.close(nothing)
            os.close(writing)
        return ForkedProcess(os.fdopen(reading, "rb"))

    def close(self) -> None:
        """End the process; what it forked is not its to end."""
        if self._control is not None and self._process is not None:
            self._control.close()
            try:
                self._process.communicate(timeout=_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.communicate()
        self._control = self._process = None

    def _connected(self) -> socket.socket:
        if self._control is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", f"from {__name__} import main; main()", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,  # nothing is written: `sys.stdout` suits a pipe in the children
                )
            self._control = ours
        return self._control


# -- in the process that forks


def serve(control: socket.socket) -> dict[str, Any] | None:
    """Import what an engine needs, then `fork_on_request`."""
    for name in ("wsinspect.proxy.engine", "wsinspect.cli.main", "wsinspect.cli.run"):
        importlib.import_module(name)
    return fork_on_request(control, _become)


def fork_on_request(
    control: socket.socket, become: Callable[[dict[str, Any], list[int]], dict[str, Any]]
) -> dict[str, Any] | None:
    """Fork for each request until nobody asks any more; a forked child returns what `become` does.

    A request is a JSON object in one packet with descriptors. To the last of them go the child's process
    id and later its exit code, a line each. One thread only, for a process with more must not fork.

    Args:
        become: in the child, takes over what the request says, with the other descriptors.
    """
    gc.freeze()
    wake_read, wake_write = os.pipe()
    for each in (wake_read, wake_write):
        os.set_blocking(each, False)
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
                    for each in (wake_read, wake_write, *reports.values(), descriptors.pop()):
                        os.close(each)
                    return become(json.loads(data), descriptors)
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
            continue  # nobody waits any more
        finally:
            os.close(report)


def _become(request: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
    """In the child: a session, environment and descriptors of its own."""
    os.setsid()
    os.environ.clear()
    os.environ.update(request["environment"])
    for number, each in enumerate(descriptors):
        os.dup2(each, number)
        os.close(each)
    return request


def main() -> None:
    """Fork for whoever holds the other end of the socket that the only argument names."""
    asked = serve(socket.socket(fileno=int(sys.argv[1])))
    if asked is not None:
        sys.argv = ["wsinspect", *asked["arguments"]]
        runpy.run_module("wsinspect", run_name="__main__", alter_sys=True)
