"""A server whose only worker is held by another connection."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.unit.findings.facts_made import OPEN, SECOND, START, failed, switching
from wsinspect.findings.facts import ConnectionFacts, EndFact, Other
from wsinspect.findings.model import Finding
from wsinspect.findings.registry import diagnose_connection


def near(open_at: float, end_at: float | None, **more: Any) -> Other:
    ends = None if end_at is None else OPEN + int(end_at * SECOND)
    opens = OPEN + int(open_at * SECOND)
    values: dict[str, Any] = {"id": 7, "path": "/chat", "attempt_ns": opens, "open_ns": opens}
    return Other(**{**values, "closed_ns": ends, "end_ns": ends, "ended_by": "client", **more})


def gave_up(*others: Other) -> ConnectionFacts:
    sent = START + 1_000_000
    left = sent + 12 * SECOND
    return failed(
        "client ended the connection",
        "client",
        waited=12,
        others=others,
        ended_by="client",
        how="fin",
        ends=(EndFact("client", "fin", left),),
    )


def diagnosed(facts: ConnectionFacts) -> Finding:
    return diagnose_connection(facts)[0]


def test_a_worker_that_another_connection_holds_is_the_first_cause():
    late = gave_up(near(-1, 13, server_frames=1))
    came = OPEN + int(13.1 * SECOND)
    late = replace(
        late, status=101, raw_response_in=switching(), times={**late.times, "response_in_ns": came}
    )
    found = diagnosed(late)
    assert found.id == "WS-HS-036"
    assert "one worker or thread, and #7 holds it" in found.causes[0].cause
    # That one is open, alone, proves nothing.
    found = diagnosed(gave_up(near(-1, None, server_frames=1)))
    assert ["worker" in one.cause for one in found.causes] == [False, True, False]
    for other in ((), (near(-3, 2),), (near(5, None),)):
        assert not any("worker" in one.cause for one in diagnosed(gave_up(*other)).causes)
