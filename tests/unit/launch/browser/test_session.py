"""A run of `wsinspect browser` around a script that stands in for a browser: what starts, and ends."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from tests.support.browser_run import BrowserRun, wait_for
from tests.support.engine import Engine
from wsinspect.launch.browser import session
from wsinspect.launch.browser.programs import Browser, Family
from wsinspect.launch.browser.session import Visit, open_browser, proxy_address
from wsinspect.launch.engines import EngineInfo, clients_of

#: Notes what it was started with, then does what its last-but-one word says.
SCRIPT = """#!/bin/sh
printf '%s\\n' "$@" "TMPDIR=$TMPDIR" > "$NOTES.part" && mv "$NOTES.part" "$NOTES"
case "$*" in
    *--fail*) echo "[1:2:0101/1.2:ERROR:dbus/bus.cc:1] no dbus" >&2
              echo "[1:2:0101/1.2:ERROR:ui/env.cc:3] no screen" >&2; echo "goodbye" >&2; exit 7 ;;
    *--stay*) sleep 1000 & echo $! > "$NOTES.pid"; wait ;;
    *--later*) read word < "$NOTES.go"; echo "[1:2:0101/1.2:ERROR:ui/env.cc:3] no $word" >&2; exit 7 ;;
    *--deaf*) trap '' TERM; while :; do sleep 1; done ;;
