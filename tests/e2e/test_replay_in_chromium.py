"""A front-end runs against last week's recording with no server at all: Socket.IO, and plain JSON."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support import warm_command
from tests.support.app_capture import ALL, engine_before, node
from tests.support.devtools import DevTools, devtools
from tests.support.engine import Engine, private_environment
from tests.support.replay_lab import serving
from tests.support.replay_peers import Peer, Server
from tests.support.small_servers import Page, pages
from tests.support.threaded_loop import ThreadedLoop
from wsinspect.capture.reader import Capture
from wsinspect.replay.socketio.engineio import session_of
from wsinspect.replay.socketio.polled import polled

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[1]
SOCKET_IO = ROOT / "node" / "node_modules" / "socket.io" / "client-dist" / "socket.io.js"
PAGES = {
    "/": ROOT / "apps" / "socketio" / "index.html",
    "/json/": ROOT / "apps" / "json" / "index.html",
    "/socket.io/socket.io.js": SOCKET_IO,
}


def files(path: str) -> Page | None:
    """Pages and scripts, and nothing that answers a WebSocket."""
    if path not in PAGES:
        return None
    kind = "text/javascript" if path.endswith(".js") else "text/html; charset=utf-8"
    return Page(PAGES[path].read_bytes(), kind)


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


def use_chat(
    browser: DevTools, page: str, url: str, proxy: int | None, transports: list[str] | None = None
) -> list[object]:
    """What a user does, and what the page shows then."""
    browser.open(page, url, proxy=proxy)
    browser.until(page, "seen.events.length > 0")
    assert browser.evaluate(page, "socket.emitWithAck('join', 'blue')") == "blue"
    browser.evaluate(page, "socket.emit('say', 'blue', {text: 'hello'}), 0")
    browser.until(page, "seen.events.length > 1")
    # Two heartbeats later it is still connected.
    browser.until(page, "seen.pings >= 2")
    browser.until(page, f"seen.transports.at(-1) === {json.dumps((transports or ['websocket'])[0])}")
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
    with pages(files) as port:
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


#: Long-polling first, then an upgrade: what Socket.IO does when nobody says otherwise.
DEFAULT = "?case=chat"


def record_chat(browser: DevTools, folder: Path, query: str) -> tuple[Path, list[object]]:
    """A recording with the real server, and what the page showed then."""
    with (
        node(browser.loop, "socketio_server.mjs") as (_, server),
        engine_before(folder, app=server["port"]) as engine,
    ):
        url = f"http://127.0.0.1:{server['port']}/{query}"
        shown = use_chat(browser, "record", url, engine.port("regular"))
        engine.stop()
    return engine.capture, shown


@pytest.fixture(scope="module")
def upgraded(browser, tmp_path_factory) -> tuple[Path, list[object]]:
    """A recording of a page with Socket.IO's own transports."""
    return record_chat(browser, tmp_path_factory.mktemp("upgraded"), DEFAULT)


def test_the_long_polling_before_an_upgrade_is_recorded(upgraded):
    with Capture.open(upgraded[0]) as capture:
        (one,) = capture.connections()
        polls = [event for event in capture.events() if event.kind == "polling"]
        assert {poll.detail["sid"] for poll in polls} == {session_of(one.path or "")}
        said = [packet.data[:2] for packet in polled(capture, one)]
    assert said[0] == b"0{"
    assert said.count(b"40") == 2


def test_a_page_with_default_transports_runs_inside_the_proxy_without_its_server(browser, tmp_path, upgraded):
    capture, recorded = upgraded
    with pages(files) as port:
        replaying = Engine.start(
            "--listen", "127.0.0.1:0", "--replay", str(capture), folder=tmp_path / "replay"
        )
        for name in ("first", "second"):
            url = f"http://127.0.0.1:{port}/{DEFAULT}"
            shown = use_chat(browser, f"default-{name}", url, replaying.port("regular"))
            assert shown[0] != recorded[0]
            assert shown[1:] == json.loads(json.dumps(recorded[1:]).replace(str(recorded[0]), str(shown[0])))
        replaying.stop()
    assert "played 2 connections" in replaying.stderr
    assert "0 diverged" in replaying.stderr


