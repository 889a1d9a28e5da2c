"""Titles and blame that depend on what a peer sent: bytes without a header block, RSV1, STOMP's ERROR."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.unit.findings.facts_made import cut, ended, frame, refused, request
from tests.unit.findings.pairs_made import behind, pair
from tests.unit.findings.triggers_messages import (
    A_FRAME,
    A_WORD,
    AGREED,
    CASES,
    DEFLATE,
    FIREFOX,
    LOST,
    MQTT,
    NEXT,
    OTHER_WORDS,
    SAFARI,
    TAKEN,
    accepted,
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


@pytest.mark.parametrize("facts", OTHER_WORDS)
def test_other_words_without_a_header_block_are_another_protocols(facts):
    found = first(facts)
    assert (found.id, found.fault_of, found.title) == (
        "WS-HS-041",
        "client",
        "The server's first bytes are not HTTP",
    )


@pytest.mark.parametrize("body", LOST[:5])
def test_a_connection_that_a_hop_changed_is_that_hops_whoever_asked(body):
    """nginx without a line for Connection sends `close`, of Firefox's request as of Chrome's."""
    marked: Any = {"Server": "nginx"}
    chrome, firefox = (first(refused("426 No", body, head=one, **marked)) for one in (request(), FIREFOX))
    assert (firefox.id, firefox.fault_of, firefox.confidence) == (
        chrome.id,
        chrome.fault_of,
        chrome.confidence,
    )
    assert (chrome.id, chrome.fault_of, chrome.confidence) == ("WS-HS-002", "hop", "high")


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


def test_a_user_agent_of_any_length_is_looked_at_once():
    """Each `Version/15.0` was compared with all that follows it: 260 KB took seconds."""
    long = request(User_Agent="Version/15.0 " * 20_000, Sec_WebSocket_Extensions=DEFLATE)
    begun = time.process_time()
    found = first(with_bit(C2S, 1, raw_request_in=long, raw_request_out=long))
    assert time.process_time() - begun < 1
    assert not found.causes


def test_a_stomp_error_is_quoted_and_a_login_is_the_clients():
    refusal = "ERROR\nmessage:Access denied for user 'a'\n\n\0"
    found = first(ended(*stomp("0,0", "0,0", (S2C, 0.4, refusal)), by="server", code=1002))
    assert (found.id, found.fault_of) == ("WS-APP-052", "client")
    assert "Access denied for user" in found.title


def test_pings_are_no_heart_beats_of_stomp():
    found = first(CASES["WS-APP-051"][0][0])
    assert (found.id, found.fault_of) == ("WS-APP-051", "client")
    assert "the client's PING frames are no heart-beats" in found.evidence


def test_a_reason_that_names_a_failure_is_a_warning_whatever_was_said_before():
    refusals = ended(by="server", reason="Unauthorized")
    only_the_close = ended(*refusals.last_frames[:1], by="server", reason="Unauthorized")
    for facts in (refusals, only_the_close):
        (found,) = [one for one in diagnose_connection(facts) if one.id == "WS-CL-033"]
        assert (found.severity, found.fixes[0].text[:4]) == ("warning", "Send")


@pytest.mark.parametrize(
    ("code", "fault"), [(0x80, "server"), (0x89, "server"), (0x97, "server"), (0x87, "client")]
)
def test_a_connack_is_blamed_on_whom_its_code_is_about(code, fault):
    answer = bytes((0x20, 3, 0, code, 0))
    found = first(cut(frame(1, C2S, 0.1, 2, MQTT), frame(2, S2C, 0.2, 2, answer), **TAKEN))
    assert (found.id, found.fault_of) == ("WS-APP-064", fault)
    assert not found.title.endswith(f"{code} refused")


def _last_words(text, **facts):
    said = (frame(1, C2S, 0.1), frame(2, S2C, 0.9, 1, text.encode()))
    return first(ended(*said, by="server", **facts) if facts.pop("is_closed", True) else cut(*said, **facts))


@pytest.mark.parametrize(
    "words",
    [
        "Unexpected token < in JSON at position 0",
        "author not found",
        "Rate limit reached for tokens per min",
        "Invalid token in JSON at position 3",
    ],
)
def test_last_words_that_are_about_no_login_blame_nobody_for_one(words):
    found = _last_words(json.dumps({"type": "error", "message": words, "author": "auth token"}))
    assert (found.id, found.fault_of, found.confidence) == ("WS-APP-093", "server", "medium")
    assert found.fixes[-1].text.startswith("The reason in the evidence is the application's own")


def test_last_words_are_sure_where_the_code_is_one_of_a_failure_and_a_guess_without_a_close():
    said = '{"type":"auth_invalid","message":"Invalid access token or password"}'
    coded = _last_words(said, code=3000)
    assert (coded.fault_of, coded.confidence, coded.causes) == ("client", "high", ())
    dropped = _last_words(said, is_closed=False, how="rst")
    assert (dropped.id, dropped.confidence, len(dropped.causes)) == ("WS-APP-093", "medium", 2)


def test_findings_quote_no_credentials():
    key = "sk-live-51H8abcdefGH"
    found = _last_words(json.dumps({"error": {"message": f"Invalid API key {key}"}}))
    assert (found.fault_of, "Invalid API key ***" in found.title) == ("client", True)
    login = '{"action":"login","password":"hunter2"}'
    answer = '{"message":"Forbidden","connectionId":"Mdnv8dwhoAMCIqg=","requestId":"a"}'
    said = (frame(1, C2S, 0.1, 1, login.encode()), frame(2, S2C, 0.2, 1, answer.encode()))
    gateway = first(ended(*said))
    assert gateway.id == "WS-APP-090"
    assert any("action, password (values not shown)" in line for line in gateway.evidence)
    refusal = "ERROR\nmessage:Bad credentials, password=hunter2\n\n\0"
    stomp_said = first(ended(*stomp("0,0", "0,0", (S2C, 0.4, refusal)), by="server", code=1002))
    assert stomp_said.id == "WS-APP-052"
    for one in (found, gateway, stomp_said):
        assert key not in str(one)
        assert "hunter2" not in str(one)


def test_a_stomp_error_with_an_author_is_nobodys_login_and_a_client_that_leaves_is_said():
    refusal = "ERROR\nmessage:no such room\nauthor:token\n\n\0"
    found = first(ended(*stomp("0,0", "0,0", (S2C, 0.4, refusal)), code=4000))
    assert (found.id, found.fault_of) == ("WS-APP-052", "server")
    assert found.title.endswith("'no such room', and the client left")


def test_a_stomp_error_whose_cause_is_in_its_body_is_read_whole():
    refusal = "ERROR\nmessage:Bad CONNECT\n\nAccess refused for user 'guest'\n\0"
    found = first(ended(*stomp("0,0", "0,0", (S2C, 0.4, refusal)), by="server", code=1002))
    assert (found.id, found.fault_of) == ("WS-APP-052", "client")
    assert "Bad CONNECT: Access refused for user" in found.title


def test_titles_of_close_reasons_show_no_secrets_however_they_are_cut():
    told = "your session with token=abcd1234efgh of bob, 1 place, is denied by the policy of this place, ask"
    normal = first(ended(by="server", reason=told))
    assert (normal.id, normal.confidence) == ("WS-CL-033", "medium")
    own = first(ended(by="server", code=4401, reason="Forbidden, api_key: abc12345678"))
    for one in (normal, own):
        assert "***" in one.title
        assert not any(secret in one.title for secret in ("1234", "efgh", "5678"))


@pytest.mark.parametrize("reason", ["400 Missing Connection header", "400 Connection header is close"])
def test_a_lost_connection_in_the_reason_phrase_is_no_list_that_was_refused(reason):
    facts = refused(reason, head=FIREFOX, **accepted(request()))
    assert first(facts).id != "WS-HS-071"


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