esac
"""


@pytest.fixture
def fake(tmp_path) -> Path:
    file = tmp_path / "fake-chromium"
    file.write_text(SCRIPT)
    file.chmod(0o755)
    return file


def start(tmp_path: Path, fake: Path, *words: str) -> BrowserRun:
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    return BrowserRun(home, "--browser", str(fake), *words, NOTES=str(tmp_path / "notes"))


def notes(tmp_path: Path) -> list[str]:
    file = tmp_path / "notes"
    return wait_for(lambda: file.read_text().splitlines() if file.exists() else None)


def option(words: list[str], name: str) -> str:
    (value,) = (word.split("=", 1)[1] for word in words if word.startswith(f"{name}="))
    return value


def test_a_proxy_is_started_and_ends_with_the_browser(tmp_path, fake):
    capture = tmp_path / "home/x y.db"
    with start(tmp_path, fake, f"--capture={capture}", "localhost:1", "--", "--mine") as run:
        assert run.wait() == 0, run.said
        assert run.leftovers() == []
    words = notes(tmp_path)
    assert words[-3:-1] == ["--mine", "http://localhost:1"]
    proxy = option(words, "--proxy-server").removeprefix("http://")
    assert f"listening on {proxy}  regular\n" in run.said
    assert f"proxied by {proxy}" in run.said
    profile = option(words, "--user-data-dir")
    assert option(words, "TMPDIR") == f"{Path(profile).parent}/t"
    assert not Path(profile).parent.exists()
    assert capture.is_file()
    assert run.said.splitlines()[-1] == (
        f"wsinspect: recorded in {capture}; to view it: wsinspect show '{capture}'"
    )


@pytest.mark.slow
def test_the_newest_engine_with_a_proxy_is_used_and_left_running(tmp_path, fake):
    home = tmp_path / "home"
    with (
        Engine.start("--listen", "0", folder=home) as older,
        Engine.start("--mode", "upstream:http://127.0.0.1:1@0", folder=home) as engine,
        Engine.start("--tap", "only=0=http://localhost:1", folder=home),
    ):
        with start(tmp_path, fake) as run:
            assert run.wait() == 0, run.said
        assert engine.process.poll() is older.process.poll() is None
    assert option(notes(tmp_path), "--proxy-server") == f"http://127.0.0.1:{engine.port('upstream')}"
    assert f"uses the proxy of engine {engine.pid}, which records to {engine.capture}" in run.said


@pytest.mark.slow
def test_a_new_proxy_can_be_asked_for(tmp_path, fake):
    with Engine.start("--listen", "0", folder=tmp_path / "home") as engine:
        with start(tmp_path, fake, "--new") as run:
            assert run.wait() == 0, run.said
        assert option(notes(tmp_path), "--proxy-server") != f"http://127.0.0.1:{engine.port('regular')}"
        assert engine.process.poll() is None


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_both_and_what_the_browser_had_started(tmp_path, fake, number):
    with start(tmp_path, fake, "--", "--stay") as run:
        wait_for(lambda: (tmp_path / "notes.pid").exists() or None)
        assert run.signal(number) == 128 + number, run.said
        assert run.leftovers() == []


@pytest.mark.slow
def test_a_browser_that_will_not_end_is_killed(tmp_path, fake):
    with start(tmp_path, fake, "--", "--deaf") as run:
        notes(tmp_path)
        assert run.signal() == 130, run.said
        assert run.leftovers() == []


@pytest.mark.slow
def test_a_failing_browser_is_reported_in_one_line(tmp_path, fake):
    with start(tmp_path, fake, "--", "--fail") as run:
        assert run.wait() == 3
        assert run.leftovers() == []
    last = run.said.splitlines()[-1]
    assert last.startswith("wsinspect: fake-chromium ended with exit code 7: no screen")


def test_a_proxy_that_does_not_start_ends_the_run(tmp_path, fake):
    (tmp_path / "home").mkdir()
    (tmp_path / "home/x.db").write_bytes(b"not a capture")
    with start(tmp_path, fake, "--capture", str(tmp_path / "home/x.db")) as run:
        assert run.wait() == 3
        assert run.leftovers() == []
    assert run.said.splitlines()[-1].startswith("wsinspect: the proxy did not start (exit code ")
    assert not (tmp_path / "notes").exists()


def test_a_wrong_address_starts_nothing_and_makes_no_capture(tmp_path, fake):
    with start(tmp_path, fake, "--capture", str(tmp_path / "x.db"), "not a url") as run:
        assert run.wait() == 2
        assert run.leftovers() == []
    assert run.said == "wsinspect: not a page URL: 'not a url' (write http://localhost:3000)\n"
    assert not (tmp_path / "x.db").exists()
    assert not (tmp_path / "notes").exists()


@pytest.mark.slow
def test_a_proxy_that_ends_first_is_said(tmp_path, fake):
    with start(tmp_path, fake, "--", "--stay") as run:
        wait_for(lambda: (tmp_path / "notes.pid").exists() or None)
        (run_file,) = (tmp_path / "home/runtime").rglob("*.json")
        os.kill(int(run_file.stem), signal.SIGTERM)
        wait_for(lambda: "the proxy has exited: the browser cannot reach anything" in run.said or None)
        assert run.signal() == 130


@pytest.mark.parametrize("ends", ["itself", "from here"])
def test_a_browser_that_fails_later_is_reported_and_one_that_is_ended_is_not(
    tmp_path, fake, monkeypatch, ends
):
    monkeypatch.setattr(session, "_EARLY_SECONDS", 0.0)
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    os.mkfifo(tmp_path / "notes.go")
    said: list[str] = []
    visit = Visit(Browser("Fake", fake, Family.CHROMIUM), arguments=["--later"], say=said.append)
    listener = {"mode": "regular", "host": "127.0.0.1", "port": 1}
    with open_browser(visit, EngineInfo(1, 1, "0", None, [listener], None, str(tmp_path / "ca"))):
        notes(tmp_path)
        if ends == "itself":
            (tmp_path / "notes.go").write_text("screen\n")
            wait_for(lambda: "exit code" in said[-1] or None)
    ended = [line for line in said if "ended" in line]
    assert [line[:38] for line in ended] == ["Fake ended with exit code 7: no screen"] * (ends == "itself")
    assert all("there is no display" in line for line in ended)


@pytest.mark.parametrize("shown", [":7", ""])
@pytest.mark.parametrize(
    ("counts", "url", "is_said"),
    [
        ([3, 3], "http://localhost:1/", True),
        ([3, 4], "http://localhost:1/", False),
        ([None, 3], "http://localhost:1/", False),
        ([3, None], "http://localhost:1/", False),
        ([3, 3], None, False),
    ],
)
def test_a_browser_that_lives_and_requests_nothing_is_said(
    tmp_path, fake, monkeypatch, counts, url, is_said, shown
):
    """And what to do; but not where something came, where nobody counts, or where nothing is to come."""
    left = list(counts)
    monkeypatch.setattr(session, "_EARLY_SECONDS", 0.0)
    monkeypatch.setattr(session, "_FIRST_SECONDS", 0.05)
    monkeypatch.setattr(session, "clients_of", lambda _engine: left.pop(0))
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    monkeypatch.setenv("DISPLAY", shown)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    os.mkfifo(tmp_path / "notes.go")
    said: list[str] = []
    visit = Visit(Browser("Fake", fake, Family.CHROMIUM), url=url, arguments=["--later"], say=said.append)
    listener = {"mode": "regular", "host": "127.0.0.1", "port": 1}
    with open_browser(visit, EngineInfo(1, 1, "0", None, [listener], None, str(tmp_path / "ca"))):
        notes(tmp_path)
        if url is not None and counts[0] is not None:
            wait_for(lambda: not left or None)
        (tmp_path / "notes.go").write_text("screen\n")
        wait_for(lambda: "exit code" in said[-1] or None)
    found = [line for line in said if "has requested nothing" in line]
    assert len(found) == is_said
    assert all((":7" if shown else "no display is set") in line for line in found)
    assert all("wsinspect browser URL -- --headless" in line for line in found)


@pytest.mark.slow
def test_an_engine_counts_its_clients_whatever_they_ask_for(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    with Engine.start("--listen", "0", folder=home) as engine:
        (run_file,) = (home / "runtime").rglob("*.json")
        info = EngineInfo(**json.loads(run_file.read_text()))
        before = clients_of(info)
        assert before is not None
        with socket.create_connection(("127.0.0.1", engine.port("regular"))) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: mitm.it\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 200"
            assert clients_of(info) == before + 1
    assert clients_of(info) is None


@pytest.mark.parametrize(
    ("listeners", "address"),
    [
        ([], None),
        ([{"mode": "reverse:http://h:1", "host": "127.0.0.1", "port": 1}], None),
        ([{"mode": "local", "host": None, "port": None}], None),
        ([{"mode": "regular", "host": "0.0.0.0", "port": 1}], ("127.0.0.1", 1)),
        ([{"mode": "regular", "host": "::", "port": 1}], ("::1", 1)),
        (
            [
                {"mode": "socks5", "host": "127.0.0.1", "port": 1},
                {"mode": "upstream:http://h:1", "host": "::1", "port": 2},
            ],
            ("::1", 2),
        ),
    ],
)
def test_where_a_browser_reaches_an_engine(listeners, address):
    assert proxy_address(EngineInfo(1, 1, "0", None, listeners)) == address
