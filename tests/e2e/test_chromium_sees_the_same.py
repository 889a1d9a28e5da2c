"""What JavaScript in Chromium sees (messages, close code, reason, wasClean, errors) with and without the
proxy.

The page is served by the lab; the raw server plays every ending. In regular mode a second Chromium uses the
engine as its proxy, loopback included.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.app_lab import AppLab, Way
from tests.support.apps import NodeApp
from tests.support.captures import recorded, wait_until_settled
from tests.support.certs import make_certificates
from tests.support.endings import server_endings
from tests.support.engine import Engine, start_engine
from tests.support.origin import Origin
from tests.support.small_servers import Page, pages
from tests.support.threaded_loop import ThreadedLoop

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

# A page has no way to drop a connection without a closing handshake.
ENDINGS = [ending for ending in server_endings() if ending.name != "client-terminates"]
PAGE = b"<!doctype html><title>lab</title>"


class Browsers:
    """Two browsers: one without a proxy, one with the engine as its proxy."""

    def __init__(self, loop: ThreadedLoop, origin: Origin, engine: Engine) -> None:
        self.loop, self.origin, self.engine = loop, origin, engine
        self.lab = AppLab(origin)

    async def start(self, page_port: int) -> None:
        url = f"http://127.0.0.1:{page_port}/"
        self.plain = await NodeApp.start("chromium.mjs", url)
        self.proxied = await NodeApp.start("chromium.mjs", url, str(self.engine.port("regular")))
        for browser in (self.plain, self.proxied):
            await browser.first_line()

    async def stop(self) -> None:
        await self.plain.stop()
        await self.proxied.stop()

    async def converse(self, url: str, proxy: int | None) -> dict[str, Any]:
        return await (self.proxied if proxy else self.plain).ask(url=url)

    def differences(self, route: str) -> dict[str, list[str]]:
        secure = route.startswith("wss")
        port = self.origin.tls_port if secure else self.origin.port
        direct = Way("direct", port, secure)
        if route.endswith("regular"):
            through = Way(route, port, secure, proxy=self.engine.port("regular"))
        else:
            through = Way(route, self.engine.port("secure" if secure else "plain"), secure)
        return self.loop.run(self.lab.failures(ENDINGS, self.converse, direct, through), 200)


@pytest.fixture(scope="module")
def browsers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browsers]:
    folder: Path = tmp_path_factory.mktemp("chromium")
    context = make_certificates(folder / "certs").server_context()
    with ThreadedLoop() as loop:
        origin = loop.run(_open(context))
        try:
            with pages(lambda _path: Page(PAGE)) as port, start_engine(origin, folder) as engine:
                browsers = Browsers(loop, origin, engine)
                loop.run(browsers.start(port))
                yield browsers
                loop.run(browsers.stop())
                assert engine.stderr == ""
        finally:
            loop.run(origin.__aexit__())


async def _open(context: ssl.SSLContext) -> Origin:
    return await Origin(context).__aenter__()


ROUTES = ["ws-reverse", "wss-reverse", "ws-regular", "wss-regular"]


@pytest.mark.parametrize("route", ROUTES)
def test_a_page_sees_the_same(browsers, route):
    assert browsers.differences(route) == {}


def test_the_capture_says_what_the_page_saw(browsers):
    """Of every conversation above; the capture works out from the wire what it cannot see."""
    told = {tag: outcome for route in ROUTES for tag, outcome in browsers.lab.told.get(route, {}).items()}
    assert len(told) == len(ROUTES) * len(ENDINGS)
    wait_until_settled(browsers.engine.capture, len(told))
    kept = recorded(browsers.engine.capture)
    wrong = {}
    for tag, outcome in told.items():
        on_record = kept[tag].js_code, kept[tag].js_was_clean
        page = outcome["code"], outcome["wasClean"]
        if on_record != page:
            wrong[tag] = f"on record {on_record}, told {page}"
    assert wrong == {}
