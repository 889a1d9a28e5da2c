"""What was done on purpose is on record: rules as they were armed, arming and disarming, phases, the seed."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.http11 import Request, Response

from tests.support.echo_engine import echo_engine
from tests.support.finding_lab import by_path, found_in, record
from wsinspect.capture.story import story
from wsinspect.control.client import TIMELINE_AGENT, ControlClient

pytestmark = pytest.mark.asyncio
SCENARIO = """\
version: 1
seed: 7341
rules:
  - {name: slow, kind: latency, direction: s2c, latency: 1ms, armed: false}
phases:
  - {for: 100ms}
  - {for: 200ms, rules: [slow]}
"""


async def test_rules_and_phases_are_events_of_the_capture_and_lines_of_the_run(tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(SCENARIO)
    async with echo_engine(tmp_path, "--faults", str(file)) as lab:
        async with connect(lab.url()) as client:
            await lab.event("phase", phase=None)
            await lab.control("POST", "/v1/faults", {"kind": "drop", "name": "gone", "match": "op:ping"})
            with ControlClient.open(lab.engine.ready["control"], agent=TIMELINE_AGENT) as timeline:
                await asyncio.to_thread(timeline.delete, "/v1/faults/gone")
            await client.send("x")
            await client.recv()
        told = await lab.event("rule", rule="gone", armed=False)
        assert told["settings"]["match"] == "op:ping"
        with await lab.stop() as capture:
            found = [one for one in capture.events(limit=1000) if one.kind in ("rule", "phase")]
            assert all(one.connection_id is None and one.time_ns > 0 for one in found)
            story = [
                (one.kind, one.detail.get("rule", one.detail["phase"]), one.detail.get("armed"))
                for one in found
            ]
            assert story == [
                ("rule", "slow", False),
                ("phase", 0, None),
                ("phase", 1, None),
                ("rule", "slow", True),
                ("rule", "slow", False),
                ("phase", None, None),
                ("rule", "gone", True),
                ("rule", "gone", False),
            ]
            rules = [one.detail for one in found if one.kind == "rule"]
            assert {rule["seed"] for rule in rules} == {7341}
            assert rules[0]["settings"]["latency"] == "1ms"
            assert [(rule["source"], rule["by"]) for rule in rules] == [
                (str(file), str(file)),
                (str(file), "phase 2"),
                (str(file), "the end of phase 2"),
                ("API", "API"),
                ("API", "timeline"),
            ]


async def test_the_rule_that_refused_or_ended_is_in_the_lines_and_rows(tmp_path: Path) -> None:
    rules = ("refuse,status=503,name=outage,match=path:/down", "abort,how=rst,name=cut,match=path:/cut")
    async with echo_engine(tmp_path, "--fault", rules[0], "--fault", rules[1], "--seed", "1") as lab:
        with pytest.raises(InvalidStatus):
            await connect(lab.url("/down"))
        assert (await lab.event("refused"))["rule"] == "outage"
        with contextlib.suppress(ConnectionClosed, OSError):
            async with connect(lab.url("/cut")) as client:
                await client.send("x")
                await client.recv()
        assert (await lab.event("close"))["rule"] == "cut"
        async with connect(lab.url()) as client:
            await client.send("x")
            await client.recv()
        with await lab.stop() as capture:
            assert [(one.ended_by, one.rule) for one in capture.connections()] == [
                ("fault", "outage"),
                ("fault", "cut"),
                ("client", None),
            ]
            done = story(capture)
            assert done is not None
            assert done.seed == 1
            assert [(one.rule, one.connections) for one in done.acted] == [("outage", 1), ("cut", 1)]


async def test_what_the_server_does_beside_an_armed_rule_is_the_servers(tmp_path: Path) -> None:
    """The near neighbour: the same status and the same kind of end, by the application itself."""
    rules = ("refuse,status=503,name=outage,match=path:/down", "abort,how=rst,name=cut,match=path:/cut")
    slow = "latency,direction=s2c,latency=1ms,name=slow,match=path:/slow"

    def answer(connection: ServerConnection, request: Request) -> Response | None:
        return connection.respond(503, "maintenance\n") if request.path == "/own" else None

    async def serve_it(socket: ServerConnection) -> None:
        assert socket.request is not None
        await socket.recv()
        if socket.request.path == "/slow":
            await socket.send("soon")
        if socket.request.path in ("/crash", "/slow"):
            await socket.close(1011, "it broke")
        await socket.wait_closed()

    async def talk(base: str) -> None:
        for path in ("/down", "/own", "/cut", "/crash", "/slow"):
            with contextlib.suppress(WebSocketException, OSError):
                async with connect(f"{base}{path}", proxy=None) as client:
                    await client.send("x")
                    while True:
                        await client.recv()

    options = [part for rule in (*rules, slow) for part in ("--fault", rule)]
    path = await record(tmp_path, serve_it, talk, *options, process_request=answer)
    found = by_path(path)
    assert found == {
        "/down": ["WS-TOOL-010"],
        "/own": ["WS-HS-021"],
        "/cut": ["WS-TOOL-010"],
        "/crash": ["WS-CL-011"],
        "/slow": ["WS-CL-011"],
    }
    own = [one for one in found_in(path) if one.id != "WS-TOOL-010"]
    assert {(one.severity, one.fault_of) for one in own} == {("error", "server")}
    assert all("your rule" not in str(one.as_json()) for one in own)