@pytest.mark.parametrize("transports", [None, ["polling"], ["websocket"]])
def test_a_page_runs_against_the_served_recording_by_any_transport(browser, tmp_path, upgraded, transports):
    capture, recorded = upgraded
    options = quote(json.dumps({"transports": transports} if transports else {}))
    with pages(files) as port, serving(capture) as server:
        page = (
            f"http://127.0.0.1:{port}/?server={quote(server.url.replace('ws', 'http', 1))}&options={options}"
        )
        shown = use_chat(browser, "-".join(transports or ["served"]), page, None, transports)
        code, events = server.finish()
    assert shown[1:] == json.loads(json.dumps(recorded[1:]).replace(str(recorded[0]), str(shown[0])))
    assert [event for event in events if event["event"] == "divergence"] == []
    assert (code, events[-1]["played"]) == (0, 1)


@pytest.mark.parametrize("lacks_polling", [False, True])
def test_the_recorded_page_is_played_against_the_real_server(browser, tmp_path, upgraded, lacks_polling):
    capture = without_polling(upgraded[0], tmp_path) if lacks_polling else upgraded[0]
    with node(browser.loop, "socketio_server.mjs") as (_, server):
        target = f"http://127.0.0.1:{server['port']}"
        done = subprocess.run(
            [
                str(warm_command.program()),
                "replay",
                str(capture),
                "--json",
                "--to",
                target,
                "--timeout=60s",
            ],
            capture_output=True,
            text=True,
            env=private_environment(tmp_path),
        )
    (report,) = json.loads(done.stdout)["connections"]
    assert report["problems"] == []
    if lacks_polling:
        # What was said before the upgrade is in no frame of the recording.
        assert done.returncode == 1
        assert any('"welcome"' in str(one["diff"]) for one in report["divergences"])
    else:
        assert report["divergences"] == []
        assert report["messages"]["equal"] >= 4


def without_polling(capture: Path, folder: Path) -> Path:
    """The same recording as another tool would have made it: of WebSockets alone."""
    path = folder / "frames-alone.db"
    shutil.copy(capture, path)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("DELETE FROM event WHERE kind = 'polling'").rowcount > 0
        database.commit()
    return path


def use_late_chat(browser: DevTools, page: str, url: str, proxy: int | None) -> object:
    """The same user, who waits for the upgrade."""
    browser.open(page, url, proxy=proxy)
    browser.until(page, "seen.transports.at(-1) === 'websocket' && socket.connected")
    assert browser.evaluate(page, "socket.emitWithAck('join', 'blue')") == "blue"
    browser.evaluate(page, "socket.emit('say', 'blue', {text: 'hello'}), 0")
    said = browser.until(page, "seen.events.find(([name]) => name === 'said')")
    browser.evaluate(page, "socket.disconnect(), 0")
    browser.close(page)
    return said


def test_a_recording_that_lacks_the_polling_is_played_from_the_upgrade_on(browser, tmp_path):
    with (
        node(browser.loop, "socketio_server.mjs") as (_, server),
        engine_before(tmp_path / "record", app=server["port"]) as engine,
    ):
        url = f"http://127.0.0.1:{server['port']}/?case=late"
        recorded = use_late_chat(browser, "late-record", url, engine.port("regular"))
        engine.stop()
    capture = without_polling(engine.capture, tmp_path)
    with pages(files) as port:
        with serving(capture) as replaying:
            url = f"http://127.0.0.1:{port}/?server={quote(replaying.url.replace('ws', 'http', 1))}"
            assert use_late_chat(browser, "late-served", url, None) == recorded
            assert replaying.finish()[0] == 0
        proxy = Engine.start("--listen", "127.0.0.1:0", "--replay", str(capture), folder=tmp_path / "replay")
        shown = use_late_chat(browser, "late-proxied", f"http://127.0.0.1:{port}/", proxy.port("regular"))
        proxy.stop()
    assert shown == recorded
    assert "0 diverged" in proxy.stderr


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
    with pages(files) as port:
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
