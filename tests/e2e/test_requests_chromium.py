"""A real page through the proxy: what it asks for before its WebSocket is on record, assets are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.devtools import devtools
from tests.support.engine import Engine
from tests.support.small_servers import Page, echo_server, pages
from tests.support.threaded_loop import ThreadedLoop
from wsinspect.capture.reader import Capture

pytestmark = pytest.mark.lab
HTML = b"""<!doctype html><title>page</title><link rel="icon" href="data:,"><img src="/drawn.png">
<link rel="stylesheet" href="/missing.css"><script src="/app.js"></script>"""
SCRIPT = """fetch("/token").then((answer) => answer.text()).then(() => {
  const socket = new WebSocket("ws://127.0.0.1:PORT/chat");
  socket.onmessage = () => { document.title = "done"; };
  socket.onopen = () => socket.send("hello");
});"""


def test_what_a_page_asks_for_before_its_socket(tmp_path: Path) -> None:
    with echo_server() as echo, ThreadedLoop() as loop, devtools(loop) as browser:

        def answer(path: str) -> Page | None:
            found = {
                "/": Page(HTML),
                "/app.js": Page(SCRIPT.replace("PORT", str(echo)).encode(), "text/javascript"),
                "/drawn.png": Page(b"\x89PNG\r\n\x1a\n", "image/png"),
                "/token": Page(b"secret of a body", "text/plain"),
            }
            return found.get(path)

        with pages(answer) as port, Engine.start("--listen", "0", folder=tmp_path) as engine:
            browser.open("page", f"http://127.0.0.1:{port}/", proxy=engine.port("regular"))
            assert browser.until("page", "document.title === 'done'")
            browser.close("page")
    with Capture.open(engine.capture) as capture:
        [one] = capture.connections()
        events = [event for event in capture.events(one.id) if event.kind == "http"]
        before = [event.detail for event in events if event.time_ns < (one.attempt_ns or 0)]
    found = [
        (one["url"].partition(f":{port}")[2], one["status"], one.get("what"))
        for one in before
        if f":{port}/" in one["url"]
    ]
    assert sorted(found) == [("/", 200, "page"), ("/missing.css", 404, None), ("/token", 200, None)]
    assert "secret of a body" not in str([event.detail for event in events])
