"""The timeline in a real Chromium: it is drawn, keys reach it without a click, nothing else is loaded."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.support.devtools import DevTools, devtools, of
from tests.support.threaded_loop import ThreadedLoop
from tests.support.tui_captures import chat_capture
from wsinspect.launch.serving import TimelineServer
from wsinspect.net import Address

pytestmark = pytest.mark.lab
T = TypeVar("T")


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
            # Until it draws the page says so: the terminal, black and empty, is below that.
            middle = "document.elementFromPoint(innerWidth / 2, innerHeight / 2).id"
            assert browser.run("timeline", middle) != "wait"
            before = f"document.body.classList.remove('-first-byte'), {middle}"
            assert browser.run("timeline", before) == "wait"
            browser.run("timeline", "document.body.classList.add('-first-byte')")
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


def sizes(browser: DevTools, page: str) -> list[tuple[int, int]]:
    """The sizes that a page told its timeline, in order."""
    [socket] = browser.sockets(page)
    said = [json.loads(one[-1]) for one in of(socket, "sent")]
    return [(one[1]["width"], one[1]["height"]) for one in said if one[0] == "resize"]


def resized(browser: DevTools, page: str) -> list[tuple[int, int]]:
    """The sizes that it told after its first."""
    return sizes(browser, page)[1:]


@pytest.mark.slow
def test_two_browsers_have_timelines_of_their_own_that_follow_their_windows(tmp_path: Path) -> None:
    capture = chat_capture(tmp_path / "chat.db")
    pages = ("one", "other")
    with ThreadedLoop() as loop, devtools(loop) as browser:
        server = TimelineServer(capture, Address("127.0.0.1", 0), tmp_path / "token")
        url = loop.run(server.start(), 20)
        try:
            for page in pages:
                browser.open(page, url)
            for page in pages:
                drawn(browser, page)
            assert server.visitors == 2
            browser.look("one", str(tmp_path / "small.png"), width=640, height=400)
            browser.look("other", str(tmp_path / "large.png"), width=1500, height=900)
            small, large = (wait(partial(resized, browser, page)) for page in pages)
            assert small[-1][0] < large[-1][0]
            assert small[-1][1] < large[-1][1]
            browser.press("one", ":focus", "q")
            wait(lambda: browser.run("one", "document.body.classList.contains('-closed')"))
            assert not browser.run("other", "document.body.classList.contains('-closed')")
            wait(lambda: server.visitors == 1)
            before = len(of(browser.sockets("other")[0], "received"))
            browser.press("other", ":focus", "i")
            wait(lambda: len(of(browser.sockets("other")[0], "received")) > before)
            token = url.rstrip("/").rpartition("/")[2]
            browser.open("stranger", url.replace(token, token[::-1]))
            assert "wsinspect" not in browser.run("stranger", "document.title")
            assert browser.run("stranger", "document.querySelector('.xterm')") is None
            assert server.visitors == 1
        finally:
            for page in pages:
                browser.close(page)
            loop.run(server.close(), 20)


def drawn(browser: DevTools, page: str) -> None:
    wait(lambda: browser.run(page, "document.body.classList.contains('-first-byte')"))
    wait(lambda: browser.run(page, "document.activeElement.className === 'xterm-helper-textarea'"))


def wait(fact: Callable[[], T]) -> T:
    """What it gives, once that is true."""
    deadline = time.monotonic() + 60
    while not (value := fact()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value
