"""`wsinspect diagnose` of others' recordings: HAR as Chrome and Firefox write it, mitmdump's flow files."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import WebSocketException
from websockets.http11 import Request, Response

from tests.support.devtools import DevTools, devtools
from tests.support.engine import wsinspect_json
from tests.support.hops import LOOPBACK, Hop
from tests.support.small_servers import free_port
from tests.support.threaded_loop import ThreadedLoop

pytestmark = pytest.mark.lab


async def application(socket: ServerConnection) -> None:
    path = socket.request.path if socket.request else ""
    with contextlib.suppress(WebSocketException):
        async for message in socket:
            await socket.send(message)
            if path == "/1011":
                await socket.close(1011, "it broke")


def answer(connection: ServerConnection, request: Request) -> Response | None:
    if request.path == "/403":
        return connection.respond(403, "no")
    if request.path == "/426":
        response = connection.respond(426, "Upgrade Required")
        response.headers["Upgrade"] = "websocket"
        return response
    if request.path == "/page":
        response = connection.respond(200, "<!doctype html><title>page</title>")
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "text/html"
        return response
    return None


@pytest.fixture(scope="module")
def lab() -> Iterator[tuple[ThreadedLoop, int]]:
    async def begin() -> Any:
        return await serve(application, LOOPBACK, 0, process_request=answer, ping_interval=None)

    async def end(server: Any) -> None:
        server.close()
        await server.wait_closed()

    with ThreadedLoop() as loop:
        server = loop.run(begin())
        yield loop, next(iter(server.sockets)).getsockname()[1]
        loop.run(end(server))


def diagnose(folder: Path, file: Path) -> tuple[int, list[str]]:
    """The exit code, and the finding ids with the number of their connection."""
    code, told = wsinspect_json(folder, "diagnose", file)
    return code, sorted(f"#{one['connection']} {one['id']}" for one in told["findings"])


# -- HAR


TALK = """new Promise((resolve) => {
  const socket = new WebSocket(URL_OF_SOCKET);
  socket.onopen = () => socket.send("hello");
  socket.onmessage = () => socket.close(1000);
  socket.onclose = ({ code }) => resolve(code);
})"""


def pairs(headers: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers.items()]


def chrome_entry(socket: dict[str, Any], begun: float) -> dict[str, Any]:
    """What Chrome's "Export HAR" writes of a WebSocket, from what its DevTools protocol says of it."""
    events: dict[str, list[Any]] = {}
    for kind, *rest in socket["events"]:
        events.setdefault(kind, []).append(rest)
    status, headers = (events.get("response") or [[0, {}]])[0]
    frames = [one for one in socket["events"] if one[0] in ("sent", "received")]
    failures = [
        {"type": "error", "time": begun, "opcode": -1, "data": text} for (text,) in events.get("error", [])
    ]
    return {
        "_initiator": {"type": "script"},
        "_priority": "High",
        "_resourceType": "websocket",
        "_webSocketMessages": [
            {
                "type": "send" if kind == "sent" else "receive",
                "time": begun + 0.001 * number,
                "opcode": opcode,
                "data": data,
            }
            for number, (kind, opcode, _, data) in enumerate(frames, 1)
        ]
        + failures,
        "cache": {},
        "startedDateTime": datetime.fromtimestamp(begun, UTC).isoformat().replace("+00:00", "Z"),
        "time": 12.5,
        "request": {
            "method": "GET",
            "url": socket["url"],
            "httpVersion": "HTTP/1.1",
            "headers": pairs((events.get("request") or [[{}]])[0][0]),
            "queryString": [],
            "cookies": [],
            "headersSize": 400,
            "bodySize": 0,
        },
        "response": {
            "status": status,
            "statusText": "",
            "httpVersion": "HTTP/1.1" if status else "",
            "headers": pairs(headers),
            "cookies": [],
            "content": {"size": 0, "mimeType": "x-unknown"},
            "redirectURL": "",
            "headersSize": 200,
            "bodySize": -1,
            "_transferSize": 0,
            "_error": None if status == 101 else "net::ERR_INVALID_RESPONSE",
        },
        "timings": {"blocked": -1, "dns": -1, "connect": -1, "send": 0, "wait": 0, "receive": 0},
    }


def har(path: Path, creator: str, entries: list[dict[str, Any]]) -> Path:
    log = {"version": "1.2", "creator": {"name": creator, "version": "1"}, "pages": [], "entries": entries}
    path.write_text(json.dumps({"log": log}))
    return path


@pytest.fixture(scope="module")
def chromium(lab: tuple[ThreadedLoop, int]) -> Iterator[DevTools]:
    with devtools(lab[0]) as browser:
        yield browser


