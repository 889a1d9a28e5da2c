"""A program in a pseudo-terminal: keys in, what it draws out, with the time of each piece."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


class Terminal:
    """A running program.

    Attributes:
        pid: its process.
        started: monotonic seconds when it was started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        size: tuple[int, int] = (120, 36),
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self._pieces: list[tuple[float, bytes]] = []
        self._arrived = threading.Condition()
        self.started = time.monotonic()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            _become(command, environment or {}, folder)
        width, height = size
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                select.select([self._fd], [], [])
                data = os.read(self._fd, 65536)
            except (OSError, ValueError):
                return
            with self._arrived:
                self._pieces.append((time.monotonic(), data))
                self._arrived.notify_all()

    def press(self, keys: bytes) -> float:
        """Keys; returns when they were sent."""
        now = time.monotonic()
        os.write(self._fd, keys)
        return now

    def wait_for(self, text: str, since: float = 0.0, timeout: float = 30.0) -> float:
        """When a text was drawn, after `since`.

        Raises:
            TimeoutError: it was not.
        """
        wanted, deadline = text.encode(), time.monotonic() + timeout
        with self._arrived:
            while True:
                seen = b""
                for at, data in self._pieces:
                    if at >= since:
                        seen = seen[-len(wanted) :] + data
                        if wanted in seen:
                            return at
                left = deadline - time.monotonic()
                if left <= 0 or not self._arrived.wait(left):
                    last = b"".join(data for _, data in self._pieces)[-2000:]
                    raise TimeoutError(f"{text!r} was not drawn; the last bytes: {last!r}")

    def drawn(self) -> str:
        """All that was drawn so far, control sequences included."""
        with self._arrived:
            return b"".join(data for _, data in self._pieces).decode("utf-8", "replace")

    def forget(self) -> None:
        """Leave out what was drawn so far: a long run need not be searched again."""
        with self._arrived:
            self._pieces.clear()

    def end(self, timeout: float = 20.0) -> int:
        """Wait for its end, then make it; its exit code, negative for a signal."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self._fd)
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        os.close(self._fd)
        return os.waitstatus_to_exitcode(status)


def _become(command: Sequence[str], environment: Mapping[str, str], folder: Path | None) -> None:
    """In the child: replace it; a program that is not there ends it with 127."""
    try:
        if folder is not None:
            os.chdir(folder)
        known = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        os.execvpe(
            command[0],
            list(command),
            {**known, "TERM": "xterm-256color", "COLORTERM": "truecolor", **environment},
        )
    finally:
        os._exit(127)
