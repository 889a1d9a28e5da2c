"""Socket.IO's real packages: each of its error codes, versions, namespaces; polling that never upgrades."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import ProxyHandler, build_opener

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.support.app_capture import asked, engine_before, node
from tests.support.apps import NodeApp
from tests.support.devtools import DevTools, devtools
from tests.support.engine import Engine
from tests.support.finding_lab import LOOPBACK, by_path, found_in, stretched
from tests.support.hops import NGINX_GOOD, nginx
from tests.support.threaded_loop import ThreadedLoop

pytestmark = pytest.mark.lab
PATH = "/socket.io/"


@pytest.fixture(scope="module")
def browser() -> Iterator[DevTools]:
    with ThreadedLoop() as loop, devtools(loop) as browser:
        yield browser


@pytest.fixture(scope="module")
def servers(browser: DevTools) -> Iterator[tuple[NodeApp, dict[str, int]]]:
    with node(browser.loop, "socketio_ways.mjs") as (app, ports):
        yield app, ports


async def attempt(url: str) -> None:
    """A WebSocket as a client of any version makes it; it answers nothing and leaves when it is asked to."""
    with contextlib.suppress(WebSocketException, OSError, TimeoutError):
        async with connect(url, ping_interval=None, proxy=None) as socket:
            await asyncio.wait_for(socket.wait_closed(), 20)


def play(tmp_path: Path, port: int, *urls: str) -> Path:
    with engine_before(tmp_path, app=port) as engine:

        async def all_of_them() -> None:
            base = f"ws://{LOOPBACK}:{engine.port('app')}"
            await asyncio.gather(*(attempt(base + url) for url in urls))

        asyncio.run(all_of_them())
        engine.stop()
    return engine.capture


def one(tmp_path: Path, port: int, url: str) -> Any:
    (found,) = found_in(play(tmp_path, port, url))
    return found


def test_another_version_of_engine_io_is_found(tmp_path, servers):
    found = one(tmp_path, servers[1]["plain"], f"{PATH}?EIO=3&transport=websocket")
    # To a WebSocket the server says it after the 101, in HTTP.
    assert (found.id, found.evidence[0], found.confidence) == ("WS-APP-008", "EIO=3", "high")
    assert "HTTP/1.1 400 Bad Request" in found.evidence[1]


def test_a_transport_that_is_not_allowed_is_found(tmp_path, servers):
    assert one(tmp_path, servers[1]["polls"], f"{PATH}?EIO=4&transport=websocket").id == "WS-APP-001"


def test_allow_request_that_refuses_is_found(tmp_path, servers):
    found = one(tmp_path, servers[1]["forbids"], f"{PATH}?EIO=4&transport=websocket")
    assert (found.id, found.fixes[0].for_) == ("WS-APP-004", "socketio")


def test_a_session_of_another_process_needs_sticky_sessions(tmp_path, servers):
    """Polling reached one server, the WebSocket another: what a balancer without sticky sessions does."""
    address = f"http://{LOOPBACK}:{servers[1]['other']}{PATH}?EIO=4&transport=polling"
    opened = build_opener(ProxyHandler({})).open(address, timeout=20).read()
    sid = json.loads(opened[1:])["sid"]
    found = one(tmp_path, servers[1]["plain"], f"{PATH}?EIO=4&transport=websocket&sid={sid}")
    assert found.id == "WS-APP-002"
    assert "sticky" in found.fixes[-1].text


def test_polls_that_a_balancer_sends_in_turn_to_two_servers_need_sticky_sessions(tmp_path, servers):
    """No WebSocket is refused, for none is tried; the session is known at every second request."""
    ask = build_opener(ProxyHandler({})).open
    pool = "".join(f"server {LOOPBACK}:{servers[1][name]};" for name in ("plain", "other"))
    with (
        nginx(
            tmp_path / "nginx", "location / { proxy_pass http://pool; }", http=f"upstream pool {{ {pool} }}"
        ) as hop,
        engine_before(tmp_path, pool=hop.port, plain=servers[1]["plain"]) as engine,
    ):

        def statuses(way: str) -> list[int]:
            address = f"http://{LOOPBACK}:{engine.port(way)}{PATH}?EIO=4&transport=polling"
            sid = json.loads(ask(address, timeout=20).read()[1:])["sid"]
            seen = []
            for said in (b"40", b"3", b"3"):
                try:
                    seen.append(ask(f"{address}&sid={sid}", said, timeout=20).status)
                except HTTPError as error:
                    seen.append(error.code)
            return seen

        assert statuses("plain") == [200, 200, 200]
        assert statuses("pool") == [400, 200, 400]
        engine.stop()
    [found] = found_in(engine.capture)
    assert (found.id, found.fault_of, found.connection) == ("WS-APP-012", "hop", None)
    assert "sticky" in found.fixes[-1].text


def test_a_hop_that_takes_the_upgrade_away_is_named_with_code_3(tmp_path, servers):
    """nginx whose location for Socket.IO sets one field, and so inherits none of the others."""
    pass_on = f"proxy_pass http://{LOOPBACK}:{servers[1]['plain']};"
    locations = f"""
    {NGINX_GOOD}
    location {PATH} {{ proxy_http_version 1.1; proxy_set_header X-Real-IP $remote_addr; {pass_on} }}
    location /good/ {{ {NGINX_GOOD} rewrite ^/good(.*)$ $1 break; {pass_on} }}
    """
    with nginx(tmp_path / "nginx", locations) as hop:
        found = one(tmp_path, hop.port, f"{PATH}?EIO=4&transport=websocket")
        assert (found.id, found.hop, found.confidence) == ("WS-HS-002", "nginx", "high")
        assert found.fixes[0].for_ == "nginx"
        assert any('"code":3' in line for line in found.evidence)


def test_a_client_that_knows_no_pings_of_the_server_is_dropped(tmp_path, servers):
    """EIO=4 is asked for by a client that waits for nobody's pings (what a client of version 2 does)."""
    url = f"{PATH}?EIO=4&transport=websocket"
    capture = play(tmp_path, servers[1]["beats"], url)
    assert by_path(stretched(capture, 75)) == {PATH: ["WS-APP-006"]}


