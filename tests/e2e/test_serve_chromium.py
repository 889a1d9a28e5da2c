"""The timeline in a real Chromium: it is drawn, keys reach it without a click, nothing else is loaded."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.devtools import DevTools, devtools
from tests.support.threaded_loop import ThreadedLoop
from tests.support.tui_captures import chat_capture
from wsinspect.launch.serving import TimelineServer
from wsinspect.net import Address

pytestmark = pytest.mark.lab


def until(browser: DevTools, code: str) -> Any:
    """The value of an expression once it is true; the page forbids `eval`, with which others wait."""
    deadline = time.monotonic() + 60
    while not (value := browser.run("timeline", code)):
        assert time.monotonic() < deadline, code
        time.sleep(0.05)
    return value


def received(browser: DevTools) -> int:
    """Messages that the page's terminal has got."""
    [socket] = browser.sockets("timeline")
    return sum(event[0] == "received" for event in socket["events"])


def test_the_timeline_is_drawn_and_used_by_keys(tmp_path: Path) -> None:
    capture = chat_capture(tmp_path / "chat.db")
    with ThreadedLoop() as loop, devtools(loop) as browser:
        server = TimelineServer(capture, Address("127.0.0.1", 0), tmp_path / "token")
        url = loop.run(server.start(), 20)
        try:
            browser.open("timeline", url)
            until(browser, "document.body.classList.contains('-first-byte')")
            until(browser, "document.activeElement.className === 'xterm-helper-textarea'")
            asked = "performance.getEntriesByType('resource').map((one) => one.name)"
            loaded = browser.run("timeline", asked)
            assert loaded
            assert all(one.startswith(url) for one in loaded)
            # What it draws is on the canvas: a key that does something makes it draw more, q ends it.
            browser.press("timeline", ":focus", "q")
            until(browser, "document.body.classList.contains('-closed')")
            assert received(browser) > 1
            assert (
                browser.run("timeline", "getComputedStyle(document.querySelector('#ended')).display")
                == "flex"
            )
            assert [line for line in browser.console("timeline") if "Content Security Policy" in line] == []
            deadline = time.monotonic() + 30
            while server.visitors:  # its process ends a moment after the page's socket
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            browser.close("timeline")
            loop.run(server.close(), 20)
