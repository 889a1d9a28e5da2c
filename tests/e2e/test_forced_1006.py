"""A forced 1006: what applications see when the fault `abort` ends their connection.

Chromium, Node `ws` and Python `websockets`, over ws and wss, with the proxy in front of the server and as a
regular one, ended by FIN and by RST.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.support.apps import NodeApp, python_client
from tests.support.certs import make_certificates
from tests.support.engine import Engine, start_engine
from tests.support.small_servers import Page, pages
from tests.support.threaded_loop import ThreadedLoop

PAGE = b"<!doctype html><title>lab</title>"
FAULTS = [
    part
    for how in ("fin", "rst")
    for part in ("--fault", f"abort,name={how},how={how},match=op:text path:{how}")
]
ROUTES = ["ws-reverse", "wss-reverse", "ws-regular", "wss-regular"]


class Servers:
    """The same server on a plain port and on a TLS one; `ends` are the close codes that it saw."""

    port = 0
    tls_port = 0

    def __init__(self) -> None:
        self.ends: list[int | None] = []

    async def greet(self, socket: ServerConnection) -> None:
        try:
            await socket.send("hello")
            await socket.recv()
        except ConnectionClosed as error:
            self.ends.append(error.rcvd.code if error.rcvd else None)

    @asynccontextmanager
    async def running(self, folder: Path) -> AsyncIterator[Servers]:
        context = make_certificates(folder).server_context()
        options: dict[str, Any] = {"ping_interval": None, "close_timeout": 1}
        async with (
            serve(self.greet, "127.0.0.1", 0, **options) as plain,
            serve(self.greet, "127.0.0.1", 0, ssl=context, **options) as secure,
        ):
            self.port = next(iter(plain.sockets)).getsockname()[1]
            self.tls_port = next(iter(secure.sockets)).getsockname()[1]
            yield self


class Lab:
    """The servers, and an engine that ends what they greet."""

    def __init__(self, loop: ThreadedLoop, servers: Servers, engine: Engine) -> None:
        self.loop, self.servers, self.engine = loop, servers, engine

    def way(self, route: str, how: str) -> tuple[str, int | None]:
        scheme, mode = route.split("-")
        secure = scheme == "wss"
        if mode == "regular":
            port = self.servers.tls_port if secure else self.servers.port
            return f"{scheme}://127.0.0.1:{port}/{how}", self.engine.port("regular")
        return f"{scheme}://127.0.0.1:{self.engine.port('secure' if secure else 'plain')}/{how}", None


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("forced")
    with ThreadedLoop() as loop:
        running = Servers().running(folder / "certs")
        servers = loop.run(running.__aenter__())
        try:
            with start_engine(servers, folder, *FAULTS) as engine:
                yield Lab(loop, servers, engine)
        finally:
            loop.run(running.__aexit__(None, None, None))


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("route", ROUTES)
def test_websockets_sees_1006(lab, route, how):
    url, proxy = lab.way(route, how)
    told = lab.loop.run(python_client(url, proxy=proxy))
    assert told["opened"]
    assert told["code"] == 1006
    assert told["messages"] in (["hello"], [])
    assert told["kind"] == "ConnectionClosedError"


@pytest.mark.lab
@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("route", ROUTES)
def test_node_ws_sees_1006(lab, node, route, how):
    url, proxy = lab.way(route, how)
    told = lab.loop.run(node.ask(url=url, proxy=proxy))
    assert told["opened"]
    assert told["code"] == 1006


@pytest.mark.lab
@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("route", ROUTES)
def test_chromium_sees_1006(lab, browsers, route, how):
    url, proxy = lab.way(route, how)
    plain, proxied = browsers
    told = lab.loop.run((proxied if proxy else plain).ask(url=url))
    assert (told["code"], told["wasClean"]) == (1006, False)


@pytest.fixture(scope="module")
def node(lab: Lab) -> Iterator[NodeApp]:
    app = lab.loop.run(NodeApp.start("ws_client.mjs"))
    yield app
    lab.loop.run(app.stop())


@pytest.fixture(scope="module")
def browsers(lab: Lab) -> Iterator[tuple[NodeApp, NodeApp]]:
    async def start(page_port: int) -> tuple[NodeApp, NodeApp]:
        url = f"http://127.0.0.1:{page_port}/"
        plain = await NodeApp.start("chromium.mjs", url)
        proxied = await NodeApp.start("chromium.mjs", url, str(lab.engine.port("regular")))
        for browser in (plain, proxied):
            await browser.first_line()
        return plain, proxied

    async def stop(*apps: NodeApp) -> None:
        for app in apps:
            await app.stop()

    with pages(lambda _path: Page(PAGE)) as port:
        both = lab.loop.run(start(port), 120)
        yield both
        lab.loop.run(stop(*both), 60)


def test_the_capture_says_who_did_it(lab):
    url, proxy = lab.way("ws-reverse", "rst")
    lab.loop.run(python_client(url, proxy=proxy))
    event = lab.engine.wait_for_event("close", ended_by="fault", how="rst")
    assert event["js"] == {"code": 1006, "wasClean": False}
