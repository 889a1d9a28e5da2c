"""graphql-ws: subscriptions, and the close codes that its protocol defines.

The capture has what the library on both sides says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.app_capture import Recording, asked, graphql_before, recording
from tests.support.apps import Outcome

pytestmark = pytest.mark.lab

PROTOCOL = "graphql-transport-ws"
INIT = json.dumps({"type": "connection_init"})
Play = Callable[..., tuple[Outcome, Outcome, Recording]]


@pytest.fixture(scope="module")
def play(tmp_path_factory) -> Iterator[Play]:
    """A conversation through the proxy: what the client says, what the server says, what the capture says."""
    with graphql_before(tmp_path_factory.mktemp("graphql")) as (loop, server, client, engine, paths):

        def play(**command: Any) -> tuple[Outcome, Outcome, Recording]:
            is_silent = command.get("messages") == []
            path = next(paths) + "&impatient" * is_silent
            url = f"ws://127.0.0.1:{engine.port('app')}{path}"
            told = asked(loop, client, url=url, **command)
            return told, asked(loop, server, path=path), recording(engine, path)

        yield play


def check(client: Outcome, server: Outcome, kept: Recording) -> None:
    assert kept.faults == []
    assert kept.c2s.messages == client["sent"] == server["received"]
    assert kept.s2c.messages == server["sent"] == client["received"]
    assert kept.connection.subprotocol == (client["protocol"] or None)
    assert client["protocol"] == server["protocol"]
    assert kept.connection.js_code == client["close"][0]
    assert kept.connection.js_was_clean is True


def types(messages: list[str]) -> list[str]:
    """What kinds of messages, less keep-alives."""
    found = [json.loads(message)["type"] for message in messages]
    return [kind for kind in found if kind not in ("ping", "pong")]


def test_subscriptions_a_query_and_keep_alives_on_one_connection(play):
    operations = [
        {"query": "subscription { count(to: 20) }"},
        {"query": "{ hello }"},
        {"query": "subscription { count(to: 1000000) }", "take": 3},
        {"query": "subscription { missing }"},
    ]
    client, server, kept = play(operations=operations)
    check(client, server, kept)
    counted, said, some, refused = client["results"]
    assert [result["data"]["count"] for result in counted] == list(range(1, 21))
    assert said == [{"data": {"hello": "hello € 🙂"}}]
    assert [result["data"]["count"] for result in some] == [1, 2, 3]
    assert refused == []
    assert len(client["failures"]) == 1
    assert types(kept.c2s.messages) == [
        *("connection_init", "subscribe", "subscribe", "subscribe", "complete", "subscribe")
    ]
    came = types(kept.s2c.messages)
    assert came[0] == "connection_ack"
    assert came[1:24] == ["next"] * 20 + ["complete", "next", "complete"]
    assert "error" in came[24:]
    assert '{"type":"ping"}' in kept.c2s.messages
    assert '{"type":"pong"}' in kept.s2c.messages
    assert kept.c2s.pings == []
    assert kept.c2s.close == kept.s2c.close == server["close"] == client["close"] == [1000, "Normal Closure"]
    assert kept.connection.subprotocol == PROTOCOL


def test_a_subscription_that_fails(play):
    client, server, kept = play(operations=[{"query": "subscription { fails }"}])
    check(client, server, kept)
    assert client["results"] == [[{"data": {"fails": 1}}]]
    assert types(kept.s2c.messages) == ["connection_ack", "next", "error"]
    # Answers to keep-alives may be anywhere among them.
    (error,) = (one for one in map(json.loads, kept.s2c.messages) if one["type"] == "error")
    assert error["payload"][0]["message"] == "nothing more to count"


@pytest.mark.parametrize(
    ("token", "close"), [("wrong", [4403, "Forbidden"]), ("broken", [4500, "the list of tokens is lost"])]
)
def test_a_connection_that_is_not_accepted(play, token, close):
    client, server, kept = play(token=token, operations=[{"query": "{ hello }"}])
    check(client, server, kept)
    assert kept.s2c.close == client["close"] == close
    assert client["failures"] == [close]
    assert kept.connection.ended_by == "server"


ENDLESS = {"query": "subscription { count(to: 1000000) }"}
SUBSCRIBE = json.dumps({"id": "1", "type": "subscribe", "payload": ENDLESS})


@pytest.mark.parametrize(
    ("messages", "close"),
    [
        ([], [4408, "Connection initialisation timeout"]),
        (["not JSON"], [4400, "Invalid message received"]),
        ([INIT, INIT], [4429, "Too many initialisation requests"]),
        ([SUBSCRIBE], [4401, "Unauthorized"]),
        ([INIT, SUBSCRIBE, SUBSCRIBE], [4409, "Subscriber for 1 already exists"]),
    ],
    ids=[4408, 4400, 4429, 4401, 4409],
)
def test_the_protocol_s_own_close_codes(play, messages, close):
    client, server, kept = play(protocols=[PROTOCOL], messages=messages)
    check(client, server, kept)
    assert kept.s2c.close == kept.c2s.close == client["close"] == server["close"] == close


def test_another_subprotocol(play):
    client, server, kept = play(protocols=[], messages=[])
    check(client, server, kept)
    assert kept.s2c.close == client["close"] == [4406, "Subprotocol not acceptable"]
