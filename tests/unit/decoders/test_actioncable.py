"""Action Cable: what its document says, cut payloads, and payloads that were made to harm."""

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

CASES = [
    ("cable", text('{"command":"subscribe","identifier":"{\\"channel\\":\\"Room\\"}"}'), "actioncable",
     ["command     subscribe", "identifier", "  {", '    "channel": "Room"', "  }"], "subscribe Room"),
    ("welcome", text('{"type":"welcome"}', subprotocol="actioncable-v1-json"), "actioncable",
     ["type        welcome, the server lets the client in"], "welcome"),
    ("cable's broadcast", text('{"identifier":"{\\"channel\\":\\"Room\\"}","message":"hi"}'), "actioncable",
     ["type        a broadcast to a subscription", "identifier", "  {", '    "channel": "Room"', "  }",
      'message     "hi"'], "broadcast Room"),
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
        (text("[]", subprotocol="actioncable-v1-json"), "is an object"),
    ],
)
def test_a_problem_says_what_is_wrong(payload, problem):
    assert problem in (read("actioncable", payload).problem or "")


@pytest.mark.parametrize(
    "payload",
    [
        text('{"identifier":"' + '\\"' * 50_000, subprotocol="actioncable-v1-json"),
    ],
)
def test_hostile_payloads_are_bounded(payload):
    is_bounded(payload, "actioncable")
