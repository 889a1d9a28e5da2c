"""What applications see is the same with and without the proxy, for every way a connection can end.

Python `websockets` and Node `ws`, as clients before a raw server and as servers behind a raw client; Chromium
is in tests/e2e. A test is one application on one route; its failure lists every ending that is seen
otherwise.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.app_lab import App, AppLab, ServerLab, Way
from tests.support.apps import NodeApp, PythonServer, python_client
from tests.support.certs import make_certificates
from tests.support.client_endings import client_endings
from tests.support.endings import server_endings
from tests.support.engine import Engine, start_engine
from tests.support.origin import Origin
from tests.support.threaded_loop import ThreadedLoop

ROUTES = ["ws-reverse", "wss-reverse", "ws-regular", "wss-regular"]


class Lab:
    """One engine, one origin, one loop."""

    def __init__(self, loop: ThreadedLoop, origin: Origin, engine: Engine) -> None:
        self.loop = loop
        self.origin = origin
        self.engine = engine

    def ways(self, route: str) -> tuple[Way, Way]:
        """The direct way of an application to the origin, and the one through the engine."""
        secure = route.startswith("wss")
        port = self.origin.tls_port if secure else self.origin.port
        direct = Way("direct", port, secure)
        if route.endswith("regular"):
            return direct, Way(route, port, secure, proxy=self.engine.port("regular"))
        return direct, Way(route, self.engine.port("secure" if secure else "plain"), secure)

    def differences(self, app: App, route: str) -> dict[str, list[str]]:
        return self.loop.run(AppLab(self.origin).failures(server_endings(), app, *self.ways(route)))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder: Path = tmp_path_factory.mktemp("apps")
    context = make_certificates(folder / "certs").server_context()
    with ThreadedLoop() as loop:
        origin = loop.run(_open(context))
        try:
            with start_engine(origin, folder) as engine:
                yield Lab(loop, origin, engine)
                assert engine.stderr == ""
        finally:
            loop.run(origin.__aexit__())


async def _open(context: ssl.SSLContext) -> Origin:
    return await Origin(context).__aenter__()


@pytest.fixture(scope="module")
def ws_client(lab: Lab) -> Iterator[App]:
    node = lab.loop.run(NodeApp.start("ws_client.mjs"))

    async def ask(url: str, proxy: int | None) -> dict[str, Any]:
        return await node.ask(url=url, proxy=proxy)

    yield ask
    lab.loop.run(node.stop())


@pytest.mark.parametrize(
    "route",
    ["ws-reverse", "wss-regular", *(pytest.param(one, marks=pytest.mark.slow) for one in ROUTES[1:3])],
)
def test_a_client_of_websockets_sees_the_same(lab, route):
    async def app(url: str, proxy: int | None) -> dict[str, Any]:
        return await python_client(url, proxy=proxy)

    assert lab.differences(app, route) == {}


@pytest.mark.lab
@pytest.mark.parametrize("route", ROUTES)
def test_a_client_of_ws_sees_the_same(lab, ws_client, route):
    assert lab.differences(ws_client, route) == {}


def test_a_server_of_websockets_sees_the_same(tmp_path):
    async def differences() -> dict[str, list[str]]:
        async with PythonServer() as server:
            with Engine.start(
                "--tap", f"app=127.0.0.1:0=ws://127.0.0.1:{server.port}", folder=tmp_path
            ) as engine:
                lab = ServerLab(server.outcome)
                return await lab.failures(client_endings(), server.port, engine.port("app"))

    with ThreadedLoop() as loop:
        assert loop.run(differences()) == {}


@pytest.mark.lab
def test_a_server_of_ws_sees_the_same(tmp_path):
    async def differences() -> dict[str, list[str]]:
        node = await NodeApp.start("ws_server.mjs")
        try:
            port = (await node.first_line())["port"]
            with Engine.start("--tap", f"app=127.0.0.1:0=ws://127.0.0.1:{port}", folder=tmp_path) as engine:
                lab = ServerLab(lambda path: node.ask(path=path))
                return await lab.failures(client_endings(), port, engine.port("app"))
        finally:
            await node.stop()

    with ThreadedLoop() as loop:
        assert loop.run(differences()) == {}


def test_an_application_sees_only_a_failed_attempt_when_the_server_is_down(lab):
    """Directly the connection is refused; through the proxy a 502 says so: neither ever opens."""
    with Engine.start(
        "--tap", "gone=127.0.0.1:0=http://127.0.0.1:9", folder=lab.engine.stderr_path.parent / "gone"
    ) as engine:
        direct = lab.loop.run(python_client("ws://127.0.0.1:9/"))
        through = lab.loop.run(python_client(f"ws://127.0.0.1:{engine.port('gone')}/"))
    assert (direct["opened"], through["opened"]) == (False, False)
    assert through["status"] == 502
    assert "127.0.0.1:9" in through["body"]
