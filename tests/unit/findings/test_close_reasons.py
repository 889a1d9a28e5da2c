"""Reasons of CLOSE frames, as services and libraries write them: what they say before their code does."""

from __future__ import annotations

import pytest

from tests.unit.findings.facts_made import HELLO, ended, frame
from wsinspect.findings.close_reasons import what_is_said
from wsinspect.findings.facts import C2S, S2C
from wsinspect.findings.fixes import FIXES
from wsinspect.findings.registry import diagnose_connection

#: Who closed, code, reason, the finding's id, whose fault it is, and the topic of its first fix.
REPORTED = [
    ("server", 1007, "Request contains an invalid argument.", "WS-CL-007", "client", "message-refused"),
    ("server", 1007, "API key expired. Please renew the API key.", "WS-CL-007", "client", "app-auth"),
    ("server", 1008, "models/x is not found for API version", "WS-CL-008", "client", "message-refused"),
    ("server", 1011, "You exceeded your current quota, see your plan", "WS-CL-011", "client", "quota"),
    ("server", 1008, "Too many requests", "WS-CL-008", "client", "message-rate"),
    ("server", 1008, "Invalid origin!", "WS-CL-008", "server", "origin"),
    ("server", 1011, "X did not receive audio data or a text message", "WS-CL-011", "client", "said-idle"),
    ("server", 1001, "Your session hit the maximum duration.", "WS-CL-001", "server", "lifetime"),
    ("server", 1001, "Connection Idle Timeout", "WS-CL-001", "client", "said-idle"),
    ("server", 1001, "Idle timeout expired: 2000/2000 ms", "WS-CL-001", "client", "said-idle"),
    ("server", 1001, "The WebSocket session [7] idle timeout expired", "WS-CL-001", "client", "said-idle"),
    ("server", 1008, "unexpected data message", "WS-CL-008", "server", "unread"),
    ("client", 1003, "continuation frame is not implemented", "WS-CL-003", "client", "fragments-unread"),
    ("client", 1002, "RSV1 bit must be set for DataFrames.", "WS-CL-002", "client", "compression"),
    ("client", 1011, "Compression not implemented yet", "WS-CL-011", "client", "compression"),
    ("client", 1000, "heartbeat timeout", "WS-CL-033", "server", "keepalive"),
    ("server", 4014, "Disallowed intent(s).", "WS-CL-030", "client", "message-refused"),
]  # fmt: skip
#: What says no more than its code, or what an application says of something else.
PLAIN = [
    (1008, ""), (1008, "no seat"), (1008, "policy"), (1011, "internal error"), (1011, "unexpected error"),
    (1011, "player not found"), (1001, "server shutting down"), (1001, "going away"), (1000, "bye"),
    (1003, "text expected"), (1002, "invalid frame"), (1002, "Fragmented control frame"), (1008, "stage 3"),
    (1011, "original message lost"), (1008, "kicked: original owner is back"), (1007, "invalid utf-8"),
    (1011, "login to the database failed"), (1011, "upstream API key expired"), (1013, "no idle workers"),
    (1011, "redis: too many requests"), (1011, "no heartbeat from the leader"), (1011, "no data found for x"),
    (1008, "name exceeds the maximum length"), (1014, "origin server not responding"),
    (1014, "origin not reachable"), (1011, "error in the subprotocol handler"),
    (1000, "page file age"), (1012, "billing service restarts"), (1012, "rate limiter restarts"),
    (1001, "the maximum number of players left"),
]  # fmt: skip


@pytest.mark.parametrize(("by", "code", "reason", "expected", "fault", "topic"), REPORTED)
def test_known_words_decide_before_the_code(by, code, reason, expected, fault, topic):
    found = diagnose_connection(ended(*HELLO, by=by, code=code, reason=reason))[0]
    assert (found.id, found.fault_of) == (expected, fault)
    assert reason[:60] in found.title
    assert found.fixes[-1].text == FIXES[topic]["general"]
    assert found.causes


@pytest.mark.parametrize(("code", "reason"), PLAIN)
def test_other_words_leave_it_to_the_code(code, reason):
    assert what_is_said(reason, code) is None


def test_1002_before_the_client_sent_a_frame_is_the_servers_own_failure():
    """Tomcat: an exception in @OnOpen."""
    found = diagnose_connection(ended(frame(1, S2C, 0.1), by="server", code=1002, reason="no user"))[0]
    assert (found.id, found.fault_of, found.confidence) == ("WS-CL-002", "server", "medium")
    assert any("had sent no frame" in line for line in found.evidence)
    assert "log" in found.fixes[0].text


def test_1002_without_a_word_before_any_frame_may_be_about_the_subprotocol():
    """subscriptions-transport-ws: socket.close(1002) where graphql-ws was not offered."""
    found = diagnose_connection(ended(frame(1, S2C, 0.1), by="server", code=1002))[0]
    assert (found.id, found.confidence) == ("WS-CL-002", "low")
    assert "subprotocol" in found.causes[0].cause
    assert "exception" in found.causes[1].cause


def test_what_is_not_found_before_the_client_spoke_is_no_message_of_it():
    before = diagnose_connection(ended(frame(1, S2C, 0.1), by="server", code=4004, reason="room not found"))[
        0
    ]
    assert (before.id, before.fault_of) == ("WS-CL-030", "server")
    after = diagnose_connection(ended(*HELLO, by="server", code=4004, reason="room not found"))[0]
    assert (after.id, after.fault_of) == ("WS-CL-030", "client")


def test_1002_that_names_an_exception_is_the_servers_own_failure():
    """Tomcat: an exception in @OnMessage."""
    reason = "An unrecoverable IOException occurred so the connection was closed"
    found = diagnose_connection(ended(frame(1, C2S, 0.1), by="server", code=1002, reason=reason))[0]
    assert (found.id, found.fault_of) == ("WS-CL-002", "server")
    assert "not because of a frame" in found.title


@pytest.mark.parametrize("reason", ["", "invalid opcode", "a protocol error"])
def test_1002_after_frames_of_the_client_is_still_about_them(reason):
    found = diagnose_connection(ended(frame(1, C2S, 0.1), by="server", code=1002, reason=reason))[0]
    assert (found.id, found.fault_of, found.confidence) == ("WS-CL-002", "client", "medium")


def test_1002_by_the_client_is_still_about_the_server():
    found = diagnose_connection(ended(*HELLO, by="client", code=1002, reason="java.io.IOException"))[0]
    assert (found.id, found.fault_of) == ("WS-CL-002", "server")


@pytest.mark.parametrize(("reason", "topic"), [("", "app-auth"), ("no seat", "policy")])
def test_a_1008_is_about_credentials_where_it_says_nothing(reason, topic):
    found = diagnose_connection(ended(*HELLO, by="server", code=1008, reason=reason))[0]
    assert found.fixes[-1].text == FIXES[topic]["general"]
