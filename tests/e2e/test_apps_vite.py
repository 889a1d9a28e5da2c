"""Vite's hot module replacement: an edit of a file arrives in a page in Chromium through the proxy.

As a regular proxy and in front of the server; the capture has what Vite and Chromium's DevTools say.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.app_capture import Recording, asked, engine_before, node, recordings
from tests.support.devtools import DevTools, devtools, differences
from tests.support.threaded_loop import ThreadedLoop

pytestmark = pytest.mark.lab

PROJECT = Path(__file__).resolve().parents[1] / "apps" / "vite"
GREETING = "document.querySelector('#greeting')"


@pytest.fixture(scope="module")
def browser() -> Iterator[DevTools]:
    with ThreadedLoop() as loop, devtools(loop) as browser:
        yield browser


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def types(kept: Recording) -> list[str]:
    return [json.loads(message)["type"] for message in kept.s2c.messages]


@pytest.mark.parametrize("way", ["regular", "tap"])
def test_an_edit_arrives(browser, tmp_path, way):
    project = tmp_path / "project"
    shutil.copytree(PROJECT, project)
    loop = browser.loop
    with (
        node(loop, "vite_server.mjs", str(project)) as (vite, said),
        engine_before(tmp_path, app=said["port"]) as engine,
    ):
        is_tap = way == "tap"
        url = f"http://127.0.0.1:{engine.port('app') if is_tap else said['port']}/"
        browser.open(way, url, proxy=None if is_tap else engine.port("regular"))
        browser.until(way, f"{GREETING}.textContent === 'before' && window.loaded === 1")

        edit(project / "greeting.js", "before", "after the edit €")
        browser.until(way, f"{GREETING}.textContent === 'after the edit €'")
        edit(project / "style.css", "1, 2, 3", "4, 5, 6")
        browser.until(way, f"getComputedStyle({GREETING}).color === 'rgb(4, 5, 6)'")
        assert browser.evaluate(way, "window.loaded") == 1

        assert asked(loop, vite, ask={"n": 1}) == {"heard": {"n": 1}}
        assert browser.evaluate(way, "window.heard") == [{"n": 1}]

        edit(project / "index.html", "<title>Vite<", "<title>Vite again<")
        browser.until(
            way, "document.title === 'Vite again' && window.loaded === 1 && window.heard.length === 0"
        )
        edit(project / "greeting.js", "after the edit €", "on the second connection")
        browser.until(way, f"{GREETING}.textContent === 'on the second connection'")
        sockets = browser.sockets(way)
        browser.close(way)

        first, second = recordings(engine, "token=", count=2)
        for socket, kept in zip(sockets, (first, second), strict=True):
            check(socket, kept)
        assert types(first) == ["connected", "update", "update", "custom", "full-reload"]
        assert types(second) == ["connected", "update"]
        answer = {"type": "custom", "event": "lab:answer", "data": {"heard": {"n": 1}}}
        assert [json.loads(message) for message in first.c2s.messages] == [answer]
        ended: list[dict[str, Any]] = asked(loop, vite, path=first.connection.path)["ended"]
        for account, kept in zip(ended, (first, second), strict=True):
            assert kept.s2c.messages == ['{"type":"connected"}', *account["sent"]]
            assert kept.c2s.messages == account["received"]
            assert account["close"] == (kept.c2s.close or [1006, ""])


def check(socket: dict[str, Any], kept: Recording) -> None:
    assert kept.faults == []
    assert differences(socket, kept) == []
    assert kept.connection.url == socket["url"]
    assert kept.connection.subprotocol == "vite-hmr"
    assert kept.connection.ended_by == "client"
