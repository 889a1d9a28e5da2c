"""STOMP: what its document says, cut payloads, and payloads that were made to harm."""

from __future__ import annotations

import pytest

from tests.support.decoding import (
    for_each,
    is_bounded,
    read,
    reads,
    reads_cuts,
    stomp,
)

CASES = [
    ("send", stomp(b"SEND\ndestination:/q/a\ncontent-length:3\n\n\x00{}\x00"), "stomp",
     ["command     SEND", "  destination: /q/a", "  content-length: 3", "body        3 bytes", "  00 7b 7d"],
     "SEND /q/a"),
    ("escaped header", stomp(b"MESSAGE\r\na:b\\cc\\nd\r\n\r\n{\"x\":1}\0\n"), "stomp",
     ["command     MESSAGE", "  a: b:c\nd", "body        7 bytes", "  {", '    "x": 1', "  }"], "MESSAGE"),
    ("connect is not escaped", stomp(b"CONNECT\npasscode:a\\cb\n\n\0"), "stomp",
     ["command     CONNECT", "  passcode: a\\cb"], "CONNECT"),
    ("beat", stomp(b"\n"), "stomp", ["heartbeat   1 bytes"], "heartbeat"),
    ("two frames", stomp(b"BEGIN\nt:1\n\n\0\nCOMMIT\nt:1\n\n\0"), "stomp",
     ["command     BEGIN", "  t: 1", "", "command     COMMIT", "  t: 1"], "BEGIN"),
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
        (stomp(b"HELLO\n\n\0"), "'HELLO' is not a STOMP command"),
        (stomp(b"SEND\nx\n\n\0"), "has no colon"),
        (stomp(b"SEND\ncontent-length:1\n\nhi\0"), "no NUL at that position"),
        (stomp(b"SEND\ncontent-length:9\n\nhi\0"), "content-length is 9, of which 3 are in this message"),
        (stomp(b'"the": "rest"}\0'), "may be a piece of a frame that began in an earlier message"),
        (stomp(b"SEND\n\nhi"), "does not end with NUL"),
        (stomp(b"SEND\nx:y"), "have no end"),
    ],
)
def test_a_problem_says_what_is_wrong(payload, problem):
    assert problem in (read("stomp", payload).problem or "")


@pytest.mark.parametrize(
    "payload",
    [
        stomp(b"SEND\n" + b"a:b\n" * 30_000),
        stomp(b"\n" * 100_000),
    ],
)
def test_hostile_payloads_are_bounded(payload):
    is_bounded(payload, "stomp")
