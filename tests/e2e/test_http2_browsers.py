"""Chromium and Firefox over HTTP/2 (extended CONNECT), before servers of either version."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

import pytest

from tests.support.browser_run import BrowserRun, wait_for
from tests.support.certs import make_certificates
from tests.support.devtools import devtools
from tests.support.engine import Engine, wsinspect_json
from tests.support.h2_lab import findings, rows
from tests.support.h2_servers import tls_haproxy
from tests.support.hops import LOOPBACK, haproxy
from tests.support.marionette import Marionette
from tests.support.page_server import PageServer
from tests.support.threaded_loop import ThreadedLoop

pytestmark = [pytest.mark.lab, pytest.mark.slow]
SEEN = "SELECT http_version, server_http_version, status, js_code, js_was_clean FROM connection"
FINE = {"opened": "true", "message": "from the page", "code": "1000", "wasClean": "true"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="module")
def pages(certificates) -> Iterator[PageServer]:
    with PageServer(certificates.server_context()) as server:
        yield server


def visit(run, browser, pages, home, port, mark):
    """Open the page, and its WebSocket, in a browser that uses this engine."""
    url = f"https://localhost:{port}/?mark={mark}"
    with BrowserRun(home, "--browser", browser, url, "--", "--headless") as browsing:
        assert browsing.told(pages, mark) == FINE
        assert browsing.signal() == 130, browsing.said
    run.wait_for_event("close")
    run.stop()


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_a_bridge_to_a_server_of_http1(pages, tmp_path, browser):
    options = ("--listen", "0", "--insecure", "--http2-websocket", "bridge")
    with Engine.start(*options, folder=tmp_path) as run:
        visit(run, browser, pages, tmp_path, pages.tls_port, f"{browser}-bridge")
    found = rows(
        run, "SELECT http_version, server_http_version, status, js_code, js_was_clean FROM connection"
    )
    assert found == [("HTTP/2.0", "HTTP/1.1", 101, 1000, 1)]
    assert [one for one in findings(run) if one.split("-")[1] in ("HS", "H2", "FR", "CL", "DROP")] == []


def test_a_reverse_bridge_and_its_recording(pages, tmp_path):
    """Chromium without a proxy setting, before a server of HTTP/1.1; then the same without Chromium."""
    mark = "chromium-reverse"
    tap = f"main=127.0.0.1:0=https://localhost:{pages.tls_port}"
    with Engine.start("--tap", tap, "--insecure", "--http2-websocket", "bridge", folder=tmp_path) as run:
        with ThreadedLoop() as loop, devtools(loop) as chromium:
            chromium.open("page", f"https://localhost:{run.port('main')}/?mark={mark}")
            told = wait_for(lambda: pages.find(mark))
            run.wait_for_event("close")
            chromium.close("page")
        run.stop()
    assert {name: told[name] for name in FINE} == FINE
    assert rows(run, SEEN) == [("HTTP/2.0", "HTTP/1.1", 101, 1000, 1)]
    to = f"wss://localhost:{pages.tls_port}"
    code, report = wsinspect_json(tmp_path, "replay", run.capture, "--to", to, "--insecure")
    assert (code, report["equal"]) == (0, True), report
    assert "HTTP/1.1 is used" in " ".join(report["connections"][0]["notes"])


def test_firefox_before_a_tap_as_if_it_were_the_server(pages, certificates, tmp_path):
    """Firefox without a proxy setting: a bridge to HTTP/1.1, and HAProxy's HTTP/2 as it is."""
    folder = tmp_path / "hop"
    folder.mkdir()
    to = {"bridge": f"https://localhost:{pages.tls_port}"}
    with contextlib.ExitStack() as stack:
        hop = stack.enter_context(tls_haproxy(folder, certificates, pages.port))
        to["mirror"] = f"https://localhost:{hop.port}"
        runs = {
            mode: stack.enter_context(
                Engine.start(
                    *("--tap", f"main=127.0.0.1:0={url}", "--insecure", "--http2-websocket", mode),
                    folder=tmp_path / mode,
                )
            )
            for mode, url in to.items()
        }
        with Marionette(tmp_path / "firefox", accepts_certificates=True) as firefox:
            for mode, run in runs.items():
                mark = f"firefox-reverse-{mode}"
                firefox.open(f"https://localhost:{run.port('main')}/?mark={mark}")
                told = wait_for(partial(pages.find, mark))
                assert {name: told[name] for name in FINE} == FINE
        # Firefox ends its side of a stream with its connection.
        for run in runs.values():
            run.wait_for_event("close")
            run.stop()
    assert rows(runs["bridge"], SEEN) == [("HTTP/2.0", "HTTP/1.1", 101, 1000, 1)]
    assert rows(runs["mirror"], SEEN) == [("HTTP/2.0", "HTTP/2.0", 200, 1000, 1)]
    for run in runs.values():
        assert [one for one in findings(run) if one.split("-")[1] in ("HS", "H2", "FR", "CL", "DROP")] == []


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_haproxy_carries_them_and_we_do(pages, certificates, tmp_path, browser):
    """HTTP/2 to HAProxy, which speaks HTTP/1.1 to the server behind it."""
    folder = tmp_path / "hop"
    folder.mkdir()
    both = folder / "both.pem"
    both.write_text(certificates.chain.read_text() + certificates.key.read_text())
    backend = f"server app {LOOPBACK}:{pages.port}"
    with (
        haproxy(folder, backend, bind=f" ssl crt {both} alpn h2,http/1.1") as hop,
        Engine.start("--listen", "0", "--insecure", folder=tmp_path) as run,
    ):
        visit(run, browser, pages, tmp_path, hop.port, f"{browser}-haproxy")
    found = rows(
        run, "SELECT http_version, server_http_version, status, js_code, js_was_clean FROM connection"
    )
    assert found == [("HTTP/2.0", "HTTP/2.0", 200, 1000, 1)]
    assert [one for one in findings(run) if one.split("-")[1] in ("HS", "H2", "FR", "CL", "DROP")] == []
