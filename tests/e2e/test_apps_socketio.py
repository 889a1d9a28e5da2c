"""Socket.IO between a page in Chromium and its server: polling, then the upgrade; rooms; bytes; pings.

The capture has what the server says, and frame by frame what Chromium's DevTools say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.app_capture import Recording, asked, engine_before, node, recording, recordings
from tests.support.apps import NodeApp
from tests.support.devtools import DevTools, devtools, differences
from tests.support.engine import Engine
from tests.support.threaded_loop import ThreadedLoop

pytestmark = pytest.mark.lab


class Lab:
    """Pages of one browser, behind the engine; a page's name is in the address of its WebSocket."""

    def __init__(self, browser: DevTools, server: NodeApp, port: int, engine: Engine) -> None:
        self.browser, self.server, self.port, self.engine = browser, server, port, engine

    def open(self, page: str, *, tap: bool = False, **options: Any) -> None:
        """Open a page and wait until it has been welcomed."""
        options["query"] = {"case": page}
        port = self.engine.port("app") if tap else self.port
        url = f"http://127.0.0.1:{port}/?options={quote(json.dumps(options))}"
        self.browser.open(page, url, proxy=None if tap else self.engine.port("regular"))
        self.browser.until(page, "seen.events.length > 0")

    def ask(self, page: str, *words: Any) -> Any:
        """Emit an event with an acknowledgement; returns what the server acknowledged."""
        return self.browser.evaluate(page, f"socket.emitWithAck(...{json.dumps(words)})")

    def leave(self, page: str) -> None:
        """Disconnect right behind a ping: the next one is too far off to cross the page's CLOSE, which the
        browser does not show any more."""
        code = "new Promise((done) => socket.io.engine.once('ping', () => (socket.disconnect(), done(0))))"
        self.browser.evaluate(page, code)

    def account(self, what: str) -> dict[str, Any]:
        return asked(self.browser.loop, self.server, account=what)

    def check(self, page: str) -> tuple[Recording, dict[str, Any]]:
        """The page's connection, which is being closed: capture, server and DevTools agree."""
        kept, account = recording(self.engine, f"case={page}&"), self.account(f"{page}/websocket")
        assert kept.faults == []
        assert kept.c2s.messages == account["received"]
        assert kept.s2c.messages == account["sent"]
        (socket,) = [one for one in self.browser.sockets(page, closed=True) if "/socket.io/" in one["url"]]
        assert differences(socket, kept) == []
        assert kept.connection.url == socket["url"]
        return kept, account


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("socketio")
    with (
        ThreadedLoop() as loop,
        node(loop, "socketio_server.mjs") as (server, said),
        engine_before(folder, app=said["port"]) as engine,
        devtools(loop) as browser,
    ):
        yield Lab(browser, server, said["port"], engine)


UPGRADED = "seen.transports.includes('websocket')"


@pytest.mark.parametrize("tap", [False, True], ids=["regular", "tap"])
def test_polling_then_the_upgrade_with_engine_io_s_pings(lab, tap):
    page = f"upgrade-{'tap' if tap else 'regular'}"
    lab.open(page, tap=tap)
    lab.browser.until(page, UPGRADED)
    assert lab.browser.evaluate(page, "seen.transports") == ["polling", "websocket"]
    lab.browser.until(page, "seen.pings >= 2")
    lab.leave(page)
    kept, account = lab.check(page)
    # The probe on the new WebSocket, and the packet that moves everything there.
    assert kept.c2s.messages[:2] == ["2probe", "5"]
    assert kept.s2c.messages[0] == "3probe"
    assert "2" in kept.s2c.messages
    assert "3" in kept.c2s.messages
    assert kept.c2s.messages[-1] == "41"
    # Engine.IO's pings are messages, not control frames.
    assert kept.c2s.pings == kept.s2c.pings == []
    assert kept.c2s.close == [None, ""]
    assert account["close"] == [1005, ""]
    assert kept.connection.ended_by == "client"
    packets = lab.account(f"{page}/engine")["packets"]
    assert packets[0] == ["polling", "message"]
    assert packets[-1] == ["websocket", "message"]