def test_the_real_client(tmp_path, servers, browser):
    """Healthy both ways; a middleware's refusal is said, and blames no hop."""
    app, ports = servers
    with engine_before(tmp_path, plain=ports["plain"], beats=ports["beats"]) as engine:

        def client(way: str, space: str = "", **command: Any) -> dict[str, Any]:
            url = f"http://{LOOPBACK}:{engine.port(way)}{space}"
            return asked(browser.loop, app, url=url, **command)

        assert client("plain", options={"transports": ["websocket"]}) == {"connected": "websocket"}
        assert client("beats", stays_ms=1500)["connected"]
        engine.stop()
    assert by_path(engine.capture) == {PATH: []}
    with engine_before(tmp_path / "private", plain=ports["plain"]) as engine:
        told = client("plain", "/private", options={"transports": ["websocket"]})
        assert told == {"refused": "unauthorized"}
        engine.stop()
    assert by_path(engine.capture) == {PATH: ["WS-APP-007"]}


@pytest.mark.parametrize(
    ("way", "options", "expected"),
    [
        ("polls", {}, ["WS-PAGE-004"]),
        ("plain", {"upgrade": False}, ["WS-PAGE-004"]),
        ("plain", {}, []),
        ("plain", {"transports": ["websocket"]}, []),
    ],
)
def test_a_page_that_stays_on_polling(tmp_path, servers, browser, way, options, expected):
    with Engine.start(
        *("--tap", f"app={LOOPBACK}:0=http://{LOOPBACK}:{servers[1][way]}", "--page-wait", "2500ms"),
        folder=tmp_path,
    ) as engine:
        page = f"{way}-{len(browser_pages)}"
        browser_pages.append(page)
        browser.open(page, f"http://{LOOPBACK}:{engine.port('app')}/?options={quote(json.dumps(options))}")
        browser.until(page, "seen.events.length > 0")
        for rule in expected:
            engine.wait_for_event("finding", id=rule)
        if not expected:
            browser.until(page, "seen.transports.includes('websocket')")
        browser.evaluate(page, "socket.disconnect(), 0")
        browser.close(page)
        engine.stop()
    assert [one.id for one in found_in(engine.capture)] == expected
    if expected:
        (found,) = found_in(engine.capture)
        assert found.fault_of == ("server" if way == "polls" else "client")
        assert found.fixes[0].for_ == "socketio"


#: Pages of the one browser have names of their own.
browser_pages: list[str] = []
