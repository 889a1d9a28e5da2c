"""graphql-ws, its real server and client: each close code of its protocol; none where all is well."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from tests.support.app_capture import asked, graphql_before, recording
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.facts import FactReader
from wsinspect.findings.model import Finding
from wsinspect.findings.registry import diagnose_connection

pytestmark = pytest.mark.lab

NEW, OLD = "graphql-transport-ws", "graphql-ws"
INIT = json.dumps({"type": "connection_init"})
ENDLESS = {"query": "subscription { count(to: 1000000) }"}
SUBSCRIBE = json.dumps({"id": "1", "type": "subscribe", "payload": ENDLESS})
START = json.dumps({"id": "1", "type": "start", "payload": ENDLESS})
Play = Callable[..., list[Finding]]


async def go_on(url: str, *, messages: list[str], protocols: list[Subprotocol]) -> None:
    """A client that does not mind which subprotocol it got; Node and browsers would end it."""
    with contextlib.suppress(WebSocketException):
        async with connect(url, subprotocols=protocols, proxy=None) as socket:
            for message in messages:
                await socket.send(message)
            await asyncio.wait_for(socket.recv(), 20)


@pytest.fixture(scope="module")
def play(tmp_path_factory) -> Iterator[Play]:
    """What is found of one conversation."""
    with graphql_before(tmp_path_factory.mktemp("graphql")) as (loop, _, client, engine, paths):

        def play(**command: Any) -> list[Finding]:
            is_silent = command.get("messages") == []
            path = next(paths) + "&impatient" * is_silent
            url = f"ws://127.0.0.1:{engine.port('app')}{path}"
            if command.pop("goes_on", False):
                loop.run(go_on(url, **command))
            else:
                asked(loop, client, url=url, **command)
            number = recording(engine, path).connection.id
            with Capture.open(engine.capture) as capture:
                facts = FactReader(capture.query).connection(number)
            assert facts is not None
            return diagnose_connection(facts)

        yield play


@pytest.mark.parametrize(
    ("messages", "protocols", "code", "expected"),
    [
        ([], [NEW], 4408, ["WS-APP-011"]),
        (["not JSON"], [NEW], 4400, ["WS-APP-011"]),
        ([INIT, INIT], [NEW], 4429, ["WS-APP-011"]),
        ([SUBSCRIBE], [NEW], 4401, ["WS-APP-011"]),
        ([INIT, SUBSCRIBE, SUBSCRIBE], [NEW], 4409, ["WS-APP-011"]),
        ([INIT, START], [NEW], 4400, ["WS-APP-010"]),
    ],
    ids=["4408", "4400", "4429", "4401", "4409", "messages-of-the-old-one"],
)
def test_each_close_code(play, messages, protocols, code, expected):
    found = play(messages=messages, protocols=protocols)
    assert [one.id for one in found] == expected
    assert any(f"server closed with {code}" in line for line in found[0].evidence)
    assert f"close with code {code}" in found[0].js
    assert found[0].fixes


@pytest.mark.parametrize(("token", "code"), [("wrong", 4403), ("broken", 4500)])
def test_a_connection_that_is_not_accepted(play, token, code):
    (found,) = play(token=token, operations=[{"query": "{ hello }"}])
    assert found.id == "WS-APP-011"
    assert any(f"server closed with {code}" in line for line in found.evidence)


def test_the_older_subprotocol(play):
    """The server chooses none, which ends a browser's attempt, and says 4406 to whoever goes on."""
    found = play(messages=[INIT], protocols=[OLD], goes_on=True)
    (mismatch,) = found
    assert (mismatch.id, mismatch.fault_of) == ("WS-APP-010", "client")
    assert f"offered {OLD}; chosen none" in mismatch.evidence
    assert any("a browser ends the connection" in line for line in mismatch.evidence)


def test_what_works_has_no_finding(play):
    operations = [{"query": "subscription { count(to: 5) }"}, {"query": "{ hello }"}]
    assert play(operations=operations) == []
    # An operation that fails is the application's affair: the connection is well, and a note has its words.
    (note,) = play(operations=[{"query": "subscription { fails }"}])
    assert (note.id, note.severity, note.fault_of) == ("WS-APP-018", "note", "server")
    assert any("nothing more to count" in line for line in note.evidence)
