"""Each server that `tests.support.h2_servers` knows, before Chromium and Firefox: what a page is told without
the proxy it is told through it, as a tap and as the browser's proxy, over the version of HTTP that the server
allows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.certs import make_certificates
from tests.support.devtools import devtools
from tests.support.engine import Engine
from tests.support.h2_lab import rows
from tests.support.h2_servers import ANSWER, CODE, KINDS, application, is_missing
from tests.support.hops import LOOPBACK
from tests.support.marionette import Marionette
from tests.support.threaded_loop import ThreadedLoop

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(240)]

#: In the page: open a WebSocket to its own origin, say one thing, and give what it was told to `done`.
CONVERSE = """
const told = { opened: false, messages: [] };
const socket = new WebSocket(location.origin.replace("http", "ws") + "/chat");
socket.onopen = () => { told.opened = true; socket.send("hello"); };
socket.onmessage = ({ data }) => told.messages.push(data);
socket.onclose = ({ code, reason, wasClean }) => done({ ...told, code, reason, wasClean });
"""
FINE = {"opened": True, "messages": [f"{ANSWER}hello"], "code": CODE, "reason": "asked", "wasClean": True}
#: Those that open none: Envoy makes no key for the application, Node's upgrades get 426.
REFUSED = {"Envoy", "Node http2, off"}

#: From a page's address to what it was told.
Visit = Callable[[str], dict[str, Any]]


#: They end the stream with their CLOSE frame. Firefox then calls the same end clean or, mostly, not, with a
#: proxy and without.
ENDS_AT_ONCE = ("Hypercorn", "Node http2")


def sure(browser: object, told: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Without what is chance."""
    for name in ENDS_AT_ONCE if browser is firefox else ():
        told[name]["wasClean"] = True
    return told


@contextlib.contextmanager
def chromium(folder: Path) -> Iterator[Callable[[int | None], contextlib.AbstractContextManager[Visit]]]:
    with ThreadedLoop() as loop, devtools(loop) as browser:

        @contextlib.contextmanager
        def through(proxy: int | None) -> Iterator[Visit]:
            def visit(url: str) -> dict[str, Any]:
                browser.open("page", url, proxy=proxy)
                told: dict[str, Any] = browser.evaluate("page", f"new Promise((done) => {{ {CONVERSE} }})")
                browser.close("page")
                return told

            yield visit

        yield through


@contextlib.contextmanager
def firefox(folder: Path) -> Iterator[Callable[[int | None], contextlib.AbstractContextManager[Visit]]]:
    @contextlib.contextmanager
    def through(proxy: int | None) -> Iterator[Visit]:
        place = folder / f"firefox-{proxy}"
        with Marionette(place, accepts_certificates=True, proxy=proxy) as browser:

            def visit(url: str) -> dict[str, Any]:
                browser.open(url)
                told: dict[str, Any] = browser.run(f"const done = arguments[0]; {CONVERSE}")
                return told

            yield visit

    yield through


@pytest.mark.parametrize("browser", [chromium, firefox])
def test_a_page_is_told_the_same_of_each_server(tmp_path, browser):
    certificates = make_certificates(tmp_path / "certificates")
    with contextlib.ExitStack() as stack:
        app = stack.enter_context(application(has_page=True))
        ports = {
            name: stack.enter_context(kind.start(tmp_path / str(number), certificates, app))
            for number, (name, kind) in enumerate(KINDS.items())
            if not is_missing(name)
        }
        taps = {name: f"t{number}" for number, name in enumerate(ports)}
        words = ["--insecure", "--listen", "0"]
        for name, port in ports.items():
            words += ["--tap", f"{taps[name]}={LOOPBACK}:0=https://localhost:{port}"]
        engine = stack.enter_context(Engine.start(*words, folder=tmp_path / "engine"))
        through = stack.enter_context(browser(tmp_path))
        with through(None) as visit:
            direct = {name: visit(f"https://localhost:{port}/") for name, port in ports.items()}
            tapped = {name: visit(f"https://localhost:{engine.port(taps[name])}/") for name in ports}
        with through(engine.port("regular")) as visit:
            proxied = {name: visit(f"https://localhost:{port}/") for name, port in ports.items()}
        engine.stop()
    direct, tapped, proxied = (sure(browser, told) for told in (direct, tapped, proxied))
    assert tapped == direct
    assert proxied == direct
    assert {name for name, told in direct.items() if told != FINE} == REFUSED & direct.keys()
    seen = rows(engine, "SELECT tap, port, http_version, server_http_version FROM connection")
    for name, port in ports.items():
        version = "HTTP/2.0" if KINDS[name].offers else "HTTP/1.1"
        mine = {tuple(rest) for tap, _, *rest in seen if tap == taps[name]}
        assert mine == {(version, version)}, name
        mine = {tuple(rest) for tap, at, *rest in seen if tap == "regular" and at == port}
        assert mine == {(version, version)}, name
