"""Hot reload: real Vite behind hops that carry its socket or do not; Next's and webpack's handshakes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from tests.support.app_capture import engine_before, node
from tests.support.devtools import DevTools, devtools
from tests.support.engine import Engine
from tests.support.finding_lab import LOOPBACK, by_path, found_in
from tests.support.hops import NGINX_GOOD, Hop, nginx
from tests.support.small_servers import free_port
from tests.support.threaded_loop import ThreadedLoop

pytestmark = pytest.mark.lab

PROJECT = Path(__file__).resolve().parents[1] / "apps" / "vite"
NO_UPGRADE = "proxy_http_version 1.1; proxy_set_header Host $http_host;"
names = itertools.count(1)


@pytest.fixture(scope="module")
def browser() -> Iterator[DevTools]:
    with ThreadedLoop() as loop, devtools(loop) as browser:
        yield browser


@contextlib.contextmanager
def vite(browser: DevTools, folder: Path, **server: object) -> Iterator[int]:
    shutil.copytree(PROJECT, folder / "project")
    # The direct way round a hop is to the port of the configuration, so it has to be a real one.
    server = {"port": free_port(), "strictPort": True, **server}
    with node(browser.loop, "vite_server.mjs", str(folder / "project"), json.dumps(server)) as (_, said):
        yield said["port"]


def before_nginx(port: int, folder: Path, fields: str) -> Hop:
    return nginx(folder / "nginx", f"location / {{ {fields} proxy_pass http://{LOOPBACK}:{port}; }}")


def load(browser: DevTools, engine: Engine, url: str, event: str) -> None:
    """A page whose every request, to any port, goes through the engine, until the engine tells an event."""
    name = f"page {next(names)}"
    browser.open(name, url, proxy=engine.port("regular"))
    browser.until(name, "window.loaded === 1")
    engine.wait_for_event(event)
    browser.close(name)
    engine.stop()


def test_a_hop_that_carries_the_socket(browser, tmp_path):
    with (
        vite(browser, tmp_path) as port,
        before_nginx(port, tmp_path, NGINX_GOOD) as hop,
        engine_before(tmp_path, app=port) as engine,
    ):
        load(browser, engine, f"http://{LOOPBACK}:{hop.port}/", "open")
    assert by_path(engine.capture) == {"/": []}


def test_a_hop_that_does_not_and_vite_s_way_round_it(browser, tmp_path):
    with (
        vite(browser, tmp_path) as port,
        before_nginx(port, tmp_path, NO_UPGRADE) as hop,
        engine_before(tmp_path, app=port) as engine,
    ):
        load(browser, engine, f"http://{LOOPBACK}:{hop.port}/", "open")
    found = found_in(engine.capture)
    assert sorted(one.id for one in found) == ["WS-DEV-004", "WS-DEV-005"]
    carried = next(one for one in found if one.id == "WS-DEV-004")
    assert (carried.severity, carried.fault_of) == ("error", "hop")
    assert carried.fixes[0].for_ == "vite"
    fallback = next(one for one in found if one.id == "WS-DEV-005")
    assert f":{hop.port}" in fallback.evidence[0]
    assert f":{port}" in fallback.evidence[1]


def test_a_client_port_where_nobody_listens(browser, tmp_path):
    """server.hmr.clientPort is the port of a proxy that is not there."""
    nowhere = free_port()
    with (
        vite(browser, tmp_path, hmr={"clientPort": nowhere}) as port,
        engine_before(tmp_path, app=port) as engine,
    ):
        load(browser, engine, f"http://{LOOPBACK}:{port}/", "finding")
    found = [one for one in found_in(engine.capture) if one.severity == "error"]
    assert [one.id for one in found] == ["WS-DEV-001"]
    assert found[0].evidence[0] == f"attempt to ws://{LOOPBACK}:{nowhere}"
    assert "clientPort" in found[0].fixes[0].text


async def attempt(port: int, query: str, host: str = LOOPBACK, **options: Any) -> None:
    with contextlib.suppress(WebSocketException, OSError, TimeoutError):
        async with connect(
            f"ws://{host}:{port}/?{query}",
            subprotocols=[Subprotocol("vite-hmr")],
            host=LOOPBACK,
            port=port,
            proxy=None,
            open_timeout=20,
            **options,
        ) as socket:
            await asyncio.wait_for(socket.recv(), 20)


def test_a_token_and_a_host_that_vite_does_not_know(browser, tmp_path):
    with vite(browser, tmp_path) as port, engine_before(tmp_path, app=port) as engine:
        page = f"http://{LOOPBACK}:{port}"
        client = build_opener(ProxyHandler({})).open(f"{page}/@vite/client", timeout=20).read()
        found = re.search(rb'wsToken = "([\w-]+)"', client)
        assert found is not None
        token, tap = f"token={found[1].decode()}", engine.port("app")

        async def attempts() -> None:
            await attempt(tap, token, origin=page)
            await attempt(tap, "token=AAAAAAAAAAAA", origin=page)
            await attempt(tap, token, host="my.tunnel.test")

        asyncio.run(attempts())
        engine.stop()
    findings = found_in(engine.capture)
    assert [(one.connection, one.id) for one in findings] == [(2, "WS-DEV-002"), (3, "WS-DEV-002")]
    assert {fix.for_ for one in findings for fix in one.fixes} == {"vite", "general"}
    assert any("Host: my.tunnel.test" in line for line in findings[1].evidence)


def test_next_s_and_webpack_s_sockets_at_a_hop_that_carries_none(tmp_path):
    """Their clients' handshakes, by path and subprotocol; the pages behind are any application's."""
    locations = """
    location /_next/ { return 404; }
    location /ws { default_type text/plain; return 403 "Invalid Host/Origin header"; }
    location /app { return 404; }
    """

    async def dial(base: str) -> None:
        for path in ("/_next/webpack-hmr?page=/", "/ws", "/app"):
            with contextlib.suppress(WebSocketException, OSError):
                async with connect(base + path, proxy=None):
                    pass

    with nginx(tmp_path / "nginx", locations) as hop, engine_before(tmp_path, app=hop.port) as engine:
        asyncio.run(dial(f"ws://{LOOPBACK}:{engine.port('app')}"))
        engine.stop()
    assert by_path(engine.capture) == {
        "/_next/webpack-hmr": ["WS-DEV-003"],
        "/ws": ["WS-DEV-002"],
        "/app": ["WS-HS-011"],
    }
    fixes = {one.id: one.fixes[0].for_ for one in found_in(engine.capture)}
    assert fixes["WS-DEV-003"] == "next"
    assert fixes["WS-DEV-002"] == "webpack"
