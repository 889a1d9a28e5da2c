"""Real terminal sessions: the program in tmux, a real proxy, real clients and servers."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.support.small_servers import echo_server
from tests.support.terminal import Terminal
from tests.support.tmux import Tmux, engine_pid, port_of, private, run_command, wsinspect
from tests.support.tui_captures import chat_capture
from wsinspect.launch.engines import list_engines
from wsinspect.recorder.opening import open_capture

pytestmark = pytest.mark.lab

HOSTILE = "\x1b]0;owned\x07\x1b[2J[bold]x[/bold]\x9b31m\u202eevil 世界"


@pytest.fixture
def origin() -> Iterator[int]:
    """An echo server; its port."""

    with echo_server() as port:
        yield port


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return private(tmp_path)


def talk(port: int, *messages: str) -> None:
    with connect(f"ws://127.0.0.1:{port}/chat?room=1", compression=None) as client:
        for message in messages:
            client.send(message)
            assert client.recv(timeout=20) == message


def test_a_session_from_start_to_a_clean_terminal_and_a_complete_capture(tmp_path, origin, home):
    capture = tmp_path / "session.db"
    with Tmux(run_command(origin, capture), home) as terminal:
        port = port_of(terminal.wait_for("No connections yet.", "Listening on", "LIVE"))
        talk(port, '{"op":"hello"}', "two", "three")
        terminal.wait_for(
            "CLOSED", "/chat?room=1", "├─────────────▶┤ TEXT", '{"op":"hello"}', "├◀═════════════┤ CLOSE"
        )
        terminal.press("1", "Down", "h")
        terminal.wait_for("CLIENT to PROXY", "GET /chat?room=1 HTTP/1.1", "Sec-WebSocket-Accept correct")
        # Escape and a key at once would be Alt and that key.
        terminal.press("Escape")
        terminal.wait_for("3 Frames")
        terminal.press("t")
        terminal.wait_for("Timeline  1 connection")
        terminal.press("Escape")
        terminal.wait_for("3 Frames")
        terminal.press("3", "g", "v")
        terminal.wait_for("00000000  7b 22 6f 70")
        terminal.press("/")
        terminal.type("two")
        terminal.press("Enter")
        terminal.wait_for("✓ 2 of")
        terminal.press("Escape")
        terminal.wait_until(lambda text: "✓" not in text, "no filter")
        terminal.press("?")
        terminal.wait_for("Help: Frames")
        terminal.press("Escape")
        terminal.wait_until(lambda text: "Help: Frames" not in text, "no help")
        terminal.press("q")
        text = terminal.wait_for("recorded in", "ended with 0", " icanon", " echo")
        assert "-icanon" not in text
        assert "-echo " not in text
    assert not list(tmp_path.glob("session.db-*"))
    assert not (tmp_path / "session.db.journal").exists()
    with open_capture(capture) as seen:
        assert seen.meta["closed_cleanly"]
        assert [frame.payload for frame in seen.frames() if frame.opcode == 1] == [
            b'{"op":"hello"}',
            b'{"op":"hello"}',
            b"two",
            b"two",
            b"three",
            b"three",
        ]
    with Tmux(wsinspect("open", str(capture)), home) as terminal:
        terminal.wait_for("RECORDED", "CLOSED", "three")
        terminal.press("q")
        terminal.wait_for("ended with 0")


@contextlib.contextmanager
def one_answer_server(answer: bytes) -> Iterator[int]:
    """A server that answers each connection with this; its port."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = listener.accept()
                with accepted:
                    accepted.recv(65536)
                    accepted.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_run_config_names_the_line_in_the_timeline(tmp_path, home):
    """The path is relative to where the user is; the engine and its recorder get it whole."""
    place = tmp_path / "conf.d" / "app.conf"
    place.parent.mkdir()
    place.write_text(
        "server {\n    listen 80;\n    location /chat {\n        proxy_pass http://app;\n    }\n}\n"
    )
    answer = b"HTTP/1.1 426 Upgrade Required\r\nServer: nginx/1.22.1\r\nContent-Length: 0\r\n\r\n"
    with one_answer_server(answer) as port:
        relative = os.path.relpath(place.parent)
        command = run_command(port, tmp_path / "config.db", "--config", relative)
        with Tmux(command, home) as terminal:
            listening = port_of(terminal.wait_for("No connections yet.", "Listening on"))
            with pytest.raises(InvalidStatus):
                connect(f"ws://127.0.0.1:{listening}/chat", open_timeout=20)
            terminal.wait_for("1 finding")
            terminal.press("i")
            terminal.wait_for("WS-HS-002", f"{place}:4".rpartition("/")[2])
            terminal.press("q")
            terminal.wait_for("ended with 0")
    with open_capture(tmp_path / "config.db") as seen:
        ((detail,),) = seen.query("SELECT detail FROM finding WHERE rule = 'WS-HS-002'")
    fix = json.loads(detail)["fixes"][0]
    assert (os.path.realpath(fix["file"]), fix["line"]) == (os.path.realpath(place), 4)
    assert "+        proxy_set_header Upgrade $http_upgrade;" in fix["diff"]


