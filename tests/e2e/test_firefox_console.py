"""A live Firefox: its console's lines mean what `explain` says, and pages see the codes that we name."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.doctor_lab import LOOPBACK, http, is_upgrade, pongs, serving, switching
from tests.support.marionette import Marionette, firefox_program
from tests.support.small_servers import free_port
from wsinspect.explain.explaining import explain
from wsinspect.explain.reading import read_lines
from wsinspect.handshake.heads import RawHead

pytestmark = [
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.timeout(150),
    pytest.mark.skipif(firefox_program() is None, reason="no Firefox is installed"),
]

WRONG = {"Sec_WebSocket_Accept": "AAAAAAAAAAAAAAAAAAAAAAAAAAA="}
#: Gives what each socket saw, once all are closed.
TALK = """const done = arguments[1];
Promise.all(arguments[0].map((url) => new Promise((resolve) => {
  const seen = [];
  const socket = new WebSocket(url);
  socket.onopen = () => { seen.push("open"); socket.send("hello"); };
  socket.onmessage = () => socket.close(1000);
  socket.onerror = () => seen.push("error");
  socket.onclose = ({ code }) => resolve([...seen, code]);
}))).then(done)"""
BLOCKED = """const [url, done] = arguments;
try { new WebSocket(url).onerror = () => done("error"); } catch (error) { done(error.name); }"""
#: Path, or URL, of a socket; what the page sees; the situation that the console's line means.
SOCKETS: dict[str, tuple[list[Any], str | None]] = {
    "/403": (["error", 1006], "status-other"),
    "/accept": (["error", 1006], "status-other"),
    "/opcode": (["open", "error", 1006], "interrupted"),
    "/utf8": (["open", "error", 1006], "interrupted"),
    "/rsv": (["open", "error", 1006], "interrupted"),
    # Chromium ends that one.
    "/masked": (["open", 1000], None),
    "/fin": (["open", 1006], None),
    "/1011": (["open", 1011], None),
    "/ok": (["open", 1000], None),
    "ws://127.0.0.1:{closed}/": (["error", 1006], "status-other"),
    "ws://no-such-name.invalid/": (["error", 1006], "status-other"),
    # TLS that fails is 1015 here, 1006 in Chromium.
    "wss://127.0.0.1:{port}/": (["error", 1015], "status-other"),
}
FRAMES = {
    "/opcode": b"\x83\x01x",
    "/utf8": b"\x81\x02\xc3\x28",
    "/rsv": b"\xc1\x01x",
    "/masked": b"\x81\x81\0\0\0\0x",
    "/1011": b"\x88\x02\x03\xf3",
    "/ok": b"\x81\x01x",
}
#: What the page sends once it is open; only then a server says what is wrong, so the order is sure.
HELLO = 2 + 4 + len("hello")


async def play(head: RawHead, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    path = head.target.decode()
    if not is_upgrade(head):
        policy: dict[str, Any] = {}
        if path == "/csp":
            policy["Content_Security_Policy"] = "connect-src 'none'"
        page = b"<!doctype html><title>page</title><link rel=icon href='data:,'>"
        writer.write(http("200 OK", page, Content_Type="text/html", Connection="close", **policy))
    elif path == "/403":
        writer.write(http("403 Forbidden"))
    elif path == "/accept":
        writer.write(switching(head, **WRONG))
    else:
        writer.write(switching(head))
        await reader.readexactly(HELLO)
        if path == "/fin":
            return
        writer.write(FRAMES.get(path, b""))
        await pongs(reader, writer)


def lines_with(browser: Marionette, url: str, is_wanted: bool) -> list[str]:
    """The console's lines about a URL; where one is wanted it is waited for."""
    deadline = time.monotonic() + 20
    while True:
        found = [one for one in browser.console() if url in one]
        if found or not is_wanted or time.monotonic() > deadline:
            return found
        time.sleep(0.1)  # the console tells nobody that it has a new line


def situations(lines: list[str]) -> set[str]:
    found = explain(read_lines("\n".join(lines).encode())).explanations
    return {one.situation.name for one in found}


def test_what_firefox_says_means_what_explain_says(tmp_path: Path) -> None:
    async def run(work: Callable[[int], Awaitable[None]]) -> None:
        async with serving(play) as port:
            await work(port)

    def look(port: int) -> None:
        urls = {
            key: f"ws://{LOOPBACK}:{port}{key}"
            if key.startswith("/")
            else key.format(port=port, closed=free_port())
            for key in SOCKETS
        }
        with Marionette(tmp_path) as browser:
            browser.open(f"http://{LOOPBACK}:{port}/")
            seen = browser.run(TALK, list(urls.values()))
            for (key, url), events in zip(urls.items(), seen, strict=True):
                wanted, situation = SOCKETS[key]
                assert events == wanted, key
                lines = lines_with(browser, url, situation is not None)
                assert situations(lines) == ({situation} if situation else set()), (key, lines)
            browser.open(f"http://{LOOPBACK}:{port}/csp")
            blocked = f"ws://{LOOPBACK}:{port}/blocked"
            browser.run(BLOCKED, blocked)
            assert "csp" in situations(lines_with(browser, blocked, True))

    asyncio.run(run(lambda port: asyncio.to_thread(look, port)))
