"""A real Chromium, and a message that was held and edited on its way to it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.devtools import devtools
from tests.support.echo_engine import EchoEngine, echo_engine
from tests.support.small_servers import Page, pages
from tests.support.threaded_loop import ThreadedLoop

pytestmark = pytest.mark.lab
PAGE = Page(b"<!doctype html><title>held</title>")
OPEN = """(() => {
window.got = [];
window.socket = new WebSocket(URL);
socket.onmessage = (event) => got.push(event.data);
socket.onopen = () => { socket.send('{"type":"price","value":1}'); socket.send("after"); };
return true;
})()"""


async def held(echo: EchoEngine) -> dict[str, Any]:
    """Wait for what is held."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for one in (await echo.control("GET", "/v1/held"))["held"]:
            return one
        await asyncio.sleep(0.02)
    raise AssertionError("nothing is held")


@pytest.mark.parametrize("compression", ["deflate", None], ids=["deflate", "plain"])
def test_a_held_message_edited_arrives_changed(tmp_path: Path, compression: str | None) -> None:
    with ThreadedLoop() as loop:
        running = echo_engine(tmp_path, "--break=dir:s2c json:$.type=price", compression=compression)
        echo = loop.run(running.__aenter__(), 60)
        try:
            with (
                pages(lambda _path: Page(b"<!doctype html><title>held</title>")) as port,
                devtools(loop) as browser,
            ):
                browser.open("page", f"http://127.0.0.1:{port}/")
                browser.evaluate("page", OPEN.replace("URL", repr(echo.url("/chat"))))
                one = loop.run(held(echo), 40)
                assert one["payload"] == {"text": '{"type":"price","value":1}'}
                assert browser.evaluate("page", "got.length") == 0
                edit = {"action": "edit", "payload": '{"type":"price","value":2}'}
                loop.run(echo.control("POST", f"/v1/held/{one['name']}", edit), 20)
                assert browser.until("page", "got.length === 2 && got") == [
                    '{"type":"price","value":2}',
                    "after",
                ]
        finally:
            loop.run(running.__aexit__(None, None, None), 60)
