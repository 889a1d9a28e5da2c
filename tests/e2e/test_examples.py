"""The examples of other languages, run as they stand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture
def environment(private_home: dict[str, str]) -> dict[str, str]:
    return {**private_home, "WSINSPECT": f"{sys.executable} -m wsinspect", "PYTHONPATH": str(ROOT)}


@pytest.fixture
def private_home(tmp_path: Path) -> Iterator[dict[str, str]]:
    places = {name: str(tmp_path / name) for name in ("XDG_DATA_HOME", "XDG_STATE_HOME")}
    # Chromium makes a socket there, whose path has 108 bytes at most.
    with tempfile.TemporaryDirectory(prefix="ws-") as short:
        yield {**os.environ, **places, "XDG_RUNTIME_DIR": "", "TMPDIR": short}


@pytest.fixture
def server() -> Iterator[str]:
    def echo(peer: ServerConnection) -> None:
        try:
            for text in peer:
                peer.send(text)
        except ConnectionClosed:
            return

    with serve(echo, "127.0.0.1", 0) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"ws://127.0.0.1:{running.socket.getsockname()[1]}/chat"
        running.shutdown()


@pytest.mark.lab
def test_the_javascript_tests_pass(environment: dict[str, str], tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "javascript", tmp_path / "javascript")
    (tmp_path / "javascript" / "node_modules").symlink_to(ROOT / "tests" / "node" / "node_modules")
    done = subprocess.run(
        ["node", "--test", "."],
        cwd=tmp_path / "javascript",
        env={"CHROMIUM": "/usr/bin/chromium", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"pass 3\b", done.stdout), done.stdout


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_shell_script_tells_a_clients_story(environment: dict[str, str], server: str) -> None:
    script = subprocess.Popen(
        ["sh", str(EXAMPLES / "shell" / "outage.sh"), server],
        env={**environment, "OUTAGE_SECONDS": "9"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert script.stdout is not None
    url = script.stdout.readline().removeprefix("connect to ").strip()
    assert url.startswith("ws://127.0.0.1:")
    assert url.endswith("/chat")
    over = threading.Event()

    def client() -> None:
        while not over.wait(0.3):
            try:
                with connect(url) as socket:
                    while not over.is_set():
                        socket.send("x")
                        socket.recv(timeout=20)
                        time.sleep(0.2)
            except (OSError, ConnectionClosed, InvalidStatus, TimeoutError):
                continue

    thread = threading.Thread(target=client)
    thread.start()
    try:
        told, _ = script.communicate(timeout=60)
    finally:
        over.set()
        script.kill()
        thread.join(10)
    assert script.returncode == 0, told
    assert "connected again" in told
    assert "503" in told
