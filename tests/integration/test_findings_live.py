"""Findings while traffic passes, and afterwards: `run`, `diagnose`, `show`, a HAR, two captures, pages."""

import asyncio
import json
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from tests.support.engine import Engine, wsinspect_json
from tests.support.sandwich_lab import echo_server, standing, talk
from tests.support.small_servers import Page, pages
from wsinspect.capture.reader import Capture
from wsinspect.demo.hop import Hop
from wsinspect.demo.server import ChatServer
from wsinspect.diagnosis.facts import diagnose


async def _refused(folder):
    """The demo's hop, which takes Upgrade away, between two taps."""
    async with ChatServer(5) as server:
        with_origin = await asyncio.to_thread(
            lambda: Engine.start(
                "--tap", f"origin=127.0.0.1:0=http://127.0.0.1:{server.port}", folder=folder / "o"
            )
        )
        async with Hop(with_origin.port("origin")) as hop:
            edge = await asyncio.to_thread(
                lambda: Engine.start(
                    "--tap", f"edge=127.0.0.1:0=http://127.0.0.1:{hop.port}", folder=folder / "e"
                )
            )
            await talk(f"ws://127.0.0.1:{edge.port('edge')}/chat")
            event = await asyncio.to_thread(lambda: edge.wait_for_event("finding"))
            await asyncio.to_thread(edge.stop)
        await asyncio.to_thread(with_origin.stop)
    return event, edge.capture, with_origin.capture


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refused")
    return (folder, *asyncio.run(_refused(folder)))


def test_run_prints_a_finding_and_stores_it(refused):
    _, event, edge, _ = refused
    assert (event["id"], event["severity"], event["connection"]) == ("WS-HS-002", "error", 1)
    assert event["fixes"]
    with Capture.open(edge) as capture:
        rows = capture.query("SELECT rule, severity, connection_id, detail FROM finding")
        found = diagnose(capture.query)
    assert [(rule, severity, number) for rule, severity, number, _ in rows] == [("WS-HS-002", "error", 1)]
    assert [one.as_json() for one in found] == [json.loads(rows[0][3])]


def test_diagnose_ends_with_1_where_there_is_an_error(refused):
    folder, _, edge, _ = refused
    code, told = wsinspect_json(folder, "diagnose", edge)
    assert code == 1
    assert [one["id"] for one in told["findings"]] == ["WS-HS-002"]


def test_two_captures_are_joined_and_their_clocks_compared(refused):
    folder, _, edge, origin = refused
    code, told = wsinspect_json(folder, "diagnose", edge, "--origin", origin)
    assert code == 1
    assert [one["id"] for one in told["findings"]] == ["WS-HS-101"]
    (pair,) = told["sandwich"]
    assert pair["joined_by"] == "key"
    assert pair["clock"]["same_clock"] is False
    # One machine has one clock: the estimate is right within the error that it states.
    assert abs(pair["clock"]["difference_ns"]) <= pair["clock"]["error_ns"]
    assert any((line["before"] or "").startswith("Upgrade:") for line in pair["request_changes"])


async def _healthy(folder):
    async with echo_server() as (_, app):
        engine = await asyncio.to_thread(
            lambda: Engine.start("--tap", f"main=127.0.0.1:0=http://127.0.0.1:{app}", folder=folder)
        )
        for _ in range(3):
            await talk(f"ws://127.0.0.1:{engine.port('main')}/chat")
        await asyncio.to_thread(engine.stop)
    return engine


def test_a_healthy_session_has_none_and_ends_with_0(tmp_path):
    engine = asyncio.run(_healthy(tmp_path))
    assert [event["event"] for event in engine.events if event["event"] == "finding"] == []
    code, told = wsinspect_json(tmp_path, "diagnose", engine.capture)
    assert (code, told["findings"], told["connections"]) == (0, [], 3)
    _, shown = wsinspect_json(tmp_path, "show", engine.capture, 1)
    card = shown["provenance"]
    assert (card["ended_by"], card["how"], card["client_close"]["code"]) == ("client", "close-frame", 1000)
    assert card["last"]["s2c"]["frame"] is not None
    assert card["js"] == {"code": 1000, "wasClean": True}


def test_a_har_of_a_browser_is_diagnosed(tmp_path):
    request = [
        {"name": name, "value": value}
        for name, value in {
            "Host": "example.org",
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Origin": "http://example.org",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version": "13",
        }.items()
    ]
    entry = {
        "startedDateTime": "2026-01-01T00:00:00.000Z",
        "time": 12,
        "_resourceType": "websocket",
        "_webSocketMessages": [],
        "request": {
            "method": "GET",
            "url": "ws://example.org/socket.io/?EIO=4&transport=websocket",
            "httpVersion": "HTTP/1.1",
            "headers": request,
        },
        "response": {
            "status": 403,
            "statusText": "Forbidden",
            "httpVersion": "HTTP/1.1",
            "headers": [{"name": "Server", "value": "nginx"}],
            "content": {"size": 0},
        },
    }
    path = tmp_path / "page.har"
    path.write_text(json.dumps({"log": {"version": "1.2", "entries": [entry]}}))
    code, told = wsinspect_json(tmp_path, "diagnose", path)
    assert code == 1, told
    assert [one["id"] for one in told["findings"]] == ["WS-HS-010"]


#: Pages that do not open the socket that they speak of.
SITE = {
    "/plain": Page(b"<html>nothing</html>"),
    "/csp": Page(
        b"<script>new WebSocket('wss://api.other.test/')</script>",
        fields={"Content-Security-Policy": "default-src 'self'"},
    ),
    "/none": Page(b"<script src=/app.js></script>"),
    "/app.js": Page(b"const s = new WebSocket(`wss://${location.host}/ws`)", "text/javascript"),
    "/gone": Page(b"io() <script src=/missing.js></script>"),
    "/socket.io/": Page(b'0{"sid":"a","upgrades":[],"pingInterval":25000}', "text/plain"),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loads", "options", "expected"),
    [
        (["/plain"], (), []),
        (["/csp"], (), ["WS-PAGE-002"]),
        (["/none", "/app.js"], (), ["WS-PAGE-001"]),
        (["/gone", "/missing.js"], (), ["WS-PAGE-005"]),
        (["/gone", *["/socket.io/?EIO=4&transport=polling"] * 3], (), ["WS-PAGE-004"]),
        (["/csp"], ("--no-page-scan",), []),
    ],
)
def test_a_page_that_never_tries_is_noted(tmp_path, loads, options, expected):
    with (
        pages(SITE.get) as port,
        Engine.start(
            *("--tap", f"main=127.0.0.1:0=http://127.0.0.1:{port}", "--page-wait", "600ms"),
            *options,
            folder=tmp_path,
        ) as engine,
    ):
        base = f"http://127.0.0.1:{engine.port('main')}"
        opener = build_opener(ProxyHandler({}))
        for index, path in enumerate(loads):
            accept = {"Accept": "text/html"} if index == 0 else {"Accept": "*/*", "Referer": base + loads[0]}
            try:
                opener.open(Request(base + path, headers=accept), timeout=20).read()
            except OSError:  # a 404 is one of the cases
                continue
        if expected:
            engine.wait_for_event("finding")
        else:
            with pytest.raises(TimeoutError):
                engine.wait_for_event("finding", timeout=1.5)
        engine.stop()
    assert [rule for rule, _ in standing(engine.events)] == expected
