"""SignalR: what its document says, cut payloads, and payloads that were made to harm."""

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
from wsinspect import decoders

SIGNALR = '{"type":1,"invocationId":"7","target":"Send","arguments":["hi",{"n":1.50}]}\x1e'


CASES = [
    ("call", text(SIGNALR), "signalr",
     ["record      1 Invocation", 'invocationId"7"', 'target      "Send"', "arguments", "  [", '    "hi",',
      "    {", '      "n": 1.50', "    }", "  ]"], "Invocation Send #7"),
    ("two records", text('{"type":6}\x1e{"type":3,"invocationId":"7","result":1}\x1e'), "signalr",
     ["record      6 Ping", "", "record      3 Completion", 'invocationId"7"', "result      1"],
     "Ping #7 +1 more"),
    ("hello", text('{"protocol":"json","version":1}\x1e'), "signalr",
     ["record      the handshake's request", 'protocol    "json"', "version     1"], "handshake"),
    ("hello's answer", text("{}\x1e"), "signalr", ["record      the handshake's answer"], "handshake"),
    ("packed call", binary(b"\x0b\x95\x01\x80\xc0\xa4Send\x91\x05", path="/hub?id=abc"), "signalr",
     ["message     1 Invocation", "headers: {}", "invocationId: nil", 'target: "Send"', "arguments: [", "  5",
      "]"], 'Invocation "Send"'),
]  # fmt: skip


@for_each(CASES)
def test_what_its_document_says(case):
    reads(case)


@for_each(CASES)
def test_every_cut_is_read_as_far_as_it_goes(case):
    reads_cuts(case)


@pytest.mark.parametrize(
    "piece", ['{"a":{"protocol":"http"}}]}\x1e', '{"protocol":"x"}]}\x1e', '{"protocol":"x"}\x1e']
)
def test_a_piece_that_speaks_of_a_protocol_is_no_handshake(piece):
    assert decoders.summary(text(piece)) is None


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (text("{}"), "the last record does not end with 0x1e"),
        (text('{"type":1}\x1e[]\x1e'), "a SignalR record is an object"),
        (binary(b"\xff\xff\xff\xff\x7f"), "a message of"),
        (binary(b"\x80"), "ends within a length"),
        (binary(b"\x02\x91\x63"), "an array that begins with its type"),
    ],
)
def test_a_problem_says_what_is_wrong(payload, problem):
    assert problem in (read("signalr", payload).problem or "")


@pytest.mark.parametrize(
    "payload",
    [
        text("\x1e" * 100_000),
    ],
)
def test_hostile_payloads_are_bounded(payload):
    is_bounded(payload, "signalr")
