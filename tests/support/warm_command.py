"""`wsinspect` as a program on PATH that starts warm: for tests that type it into a shell.

The program is a small script. It hands its arguments, folder, environment and descriptors to the tests'
process, which lets the server of `warm.py` fork; it passes on the signals that it gets, and ends as the
forked process did. What is forked differs from it in two things: the process id, and that terminal and
process group are the script's. So tests of job control and of Ctrl-C in a terminal start an interpreter.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from pathlib import Path

from tests.support import warm
from tests.support.processes import note_starter

_SCRIPT = """#!{python} -IS
import json, os, signal, socket, sys
passed_on = {{signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGWINCH}}
signal.pthread_sigmask(signal.SIG_BLOCK, passed_on)
door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
door.connect({place!r})
asked = {{"arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}}
socket.send_fds(door, [json.dumps(asked).encode()], [0, 1, 2])
pid = int(door.recv(64))
def pass_on(number, _):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it has ended: its exit code is on the way
for number in passed_on:
    signal.signal(number, pass_on)
signal.pthread_sigmask(signal.SIG_UNBLOCK, passed_on)
code = int(door.recv(64))
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""


_lock = threading.Lock()
_running: tuple[Path, socket.socket] | None = None


def program() -> Path:
    """The program, which is called `wsinspect` and alone in its folder; there to the end of the run."""
    global _running
    with _lock:
        if _running is None:
            folder = Path(tempfile.mkdtemp(prefix="wsinspect-tests-"))
            place = folder / ".door"
            script = folder / "wsinspect"
            script.write_text(_SCRIPT.format(python=sys.executable, place=str(place)))
            script.chmod(0o700)
            door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            door.bind(str(place))
            door.listen()
            threading.Thread(target=_open_to_all, args=(door,), daemon=True).start()
            _running = (script, door)
        return _running[0]


def stop() -> None:
    """Let nobody start it any more."""
    global _running
    with _lock:
        if _running is not None:
            script, door = _running
            with door:
                door.shutdown(socket.SHUT_RDWR)
            shutil.rmtree(script.parent)
            _running = None


def _open_to_all(door: socket.socket) -> None:
    while True:
        try:
            visitor, _ = door.accept()
        except OSError:  # `stop`
            return
        threading.Thread(target=_serve, args=(visitor,), daemon=True).start()


def _serve(visitor: socket.socket) -> None:
    """Let one be forked; say its process id, and in the end its exit code."""
    with visitor:
        data, descriptors, _, _ = socket.recv_fds(visitor, warm.REQUEST_BYTES, 3)
        if not data:
            return
        try:
            report = warm.fork({**json.loads(data), "module": "wsinspect", "has_session": False}, descriptors)
        finally:
            for each in descriptors:
                os.close(each)
        with report, contextlib.suppress(BrokenPipeError):  # the script was killed
            pid = report.readline()
            note_starter(int(pid))
            visitor.send(pid)
            ended = threading.Event()
            threading.Thread(target=_end_with, args=(visitor, int(pid), ended), daemon=True).start()
            code = report.readline()
            ended.set()
            visitor.send(code)


def _end_with(visitor: socket.socket, pid: int, ended: threading.Event) -> None:
    """Kill a forked process whose script is killed."""
    with contextlib.suppress(OSError):
        if not visitor.recv(1) and not ended.is_set():
            os.kill(pid, signal.SIGKILL)