def test_a_har_as_chrome_exports_it(lab, chromium, tmp_path):
    port, begun = lab[1], datetime.now(UTC).timestamp()
    chromium.open("har", f"http://{LOOPBACK}:{port}/page")
    urls = [f"ws://{LOOPBACK}:{port}{path}" for path in ("/good", "/403", "/426")]
    for url in (*urls, f"ws://{LOOPBACK}:{free_port()}/nobody", f"wss://{LOOPBACK}:{port}/plain"):
        chromium.evaluate("har", TALK.replace("URL_OF_SOCKET", repr(url)))
    entries = [chrome_entry(one, begun + number) for number, one in enumerate(chromium.sockets("har"))]
    file = har(tmp_path / "chrome.har", "WebInspector", entries)
    assert diagnose(tmp_path, file) == (
        1,
        ["#2 WS-HS-010", "#3 WS-HS-002", "#4 WS-HS-032", "#5 WS-HS-035"],
    )
    healthy = har(tmp_path / "healthy.har", "WebInspector", entries[:1])
    assert diagnose(tmp_path, healthy) == (0, [])


def firefox_entry(port: int, path: str, status: int, body: str = "") -> dict[str, Any]:
    """What Firefox's "Save All As HAR" writes of a handshake: no messages, heads and times as it has them."""
    request = {
        "Host": f"{LOOPBACK}:{port}",
        "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "Accept": "*/*",
        "Sec-WebSocket-Version": "13",
        "Origin": f"http://{LOOPBACK}:{port}",
        "Sec-WebSocket-Extensions": "permessage-deflate",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Connection": "keep-alive, Upgrade",
        "Upgrade": "websocket",
    }
    accepted = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    }
    return {
        "pageref": "page_1",
        "startedDateTime": "2026-11-21T10:00:00.000+00:00",
        "request": {
            "bodySize": 0,
            "method": "GET",
            "url": f"ws://{LOOPBACK}:{port}{path}",
            "httpVersion": "HTTP/1.1",
            "headers": pairs(request),
            "cookies": [],
            "queryString": [],
            "headersSize": 512,
        },
        "response": {
            "status": status,
            "statusText": "",
            "httpVersion": "HTTP/1.1",
            "headers": pairs(accepted if status == 101 else {"Server": "nginx/1.22.1"}),
            "cookies": [],
            "content": {"mimeType": "text/plain", "size": len(body), "text": body},
            "redirectURL": "",
            "headersSize": 120,
            "bodySize": 120,
        },
        "cache": {},
        "timings": {
            **{"blocked": 0, "dns": 0, "connect": 0, "ssl": 0},
            **{"send": 0, "wait": 3, "receive": 0},
        },
        "time": 3,
        "_securityState": "insecure",
        "serverIPAddress": LOOPBACK,
        "connection": str(port),
    }


ENGINE = "/socket.io/?EIO=4&transport=websocket"


def test_a_har_as_firefox_saves_it(tmp_path):
    entries = [
        firefox_entry(8000, "/good", 101),
        firefox_entry(8000, "/ws", 404, "not found"),
        firefox_entry(
            8000, "/socket.io/?EIO=4&transport=websocket", 400, '{"code":3,"message":"Bad request"}'
        ),
    ]
    file = har(tmp_path / "firefox.har", "Firefox", entries)
    assert diagnose(tmp_path, file) == (1, ["#2 WS-HS-011", "#3 WS-HS-002"])
    healthy = har(tmp_path / "healthy.har", "Firefox", entries[:1])
    assert diagnose(tmp_path, healthy) == (0, [])


# -- flows


def test_a_flow_file_of_mitmdump(lab, tmp_path):
    loop, app = lab
    port, file = free_port(), tmp_path / "flows"
    command = [
        *(str(Path(sys.executable).with_name("mitmdump")), "-q", "-w", str(file)),
        *("--mode", f"reverse:http://{LOOPBACK}:{app}", "-p", str(port), "--listen-host", LOOPBACK),
        *("--set", f"confdir={tmp_path / 'conf'}", "--set", "keep_host_header=true"),
    ]

    async def talk(path: str) -> None:
        with contextlib.suppress(WebSocketException, OSError):
            async with connect(f"ws://{LOOPBACK}:{port}{path}", proxy=None) as socket:
                await socket.send("hello")
                await socket.recv()
                if path == "/1011":
                    await asyncio.wait_for(socket.wait_closed(), 20)

    with Hop.start(command, port, tmp_path):
        for path in ("/good", "/403", "/1011"):
            loop.run(talk(path))
    assert diagnose(tmp_path, file) == (1, ["#2 WS-HS-010", "#3 WS-CL-011"])
