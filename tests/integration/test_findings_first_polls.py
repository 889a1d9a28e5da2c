"""Socket.IO's first polls at a real python-socketio server: each failure is one finding, and what works none;
live, and the same traffic in a HAR and in mitmproxy's flows.
"""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import socketio
from mitmproxy.test import tflow, tutils

from tests.support.app_uvicorn import running
from tests.support.engine import Engine
from tests.support.flows import written
from tests.support.threaded_loop import ThreadedLoop
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.facts import diagnose
from wsinspect.formats.importing import import_file

POLL = "/socket.io/?EIO=4&transport=polling"
PAGE = {"Origin": "http://page.test", "User-Agent": "Mozilla/5.0"}


class Said(NamedTuple):
    """A request, and what the server answered."""

    method: str
    path: str
    asked: dict[str, str]
    status: int
    answered: dict[str, str]
    body: bytes


class Late:
    """An application that is not ready at its first request."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.asked = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        if self.asked > 1:
            await self._app(scope, receive, send)
            return
        await send(
            {"type": "http.response.start", "status": 503, "headers": [(b"content-type", b"text/plain")]}
        )
        await send({"type": "http.response.body", "body": b"starting"})


def served(**options: Any) -> Any:
    return socketio.ASGIApp(socketio.AsyncServer(async_mode="asgi", **options))


#: What is asked of which server, and what is found.
CASES: dict[str, tuple[Any, list[tuple[str, str, dict[str, str]]], list[str]]] = {
    "well": (served(), [("GET", POLL, {})], []),
    # python-engineio's `[]` refuses nobody and sends no field of CORS: the browser keeps the answer
    "no CORS": (served(cors_allowed_origins=[]), [("GET", POLL, PAGE)], ["WS-APP-095"]),
    "its own page": (served(cors_allowed_origins=[]), [("GET", POLL, {"User-Agent": "Mozilla/5.0"})], []),
    "another origin": (served(cors_allowed_origins=["http://x.test"]), [("GET", POLL, PAGE)], ["WS-APP-013"]),
    "allowed origin": (served(cors_allowed_origins=["http://page.test"]), [("GET", POLL, PAGE)], []),
    "polls alone": (
        served(cors_allowed_origins=[], allow_upgrades=False),
        [("GET", POLL, {})],
        ["WS-APP-096"],
    ),
    "CORS left to others": (
        served(cors_allowed_origins="*", cors_credentials=False),
        [("GET", POLL, PAGE)],
        [],
    ),
    "version": (served(), [("GET", POLL.replace("EIO=4", "EIO=2"), {})], ["WS-APP-013"]),
    "elsewhere": (served(), [("GET", f"/app{POLL}", {})], ["WS-APP-013"]),
    "second try": (Late(served()), [("GET", POLL, {}), ("GET", POLL, {})], []),
    "health": (served(), [("GET", "/healthz", {}), ("GET", "/socket.io/", {}), ("HEAD", POLL, {})], []),
    "another thing": (
        served(),
        [
            ("POST", "/offers/negotiate", PAGE),
            ("OPTIONS", "/offers/negotiate", {**PAGE, "Access-Control-Request-Method": "POST"}),
            ("GET", "/api/info?t=1589556727552", PAGE),
        ],
        [],
    ),
}


def ask(port: int, method: str, path: str, fields: dict[str, str]) -> Said:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        client.request(method, path, headers=fields)
        answer = client.getresponse()
        body = answer.read()
        return Said(method, path, fields, answer.status, dict(answer.getheaders()), body)
    finally:
        client.close()


def found_in(capture: Path) -> list[str]:
    if not capture.exists():
        return []  # a run that has nothing to record leaves none
    with Capture.open(capture) as opened:
        return [one.id for one in diagnose(opened.query) if one.severity != "note"]


@pytest.fixture(scope="module")
def loop() -> Iterator[ThreadedLoop]:
    with ThreadedLoop() as one:
        yield one
        one.run(without_tasks())


async def without_tasks() -> None:
    """End the servers' own tasks: sessions that nobody polls any more are pinged for a while."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@pytest.mark.parametrize("case", CASES)
def test_first_polls(case: str, loop: ThreadedLoop, tmp_path: Path) -> None:
    app, requests, expected = CASES[case]
    with running(loop, app, "websockets-sansio") as port:
        engine = Engine.start("--tap", f"app=127.0.0.1:0=http://127.0.0.1:{port}", folder=tmp_path)
        try:
            said = [ask(engine.port("app"), *one) for one in requests]
        finally:
            engine.stop()
    found = {"live": found_in(engine.capture)}
    (tmp_path / "a.har").write_text(json.dumps(har(said)))
    (tmp_path / "a.flows").write_bytes(written(*map(flow, said)))
    for kind in ("har", "flows"):
        import_file(tmp_path / f"a.{kind}", tmp_path / f"{kind}.db")
        found[kind] = found_in(tmp_path / f"{kind}.db")
    assert found == dict.fromkeys(("live", "har", "flows"), expected), [
        (one.status, one.body) for one in said
    ]


def har(said: list[Said]) -> Any:
    def named(fields: dict[str, str]) -> list[dict[str, str]]:
        return [{"name": name, "value": value} for name, value in fields.items()]

    entries = [
        {
            "startedDateTime": f"2026-10-01T10:00:{number:02}.000Z",
            "time": 5,
            "request": {
                "method": one.method,
                "url": f"http://app.test{one.path}",
                "headers": named(one.asked),
            },
            "response": {
                "status": one.status,
                "headers": named(one.answered),
                "content": {"mimeType": one.answered.get("content-type", ""), "text": one.body.decode()},
            },
        }
        for number, one in enumerate(said)
    ]
    return {"log": {"version": "1.2", "entries": entries}}


def flow(one: Said) -> Any:
    def raw(fields: dict[str, str]) -> tuple[tuple[bytes, bytes], ...]:
        return tuple((name.encode(), value.encode()) for name, value in fields.items())

    request = tutils.treq(
        method=one.method.encode(), path=one.path.encode(), content=b"", headers=raw(one.asked)
    )
    response = tutils.tresp(status_code=one.status, headers=raw(one.answered), content=one.body)
    return tflow.tflow(req=request, resp=response)
