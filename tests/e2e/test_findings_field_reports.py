"""Four failures that people reported, played with real parts, and found from the command line.

Each is recorded by `wsinspect run` and explained by `wsinspect diagnose --json`: its findings, the hop, the
line that fixes it, and the exit code.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import WebSocketException

from tests.support.engine import Engine
from tests.support.field_reports import application, by_path, converse, diagnose, ids, record
from tests.support.finding_lab import in_time
from tests.support.hops import LOOPBACK, NGINX_GOOD
from tests.support.small_servers import Page, free_port, mute, pages

pytestmark = pytest.mark.lab


# -- report 1: wss fails in production


def test_report_1_nginx_without_the_three_lines_and_then_its_idle_timeout(tmp_path):
    locations = f"""
    location /ws/ {{ proxy_pass http://ORIGIN; proxy_http_version 1.1; proxy_set_header Host $http_host; }}
    location /fixed/ {{ {NGINX_GOOD} proxy_read_timeout 3s; proxy_pass http://ORIGIN; }}
    """

    async def talk(base):
        await converse(f"{base}/ws/board?token=x")
        await converse(f"{base}/fixed/board?token=x", waits=True)

    capture = asyncio.run(record(tmp_path, locations, talk))
    code, told = diagnose(tmp_path, capture)
    assert code == 1
    assert by_path(told, capture) == {"/ws/board": ["WS-HS-101"], "/fixed/board": ["WS-DROP-101"]}
    stripped = next(one for one in told["findings"] if one["id"] == "WS-HS-101")
    assert "nginx" in stripped["hop"]
    nginx_fix = stripped["fixes"][0]
    assert nginx_fix["for"] == "nginx"
    for line in ("proxy_http_version 1.1;", "Upgrade $http_upgrade;", "Connection $connection_upgrade;"):
        assert line in nginx_fix["text"]
    dropped = next(one for one in told["findings"] if one["id"] == "WS-DROP-101")
    assert "proxy_read_timeout" in dropped["fixes"][0]["text"]
    assert "1006" in dropped["js"]


# -- report 2: intermittent failures behind Nginx Proxy Manager


def engine_io(path: str) -> Page:
    """What Engine.IO says to a WebSocket request that lost its Upgrade; and a page that never tries."""
    if path.startswith("/socket.io/"):
        return Page(b'{"code":3,"message":"Bad request"}', "application/json", 400)
    return Page(b"<html><script>/* hydrated wrongly */ const s = () => io()</script></html>")


def test_report_2_a_custom_location_that_inherits_nothing(tmp_path):
    with pages(engine_io) as port:
        locations = f"""
        {NGINX_GOOD}
        location /socket.io/ {{
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_pass http://{LOOPBACK}:{port};
        }}
        location / {{ proxy_pass http://ORIGIN; }}
        """

        async def talk(base):
            await converse(f"{base}/socket.io/?EIO=4&transport=websocket")
            await converse(f"{base}/500")
            await converse(f"{base}/fine")

        capture = asyncio.run(record(tmp_path, locations, talk))
    code, told = diagnose(tmp_path, capture)
    assert code == 1
    found = by_path(told, capture)
    assert found["/socket.io/"][0] == "WS-HS-002"
    assert found["/500"] == ["WS-HS-019"]
    assert found["/fine"] == []
    refused = next(one for one in told["findings"] if one["id"] == "WS-HS-002")
    assert refused["confidence"] == "high"
    assert "repeat" in refused["fixes"][0]["text"]


def test_report_2_the_page_that_never_tries(tmp_path):
    with (
        pages(engine_io) as port,
        Engine.start(
            "--tap", f"edge={LOOPBACK}:0=http://{LOOPBACK}:{port}", "--page-wait", "500ms", folder=tmp_path
        ) as engine,
    ):
        url = f"http://{LOOPBACK}:{engine.port('edge')}/"
        opener = build_opener(ProxyHandler({}))
        opener.open(Request(url, headers={"Accept": "text/html"}), timeout=20).read()
        event = engine.wait_for_event("finding")
        engine.stop()
        assert event["id"] == "WS-PAGE-001"
        _, told = diagnose(tmp_path, engine.capture)
    assert ids(told) == ["WS-PAGE-001"]
    assert any("no WebSocket attempt within 500 ms" in line for line in told["findings"][0]["evidence"])


# -- report 3: troubleshooting through a tunnel

CODES = {
    "/close/1000": [],
    "/close/1001": ["WS-CL-001"],
    "/close/1002": ["WS-CL-002"],
    "/close/1003": ["WS-CL-003"],
    "/close/1007": ["WS-CL-007"],
    "/close/1008": ["WS-CL-008"],
    "/close/1009": ["WS-CL-009"],
    "/close/1010": ["WS-CL-010"],
    "/close/1011": ["WS-CL-011"],
    "/close/1012": ["WS-CL-012"],
    "/close/1013": ["WS-CL-013"],
    "/close/1014": ["WS-CL-014"],
    "/close/4321": ["WS-CL-030"],
}


def test_report_3_each_close_code_and_the_1006(tmp_path):
    async def talk(base):
        await asyncio.gather(*(converse(f"{base}{path}", waits=True) for path in (*CODES, "/abort")))

    capture = asyncio.run(record(tmp_path, None, talk))
    code, told = diagnose(tmp_path, capture)
    assert code == 1
    found = by_path(told, capture)
    assert found.pop("/abort")[0] in ("WS-DROP-005", "WS-DROP-006", "WS-DROP-001")
    assert found == CODES


def test_report_3_502_hot_reload_and_the_handshake_that_takes_too_long(tmp_path):
    async def play():
        silent = await asyncio.start_server(mute, LOOPBACK, 0)
        async with silent:
            port = silent.sockets[0].getsockname()[1]
            locations = f"""
            location /502 {{ {NGINX_GOOD} proxy_pass http://{LOOPBACK}:{free_port()}; }}
            location /slow {{ {NGINX_GOOD} proxy_read_timeout 1s; proxy_pass http://{LOOPBACK}:{port}; }}
            location /hmr {{ proxy_pass http://ORIGIN; proxy_http_version 1.1; }}
            """

            async def talk(base):
                await converse(f"{base}/502")
                await converse(f"{base}/slow")
                await converse(f"{base}/hmr", subprotocols=["vite-hmr"])

            return await record(tmp_path, locations, talk)

    capture = asyncio.run(play())
    code, told = diagnose(tmp_path, capture)
    assert code == 1
    found = by_path(told, capture)
    assert found == {
        "/502": ["WS-HS-020", "WS-HS-103"],
        "/slow": ["WS-HS-022", "WS-HS-103"],
        "/hmr": ["WS-HS-101"],
    }


def test_report_3_the_client_that_gives_up(tmp_path):
    async def play(folder):
        async with await asyncio.start_server(mute, LOOPBACK, 0) as silent:
            port = silent.sockets[0].getsockname()[1]
            engine = await asyncio.to_thread(
                lambda: Engine.start("--tap", f"edge={LOOPBACK}:0=http://{LOOPBACK}:{port}", folder=folder)
            )
            await converse(f"ws://{LOOPBACK}:{engine.port('edge')}/socket", patience=3)
            await asyncio.to_thread(engine.stop)
        return engine.capture

    code, told = diagnose(tmp_path, in_time(tmp_path, lambda folder: asyncio.run(play(folder))))
    assert code == 1
    assert ids(told) == ["WS-HS-036"]


class Lossy:
    """A hop that ends the WebSocket and opens another one, as a tunnel does, and drops two messages."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def __call__(self, outer: ServerConnection) -> None:
        path = outer.request.path if outer.request else "/"
        async with connect(f"ws://{LOOPBACK}:{self.port}{path}", ping_interval=None, proxy=None) as inner:

            async def back() -> None:
                async for message in inner:
                    await outer.send(message)

            task = asyncio.create_task(back())
            with contextlib.suppress(WebSocketException):
                number = 0
                async for message in outer:
                    number += 1
                    if path != "/lossy" or number not in (4, 5):
                        await inner.send(message)
            await asyncio.sleep(0.2)
            task.cancel()


def test_report_3_dropped_frames(tmp_path):
    """The tunnel's queue drops two messages; beside it the same conversation without a loss."""

    async def talk(url: str, expected: int) -> None:
        async with connect(url, ping_interval=None, proxy=None) as socket:
            for number in range(8):
                await socket.send(f"update {number}")
                await asyncio.sleep(0.02)
            for _ in range(expected):
                await asyncio.wait_for(socket.recv(), 20)

    async def play() -> Path:
        async with serve(application, LOOPBACK, 0, ping_interval=None) as server:
            app = next(iter(server.sockets)).getsockname()[1]
            behind = free_port()
            async with serve(Lossy(behind), LOOPBACK, 0, ping_interval=None) as tunnel:
                port = next(iter(tunnel.sockets)).getsockname()[1]
                engine = await asyncio.to_thread(
                    lambda: Engine.start(
                        *("--tap", f"edge={LOOPBACK}:0=http://{LOOPBACK}:{port}"),
                        *("--tap", f"origin={LOOPBACK}:{behind}=http://{LOOPBACK}:{app}"),
                        folder=tmp_path,
                    )
                )
                base = f"ws://{LOOPBACK}:{engine.port('edge')}"
                await talk(f"{base}/lossy", 6)
                await talk(f"{base}/whole", 8)
                await asyncio.to_thread(engine.stop)
        return engine.capture

    capture = asyncio.run(play())
    code, told = diagnose(tmp_path, capture)
    found = by_path(told, capture)
    assert found == {"/lossy": ["WS-MS-102"], "/whole": []}
    lost = told["findings"][0]
    assert lost["evidence"][0] == "c>s: 8 messages went in, 6 came out"
    assert code == (1 if lost["severity"] == "error" else 0)
