"""A library's first request fails, and no WebSocket follows: live, in a HAR and in mitmproxy's flows.

The answers are of the kind of public bug reports, such as spring-guides/gs-messaging-stomp-websocket#26
(SockJS) and Azure/azure-signalr#494.
"""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
from pathlib import Path
from typing import Any

from mitmproxy.test import tflow, tutils
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from tests.support.engine import Engine, wsinspect_json
from tests.support.flows import written
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.facts import diagnose
from wsinspect.formats.importing import import_file

NEGOTIATED = b'{"connectionToken":"t","availableTransports":[{"transport":"ServerSentEvents"}]}'
SERVED = b'{"connectionToken":"t","availableTransports":[{"transport":"WebSockets"}]}'
#: Path, then status, type and body of the answer.
ANSWERS = {
    "/stomp/info": (404, "text/html", b"<title>404 Not Found</title>"),
    "/poll/socket.io/": (502, "text/html", b"<title>502 Bad Gateway</title>"),
    "/iis/signalr/negotiate": (200, "application/json", NEGOTIATED),
    "/later/signalr/negotiate": (200, "application/json", SERVED),
    "/ws/123/abcdefgh/eventsource": (404, "text/plain", b""),
}
ASKED = (
    "/stomp/info?t=1589556727552",
    "/poll/socket.io/?EIO=4&transport=polling",
    "/iis/signalr/negotiate?clientProtocol=2.1",
    "/ws/123/abcdefgh/eventsource",
    "/plain/info?name=x",
)
#: What is found of them, with what the title says.
FOUND = {
    (
        "WS-APP-094",
        "warning",
        "SockJS: info was answered with 404: nothing is at this path; no WebSocket followed",
    ),
    (
        *("WS-APP-013", "error"),
        "Socket.IO: the first request is answered with 502, so no WebSocket is tried",
    ),
    ("WS-APP-096", "warning", "SignalR: the server offers no WebSocket"),
    (
        *("WS-APP-094", "error"),
        "SockJS: a fallback's request was answered with 404: nothing is at this path",
    ),
}


def answer(connection: ServerConnection, request: Request) -> Response | None:
    path = request.path.partition("?")[0]
    if path not in ANSWERS:
        return None if "Upgrade" in request.headers else connection.respond(404, "other\n")
    status, kind, body = ANSWERS[path]
    packed = gzip.compress(body)
    fields = {"Content-Type": kind, "Content-Encoding": "gzip", "Content-Length": str(len(packed))}
    return Response(status, "Said", Headers(fields), packed)


def get(port: int, path: str) -> None:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    client.request("GET", path)
    client.getresponse().read()
    client.close()


def found_in(capture: Path) -> set[tuple[str, str, str]]:
    with Capture.open(capture) as opened:
        return {(one.id, one.severity, one.title) for one in diagnose(opened.query) if "-APP-" in one.id}


def test_live(tmp_path: Path) -> None:
    said = asyncio.run(live(tmp_path))
    assert {(one["id"], one["severity"], one["title"]) for one in said if "-APP-" in one["id"]} == FOUND


async def live(tmp_path: Path) -> list[dict[str, Any]]:
    """Findings of `diagnose` in JSON; those of the library are the same."""

    async def greet(connection: ServerConnection) -> None:
        await connection.send("hello")

    async with serve(greet, "127.0.0.1", 0, process_request=answer, ping_interval=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        tap = f"app=127.0.0.1:0=http://127.0.0.1:{port}"
        engine = await asyncio.to_thread(Engine.start, "--tap", tap, folder=tmp_path)
        try:
            for path in ASKED:
                await asyncio.to_thread(get, engine.port("app"), path)
            # What succeeds in the end is nobody's fault.
            await asyncio.to_thread(get, engine.port("app"), "/later/info?t=1")
            async with connect(f"ws://127.0.0.1:{engine.port('app')}/later/ws", proxy=None) as socket:
                assert await socket.recv() == "hello"
        finally:
            await asyncio.to_thread(engine.stop)
    assert found_in(engine.capture) == FOUND
    _, said = wsinspect_json(tmp_path, "diagnose", str(engine.capture))
    findings: list[dict[str, Any]] = said["findings"]
    return findings


def test_in_a_har(tmp_path: Path) -> None:
    entries = []
    for number, path in enumerate(ASKED):
        status, kind, body = ANSWERS.get(path.partition("?")[0], (404, "text/plain", b"other"))
        entries.append(
            {
                "startedDateTime": f"2026-10-01T10:00:0{number}.000Z",
                "time": 5,
                "request": {"method": "GET", "url": f"https://app.test{path}", "headers": []},
                "response": {
                    "status": status,
                    "headers": [{"name": "Content-Type", "value": kind}],
                    "content": {"mimeType": kind, "text": body.decode()},
                },
            }
        )
    (tmp_path / "a.har").write_text(json.dumps({"log": {"version": "1.2", "entries": entries}}))
    import_file(tmp_path / "a.har", tmp_path / "a.db")
    assert found_in(tmp_path / "a.db") == FOUND
    code, said = wsinspect_json(tmp_path, "diagnose", str(tmp_path / "a.har"))
    assert code == 1
    assert {(one["id"], one["severity"], one["title"]) for one in said["findings"]} == FOUND
    assert said["connections"] == 0


def test_in_flows(tmp_path: Path) -> None:
    flows = []
    for path in ASKED:
        status, kind, body = ANSWERS.get(path.partition("?")[0], (404, "text/plain", b"other"))
        packed = {"content-type": kind, "content-encoding": "gzip"}
        headers = tuple((name.encode(), value.encode()) for name, value in packed.items())
        response = tutils.tresp(status_code=status, headers=headers, content=gzip.compress(body))
        flows.append(tflow.tflow(req=tutils.treq(path=path.encode(), content=b""), resp=response))
    (tmp_path / "x.flows").write_bytes(written(*flows))
    import_file(tmp_path / "x.flows", tmp_path / "x.db")
    assert found_in(tmp_path / "x.db") == FOUND
