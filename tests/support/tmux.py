"""A real terminal for tests: a tmux server of one's own, driven by keys and read as text."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.support import warm_command
from tests.support.engine import ROOT
from wsinspect.launch.engines import list_engines

#: A program that starts on a busy machine takes its time, the first of a run most.
PATIENCE_S = 60.0


class Tmux:
    """One session in a private server; use it as a context manager.

    Args:
        command: what runs in it; when it ends its exit code is shown, and the terminal's settings.
        environment: added to the session's.
        size: columns and rows.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], size: tuple[int, int] = (120, 36)
    ) -> None:
        self._server = f"wsinspect-test-{uuid.uuid4().hex[:12]}"
        exports = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
        program = f"env -u COLUMNS -u LINES -u NO_COLOR {exports} {shlex.join(command)}"
        script = f"{program}; echo \"ended with $?\"; stty -a | tr ';' '\n'; cat"
        width, height = size
        self._tmux(
            "-f", "/dev/null", "new-session", "-d", "-s", "it", "-x", str(width), "-y", str(height), script
        )

    def __enter__(self) -> Tmux:
        return self

    def __exit__(self, *_: object) -> None:
        self._tmux("kill-server", check=False)

    def _tmux(self, *arguments: str, check: bool = True) -> str:
        command = ["tmux", "-L", self._server, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=check, timeout=20).stdout

    def press(self, *keys: str) -> None:
        """Keys by tmux's names; anything else is typed."""
        for key in keys:
            self._tmux("send-keys", "-t", "it", key)

    def type(self, text: str) -> None:
        """Characters, none of them a key's name."""
        self._tmux("send-keys", "-t", "it", "-l", text)

    def text(self, *, escapes: bool = False) -> str:
        """The screen."""
        return self._tmux("capture-pane", "-p", *(["-e"] if escapes else []), "-t", "it")

    def title(self) -> str:
        """The terminal's title, which escape sequences can set."""
        return self._tmux("display-message", "-p", "-t", "it", "#{pane_title}").strip()

    def pane_pid(self) -> int:
        """The shell's process."""
        return int(self._tmux("display-message", "-p", "-t", "it", "#{pane_pid}"))

    def hang_up(self) -> None:
        """Close the terminal, as closing its window does."""
        self._tmux("kill-session", "-t", "it")

    def wait_for(self, *words: str, timeout: float = PATIENCE_S) -> str:
        """The screen, once all words are on it."""
        return self.wait_until(lambda text: all(word in text for word in words), str(words), timeout)

    def wait_until(self, fact: Callable[[str], bool], what: str, timeout: float = PATIENCE_S) -> str:
        """The screen, once it is as wanted.

        Raises:
            TimeoutError: it is not; the message has the screen.
        """
        deadline = time.monotonic() + timeout
        while True:
            text = self.text()
            if fact(text):
                return text
            if time.monotonic() > deadline:
                raise TimeoutError(f"not on the screen: {what}\n{text}")
            time.sleep(0.05)


def wsinspect(*arguments: str, is_warm: bool = True) -> list[str]:
    """The command line of the program under test.

    Args:
        is_warm: it starts in a fraction of the time; not where it is killed or stopped by the terminal.
    """
    program = [str(warm_command.program())] if is_warm else [sys.executable, "-m", "wsinspect"]
    return [*program, *arguments]


def private(folder: Path) -> dict[str, str]:
    """Folders of one's own, and this checkout."""
    names = {
        "HOME": "home",
        "XDG_DATA_HOME": "data",
        "XDG_STATE_HOME": "state",
        "XDG_RUNTIME_DIR": "run",
        "XDG_CONFIG_HOME": "config",
    }
    for part in names.values():
        (folder / part).mkdir(parents=True, exist_ok=True, mode=0o700)
    environment = {name: str(folder / part) for name, part in names.items()}
    return {**environment, "PYTHONPATH": str(ROOT), "TERM": "screen-256color", "LC_ALL": "C.UTF-8"}


def run_command(origin: int, capture: Path, *more: str, is_warm: bool = True) -> list[str]:
    return wsinspect(
        "run",
        "--listen",
        "127.0.0.1:0",
        "--reverse",
        f"http://127.0.0.1:{origin}",
        "--capture",
        str(capture),
        *more,
        is_warm=is_warm,
    )


def port_of(text: str) -> int:
    found = re.search(r"Listening on 127\.0\.0\.1:(\d+)", text)
    assert found, text
    return int(found[1])


def engine_pid(home: dict[str, str]) -> int:
    (engine,) = list_engines(Path(home["XDG_RUNTIME_DIR"]) / "wsinspect")
    return engine.pid
