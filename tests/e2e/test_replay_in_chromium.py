"""A front-end runs against last week's recording with no server at all: Socket.IO, and plain JSON."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.integration.test_replay_server import serving
from tests.support.app_capture import ALL, engine_before, node
from tests.support.devtools import DevTools, devtools
from tests.support.engine import Engine
from tests.support.replay_peers import Peer, Server
from tests.support.threaded_loop import ThreadedLoop
from wsinspect.capture.reader import Capture

pytestmark = [pytest.mark.lab, pytest.mark.timeout(90)]

ROOT = Path(__file__).parents[1]
SOCKET_IO = ROOT / "node" / "node_modules" / "socket.io" / "client-dist" / "socket.io.js"
PAGES = {
    "/": ROOT / "apps" / "socketio" / "index.html",
    "/json/": ROOT / "apps" / "json" / "index.html",
    "/socket.io/socket.io.js": SOCKET_IO,
}


class Files(http.server.BaseHTTPRequestHandler):
    """Pages and scripts, and nothing that answers a WebSocket."""

    def do_GET(self) -> None:
        path = PAGES.get(self.path.partition("?")[0])
        body = path.read_bytes() if path else b"no"
        self.send_response(200 if path else 404)
        kind = "text/javascript" if self.path.endswith(".js") else "text/html; charset=utf-8"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


@contextmanager
def files() -> Iterator[int]:
    """The port of a server of the pages."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[DevTools]:
    with ThreadedLoop() as loop, devtools(loop) as browser:
        yield browser


def said(capture: Path) -> list[str]:
    with Capture.open(capture) as opened:
        return [
            opened.message_payload(message).decode()
            for message in opened.messages(limit=ALL)
            if message.opcode == 1
        ]


def use_chat(browser: DevTools, page: str, url: str, proxy: int) -> list[object]:
    """What a user does, and what the page shows then."""
    browser.open(page, url, proxy=proxy)
    browser.until(page, "seen.events.length > 0")
    assert browser.evaluate(page, "socket.emitWithAck('join', 'blue')") == "blue"
    browser.evaluate(page, "socket.emit('say', 'blue', {text: 'hello'}), 0")
    browser.until(page, "seen.events.length > 1")
    # Two heartbeats later it is still connected.
    browser.until(page, "seen.pings >= 2")
    shown = browser.evaluate(page, "[socket.id, seen.events, socket.connected]")
    browser.evaluate(page, "socket.disconnect(), 0")
    browser.close(page)
    return list(shown)


def test_a_socket_io_page_runs_without_its_server(browser, tmp_path):
    options = quote(json.dumps({"transports": ["websocket"]}))
    with (
        node(browser.loop, "socketio_server.mjs") as (_, server),
        engine_before(tmp_path / "record", app=server["port"]) as engine,
    ):
        recorded = use_chat(
            browser, "record", f"http://127.0.0.1:{server['port']}/?options={options}", engine.port("regular")
        )
        engine.stop()
    with files() as port:
        replaying = Engine.start(
            "--listen", "127.0.0.1:0", "--replay", str(engine.capture), folder=tmp_path / "replay"
        )
        url = f"http://127.0.0.1:{port}/?options={options}"
        for name in ("first", "second"):
            shown = use_chat(browser, name, url, replaying.port("regular"))
            # Its own session id, wherever the recorded one stood.
            assert shown[0] != recorded[0]
            assert shown[1:] == json.loads(json.dumps(recorded[1:]).replace(str(recorded[0]), str(shown[0])))
        replaying.stop()
    assert "played 2 connections" in replaying.stderr
    assert "0 diverged" in replaying.stderr


def orders(peer: Peer) -> None:
    """A server that gives orders as long as each is seen."""
    peer.accept()
    asked = json.loads((peer.read() or (1, True, b"{}"))[2])
    peer.text(json.dumps({"type": "subscribed", "channel": asked["channel"]}))
    for number in range(3):
        peer.text(json.dumps({"type": "order", "id": number, "title": f"Order {number}"}))
        peer.read()
    peer.text(json.dumps({"type": "done"}))
    peer.read()


def use_orders(browser: DevTools, page: str, port: int, url: str, proxy: int | None) -> object:
    browser.open(page, f"http://127.0.0.1:{port}/json/?ws={quote(url)}", proxy=proxy)
    browser.until(page, "seen.states.includes('done')")
    shown = browser.evaluate(page, "[seen.states, seen.orders, document.querySelectorAll('li').length]")
    browser.evaluate(page, "socket.close(1000), 0")
    browser.until(page, "seen.closed !== null")
    browser.close(page)
    return shown


def test_a_plain_json_application_runs_without_its_server(browser, tmp_path):
    with files() as port:
        with Server(orders) as server:
            engine = Engine.start("--listen", "127.0.0.1:0", folder=tmp_path / "record")
            recorded = use_orders(
                browser, "json-record", port, f"{server.url}/orders?v=1", engine.port("regular")
            )
            engine.stop()
        # Its messages carry the time of day and a random id: without a word about them they are reported ...
        with serving(engine.capture) as replaying:
            assert use_orders(browser, "json-1", port, f"{replaying.url}/orders", None) == recorded
            code, events = replaying.finish()
        assert code == 1
        assert {event["verdict"] for event in events if event["event"] == "divergence"} == {"different"}
        # ... and ignored where they are named.
        ignored = ("--ignore", "json:$.at", "--ignore", "json:$.client")
        with serving(engine.capture, *ignored) as replaying:
            assert use_orders(browser, "json-2", port, f"{replaying.url}/orders", None) == recorded
            code, events = replaying.finish()
        assert (code, events[-2]["messages"]["ignored"]) == (0, 4)
    assert len(said(engine.capture)) == 9
