"""Phoenix channels: what its document says, cut payloads, and payloads that were made to harm."""

from __future__ import annotations

import pytest

from tests.support.decoding import (
    binary,
    for_each,
    is_bounded,
    read,
    reads,
    reads_cuts,
    text,
)


def phoenix_push() -> bytes:
    return b"\x00\x01\x01\x04\x0411roompush\x01\x02\x03"


CASES = [
    ("join", text('["1","2","room:1","phx_join",{"t":1}]'), "phoenix",
     ["event       phx_join, join the topic", "topic       room:1", "ref         2", "join ref    1",
      "payload", "  {", '    "t": 1', "  }"], "phx_join room:1 ref 2"),
    ("reply", text('[null,"2","room:1","phx_reply",{"status":"error","response":{}}]'), "phoenix",
     ["event       phx_reply, the answer to the message of that ref", "topic       room:1", "ref         2",
      "join ref    none", "status      error", "payload", "  {", '    "status": "error",',
      '    "response": {}', "  }"], "phx_reply room:1 ref 2"),
    ("version 1", text('{"topic":"t","event":"e","payload":1,"ref":null}', path="/s/websocket?vsn=1.0.0"),
     "phoenix", ["event       e", "topic       t", "ref         none", "join ref    none", "payload", "  1"],
     None),
    ("packed push", binary(phoenix_push(), path="/s/websocket?vsn=2.0.0"), "phoenix",
     ["kind        push", "join ref    1", "ref         1", "topic       room", "event       push",
      "payload     3 bytes", "  01 02 03"], None),
    ("packed broadcast", binary(b"\x02\x01\x01tehi", path="/s/websocket?vsn=2.0.0", is_s2c=True), "phoenix",
     ["kind        broadcast", "topic       t", "event       e", "payload     2 bytes", "  hi"], None),
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
        (text("{}", path="/websocket?vsn=1"), "an array of five"),
        (binary(b"\x07", path="/websocket?vsn=2"), "begin with 0, 1 or 2"),
        (binary(b"\x02\x09\x09", path="/websocket?vsn=2"), "ends within its head"),
    ],
)
def test_a_problem_says_what_is_wrong(payload, problem):
    assert problem in (read("phoenix", payload).problem or "")


@pytest.mark.parametrize(
    "payload",
    [
        text('["' + "\\\\" * 50_000, path="/websocket?vsn=2"),
    ],
)
def test_hostile_payloads_are_bounded(payload):
    is_bounded(payload, "phoenix")
