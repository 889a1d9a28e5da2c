"""Breakpoints on the real engine, decided by the control API: messages and handshakes."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema_rs
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidStatus

from tests.support.echo_engine import EchoEngine, echo_engine
from tests.support.threaded_loop import ThreadedLoop
from wsinspect.capture.reader import Capture
from wsinspect.control.client import ControlError
from wsinspect.control.openapi import document

ORDER = '{"type":"order","amount":1}'


class Lab:
    """An echo server behind an engine with breakpoints, and its control API."""

    def __init__(self, loop: ThreadedLoop, echo: EchoEngine) -> None:
        self.echo = echo
        self.loop = loop

    def run(self, coroutine: Any) -> Any:
        return self.loop.run(coroutine, 40)

    async def held(self, passes: Callable[[dict[str, Any]], bool] = lambda _one: True) -> dict[str, Any]:
        """Wait for something held that passes."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for one in (await self.echo.control("GET", "/v1/held"))["held"]:
                if passes(one):
                    return one
            await asyncio.sleep(0.01)
        raise AssertionError("nothing is held")

    async def decide(self, name: str, **decision: Any) -> Any:
        return await self.echo.control("POST", f"/v1/held/{name}", decision)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    breakpoints = ["--break=dir:c2s json:$.type=order", "--break=path:/held"]
    with ThreadedLoop() as loop:
        running = echo_engine(tmp_path_factory.mktemp("held"), *breakpoints)
        echo = loop.run(running.__aenter__(), 60)
        yield Lab(loop, echo)
        loop.run(running.__aexit__(None, None, None), 60)


def test_held_messages_are_edited_dropped_answered_and_passed(lab: Lab) -> None:
    async def talk() -> list[str | bytes]:
        heard: list[str | bytes] = []
        async with connect(lab.echo.url("/chat"), ping_interval=None) as client:
            for decision in (
                {"action": "edit", "payload": '{"type":"order","amount":2}'},
                {"action": "answer", "payload": "sold out"},
                {"action": "drop"},
                {"action": "pass"},
            ):
                await client.send(ORDER)
                await client.send("behind")
                one = await lab.held()
                assert (one["payload"], one["op"], one["behind"]) == ({"text": ORDER}, "TEXT", 1)
                assert one["silent_ms"]["client"] is None or one["silent_ms"]["client"] >= 0
                whole = await lab.echo.control("GET", f"/v1/held/{one['name']}")
                assert whole["payload"] == {"text": ORDER}
                await lab.decide(one["name"], **decision)
                while not heard or heard[-1] != "behind":
                    heard.append(await client.recv())
                heard.append("|")
        return heard

    assert lab.run(talk()) == [
        *('{"type":"order","amount":2}', "behind", "|"),
        *("sold out", "behind", "|"),
        *("behind", "|"),
        *(ORDER, "behind", "|"),
    ]


def test_a_held_handshake_is_edited_answered_dropped_and_passed(lab: Lab) -> None:
    async def attempt(**decision: Any) -> Any:
        task = asyncio.ensure_future(connect(lab.echo.url("/held?a=1"), open_timeout=30).__aenter__())
        one = await lab.held(lambda one: one["what"] == "request")
        if decision.get("action") == "edit":
            lines = one["payload"]["text"].replace("/held?a=1", "/edited").split("\n")
            decision["head"] = "\n".join([*lines, "X-Added: yes"])
        await lab.decide(one["name"], **decision)
        try:
            client = await task
        except (InvalidHandshake, OSError, EOFError) as error:
            return error
        await client.close()
        return "open"

    answer = lab.run(attempt(action="answer", status=429, headers={"Retry-After": "5"}, body="later"))
    assert isinstance(answer, InvalidStatus)
    assert (answer.response.status_code, answer.response.headers["Retry-After"]) == (429, "5")
    assert lab.run(attempt(action="pass")) == "open"
    assert lab.run(attempt(action="edit")) == "open"
    assert lab.run(attempt(action="drop")) != "open"


