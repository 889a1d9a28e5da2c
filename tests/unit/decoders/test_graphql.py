"""GraphQL over WebSocket: what its document says, cut payloads, and payloads that were made to harm."""

from __future__ import annotations

import pytest

from tests.support.decoding import (
    for_each,
    is_bounded,
    read,
    reads,
    reads_cuts,
    text,
)

GRAPHQL = (
    '{"id":"1","type":"subscribe","payload":{"operationName":"Watch",'
    '"query":"subscription Watch {\\n  a\\n}",'
    '"variables":{"n":1.0}}}'
)


CASES = [
    ("subscribe", text(GRAPHQL, subprotocol="graphql-transport-ws"), "graphql",
     ["type        subscribe, run this operation", "id          1", "operation   Watch", "query",
      "  subscription Watch {", "    a", "  }", "variables", "  {", '    "n": 1.0', "  }"],
     "subscribe #1 Watch"),
    ("foreign type", text('{"type":"start","id":"1"}', subprotocol="graphql-transport-ws"), "graphql",
     ["type        start, run this operation; graphql-transport-ws does not have it", "id          1"],
     "start #1"),
    ("result", text('{"type":"data","id":"1","payload":{"data":null},"x":2}', subprotocol="graphql-ws"),
     "graphql",
     ["type        data, a result", "id          1", "payload", "  {", '    "data": null', "  }", "more",
      "  {", '    "x": 2', "  }"], "data #1"),
    ("init without subprotocol", text('{"type":"connection_init"}'), "graphql",
     ["type        connection_init, the client asks to be let in"], "connection_init"),
]  # fmt: skip


@for_each(CASES)
def test_what_its_document_says(case):
    reads(case)


@for_each(CASES)
def test_every_cut_is_read_as_far_as_it_goes(case):
    reads_cuts(case)


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (text("[]", subprotocol="graphql-ws"), "is an object with a type"),
    ],
)
def test_a_problem_says_what_is_wrong(payload, problem):
    assert problem in (read("graphql", payload).problem or "")


@pytest.mark.parametrize(
    "payload",
    [
        text('{"type":"' + "\\" * 50_001, subprotocol="graphql-ws"),
    ],
)
def test_hostile_payloads_are_bounded(payload):
    is_bounded(payload, "graphql")
