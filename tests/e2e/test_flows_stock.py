"""Exported flows in stock mitmproxy's own programs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.chats import chat_capture
from tests.support.small_servers import free_port
from wsinspect.capture.reader import Capture
from wsinspect.formats.flows_writer import write_flows

pytestmark = pytest.mark.slow


@pytest.fixture
def flows(tmp_path: Path) -> Path:
    with Capture.open(chat_capture(tmp_path / "a.db")) as capture, (tmp_path / "a.flows").open("wb") as out:
        write_flows(capture, out)
    return tmp_path / "a.flows"


def command(program: str, folder: Path, *options: str) -> list[str]:
    code = f"from mitmproxy.tools.main import {program}; {program}()"
    return [sys.executable, "-c", code, "--set", f"confdir={folder / 'mitmproxy'}", "-n", *options]


def test_mitmdump_prints_each_message(flows: Path, tmp_path: Path) -> None:
    asked = command("mitmdump", tmp_path, "-r", str(flows), "--flow-detail", "3")
    run = subprocess.run(asked, capture_output=True, text=True, timeout=100, check=True)
    assert "GET http://chat.example/room?id=7&token=***" in run.stdout
    assert '{"op":"welcome","id":"a1b2"}' in run.stdout
    assert "closed by client: 1000" in run.stdout
    assert "403 Forbidden" in run.stdout


def test_mitmweb_lists_them(flows: Path, tmp_path: Path) -> None:
    port = free_port()
    options = ("--no-web-open-browser", "--web-port", str(port), "--set", "web_password=secret")
    with subprocess.Popen(command("mitmweb", tmp_path, "-r", str(flows), *options)) as program:
        try:
            found = _asked(f"http://127.0.0.1:{port}/flows?token=secret")
        finally:
            program.terminate()
    assert [one["websocket"]["messages_meta"]["count"] for one in found if one.get("websocket")] == [3]
    assert [one["response"]["status_code"] for one in found] == [101, 403]


def _asked(url: str) -> list[Any]:
    """What mitmweb answers, once it listens and has read the file."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url) as answer:
                found: list[Any] = json.loads(answer.read())
            if len(found) == 2:
                return found
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)