def test_wrong_decisions_are_refused_and_everything_passes_at_once(lab: Lab) -> None:
    async def talk() -> None:
        async with connect(lab.echo.url("/chat"), ping_interval=None) as client:
            for _ in range(3):
                await client.send(ORDER)
            one = await lab.held(lambda one: one["behind"] == 2)
            for name, decision, status in (
                (one["name"], {"action": "edit"}, 400),
                (one["name"], {"action": "none"}, 400),
                ("m9-c2s-9", {"action": "pass"}, 404),
            ):
                with pytest.raises(ControlError) as caught:
                    await lab.decide(name, **decision)
                assert caught.value.status == status
            assert (await lab.echo.control("POST", "/v1/pass"))["passed"] == 3
            assert [await client.recv() for _ in range(3)] == [ORDER] * 3

    lab.run(talk())


def test_what_each_side_waits_for_is_said_of_what_is_held(lab: Lab) -> None:
    fits = jsonschema_rs.validator_for({**document(), "$ref": "#/components/schemas/HeldList"})

    async def talk() -> list[Any]:
        async with connect(lab.echo.url("/chat"), ping_interval=None) as client:
            opened = '0{"pingInterval":25000,"pingTimeout":20000}'
            await client.send(opened)  # the server echoes it: that is what an Engine.IO server begins with
            assert await client.recv() == opened
            await client.send("2")
            assert await client.recv() == "2"
            await client.send(ORDER)
            await client.send("3")
            await lab.held(lambda one: len(one["waits"]) > 1 and "its ping" in one["waits"][0]["for"])
            answer = await lab.echo.control("GET", "/v1/held")
            fits.validate(answer)
            waits: list[Any] = answer["held"][0]["waits"]
            await lab.echo.control("POST", "/v1/pass")
            return waits

    waits = lab.run(talk())
    first = waits[0]
    assert (first["side"], first["for"], first["limit_ms"]) == ("server", "the pong to its ping", 20_000)
    assert 0 < first["left_ms"] <= 20_000 == first["left_ms"] + first["waited_ms"]
    assert {"client"} == {one["side"] for one in waits if one["for"] == "a ping"}

    async def attempt() -> list[Any]:
        task = asyncio.ensure_future(connect(lab.echo.url("/held"), open_timeout=30).__aenter__())
        one = await lab.held(lambda one: one["what"] == "request" and bool(one["waits"]))
        whole = await lab.echo.control("GET", f"/v1/held/{one['name']}")
        await lab.decide(one["name"], action="pass")
        await (await task).close()
        return list(whole["waits"])

    (asked,) = lab.run(attempt())
    assert (asked["side"], asked["limit_ms"], asked["default"]) == ("client", 10_000, True)


def test_a_client_that_has_gone_waits_for_nothing(lab: Lab) -> None:
    async def talk() -> Any:
        client = await connect(lab.echo.url("/chat"), ping_interval=20)
        await client.send(ORDER)
        there = await lab.held(lambda one: one["what"] == "message")
        client.transport.abort()
        gone = await lab.held(lambda one: bool(one["gone"]))
        await lab.echo.control("POST", "/v1/pass")
        return there, gone

    there, gone = lab.run(talk())
    assert there["gone"] == []
    assert gone["gone"] == ["client"]
    assert "client" not in {one["side"] for one in gone["waits"]}


def test_decisions_are_in_the_ledger(lab: Lab) -> None:
    lab.echo.hang_up()
    lab.echo.engine.stop()
    with Capture.open(lab.echo.engine.capture) as capture:
        rows = capture.query("SELECT kind, detail FROM fault_event ORDER BY id")
        done = [(kind, json.loads(detail)["did"]) for kind, detail in rows if kind.startswith("break")]
        assert [did for kind, did in done if kind == "break"][:4] == ["edit", "answer", "drop", "pass"]
        assert {did for kind, did in done if kind == "break_handshake"} == {"pass", "edit", "answer", "drop"}
        findings = capture.query("SELECT rule, detail FROM finding WHERE severity = 'error'")
        assert [rule for rule, detail in findings if json.loads(detail)["fault_of"] != "tool"] == []
