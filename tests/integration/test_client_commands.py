"""What the timeline copies for other clients, run as it is: each sends what was recorded."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from tests.support.tui_captures import CaptureBuilder
from wsinspect.capture.reader import Capture
from wsinspect.tui.copying import command_for

NODE = Path(__file__).parents[1] / "node"
ODD = "a='1'; b=\"$(id)\" `c` \\n"


@pytest.fixture
def asked() -> Iterator[tuple[int, list[Any]]]:
    """A server that keeps each request, says hello and leaves."""
    requests: list[Any] = []

    def talk(socket: ServerConnection) -> None:
        requests.append(socket.request)
        try:
            socket.send("hello from the server")
            socket.close(1001, "deploy")
        except ConnectionClosed:
            return

    with serve(talk, "127.0.0.1", 0, subprotocols=["chat.v2"], origins=["http://page.example"]) as server:  # type: ignore[list-item]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.socket.getsockname()[1], requests
        server.shutdown()
        thread.join()


@pytest.fixture
def copied(asked: tuple[int, list[Any]], tmp_path: Path) -> Any:
    """Makes what is copied of a recorded attempt on that server."""
    port, _ = asked
    request = (
        f"GET /chat?room=1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: chat.v2, chat.v1\r\nOrigin: http://page.example\r\n"
        f"Cookie: {ODD}\r\nX-Trace: one\r\nUser-Agent: the page\r\n\r\n"
    ).encode()
    path = tmp_path / "one.db"
    with CaptureBuilder(path) as builder:
        builder.connection(1, host="127.0.0.1", port=port, path="/chat?room=1")
        builder.handshake(1, request_in=request, request_out=request)

    def make(client: str) -> Path:
        with Capture.open(path) as capture:
            connection = capture.connection(1)
            assert connection is not None
            text, _, suffix = command_for(connection, capture.handshake(1), client)
        file = tmp_path / f"copied{suffix}"
        file.write_text(text, "utf-8")
        return file

    return make


def ran(*command: str | Path, path: str = "") -> str:
    """What it prints until it ends; its input stays open, as a terminal's does."""
    environment = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}", "NO_PROXY": "*"}
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        return process.stdout.read()


def assert_sent(requests: list[Any]) -> None:
    (request,) = requests
    assert request.path == "/chat?room=1"
    fields = request.headers
    assert fields["Cookie"] == ODD
    assert fields["X-Trace"] == "one"
    assert fields["Origin"] == "http://page.example"
    assert fields["User-Agent"] == "the page"
    assert [one.strip() for line in fields.get_all("Sec-WebSocket-Protocol") for one in line.split(",")] == [
        "chat.v2",
        "chat.v1",
    ]
    assert "Sec-WebSocket-Extensions" not in fields


def test_python_runs(asked, copied):
    said = ran(sys.executable, copied("p"))
    assert said.splitlines() == ["open chat.v2", "message hello from the server", "close 1001 deploy"]
    assert_sent(asked[1])


@pytest.mark.lab
def test_javascript_runs(asked, copied, tmp_path):
    (tmp_path / "node_modules").symlink_to(NODE / "node_modules")
    said = ran("node", copied("j"))
    assert said.splitlines() == ["open chat.v2", "message hello from the server", "close 1001 deploy"]
    assert_sent(asked[1])


@pytest.mark.lab
def test_wscat_runs(asked, copied):
    said = ran("sh", copied("s"), path=str(NODE / "node_modules" / ".bin"))
    assert "hello from the server" in said
    (request,) = asked[1]
    request.headers.pop("Sec-WebSocket-Extensions", None)  # wscat has no option against it
    assert_sent(asked[1])


@pytest.mark.lab
def test_websocat_runs(asked, copied):
    beside = Path(sys.executable).parent
    if not (beside / "websocat").exists():
        pytest.skip("websocat is not installed")
    said = ran("sh", copied("w"), path=str(beside))
    assert said.splitlines() == ["hello from the server"]
    assert_sent(asked[1])
