"""A script on the real engine: handshakes, compressed messages, ends, and errors that stop nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.echo_engine import echo_engine
from tests.support.threaded_loop import ThreadedLoop
from wsinspect.capture.reader import Capture

SCRIPT = """\
def on_handshake(h):
    if "token=" not in h.path:
        h.refuse(401, "token missing")
    h.set_header("X-Debug", "1")

def on_message(m):
    if m.text == "fail":
        raise KeyError("fail")
    if m.from_client and m.text == "ask":
        m.drop()
        m.reply({"answer": 42})
    elif not m.from_client:
        return m.text.upper()

def on_end(e):
    with open("ends", "a") as file:
        file.write(f"{e.connection.path} {e.was_open}\\n")
"""


def test_a_script_sees_and_changes_everything(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT.replace('"ends"', repr(str(tmp_path / "ends"))))

    async def talk(url: str) -> tuple[list[Any], int]:
        with pytest.raises(InvalidStatus) as caught:
            await connect(url).__aenter__()
        async with connect(f"{url}?token=1", ping_interval=None) as client:
            for word in ("hello", "ask", "fail", "fail"):
                await client.send(word)
            got = sorted([await client.recv() for _ in range(4)])
        return got, caught.value.response.status_code

    with ThreadedLoop() as loop:
        running = echo_engine(tmp_path, "-s", str(tmp_path / "script.py"))
        echo = loop.run(running.__aenter__(), 60)
        got, status = loop.run(talk(echo.url("/chat")), 40)
        loop.run(running.__aexit__(None, None, None), 60)
    # What the script fails on passes as it came, in both directions.
    assert got == ["HELLO", "fail", "fail", '{"answer":42}']
    assert status == 401
    assert sorted((tmp_path / "ends").read_text().splitlines()) == ["/chat False", "/chat?token=1 True"]
    errors = echo.engine.stderr
    assert errors.count("KeyError") == 1
    assert "(said once)" in errors
    assert "hooks failed 4 times" in errors
    with Capture.open(echo.engine.capture) as capture:
        rows = capture.query("SELECT kind, detail FROM fault_event ORDER BY id")
        did = [json.loads(detail).get("did") for kind, detail in rows if kind == "script"]
        request = capture.query("SELECT request_out FROM handshake WHERE connection_id = 2")[0][0]
    assert did[:2] == ["refuse", "change"]
    assert {"drop", "change"} <= set(did)
    assert b"X-Debug: 1\r\n" in request
