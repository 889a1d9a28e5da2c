"""An attempt that nothing answered but the end of TCP."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.findings.facts_made import failed, request
from wsinspect.findings.registry import diagnose_connection


def test_a_hang_up_names_the_subprotocols_that_were_offered():
    offered = failed(
        "server ended the connection before a response (fin)",
        "response",
        head=request(Sec_WebSocket_Protocol="foo"),
    )
    assert any(
        "none of the offered subprotocols" in one.cause for one in diagnose_connection(offered)[0].causes
    )
    plain = replace(offered, raw_request_in=request(), raw_request_out=request())
    assert not any("subprotocols" in one.cause for one in diagnose_connection(plain)[0].causes)
