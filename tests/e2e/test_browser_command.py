"""`wsinspect browser` with real browsers: a page's WebSocket is captured, and nothing is left afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.browser_run import BrowserRun
from tests.support.certs import make_certificates
from tests.support.engine import Engine
from tests.support.page_server import PageServer
from wsinspect.capture.reader import Capture

pytestmark = [pytest.mark.lab, pytest.mark.slow]
HEADLESS = ["--", "--headless", "--remote-debugging-port=0"]
FINE = {"opened": "true", "message": "from the page", "code": "1000", "wasClean": "true"}


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Iterator[PageServer]:
    certificates = make_certificates(tmp_path_factory.mktemp("certs"))
    with PageServer(certificates.server_context()) as server:
        server.ca = certificates.ca
        yield server


@pytest.fixture
def home(tmp_path):
    """A short path: Firefox and Chromium put sockets below it."""
    return tmp_path


def connections(capture) -> list[tuple]:
    with Capture.open(capture) as opened:
        return [
            (one.tap, one.url.split("?")[0], one.state, one.client_close_code, one.server_close_code)
            for one in opened.connections()
        ]


def test_a_private_authority_is_trusted(pages, home):
    url = f"https://localhost:{pages.tls_port}/?mark=private"
    with BrowserRun(home, f"--ca={pages.ca}", f"--capture={home / 'page.db'}", url, *HEADLESS) as run:
        assert run.told(pages, "private") == FINE
        run.close_chromium()
        assert run.wait() == 0, run.said
    assert len(connections(home / "page.db")) == 1


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_everything_that_was_started_ends_when_the_browser_is_closed(pages, home, browser):
    """None runs, so a proxy is started, too."""
    url = f"https://localhost:{pages.tls_port}/?mark={browser}-closed"
    capture = home / "page.db"
    with BrowserRun(home, "--browser", browser, "--insecure", f"--capture={capture}", url, *HEADLESS) as run:
        assert run.told(pages, f"{browser}-closed") == FINE
        run.close_firefox() if browser == "firefox" else run.close_chromium()
        assert run.wait() == 0, run.said
        assert run.leftovers() == []
    assert f"recorded in {capture}" in run.said
    if os.geteuid() == 0 and browser == "chromium":
        assert "without its sandbox, which does not work for root" in run.said
    assert connections(capture) == [
        ("regular", f"wss://localhost:{pages.tls_port}/socket", "closed", 1000, 1000)
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_browser_and_what_was_started(pages, home, number):
    url = f"http://127.0.0.1:{pages.port}/?mark=signal{number}"
    with BrowserRun(home, "--browser", "chromium", url, *HEADLESS) as run:
        assert run.told(pages, f"signal{number}") == FINE
        assert run.signal(number) == 128 + number, run.said
        assert run.leftovers() == []
    (capture,) = (home / "data/wsinspect/captures").iterdir()
    assert connections(capture) == [("regular", f"ws://127.0.0.1:{pages.port}/socket", "closed", 1000, 1000)]


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_a_running_engine_is_used_with_its_own_certificate_and_keeps_running(pages, home, browser):
    """Pages over http and https, their sockets on the page's host and on loopback's other name."""
    if browser == "firefox":
        assert shutil.which("certutil"), "make test-deps installs libnss3-tools"
    queries = {
        "plain": f"http://localhost:{pages.port}/?mark={browser}-plain",
        "secure": f"https://127.0.0.1:{pages.tls_port}/?mark={browser}-secure",
        "other": f"https://localhost:{pages.tls_port}/?mark={browser}-other&to=wss://127.0.0.1:{pages.tls_port}",
    }
    options = ["--listen", "0", "--insecure", "--ca-dir", str(home / "my ca")]
    with Engine.start("--mode", "socks5@0", folder=home), Engine.start(*options, folder=home) as engine:
        for case, url in queries.items():
            with BrowserRun(home, "--browser", browser, url, *HEADLESS[:2]) as run:
                assert run.told(pages, f"{browser}-{case}") == FINE
                assert run.signal() == 130, run.said
            assert f"uses the proxy of engine {engine.pid}," in run.said
        engine.wait_for(lambda event: event["event"] == "close" and event["connection"] == len(queries))
        assert engine.process.poll() is None
        assert engine.stop() == 0
        assert [row[0:2] for row in connections(engine.capture)] == [
            ("regular", f"ws://localhost:{pages.port}/socket"),
            ("regular", f"wss://127.0.0.1:{pages.tls_port}/socket"),
            ("regular", f"wss://127.0.0.1:{pages.tls_port}/socket"),
        ]


def test_only_that_profile_trusts_the_certificate(pages, home):
    with Engine.start("--listen", "0", "--insecure", folder=home) as engine:
        done = subprocess.run(
            [
                *(
                    "chromium",
                    "--headless",
                    "--no-sandbox",
                    "--dump-dom",
                    f"--user-data-dir={home / 'other'}",
                ),
                *(f"--proxy-server=127.0.0.1:{engine.port('regular')}", "--proxy-bypass-list=<-loopback>"),
                f"https://localhost:{pages.tls_port}/?mark=stranger",
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
        failed = engine.wait_for_event("tls_failed", sni="localhost")
    assert "ERR_CERT_AUTHORITY_INVALID" in done.stderr
    assert failed["side"] == "client"
    assert pages.find("stranger") is None
