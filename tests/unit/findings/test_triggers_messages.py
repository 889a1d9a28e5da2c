"""Titles and blame that depend on what a peer sent: bytes without a header block, RSV1, STOMP's ERROR."""

from __future__ import annotations

import pytest

from tests.unit.findings.facts_made import cut, ended, refused, request
from tests.unit.findings.pairs_made import behind, pair
from tests.unit.findings.triggers_messages import (
    A_FRAME,
    A_WORD,
    AGREED,
    CASES,
    DEFLATE,
    NEXT,
    SAFARI,
    stomp,
    with_bit,
)
from wsinspect.findings.facts import C2S, S2C
from wsinspect.findings.registry import diagnose_connection, diagnose_pair


def first(facts):
    return diagnose_connection(facts)[0]


def test_next_js_that_writes_a_word_alone_refuses_the_host():
    found = first(NEXT)
    assert (found.id, found.fault_of) == ("WS-DEV-002", "server")
    assert "allowedDevOrigins" in found.title
    assert found.fixes[0].text == "allowedDevOrigins: ['your.site']"


def test_a_word_without_a_header_block_is_the_servers():
    found = first(A_WORD)
    assert (found.id, found.fault_of) == ("WS-HS-041", "server")
    assert "'Not allowed'" in found.title


def test_a_frame_without_a_101_is_a_wrapped_response():
    found = first(A_FRAME)
    assert (found.id, found.fault_of) == ("WS-HS-041", "server")
    assert "firewall" in found.causes[0].cause


@pytest.mark.parametrize("opcode", [0, 9])
def test_rsv1_where_no_message_begins_is_not_about_what_was_negotiated(opcode):
    found = first(with_bit(S2C, opcode, **AGREED))
    assert (found.id, found.fault_of) == ("WS-FR-003", "server")
    assert found.title == "RSV1 is set on a frame that does not begin a message"
    assert "first frame of a compressed message alone" in found.fixes[0].text


def test_rsv1_that_nothing_negotiated_keeps_its_title():
    assert first(with_bit(S2C, 1)).title == "A reserved bit is set that nothing negotiated"


def test_safari_15_compresses_what_was_declined():
    declined = {"raw_request_in": SAFARI, "raw_request_out": SAFARI}
    assert "Safari 15" in first(with_bit(C2S, 1, **declined)).causes[0].cause
    other = request(Sec_WebSocket_Extensions=DEFLATE)
    assert not first(with_bit(C2S, 1, raw_request_in=other, raw_request_out=other)).causes


def test_a_stomp_error_is_quoted_and_a_login_is_the_clients():
    refusal = "ERROR\nmessage:Access denied for user 'a'\n\n\0"
    found = first(ended(*stomp("0,0", "0,0", (S2C, 0.4, refusal)), by="server", code=1002))
    assert (found.id, found.fault_of) == ("WS-APP-052", "client")
    assert "Access denied for user" in found.title


def test_pings_are_no_heart_beats_of_stomp():
    found = first(CASES["WS-APP-051"][0][0])
    assert (found.id, found.fault_of) == ("WS-APP-051", "client")
    assert "the client's PING frames are no heart-beats" in found.evidence


def test_a_reason_that_names_a_failure_is_an_error_where_nothing_else_was_said():
    refusals = ended(by="server", reason="Unauthorized")
    assert first(refusals).severity == "warning"
    assert first(ended(*refusals.last_frames[:1], by="server", reason="Unauthorized")).severity == "error"


def test_a_wrong_value_of_upgrade_is_quoted():
    head = request(Upgrade="upgrade", Connection="upgrade", X_Real_IP="10.0.0.1")
    found = first(refused("400 Bad Request", head=head))
    assert (found.id, found.title) == ("WS-HS-001", "The request arrived here with 'Upgrade: upgrade'")
    assert any("$http_upgrade" in line for line in found.evidence)


def test_a_hop_that_keeps_a_client_whose_server_ended():
    one = pair(cut(at=20, by="client"), behind(cut(at=1.3)))
    assert one.closed_by == "server"
    found = diagnose_pair(one)[0]
    assert (found.id, found.fault_of) == ("WS-DROP-102", "hop")
    assert found.title == "The hop did not pass on that the server had ended the connection"
