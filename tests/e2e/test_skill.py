"""`wsinspect skill`: each command of the printed SKILL.md, run against a proxy and what it recorded."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.support import warm
from tests.support.engine import ROOT, Engine, private_environment
from tests.support.small_servers import Page, echo_server, pages

pytestmark = pytest.mark.lab
LOOPBACK = "127.0.0.1"
#: It says something, and connects again whenever it is cut off; it waits longer each time.
CLIENT = """
import sys, time
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
pause = 0.2
while True:
    try:
        with connect(sys.argv[1], proxy=None) as socket:
            for number in range(1000000):
                socket.send(f"message {number}")
                socket.recv()
                time.sleep(0.1)
    except (OSError, WebSocketException):
        time.sleep(pause)
        pause *= 2
"""
MOCK = "version: 1\nrules:\n  - {on: open, send: {type: welcome}}\n"
NGINX = "events {}\nhttp { server { listen 80; location / { proxy_pass http://localhost:3000; } } }\n"
#: Commands that serve until they are stopped.
SERVING = ("run", "mock")


def commands(text: str) -> list[str]:
    """The commands of the table."""
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    return [command for row in rows for command in re.findall(r"`(wsinspect [^`]+)`", row)]


class Place:
    """A folder with what a reader has, and a proxy in front of a server."""

    def __init__(self, folder: Path, server: int, page: int) -> None:
        self.folder = folder
        self.environment = private_environment(folder)
        self.engine = Engine.start(
            "--reverse", f"http://{LOOPBACK}:{server}", "--listen", f"{LOOPBACK}:0", folder=folder
        )
        (folder / "client.py").write_text(CLIENT)
        (folder / "mock.yaml").write_text(MOCK)
        (folder / "nginx.conf").write_text(NGINX)
        self.url = f"ws://{LOOPBACK}:{self.engine.port('reverse')}/chat"
        self._said = {
            "http://localhost:3000": f"http://{LOOPBACK}:{server}",
            "https://PAGE": f"http://{LOOPBACK}:{page}/",
            "URL": self.url,
            "PATH": "nginx.conf",
            '"LINE"': "\"WebSocket connection to 'ws://h/' failed: Unexpected response code: 502\"",
            "FILE": "trace.pcapng",
            "-- COMMAND": f"-- {shlex.quote(sys.executable)} client.py '{{url}}'",
            "TEXT": "hello",
            "FILTER": "op:text",
            "SCRIPT.yaml": "mock.yaml",
            "90s": "2s",
        }

    def words(self, command: str) -> list[str]:
        """A command with what a reader puts in its place."""
        for name, value in self._said.items():
            command = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", value, command)
        found = shlex.split(command)[1:]
        assert not [one for one in found if re.fullmatch(r"[A-Z]{3,}", one)], command
        return found

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return warm.run(words, folder=self.folder, environment=self.environment, timeout=100)

    def serve(self, *words: str) -> str:
        """The first line of a command that serves, which is stopped then."""
        port = () if "--listen" in words else ("--listen", f"{LOOPBACK}:0")
        process = subprocess.Popen(
            [sys.executable, "-m", "wsinspect", *words, *port],
            cwd=self.folder,
            env={**self.environment, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert first, errors
        return first


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    """What was recorded in it: three connections that said something, and were closed."""
    with echo_server() as server, pages(lambda _: Page(b"<p>no socket</p>")) as page:
        made = Place(folder, server, page)
        try:
            for _ in range(3):
                with connect(made.url, proxy=None) as socket:
                    socket.send("hello")
                    socket.recv()
            for number in (1, 2, 3):
                made.engine.wait_for_event("close", connection=number)
            done = made.run("export", "last", "--format", "pcapng", "-o", "trace.pcapng")
            assert done.returncode == 0, done.stderr
            yield made
        finally:
            made.engine.stop()


def test_every_command_of_the_skill_answers_as_it_says(tmp_path: Path) -> None:
    text = warm.run(["skill"], folder=tmp_path, environment=private_environment(tmp_path)).stdout
    found = commands(text)
    assert len(found) > 15
    with place(tmp_path) as made:
        for command in found:
            words = made.words(command)
            if "--json" not in words:  # "Every command below takes --json"
                at = words.index("--") if "--" in words else len(words)
                words.insert(at, "--json")
            if words[0] in SERVING:
                assert json.loads(made.serve(*words))["schema"] == 1, command
                continue
            done = made.run(*words)
            # 1: what was checked has failed, and the answer says what; the page of the test has no WebSocket.
            assert done.returncode in (0, 1), (command, done.stderr)
            assert (done.returncode == 1) <= (words[0] in ("doctor", "check")), (command, done.stdout)
            answers = [json.loads(line) for line in done.stdout.splitlines()]
            assert answers, (command, done.stderr)
            assert all(one["schema"] == 1 for one in answers), command
            assert not any("error" in one and "code" in one for one in answers), command


def test_the_exit_codes_of_the_skill_are_those_of_the_program(tmp_path: Path) -> None:
    environment = private_environment(tmp_path)

    def code(*words: str) -> int:
        done = warm.run(words, folder=tmp_path, environment=environment)
        if done.returncode > 1:
            told = json.loads(done.stderr)
            assert told["code"] == done.returncode
        return done.returncode

    (tmp_path / "no.har").write_text("{")
    assert code("explain", "1006", "--json") == 0
    assert code("doctor", f"ws://{LOOPBACK}:9/", "--json") == 1
    assert code("diagnose", "no.har", "--json") == 2
    assert code("show", "last", "--nonsense", "--json") == 2
    with echo_server() as server, echo_server() as taken:
        listen = ("--listen", f"{LOOPBACK}:{taken}")
        assert code("run", "--headless", "--json", "--reverse", f"http://{LOOPBACK}:{server}", *listen) == 3