def test_a_killed_engine_is_reported_and_started_again_on_the_same_capture(tmp_path, origin, home):
    capture = tmp_path / "killed.db"
    with Tmux(run_command(origin, capture), home) as terminal:
        port = port_of(terminal.wait_for("No connections yet.", "Listening on"))
        talk(port, "before")
        terminal.wait_for("before", "CLOSED")
        os.kill(engine_pid(home), signal.SIGKILL)
        text = terminal.wait_for("DISCONNECTED", "killed by SIGKILL", "R restarts it")
        assert "before" in text
        terminal.press("R")
        terminal.wait_for("the proxy is running again", "LIVE")
        (engine,) = list_engines(Path(home["XDG_RUNTIME_DIR"]) / "wsinspect")
        talk(int(engine.listeners[0]["port"]), "after")
        terminal.wait_for("after")
        terminal.press("q")
        terminal.wait_for("ended with 0")
    with open_capture(capture) as seen:
        assert seen.meta["closed_cleanly"]
        texts = [frame.payload for frame in seen.frames() if frame.opcode == 1]
        assert texts == [b"before", b"before", b"after", b"after"]


def test_killed_screens_leave_the_proxy_at_work(tmp_path, origin, home):
    capture = tmp_path / "screens.db"
    with Tmux(run_command(origin, capture, is_warm=False), home) as terminal:
        port = port_of(terminal.wait_for("No connections yet.", "Listening on"))
        pid = engine_pid(home)
        parent = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        os.kill(parent, signal.SIGKILL)
        terminal.wait_for("ended with 137")
        talk(port, "still here")
        stopped = subprocess.run(
            wsinspect("stop", str(pid)),
            env={**os.environ, **home},
            capture_output=True,
            text=True,
            check=False,
        )
        assert stopped.returncode == 0, stopped.stderr
    with open_capture(capture) as seen:
        assert seen.meta["closed_cleanly"]
        assert [frame.payload for frame in seen.frames() if frame.opcode == 1] == [b"still here"] * 2


def test_a_closed_terminal_ends_the_engine_with_a_complete_capture(tmp_path, origin, home):
    capture = tmp_path / "hangup.db"
    with Tmux(run_command(origin, capture), home) as terminal:
        port = port_of(terminal.wait_for("No connections yet.", "Listening on"))
        talk(port, "one")
        pid = engine_pid(home)
        terminal.hang_up()
        deadline = time.monotonic() + 20
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not Path(f"/proc/{pid}").exists()
    with open_capture(capture) as seen:
        assert seen.meta["closed_cleanly"]
        assert len(seen.frames()) == 4


def test_sigterm_before_the_screens_are_there_leaves_no_engine_behind(tmp_path, origin, home):
    """The engine runs before anything is drawn: its run file is the fact that is waited for."""
    capture = tmp_path / "early.db"
    run_files = Path(home["XDG_RUNTIME_DIR"]) / "wsinspect"
    terminal = Terminal(run_command(origin, capture, is_warm=False), environment=home)
    while not (engines := list_engines(run_files)):
        time.sleep(0.001)
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.end(30) in (0, 128 + signal.SIGTERM)
    assert not Path(f"/proc/{engines[0].pid}").exists()
    with open_capture(capture) as seen:
        assert seen.meta["closed_cleanly"]


def test_ctrl_z_goes_to_the_shell_recording_continues_and_fg_returns(tmp_path, origin, home):
    capture = tmp_path / "stopped.db"
    with Tmux(["bash", "--norc", "--noprofile", "-i"], home, size=(120, 30)) as terminal:
        terminal.type(shlex.join(run_command(origin, capture, is_warm=False)))
        terminal.press("Enter")
        port = port_of(terminal.wait_for("No connections yet.", "Listening on"))
        terminal.press("C-z")
        terminal.wait_for("Stopped")
        talk(port, "meanwhile")
        terminal.type("stty -a")
        terminal.press("Enter")
        assert "-icanon" not in terminal.wait_for("icanon")
        terminal.type("fg")
        terminal.press("Enter")
        terminal.wait_for("meanwhile", "CLOSED", "LIVE")
        terminal.press("q")
        terminal.wait_for("recorded in")
        terminal.type("exit")
        terminal.press("Enter")
        terminal.wait_for("ended with 0")
    with open_capture(capture) as seen:
        assert [frame.payload for frame in seen.frames() if frame.opcode == 1] == [b"meanwhile"] * 2


