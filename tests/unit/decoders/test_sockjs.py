"""SockJS: what its document says, cut payloads, and payloads that were made to harm."""

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
    ("sockjs", text('a["{\\"a\\":1}","plain"]', path="/e/000/abc/websocket"), "sockjs",
     ["SockJS      a messages", "message 1", "  {", '    "a": 1', "  }", "message 2", "  plain"], None),
    ("sockjs' end", text('c[3000,"Go away!"]', path="/e/000/abc/websocket"), "sockjs",
     ["SockJS      c close", "code        3000", "reason      Go away!"], 'close [3000,"Go away!"]'),
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
        (text("a[1]"), "is a string"),
    ],
)
def test_a_problem_says_what_is_wrong(payload, problem):
    assert problem in (read("sockjs", payload).problem or "")


@pytest.mark.parametrize(
    "payload",
    [
        text("a[" + '"",' * 50_000 + '""]'),
    ],
)
def test_hostile_payloads_are_bounded(payload):
    is_bounded(payload, "sockjs")
