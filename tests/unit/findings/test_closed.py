"""Who closed, and with which words: those of the reason, or of the message right before it."""

from __future__ import annotations

import pytest

from tests.unit.findings.facts_made import HELLO, ended, frame
from wsinspect.findings.closed import closed_with, other_of, side_of
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
