"""What the doctor makes of a server that closes because nothing was said to it."""

from __future__ import annotations

import pytest

from tests.unit.findings.facts_made import ended, failed, frame
from wsinspect.doctor.judge import findings_of, verdict_of
from wsinspect.findings.facts import S2C, ConnectionFacts
from wsinspect.findings.probes import Probe, ProbeFacts


def closed(code: int, reason: str, **more: object) -> ConnectionFacts:
    return ended(frame(1, S2C, 0.1, 1, b"hello"), by="server", code=code, reason=reason, at=1.6, **more)


@pytest.mark.parametrize(
    ("code", "reason", "is_ours"),
    [
        (4408, "Connection initialisation timeout", True),
        (4408, "", True),
        (4001, "auth timeout", True),
        (1008, "Timed out waiting for authentication", True),
        (1002, "Handshake was not received in time: timeout", True),
        (4000, "no hello", True),
        (1008, "First message required", True),
        (4401, "Unauthorized", False),
        (4001, "token expired", False),
        (1008, "Origin not allowed", False),
        (1011, "keepalive ping timeout", False),
        (1011, "upstream timeout", False),
        (4003, "", False),
    ],
)
def test_a_server_that_waits_for_a_first_message_works(code: int, reason: str, is_ours: bool) -> None:
    facts = closed(code, reason)
    found = findings_of(ProbeFacts(main=Probe("handshake", "the opening handshake of a browser", facts)))
    about = [one for one in found if str(code) in one.title or str(code) in " ".join(one.evidence)]
    assert about
    assert all((one.severity == "note") == is_ours for one in about)
    if is_ours:
        assert verdict_of(facts, found) == "healthy"
        assert "first message" in about[0].title


def test_a_limit_of_the_doctors_is_no_client_that_left_at_an_interim_response() -> None:
    """A browser ends the handshake there, whenever the doctor itself would have given up."""
    hints = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    facts = failed("no answer within 1 s", "client", waited=1.0, informational=hints)
    (found,) = findings_of(ProbeFacts(main=Probe("handshake", "the opening handshake of a browser", facts)))
    assert (found.id, found.severity, found.confidence) == ("WS-HS-038", "error", "medium")
    assert found.fault_of == "server"
    assert found.title == "103 Early Hints came before the answer, and then: no answer within 1 s"
    assert not found.causes
    assert not any("client left" in line for line in found.evidence)
