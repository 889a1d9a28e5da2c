"""What a real client asks for near its attempts is in the capture and on the screen, without bodies."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import InvalidStatus
from websockets.http11 import Request, Response

from tests.support.engine import Engine, wsinspect_json
from tests.support.tui_pilot import opened
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.facts import diagnose


def application(connection: ServerConnection, request: Request) -> Response | None:
    """A page, a token that is refused once, and a socket that wants one."""
    path, _, query = request.path.partition("?")
    if path == "/ws":
        return None if query == "token=good" else connection.respond(401, "no token\n")
    return connection.respond(500 if query == "user=bad" else 200, "a body that nobody keeps\n")


def get(port: int, path: str) -> int:
    """The status of an answer, read to its end."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    client.request("GET", path, headers={"Accept": "text/html" if path == "/" else "*/*"})
    answer = client.getresponse()
    answer.read()
    client.close()
    return answer.status


async def played(folder: Path, play: Callable[[int], None]) -> Path:
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve(echo, "127.0.0.1", 0, process_request=application, ping_interval=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        engine = await asyncio.to_thread(
            Engine.start, "--tap", f"app=127.0.0.1:0=http://127.0.0.1:{port}", folder=folder
        )
        try:
            await asyncio.to_thread(play, engine.port("app"))
        finally:
            await asyncio.to_thread(engine.stop)
    return engine.capture


def session(port: int) -> None:
    """A page; a refused attempt behind a failed token; then a token, and a socket."""

    async def attempt(query: str) -> None:
        async with connect(f"ws://127.0.0.1:{port}/ws?{query}", proxy=None) as socket:
            await socket.send("hello")
            assert await socket.recv() == "hello"

    assert get(port, "/") == 200
    assert get(port, "/token?user=bad") == 500
    with pytest.raises(InvalidStatus):
        asyncio.run(attempt("token="))
    assert get(port, "/token?user=good") == 200
    asyncio.run(attempt("token=good"))
    assert get(port, "/after") == 200


def test_what_happened_just_before_is_on_record(tmp_path: Path) -> None:
    capture = asyncio.run(played(tmp_path, session))
    with Capture.open(capture) as opened_capture:
        first, second = opened_capture.connections()
        found = {
            one.id: [
                (
                    event.time_ns < (one.attempt_ns or 0),
                    event.detail["url"].rpartition("/")[2],
                    event.detail["status"],
                )
                for event in opened_capture.events(one.id)
                if event.kind == "http"
            ]
            for one in (first, second)
        }
        # The tool's own evidence is not disturbed: the attempt is refused as without them.
        assert any(one.connection == first.id for one in diagnose(opened_capture.query))
        raw = json.dumps([event.detail for event in opened_capture.events(None, limit=10_000)])
    assert found[first.id] == [
        (True, "", 200),
        (True, "token?user=bad", 500),
        (False, "token?user=good", 200),
    ]
    assert found[second.id] == [
        (True, "", 200),
        (True, "token?user=bad", 500),
        (True, "token?user=good", 200),
        (False, "after", 200),
    ]
    assert "nobody keeps" not in raw

    async def screen() -> list[str]:
        async with opened(capture, size=(140, 40)) as shown:
            return shown.pane("frames")

    shown = "\n".join(asyncio.run(screen()))
    assert "/token?user=bad → 500" in shown
    code, answer = wsinspect_json(tmp_path, "show", capture, 2)
    assert code == 0
    assert [
        one["status"] for one in map(lambda one: one.get("detail", one), answer["events"]) if "url" in one
    ] == [*(200, 500, 200, 200)]
