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
from wsinspect.capture.reader import Capture

pytestmark = pytest.mark.lab
PAGE = Page(b"<!doctype html><title>held</title>")
OPEN = """(() => {
window.got = [];
window.socket = new WebSocket(URL);
socket.onmessage = (event) => got.push(event.data);
socket.onopen = () => { socket.send('{"type":"price","value":1}'); socket.send("after"); };
return true;
})()"""


async def held(echo: EchoEngine, *, waits: bool = False) -> dict[str, Any]:
    """Wait for what is held; with `waits`, until it is known what its sides wait for."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for one in (await echo.control("GET", "/v1/held"))["held"]:
            if one["waits"] or not waits:
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


HELD = """(() => {
window.ends = [];
for (const name of ["answered", "edited"]) {
  const socket = new WebSocket(`${URL}?${name}`);
  socket.onopen = () => socket.send(name);
  socket.onmessage = (event) => { ends.push([name, event.data]); };
  socket.onclose = (event) => { ends.push([name, event.code, event.wasClean]); };
}
return true;
})()"""


def test_a_held_handshake_is_answered_or_edited_and_the_page_sees_that(tmp_path: Path) -> None:
    with ThreadedLoop() as loop:
        running = echo_engine(tmp_path, "--break=path:/held")
        echo = loop.run(running.__aenter__(), 60)
        try:
            with pages(lambda _path: PAGE) as port, devtools(loop) as browser:
                browser.open("page", f"http://127.0.0.1:{port}/")
                browser.evaluate("page", HELD.replace("${URL}", echo.url("/held")))
                # Chromium opens sockets to one host in order: the second waits for the first.
                for name in ("answered", "edited"):
                    one = loop.run(held(echo, waits=True), 40)
                    head = one["payload"]["text"]
                    assert f"/held?{name}" in head
                    assert [each["side"] for each in one["waits"]] == ["client"]
                    decision = (
                        {"action": "answer", "status": 403, "body": "not today"}
                        if name == "answered"
                        else {"action": "edit", "head": head.replace("/held?edited", "/other?edited")}
                    )
                    loop.run(echo.control("POST", f"/v1/held/{one['name']}", decision), 20)
                assert browser.until("page", "ends.length === 2 && ends") == [
                    ["answered", 1006, False],
                    ["edited", "edited"],
                ]
        finally:
            loop.run(running.__aexit__(None, None, None), 60)
    with Capture.open(echo.engine.capture) as capture:
        heads = capture.query("SELECT request_in, request_out FROM handshake WHERE connection_id = 2")
    ((came, sent),) = heads
    assert came.startswith(b"GET /held?edited ")
    assert sent.startswith(b"GET /other?edited ")
