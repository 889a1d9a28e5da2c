"""The way to a server on which a client left: which step was under way, and through whom."""

from dataclasses import replace

import pytest

from tests.unit.findings.facts_made import START, failed
from wsinspect.findings.excuses import ActedFault
from wsinspect.findings.facts import EndFact
from wsinspect.findings.registry import diagnose_connection
from wsinspect.findings.ways import UPSTREAM, way_of


@pytest.mark.parametrize("step", [None, "server_tcp_start_ns", "server_tcp_done_ns"])
def test_a_connect_that_hangs_is_the_upstream_proxy_s(step: str | None):
    times = {"request_out_ns": None, "response_in_ns": None, "request_in_ns": START + 1}
    gone = failed(
        "client ended the connection before the server answered (fin)",
        "client",
        waited=3,
        ended_by="client",
        times=times if step is None else {**times, step: START + 1},
        ends=(EndFact("client", "fin", START + 3 * 10**9),),
    )
    assert way_of(replace(gone, tap="upstream-2")) == (START + 1, UPSTREAM)
    found = diagnose_connection(replace(gone, tap="upstream"))[0]
    assert (found.id, found.fault_of) == ("WS-HS-036", "hop")
    assert found.title.endswith("while the upstream proxy had not opened the way to the server")
    assert "does not answer CONNECT" in found.causes[0].cause
    # Through no other proxy, or held by a rule of ours, it is something else.
    others = [
        replace(gone, tap="edge"),
        replace(gone, tap="upstream", faults=(ActedFault("slow", "latency"),)),
    ]
    for other_way in others:
        assert not any("upstream proxy" in one.title for one in diagnose_connection(other_way))