def test_rooms(lab):
    names = ["room-a", "room-b", "room-c"]
    for name in names:
        lab.open(name, transports=["websocket"])
    assert lab.ask("room-a", "join", "green") == "green"
    assert lab.ask("room-b", "join", "green") == "green"
    assert lab.ask("room-c", "join", "red") == "red"
    lab.browser.evaluate("room-c", "socket.emit('say', 'green', 'to both of you', 1), 0")
    for name in ("room-a", "room-b"):  # the next one comes on another connection, which may be faster
        lab.browser.until(name, "seen.events.length === 2")
    lab.browser.evaluate("room-a", "socket.emit('others', 'green', 'to the other one'), 0")
    lab.browser.until("room-b", "seen.events.length === 3")
    assert lab.ask("room-b", "leave", "green") == "green"
    lab.browser.evaluate("room-b", "socket.emit('say', 'green', 'to whoever is left €'), 0")
    lab.browser.until("room-a", "seen.events.length === 3")
    seen = {name: lab.browser.evaluate(name, "seen.events.slice(1)") for name in names}
    assert seen == {
        "room-a": [["said", "green", "to both of you", 1], ["said", "green", "to whoever is left €"]],
        "room-b": [["said", "green", "to both of you", 1], ["said", "green", "to the other one"]],
        "room-c": [],
    }
    for name in names:
        lab.leave(name)
        kept, _ = lab.check(name)
        said = [json.loads(text[2:]) for text in kept.s2c.messages if text.startswith('42["said"')]
        assert said == seen[name]


def test_bytes(lab):
    lab.open("binary", transports=["websocket"])
    code = """
        socket.emitWithAck("binary", new Uint8Array(70000).map((_, index) => index)).then(
          ({ reversed, length }) => [plain(reversed).slice(0, 20), length])
    """
    assert lab.browser.evaluate("binary", code) == ["hex:6f6e6d6c6b6a6968", 70_000]
    lab.leave("binary")
    kept, _ = lab.check("binary")
    sent = bytes(index % 256 for index in range(70_000))
    # The event announces one attachment, which is a message of its own; so does the acknowledgement.
    at = next(n for n, text in enumerate(kept.c2s.messages) if text.startswith("451-"))
    assert kept.c2s.messages[at + 1] == "hex:" + sent.hex()
    at = next(n for n, text in enumerate(kept.s2c.messages) if text.startswith("461-"))
    assert kept.s2c.messages[at + 1] == "hex:" + sent[::-1].hex()


def test_the_server_disconnects(lab):
    lab.open("bye", transports=["websocket"])
    lab.browser.evaluate("bye", "socket.emit('bye'), 0")
    assert lab.browser.until("bye", "seen.ended") == "io server disconnect"
    kept, account = lab.check("bye")
    assert "41" in kept.s2c.messages
    assert kept.s2c.close == [None, ""]
    # Told to disconnect, the client closes too: whose CLOSE frame is first is chance.
    assert kept.c2s.close == [None, ""]
    assert account["close"] == [1005, ""]


def test_a_page_that_is_closed(lab):
    lab.open("gone", transports=["websocket"])
    lab.browser.until("gone", "seen.pings >= 1")
    lab.browser.close("gone")
    kept, account = recording(lab.engine, "case=gone&"), lab.account("gone/websocket")
    assert kept.faults == []
    assert kept.c2s.messages == account["received"]
    # What the server says to a page that has gone need not have left its host.
    assert kept.s2c.messages == account["sent"][: len(kept.s2c.messages)]
    assert len(kept.s2c.messages) >= 3
    assert [kept.c2s.close or [1006, ""]] == [account["close"]]


def test_a_page_that_only_polls_has_no_connection(lab):
    lab.open("poll", transports=["polling"])
    assert lab.ask("poll", "join", "green") == "green"
    lab.browser.evaluate("poll", "socket.disconnect(), 0")
    assert {way for way, _ in lab.account("poll/engine")["packets"]} == {"polling"}
    assert recordings(lab.engine, "case=poll&", count=0) == []
