"""What a library asked for in vain, at two taps and after a message that was too large."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.findings.facts_made import START
from tests.unit.findings.triggers_openings import library
from wsinspect.findings.facts import CaptureFacts, EngineEvent
from wsinspect.findings.registry import diagnose_capture

LISTENING = EngineEvent(START, "listening", {"listeners": [{"tap": "edge"}, {"tap": "origin"}]})


def at(*taps: str, **detail: Any) -> CaptureFacts:
    """The same failure as each of the taps saw it, of a run with both."""
    every = [one for tap in taps for one in library(tap=tap, **detail).events]
    return replace(library(), events=(LISTENING, *every))


@pytest.mark.parametrize(
    ("taps", "fault_of"), [(("edge", "origin"), "server"), (("origin",), "server"), (("edge",), "hop")]
)
def test_two_taps_say_it_once_and_who_answered(taps: tuple[str, ...], fault_of: str) -> None:
    assert [(one.id, one.fault_of) for one in diagnose_capture(at(*taps))] == [("WS-APP-094", fault_of)]


def test_what_the_client_has_to_send_is_no_hop_s_fault() -> None:
    assert [one.fault_of for one in diagnose_capture(at("edge", status=401))] == ["client"]


@pytest.mark.parametrize(("server", "fault_of"), [("nginx/1.28", "hop"), (None, "server")])
def test_a_limit_on_a_message_is_of_who_says_so(server: str | None, fault_of: str) -> None:
    """Engine.IO answers 413 itself (maxHttpBufferSize)."""
    facts = library(library="socketio", part="session", base="/socket.io/", status=413, server=server)
    assert [(one.id, one.fault_of) for one in diagnose_capture(facts)] == [("WS-APP-094", fault_of)]


def test_secrets_of_an_answer_are_masked() -> None:
    (found,) = diagnose_capture(library(refusal="token=eyJhbGciOiJIUzI1NiJ9.e30.abc123 has expired"))
    assert not any("abc123" in line for line in found.evidence)


def test_a_refused_preflight_is_called_that() -> None:
    (found,) = diagnose_capture(library(part="preflight", method="OPTIONS", status=405))
    assert (
        found.title == "SignalR: the CORS preflight of its first request was refused; no WebSocket followed"
    )
