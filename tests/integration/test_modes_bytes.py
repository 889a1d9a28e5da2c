"""The byte checker through `--mode socks5` and `--mode upstream:...`: same bytes, same ends as directly."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.cases import all_cases
from tests.support.certs import make_certificates
from tests.support.engine import Engine
from tests.support.mode_routes import HttpProxy, Socks5Route
from tests.support.origin import Origin
from tests.support.routes import Checker, Route

pytestmark = pytest.mark.slow

CASES = all_cases()
FAMILIES = list(dict.fromkeys(case.family for case in CASES))
#: Taps of the engine, and what goes through them; `upstream-2` is a proxy that is spoken to by TLS.
ROUTES = [
    "socks5/ws",
    "socks5/wss",
    "upstream/get",
    "upstream/connect",
    "upstream/connect-wss",
    "upstream-2/connect",
    "upstream-2/connect-wss",
]


@dataclass
class Lab:
    loop: asyncio.AbstractEventLoop
    checker: Checker
    engine: Engine
    second: HttpProxy

    def route(self, name: str) -> Route:
        origin, port = self.checker.origin, self.engine.port(name.rpartition("/")[0])
        return {
            "socks5/ws": lambda: Socks5Route(name, port, target=origin.port),
            "socks5/wss": lambda: Socks5Route(name, port, True, True, target=origin.tls_port),
            "upstream/get": lambda: Route(name, port, mode="absolute", target=origin.port),
            "upstream/connect": lambda: Route(name, port, mode="connect", target=origin.port),
            "upstream/connect-wss": lambda: Route(name, port, True, True, "connect", origin.tls_port),
            "upstream-2/connect": lambda: Route(name, port, mode="connect", target=origin.port),
            "upstream-2/connect-wss": lambda: Route(name, port, True, True, "connect", origin.tls_port),
        }[name]()

    def failures(self, family: str, route: str) -> dict[str, list[str]]:
        cases = [case for case in CASES if case.family == family]
        running = self.checker.failures(cases, self.route(route))
        return asyncio.run_coroutine_threadsafe(running, self.loop).result(110)


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("modes")
    context = make_certificates(folder / "certs").server_context()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def enter() -> tuple[Origin, HttpProxy]:
        return await Origin(context).__aenter__(), await HttpProxy().__aenter__()  # type: ignore[return-value]

    origin, second = asyncio.run_coroutine_threadsafe(enter(), loop).result(10)
    try:
        with (
            Engine.start("--listen", "127.0.0.1:0", "--insecure", folder=folder / "third") as third,
            Engine.start(
                *("--listen", "127.0.0.1:0", "--insecure"),
                *("--mode", "socks5", "--mode", f"upstream:http://127.0.0.1:{second.port}"),
                *("--mode", f"upstream:https://localhost:{third.port('regular')}"),
                folder=folder / "engine",
            ) as engine,
        ):
            yield Lab(loop, Checker(origin), engine, second)
            assert "crash" not in engine.stderr
            assert "Traceback" not in engine.stderr
    finally:
        for thing in (origin, second):
            asyncio.run_coroutine_threadsafe(_leave(thing), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _leave(thing: Origin | HttpProxy) -> None:
    await thing.__aexit__()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("route", ROUTES)
def test_both_sides_see_what_they_see_directly(lab, route, family):
    before = len(lab.second.asked)
    assert lab.failures(family, route) == {}
    asked = {line.split()[0] for line in lab.second.asked[before:]}
    assert asked <= {"upstream/get": {b"GET"}, "upstream/connect": {b"CONNECT"}}.get(
        route.removesuffix("-wss"), set()
    )
