"""Faults from a real terminal: armed by keys, seen in words, felt by real peers, found in the capture."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve

from tests.support.tmux import Tmux, engine_pid, port_of, private, run_command, wsinspect
from wsinspect.recorder.opening import open_capture

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

MS = 1_000_000


class Origin:
    """An echo server, and what it heard."""

    def __init__(self) -> None:
        self.heard: list[str | bytes] = []
        self.came = threading.Condition()
        self.port = 0

    def echo(self, connection: ServerConnection) -> None:
        for message in connection:
            with self.came:
                self.heard.append(message)
                self.came.notify_all()
            connection.send(message)

    def wait_for(self, message: str) -> None:
        with self.came:
            assert self.came.wait_for(lambda: message in self.heard, 20), self.heard


@pytest.fixture
def origin() -> Iterator[Origin]:
    made = Origin()
    with serve(made.echo, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        made.port = server.socket.getsockname()[1]
        yield made
        server.shutdown()


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return private(tmp_path)


def client(port: int) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{port}/chat", compression=None, ping_interval=None)


def arm(terminal: Tmux, rule: str) -> None:
    """Type a rule on the faults page."""
    terminal.press("a")
    terminal.wait_for("Add a fault rule")
    terminal.type(rule)
    terminal.wait_for(rule, "enter arms it")
    terminal.press("Enter")
    terminal.wait_until(lambda text: "Add a fault rule" not in text, "armed")


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
def test_a_rule_is_armed_by_keys_felt_reset_and_quitting_asks(tmp_path, origin, home, size):
    capture = tmp_path / "session.db"
    with Tmux(run_command(origin.port, capture), home, size) as terminal:
        port = port_of(terminal.wait_for("No connections yet.", "Listening on", "LIVE"))
        with client(port) as peer:
            peer.send("before")
            assert peer.recv(10) == "before"
            terminal.press("f")
            terminal.wait_for("No fault rules: traffic passes untouched")
            terminal.press("a")
            terminal.wait_for("Add a fault rule")
            terminal.type("lat")
            terminal.wait_for("unknown kind 'lat'; did you mean latency?")
            terminal.press("Tab", "Tab")
            terminal.wait_for("latency,latency=")
            terminal.type("300ms")
            terminal.wait_for("latency,latency=300ms", "enter arms it")
            terminal.press("Enter")
            terminal.wait_for("FAULTS ON: 1 rule", "[x] both latency")
            peer.send("slow")
            assert peer.recv(10) == "slow"
            terminal.wait_until(
                lambda text: any("latency" in line and " 2 " in line for line in text.splitlines()), "2 hits"
            )
            terminal.press("F")
            text = terminal.wait_for("removed 1 rule (latency); nothing was held back")
            assert "FAULTS ON" not in text

            terminal.press("1", "Down", "x")
            terminal.wait_for("Inject a frame, conn 1 /chat")
            terminal.type("by hand")
            terminal.press("Up", "Up", "Up", "Up")
            terminal.wait_for("direction")
            if "[c>s, to the server]" not in terminal.text():
                terminal.press("Right")
            terminal.wait_for("[c>s, to the server]", "by hand")
            terminal.press("Enter")
            terminal.wait_for("Send these 13 B to the server on connection 1?")
            terminal.press("y")
            terminal.wait_for("injected 13 B to the server")
            origin.wait_for("by hand")
            assert peer.recv(10) == "by hand"

            terminal.press("f")
            terminal.wait_for("Faults")
            arm(terminal, "hold:s2c,count=100")
            terminal.wait_for("FAULTS ON: 1 rule")
            peer.send("held")
            origin.wait_for("held")
            terminal.wait_for("1 connection holds back 6 B")
            terminal.press("q")
            terminal.wait_for("Quit?", "1 connection holds back 6 B", "held frames are lost")
            terminal.press("Escape")
            terminal.wait_until(lambda text: "Quit?" not in text, "back")
            terminal.press("q")
            terminal.wait_for("Quit?")
            terminal.press("r")
            assert peer.recv(10) == "held"
            terminal.wait_until(lambda text: "icanon" in text, "a clean terminal")
    with open_capture(capture) as seen:
        assert seen.meta["closed_cleanly"]
        slow = [frame for frame in seen.frames() if frame.payload == b"slow"]
        assert len(slow) == 2
        for frame in slow:
            assert frame.sent_ns is not None
            assert frame.sent_ns - frame.time_ns >= 299 * MS
        rules = [row[0] for row in seen.query("SELECT rule FROM fault_event ORDER BY id")]
        assert rules == ["latency", "latency", "by-hand", "hold_s2c"]


def test_another_terminal_arms_a_rule_and_leaves_and_the_engine_keeps_running(tmp_path, origin, home):
    capture = tmp_path / "session.db"
    with Tmux(run_command(origin.port, capture), home) as running:
        port_of(running.wait_for("LIVE", "No connections yet.", "Listening on"))
        with Tmux(wsinspect("open", str(capture)), {**home, "NO_COLOR": "1"}, (80, 24)) as second:
            second.wait_for("LIVE", "No connections yet.")
            second.press("f")
            second.wait_for("No fault rules")
            arm(second, "refuse,status=503")
            second.wait_for("FAULTS ON: 1 rule")
            running.wait_for("FAULTS ON: 1 rule")
            second.press("q")
            second.wait_until(lambda text: "icanon" in text, "the second one has left")
        running.press("F")
        running.wait_for("removed 1 rule (refuse)")
        running.press("q")
        running.wait_for("ended with 0")


def test_an_engine_that_hangs_is_reported_and_the_screens_keep_working(tmp_path, origin, home):
    capture = tmp_path / "session.db"
    with Tmux(run_command(origin.port, capture, "--fault", "drop:s2c,match=op:pong"), home) as terminal:
        terminal.wait_for("No connections yet.", "LIVE", "FAULTS ON: 1 rule")
        pid = engine_pid(home)
        os.kill(pid, signal.SIGSTOP)
        try:
            terminal.press("f")
            terminal.wait_for("the engine does not answer: timed out")
            terminal.press("F")
            terminal.wait_for("F: the engine does not answer")
            terminal.press("t")
            terminal.wait_for("Timeline")
        finally:
            os.kill(pid, signal.SIGCONT)
        terminal.press("f")
        terminal.wait_for("FAULTS ON: 1 rule", "[x] s>c  drop_s2c")
        os.kill(pid, signal.SIGKILL)
        terminal.wait_for("DISCONNECTED", "no proxy is recording to this file")
        terminal.press("a")
        terminal.wait_for("faults: the proxy has exited")
        terminal.press("q")
        terminal.wait_for("ended with")
