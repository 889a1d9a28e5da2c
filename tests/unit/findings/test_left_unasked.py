"""A client that left while its request was held back."""

from typing import Any

from tests.unit.findings.facts_made import START, failed
from wsinspect.findings.facts import EndFact
from wsinspect.findings.registry import diagnose_connection


def test_a_client_that_left_before_its_request_was_sent_on_did_not_wait_for_the_server():
    def left(at: float, tried: float = 0.1) -> Any:
        times = {"server_tcp_start_ns": START + int(tried * 10**9), "request_out_ns": START + 5 * 10**9}
        return failed(
            "server ended the connection before a response (fin)",
            "response",
            waited=12.0,
            ended_by="client",
            times=times,
            ends=(EndFact("client", "fin", START + int(at * 10**9)),),
        )

    (found,) = diagnose_connection(left(3))
    assert (found.id, found.fault_of, found.severity) == ("WS-HS-036", "client", "warning")
    assert found.title == "The client gave up after 3 s, before its request was sent on"
    assert "the request was sent on 2 s after that" in found.evidence
    assert diagnose_connection(left(9))[0].title == "The client gave up after 4 s without an answer"
    # Held at a breakpoint, as where it was never sent on.
    assert diagnose_connection(left(3, tried=4)) == []
