"""A long replay: a progress bar on a terminal, none elsewhere, and a report when it is interrupted."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import threading

import pytest

from tests.support import warm_command
from tests.support.chats import store
from tests.support.engine import private_environment
from tests.support.replay_peers import Peer, Server
from tests.support.replay_questions import Answering, asking, numbered


class Halting(Answering):
    """Answers until `hold`, then waits to be released."""

    def __init__(self, hold: int) -> None:
        super().__init__(self._say)
        self.held, self.go = threading.Event(), threading.Event()
        self._hold = hold

    def _say(self, number: int) -> list[str]:
        if number == self._hold:
            self.held.set()
            self.go.wait(20)
        return [numbered(number)]

    def __call__(self, peer: Peer) -> None:
        try:
            super().__call__(peer)
        except OSError:
            return


class Terminal:
    """What a process writes to a terminal that is its stderr."""

    def __init__(self, path, *options: str) -> None:
        self._fd, other = pty.openpty()
        self.process = subprocess.Popen(
            [str(warm_command.program()), "replay", str(path), *options],
            stdout=subprocess.PIPE,
            stderr=other,
            text=True,
            env=private_environment(path.parent),
        )
        os.close(other)
        self.seen = ""

    def until(self, text: str) -> None:
        """Read until it was written."""
        while text not in self.seen:
            self.seen += os.read(self._fd, 4096).decode()

    def finish(self) -> tuple[int, str]:
        out, _ = self.process.communicate(timeout=20)
        try:
            while data := os.read(self._fd, 4096):
                self.seen += data.decode()
        except OSError:  # EIO: the other side is closed
            pass
        os.close(self._fd)
        return self.process.returncode, out


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_an_interrupted_replay_has_a_report_and_exit_code_130(tmp_path, options):
    halting = Halting(hold=2)
    with Server(halting) as server:
        terminal = Terminal(store(tmp_path / "a.db", asking(5)), "--to", server.url, *options)
        assert halting.held.wait(20)
        terminal.process.send_signal(signal.SIGINT)
        code, out = terminal.finish()
        halting.go.set()
    assert code == 130
    assert "Traceback" not in terminal.seen
    if options:
        (report,) = json.loads(out)["connections"]
        assert (report["interrupted"], report["sent"], report["messages"]["equal"]) == (True, 3, 2)
        assert report["messages"]["missing"] == 0
        assert json.loads(out)["equal"] is False
    else:
        assert "interrupted, as recorded so far; 3 sent, 2 equal" in out


def test_what_had_not_begun_is_in_the_report(tmp_path):
    script = asking(3)
    script.tick()
    later = Halting(hold=1)
    script.accept(2)
    script.client(2, b"later")
    script.end(2, "client")
    with Server(later) as server:
        terminal = Terminal(store(tmp_path / "a.db", script), "--to", server.url, "--json")
        assert later.held.wait(20)
        terminal.process.send_signal(signal.SIGINT)
        code, out = terminal.finish()
        later.go.set()
    reports = json.loads(out)["connections"]
    assert code == 130
    assert [(one["connection"], one["interrupted"], one["sent"]) for one in reports] == [
        (1, True, 2),
        (2, True, 0),
    ]


def test_a_long_replay_draws_a_bar_and_lines_stand_alone(tmp_path):
    script = asking(150)
    path = store(tmp_path / "a.db", script)

    def other(number: int) -> list[str]:
        return [numbered(-1 if number == 100 else number)]

    with Server(Answering(other)) as server:
        # 6 s of recording at 3 times the speed: the bar comes after half a second.
        terminal = Terminal(path, "--to", server.url, "--speed", "3")
        terminal.until("replaying  [")
        terminal.until("a message differs from the recorded one")
        code, out = terminal.finish()
    assert code == 1
    assert "149 equal, 1 different" in out
    shown = [
        line.rpartition("\r")[2].removeprefix("\x1b[K")
        for line in terminal.seen.splitlines()
        if "differs" in line
    ]
    assert shown[0].startswith("connection 1: a message differs")
    # Nothing of the bar stays behind.
    assert not terminal.seen.rstrip(" ").rstrip("\r").endswith("%")


def test_json_has_no_bar(tmp_path):
    with Server(Answering(lambda n: [numbered(n)])) as server:
        terminal = Terminal(
            store(tmp_path / "a.db", asking(100)), "--to", server.url, "--speed", "3", "--json"
        )
        code, out = terminal.finish()
    assert (code, json.loads(out)["equal"]) == (0, True)
    assert "replaying" not in terminal.seen
