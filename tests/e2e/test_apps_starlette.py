"""uvicorn with Starlette, with both of its ways to speak WebSocket: text, bytes, JSON, close codes, refusals.

The capture has what the application and its client say.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.apps.starlette_app import Accounts, make_app
from tests.support.app_capture import Recording, engine_before, recording
from tests.support.app_uvicorn import running
from tests.support.threaded_loop import ThreadedLoop

pytestmark = pytest.mark.lab


class Lab:
    """A server and an engine; `way` is how `play` talks to it: `direct`, by the `tap`, or `regular`."""

    def __init__(self, loop: ThreadedLoop, accounts: Accounts, port: int, engine: Any, way: str) -> None:
        self.loop, self.accounts, self.port, self.engine, self.way = loop, accounts, port, engine, way
        self._serial = itertools.count(1)

    def play(
        self, path: str, messages: list[str | bytes], *, answers: int = 1, **options: Any
    ) -> tuple[dict[str, Any], str]:
        """What the client was told; and the query that names the connection."""
        query = f"case={self.way}.{next(self._serial)}."
        query += "&" + options.pop("query") if "query" in options else ""
        port = self.engine.port("app") if self.way == "tap" else self.port
        url = f"ws://127.0.0.1:{port}{path}?{query}"
        is_regular = self.way == "regular"
        options["proxy"] = f"http://127.0.0.1:{self.engine.port('regular')}" if is_regular else None
        return self.loop.run(_talk(url, messages, answers, options)), query

    def account(self, query: str) -> dict[str, Any]:
        return self.loop.run(self.accounts.of(query))

    def kept(self, query: str) -> Recording:
        return recording(self.engine, query)


def _shown(message: str | bytes) -> str:
    return message if isinstance(message, str) else "hex:" + message.hex()


async def _talk(
    url: str, messages: list[str | bytes], answers: int, options: dict[str, Any]
) -> dict[str, Any]:
    """Send each message and wait for its answers; then close, unless the server does."""
    seen: dict[str, Any] = {"sent": [], "received": []}
    try:
        socket = await connect(url, ping_interval=None, max_size=None, **options)
    except InvalidStatus as refused:
        return {"status": refused.response.status_code, "body": bytes(refused.response.body or b"")}
    seen["subprotocol"] = socket.subprotocol
    seen["headers"] = socket.response.headers if socket.response else None
    try:
        for message in messages:
            seen["sent"].append(_shown(message))
            await socket.send(message)
            for _ in range(answers):
                seen["received"].append(_shown(await socket.recv()))
        if messages and messages[-1] != "close":
            await socket.close(3456, "that was all €")
        await _rest(socket, seen)
    finally:
        await socket.close()
    return {**seen, "close": [socket.close_code, socket.close_reason]}


async def _rest(socket: ClientConnection, seen: dict[str, Any]) -> None:
    try:
        while True:
            seen["received"].append(_shown(await socket.recv()))
    except ConnectionClosed:
        return


@pytest.fixture(scope="module", params=["websockets-sansio", "wsproto"])
def server(request, tmp_path_factory) -> Iterator[Callable[[str], Lab]]:
    folder = tmp_path_factory.mktemp("starlette")
    accounts = Accounts()
    with (
        ThreadedLoop() as loop,
        running(loop, make_app(accounts), request.param) as port,
        engine_before(folder, app=port) as engine,
    ):
        ways = {way: Lab(loop, accounts, port, engine, way) for way in ("direct", "tap", "regular")}
        yield ways.__getitem__


@pytest.fixture(params=["tap", "regular"])
def lab(request, server) -> Lab:
    return server(request.param)


def check(client: dict[str, Any], kept: Recording) -> None:
    assert kept.faults == []
    assert kept.c2s.messages == client["sent"]
    assert kept.s2c.messages == client["received"]
    connection = kept.connection
    assert [connection.js_code, connection.js_was_clean] == [client["close"][0], client["close"][0] != 1006]
    assert connection.subprotocol == client["subprotocol"]
    assert connection.state == "closed"


def test_text(lab):
    words = ["one", "", "€ 🙂 \0", "long " * 30_000]
    client, query = lab.play("/text", words, subprotocols=["other", "chat"])
    account, kept = lab.account(query), lab.kept(query)
    check(client, kept)
    assert (account["received"], account["sent"]) == (kept.c2s.messages, kept.s2c.messages)
    assert kept.connection.subprotocol == "chat"
    assert kept.c2s.close == kept.s2c.close == client["close"] == [3456, "that was all €"]
    assert kept.connection.ended_by == "client"


def test_the_application_closes(lab):
    client, query = lab.play("/text", ["close"])
    account, kept = lab.account(query), lab.kept(query)
    check(client, kept)
    assert (account["received"], account["sent"]) == (["close"], ["CLOSE"])
    assert kept.s2c.close == client["close"] == [4000, "as you said: €"]
    assert kept.connection.ended_by == "server"


def test_bytes(lab):
    pieces = [b"", bytes(range(256)), bytes(70_000), b"\xff" * 125, b"\xff" * 126]
    client, query = lab.play("/bytes", pieces)
    account, kept = lab.account(query), lab.kept(query)
    check(client, kept)
    assert (account["received"], account["sent"]) == (kept.c2s.messages, kept.s2c.messages)
    assert account["close"] == kept.c2s.close == [3456, "that was all €"]
    assert client["headers"]["X-Lab"] == "bytes"
    assert b"x-lab: bytes" in (kept.handshake.response_out or b"").lower()


def test_json(lab):
    values = [{"a": [1, None, "€"]}, [], "words", 12.5, None]
    client, query = lab.play("/json", [json.dumps(value) for value in values], answers=2)
    account, kept = lab.account(query), lab.kept(query)
    check(client, kept)
    assert account["received"] == [json.loads(text) for text in kept.c2s.messages] == values
    assert account["sent"] == [_loads(text) for text in kept.s2c.messages]
    assert [kind[0] for kind in kept.s2c.kinds] == [1, 2] * len(values)
    assert account["close"] == kept.c2s.close == client["close"]


def _loads(shown: str) -> Any:
    return json.loads(bytes.fromhex(shown[4:]) if shown.startswith("hex:") else shown)


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1012, 1013, 1014, 3000, 4999])
def test_close_codes(server, code):
    lab = server("tap")
    client, query = lab.play(f"/close/{code}", [], query=f"reason=number%20{code}")
    kept = lab.kept(query)
    check(client, kept)
    assert kept.s2c.close == client["close"] == [code, f"number {code}"]
    assert kept.s2c.messages == ["bye"]


def test_a_mistake_in_the_application(server):
    """uvicorn logs it and ends the connection; what the client sees does not depend on the proxy."""
    direct, _ = server("direct").play("/fail", [])
    for way in ("tap", "regular"):
        client, query = server(way).play("/fail", [])
        kept = server(way).kept(query)
        check(client, kept)
        assert kept.s2c.messages == ["soon"]
        assert client["close"] == direct["close"]
        assert kept.s2c.close == (None if direct["close"][0] == 1006 else direct["close"])
        assert kept.connection.ended_by == "server"


def test_a_refusal_is_403(lab):
    client, query = lab.play("/refuse", [])
    kept = lab.kept(query)
    assert client["status"] == kept.connection.status == 403
    assert kept.connection.state == "refused"
    assert (kept.handshake.response_in or b"").startswith(b"HTTP/1.1 403 ")


def test_a_refusal_of_the_application_s_own(lab):
    client, query = lab.play("/deny", [])
    kept = lab.kept(query)
    assert client["status"] == kept.connection.status == 401
    assert json.loads(client["body"]) == json.loads(kept.handshake.body or "") == {"error": "who are you?"}
    assert b"x-lab: denied" in (kept.handshake.response_out or b"").lower()
    assert kept.connection.js_code == 1006
    assert kept.connection.js_was_clean is False