def test_without_job_control_ctrl_z_stops_nothing(tmp_path, home):
    """Nobody could wake it: the terminal would stand still for good."""
    capture = chat_capture(tmp_path / "chat.db")
    with Tmux(wsinspect("open", str(capture), is_warm=False), home) as terminal:
        terminal.wait_for("RECORDED", "3 Frames")
        terminal.press("C-z")
        terminal.wait_for("no shell with job control")
        terminal.press("q")
        terminal.wait_for("ended with 0")


def test_ctrl_c_in_the_pager_is_the_pagers_own(tmp_path, home):
    """The terminal sends SIGINT to the timeline, too."""
    pager = tmp_path / "pager.py"
    pager.write_text(
        "import sys; sys.stdin.read(); print('PAGER', 1 + 1, flush=True); import time; time.sleep(60)"
    )
    command = [sys.executable, "-m", "wsinspect", "open", str(chat_capture(tmp_path / "chat.db"))]
    terminal = Terminal(command, environment={**home, "PAGER": f"{sys.executable} {pager}"})
    try:
        terminal.wait_for("├")
        at = terminal.press(b"o")
        at = terminal.wait_for("PAGER 2", since=at)
        terminal.press(b"\x03")
        terminal.wait_for("Inspector", since=at)
        terminal.press(b"q")
    finally:
        assert terminal.end() == 0


def test_a_port_that_is_taken_is_one_line_and_no_screens(tmp_path, origin, home):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = wsinspect("run", "--listen", f"127.0.0.1:{port}", "--capture", str(tmp_path / "x.db"))
        with Tmux(command, home) as terminal:
            text = terminal.wait_for("ended with 3")
    assert str(port) in text
    assert "Traceback" not in text
    assert not (tmp_path / "x.db").exists()


def test_a_foreign_file_is_one_line(tmp_path, home):
    (tmp_path / "foreign.db").write_bytes(b"SQLite format 3\x00" + bytes(100))
    with Tmux(wsinspect("open", str(tmp_path / "foreign.db")), home) as terminal:
        text = terminal.wait_for("ended with 2")
    assert "is not a capture" in text
    assert "Traceback" not in text


def test_what_a_peer_sends_is_never_executed(tmp_path, origin, home):
    capture = tmp_path / "hostile.db"
    with Tmux(run_command(origin, capture), home) as terminal:
        before = terminal.title()
        port = port_of(terminal.wait_for("No connections yet.", "Listening on"))
        talk(port, HOSTILE)
        terminal.wait_for("␛]0;owned␇␛[2J[bold]x[/bold]")
        terminal.press("3", "g")
        text = terminal.wait_for("\\u202eevil 世界")
        assert "1 Connections" in text
        assert terminal.title() == before
        terminal.press("q")
        terminal.wait_for("ended with 0")


def test_open_last_follows_what_runs(tmp_path, origin, home):
    with Tmux(wsinspect("run", "--listen", "0"), home) as running:
        running.wait_for("LIVE", "No connections yet.")
        with Tmux(wsinspect("open", "last"), home) as second:
            second.wait_for("LIVE", "No connections yet.")
            second.press("q")
            second.wait_for("ended with 0")
        running.press("C-c")
        running.wait_for("ended with 0")


def test_the_demo_shows_all_of_it_within_ten_seconds(home):
    with Tmux(wsinspect("demo"), home, (120, 44)) as terminal:
        terminal.wait_for(
            "├◀─────────────┤ TEXT", "↺", "rtt", "REFUSED", "HTTP 426", "FIN by server", timeout=10
        )
        terminal.press("q")
        terminal.wait_for("ended with 0")


def test_ascii_and_no_colour_in_a_real_terminal(tmp_path, home):
    capture = chat_capture(tmp_path / "chat.db")
    with Tmux(wsinspect("open", str(capture), "--ascii"), {**home, "NO_COLOR": "1"}) as terminal:
        text = terminal.wait_for("RECORDED", "|<-------------|")
        assert text.isascii()
        colours = re.findall(r"\x1b\[[0-9;]*(?:3[0-7]|38|4[0-7]|48|9[0-7])[;m]", terminal.text(escapes=True))
        assert not colours
        terminal.press("q")
        terminal.wait_for("ended with 0")
