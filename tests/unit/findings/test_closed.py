"""Who closed, and with which words: those of the reason, or of the message right before it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.findings.facts_made import HELLO, OPEN, SECOND, cut, ended, frame, ping
from wsinspect.findings.closed import closed_with, first_fragment, other_of, side_of
from wsinspect.findings.facts import C2S, S2C
from wsinspect.findings.registry import diagnose_connection


def test_who_closed_first_counts():
    assert closed_with(ended(by="client", code=4001, reason="x"), 1000, 4001) == (C2S, 4001, "x")
    assert closed_with(ended(by="server", code=1008), 1008) == (S2C, 1008, "")
    assert closed_with(ended(by="server", code=1008), 1011) is None
    assert (side_of(S2C), other_of(S2C)) == ("server", "client")


def test_a_text_right_before_a_close_without_a_reason_is_its_reason():
    words = frame(3, S2C, 0.9, 1, b"Invalid origin!")
    found = diagnose_connection(ended(*HELLO, words, by="server", code=1008, at=1))[0]
    assert (found.id, found.fault_of) == ("WS-CL-008", "server")
    assert found.title == "The server closed with 1008: 'Invalid origin!'"


@pytest.mark.parametrize(
    "words",
    [
        frame(3, S2C, 0.9, 1, b"the original is in the attachment"),  # says nothing
        frame(3, C2S, 0.9, 1, b"Invalid origin!"),  # of the other side
        frame(3, S2C, 0.9, 2, b"Invalid origin!"),  # binary
        frame(3, S2C, 0.9, 1, b"Invalid origin! " + b"x" * 200),  # an application's message
    ],
)
def test_what_came_before_is_no_reason(words):
    found = diagnose_connection(ended(*HELLO, words, by="server", code=1008, at=1))[0]
    assert found.title == "The server closed with 1008: the client violated its policy"


def test_a_secret_in_a_reason_is_not_shown():
    reason = "invalid api key: sk-abcdefgh12345678"
    found = diagnose_connection(ended(*HELLO, by="server", code=1008, reason=reason))[0]
    assert "abcdefgh" not in str(found.as_json())


WHOLE, PART, REST = frame(1, C2S, 0.1), frame(2, C2S, 0.2)._replace(fin=False), frame(3, C2S, 0.3, 0)
AGAIN = (frame(4, C2S, 0.35)._replace(fin=False), frame(5, C2S, 0.36, 0))


def test_an_end_right_after_the_first_fragment_is_of_a_server_that_reads_none():
    found = diagnose_connection(cut(WHOLE, PART, at=0.25, how="rst"))[0]
    assert (found.id, found.fault_of) == ("WS-DROP-001", "server")
    assert found.causes[0].cause == "the server cannot read a message in several frames"
    assert "frame 2 c>s was its first that is only a part of a message" in found.evidence


@pytest.mark.parametrize(
    "frames", [(WHOLE,), (PART, REST, *AGAIN), (frame(1, C2S, 0.1, 9), WHOLE), (REST, PART, WHOLE)]
)
def test_an_end_after_other_frames_is_not(frames):
    assert first_fragment(cut(*frames, at=0.4), C2S) is None


def test_a_fragment_long_before_the_end_was_borne():
    assert first_fragment(cut(PART, at=9), C2S) is None
    assert first_fragment(cut(PART, REST, at=0.4), C2S) == PART


def test_an_end_right_after_the_clients_largest_message_may_be_a_limit_on_size():
    def causes(*sizes: int, at: float = 0.71, reply: float | None = None) -> list[str]:
        said = [frame(n, C2S, n / 10, 1, b"x" * size) for n, size in enumerate(sizes, 1)]
        said[-1] = said[-1]._replace(time_ns=OPEN + SECOND * 7 // 10)
        answers = [] if reply is None else [frame(9, S2C, reply, 1, b"ok")]
        facts = cut(*said, frame(8, S2C, 0.5, 1, b"hello"), *answers, at=at)
        facts = replace(facts, last=tuple(sorted(facts.last, key=lambda one: one.time_ns)))
        return [one.cause for found in diagnose_connection(facts) for one in found.causes]

    assert causes(10, 5000)[0].startswith("a limit on the size of messages")
    # What came behind it is the echo of an earlier one: it got three messages, and sent two.
    assert causes(10, 20, 5000, reply=0.705)[0].startswith("a limit on the size of messages")
    # It took such a one before, it is short, the end came later, or the server had answered it.
    for silent in (
        causes(5000, 5000),
        causes(10, 900),
        causes(10, 5000, at=1.9),
        causes(10, 5000, reply=0.705),
    ):
        assert not any(one.startswith("a limit on the size") for one in silent)


def test_a_server_that_had_spoken_and_went_dead_may_be_out_of_reach():
    def causes(*answered: float) -> list[str]:
        said = [frame(n, S2C, at, 1, b"x") for n, at in enumerate(answered, 5)]
        facts = cut(
            *said,
            at=9,
            by="client",
            how="close-frame",
            client_close_code=1011,
            client_close_reason="keepalive ping timeout",
            pings=(ping(3, C2S, 2),),
        )
        found = [one for one in diagnose_connection(facts) if one.id == "WS-KA-001"]
        return [cause.cause for one in found for cause in one.causes]

    assert [one.startswith("packets between the two") for one in causes(0.5)] == [False, True]
    # It still speaks after the ping, so its packets come.
    assert not any(one.startswith("packets between") for one in causes(0.5, 3))
