"""What the indexer makes of a connection: its handshake, who made it fail, who ended it and how."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.journals import (
    START_NS,
    Script,
    made_of,
    need,
    only,
    text,
)
from wsinspect.diagnosis.facts import FactReader


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


def test_the_handshake_is_kept_byte_for_byte(path):
    script = Script()
    script.open(1)
    script.head(1, 4, b"HTTP/1.1 103 Early Hints\r\n\r\n")
    with made_of(path, script) as capture:
        handshake = need(capture.handshake(1))
        assert handshake.request_in == b"GET /chat HTTP/1.1\r\nHost: example.test\r\n\r\n"
        assert need(handshake.response_out).startswith(b"HTTP/1.1 101 ")
        assert handshake.informational == b"HTTP/1.1 103 Early Hints\r\n\r\n"
        assert handshake.server_address == "10.0.0.1:80"
        assert (handshake.server_reused, handshake.client_tls) == (False, None)
        assert need(handshake.request_in_ns) < need(handshake.response_out_ns)
        assert "accept" not in handshake.problems
        connection = only(capture)
        assert connection.url == "ws://example.test:8080/chat"
        assert (connection.tap, connection.state, connection.status) == ("edge", "closed", 101)
        assert capture.handshake(2) is None
        assert capture.connection(2) is None


def test_a_refused_attempt_keeps_status_and_body(path):
    script = Script()
    script.attempt(1)
    script.head(1, 2, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\n")
    script.body(1, b"no" * 20_000)
    script.body(1, b"no" * 20_000)
    script.event(1, "refused", status=403)
    script.end(1, "server")
    with made_of(path, script) as capture:
        connection = only(capture)
        assert (connection.state, connection.status, connection.ended_by, connection.how) == (
            "refused",
            403,
            "server",
            "refused",
        )
        assert (connection.js_code, connection.js_was_clean) == (1006, False)
        assert len(need(need(capture.handshake(1)).body)) == 65536


def test_an_attempt_that_dies_on_the_way_says_where(path):
    script = Script()
    script.attempt(1)
    tls = {"version": "TLSv1.3", "alpn": "http/1.1", "certificate": {"subject": "x"}}
    script.event(
        1,
        "server",
        address="h:1",
        peer=None,
        sockname=None,
        tcp_start_ns=1,
        tcp_done_ns=None,
        tls_done_ns=None,
        reused=False,
        tls=tls,
        error="refused",
    )
    script.event(1, "failed", where="connect", error="connection refused", status=None)
    script.event(1, "closed")
    with made_of(path, script) as capture:
        connection = only(capture)
        assert (connection.state, connection.error, connection.server) == (
            "failed",
            "connection refused",
            "h:1",
        )
        assert connection.server_alpn == "http/1.1"
        assert need(capture.handshake(1)).server_tls == tls
        assert [event.kind for event in capture.events(1)] == ["attempt", "server", "failed", "closed"]
        assert capture.events(1)[2].detail["where"] == "connect"


@pytest.mark.parametrize(
    ("where", "verify_error", "ended_by"),
    [
        ("tls-server", "self-signed certificate", "proxy"),
        ("tls-server", None, "server"),
        ("connect", None, "server"),
        ("client", None, "client"),
    ],
)
def test_who_made_an_attempt_fail(path, where, verify_error, ended_by):
    script = Script()
    script.attempt(1)
    script.event(1, "server", address="h:1", tls={"verify_error": verify_error}, error=None)
    script.event(1, "failed", where=where, error="why", status=None)
    script.event(1, "closed")
    with made_of(path, script) as capture:
        connection = only(capture)
        assert (connection.ended_by, connection.how) == (ended_by, "refused")


def test_an_attempt_that_only_closes_has_failed(path):
    script = Script()
    script.attempt(1)
    script.event(1, "closed")
    with made_of(path, script) as capture:
        assert only(capture).state == "failed"


def close(code: int, reason: bytes = b"", *, masked: bool) -> bytes:
    return text(code.to_bytes(2, "big") + reason, opcode=8, masked=masked)


def test_a_closing_handshake_has_codes_and_reasons_of_each_side(path):
    script = Script()
    script.open(1)
    script.data(1, 0, close(1001, b"going", masked=True) + close(1002, masked=True))
    script.data(1, 1, close(1000, "fär".encode(), masked=False))
    script.end(1, "server")
    with made_of(path, script) as capture:
        connection = only(capture)
        assert (connection.client_close_code, connection.client_close_reason) == (1001, "going")
        assert (connection.server_close_code, connection.server_close_reason) == (1000, "fär")
        assert (connection.ended_by, connection.how, connection.state) == ("client", "close-frame", "closed")
        assert (connection.js_code, connection.js_was_clean) == (1000, True)


@pytest.mark.parametrize(("side", "how"), [("client", "rst"), ("server", "fin"), ("proxy", "timeout")])
def test_a_transport_end_without_close_frame(path, side, how):
    script = Script()
    script.open(1)
    script.data(1, 1, text(b"x", masked=False))
    script.end(1, side, how)
    with made_of(path, script) as capture:
        connection = only(capture)
        assert (connection.ended_by, connection.how, connection.js_code) == (side, how, 1006)


@pytest.mark.parametrize(
    ("answer", "held_ns", "expected"), [(1000, 0, "client"), (1000, 10**9, "both"), (1001, 0, "client")]
)
def test_closes_have_crossed_where_the_second_came_before_the_first_left(path, answer, held_ns, expected):
    script = Script()
    script.open(1)
    script.data(1, 0, close(1000, masked=True), sent_after_ns=held_ns)
    script.data(1, 1, close(answer, masked=False))
    script.end(1, "server")
    with made_of(path, script) as capture:
        assert only(capture).ended_by == expected


def test_text_in_the_stream_that_reads_as_a_close_frame_is_not_one(path):
    script = Script()
    script.open(1)
    script.data(1, 1, text(b"x", masked=False) + b"HTTP/1.1 500 Internal Server Error\r\n" + b"x" * 80)
    script.end(1, "server", "fin")
    with made_of(path, script) as capture:
        connection = only(capture)
        assert (connection.ended_by, connection.how, connection.server_close_code) == ("server", "fin", None)
        assert (connection.js_code, connection.js_was_clean) == (1006, False)


def test_a_client_that_leaves_before_any_answer_ended_its_attempt(path):
    script = Script()
    script.attempt(1)
    script.event(1, "end", side="client", how="fin")
    script.event(1, "failed", where="response", error="no answer", status=None)
    script.event(1, "closed")
    with made_of(path, script) as capture:
        assert (only(capture).ended_by, only(capture).how) == ("client", "refused")


def test_a_server_that_broke_the_protocol_gets_1006(path):
    script = Script()
    script.open(1)
    script.data(1, 1, text(b"x", opcode=3, masked=False) + close(1000, masked=False))
    script.end(1, "client")
    script.open(2)
    script.data(2, 1, b"\x82\x7f" + b"\xff" * 8)
    script.end(2, "client")
    with made_of(path, script) as capture:
        assert [(c.js_code, c.js_was_clean) for c in capture.connections()] == [(1006, False)] * 2


@pytest.mark.parametrize("ended", ["client", "server", None])
def test_what_is_open_when_the_engine_stops_is_ended_and_not_lost(path, ended):
    script = Script()
    script.open(1)
    script.data(1, 0, text(b"hello"))
    if ended:
        script.event(1, "end", side=ended, how="fin")
    script.attempt(2)
    script.now += 10**9
    with made_of(path, script) as capture:
        one, two = capture.connections()
        assert (one.state, one.ended_by, one.how) == ("closed", ended or "proxy", "fin")
        assert need(one.closed_ns) > START_NS + 10**9
        assert (two.state, two.ended_by, two.how) == ("failed", "proxy", "refused")
        assert two.error == "wsinspect stopped before the server answered"
        assert capture.meta["closed_cleanly"] is True
        ends = [(end.side, end.how) for end in need(FactReader(capture.query).connection(1)).ends]
        assert ends == ([(ended, "fin")] if ended else []) + [("proxy", "fin")]
