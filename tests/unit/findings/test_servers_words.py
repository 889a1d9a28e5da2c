"""What servers and libraries answer in words or shapes of their own, and near neighbours: who is blamed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.findings.facts_made import (
    HELLO,
    OPEN,
    SECOND,
    cut,
    ended,
    frame,
    ping,
    refused,
    request,
    switching,
)
from wsinspect.findings.facts import C2S, S2C, ConnectionFacts, FrameFact, Other
from wsinspect.findings.model import Finding
from wsinspect.findings.registry import diagnose_connection
from wsinspect.wire.violations import DATA_AFTER_CLOSE


def first(facts: ConnectionFacts) -> Finding:
    return diagnose_connection(facts)[0]


#: A development server's page about an exception: it shows the code, whose texts are about other requests.
_SHOWN_CODE = (
    b"<!doctype html><html><body><h1>TypeError</h1><pre>"
    + b"return new Response('Expected websocket', {status: 426}); // websockets are disabled\n" * 20
    + b"</pre></body></html>"
)


def test_an_error_page_that_shows_code_says_nothing_of_the_upgrade():
    found = first(refused("500 Internal Server Error", _SHOWN_CODE, Content_Type="text/html"))
    assert (found.id, found.fault_of) == ("WS-HS-019", "server")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        ("500 Internal Server Error", b"Expected websocket", "text/plain"),
        ("500 Internal Server Error", b"<html><body><p>Expected websocket</p></body></html>", "text/html"),
    ],
)
def test_an_answer_that_itself_says_so_is_about_the_upgrade(status, body, kind):
    assert first(refused(status, body, Content_Type=kind)).id == "WS-HS-002"


def test_a_426_for_tls_is_no_lost_upgrade():
    found = first(refused("426 Upgrade Required", Upgrade="TLS/1.2, HTTP/1.1"))
    assert (found.id, found.fault_of, found.confidence) == ("WS-HS-023", "client", "high")
    assert "TLS/1.2 first" in found.title
    assert first(refused("426 Upgrade Required", Upgrade="h2c")).fault_of == "server"


@pytest.mark.parametrize("fields", [{}, {"Upgrade": "websocket"}, {"Upgrade": "h2c, WebSocket"}])
def test_another_426_is_a_lost_upgrade(fields):
    assert first(refused("426 Upgrade Required", **fields)).id == "WS-HS-002"


def after_close(payload: bytes = b"late", **facts: Any) -> ConnectionFacts:
    late = frame(9, S2C, 1.1, payload=payload, violation=DATA_AFTER_CLOSE)
    return ended(*HELLO, violations=((late, 1),), **facts)


def test_what_comes_after_a_clean_close_is_a_note_and_the_code_comes_first():
    found = diagnose_connection(after_close(code=4001, reason="kicked out", by="server"))
    assert [(one.id, one.severity) for one in found] == [("WS-CL-030", "warning"), ("WS-FR-008", "note")]
    broken = diagnose_connection(after_close(js_was_clean=False, js_code=1006))
    assert ("WS-FR-008", "warning") in [(one.id, one.severity) for one in broken]


def test_no_content_has_no_content_and_what_is_gone_is_no_404():
    assert "204 without content" in first(refused("204 No Content")).title
    assert "200 with content" in first(refused("200 OK", b"hello", Content_Type="text/plain")).title
    assert first(refused("410 Gone", b"use /v2")).title.startswith("410: ")
    assert first(refused("404 Not Found", b"no")).title.startswith("404: ")


_WERKZEUG = (
    b"<!doctype html><title>400 Bad Request</title><h1>Bad Request</h1>"
    b"<p>The browser (or proxy) sent a request that this server could not understand.</p>"
)


def test_a_400_of_werkzeug_is_about_the_route():
    found = first(refused("400 BAD REQUEST", _WERKZEUG, Content_Type="text/html; charset=utf-8"))
    assert (found.id, found.fault_of, found.confidence) == ("WS-HS-012", "server", "medium")
    assert "ordinary route" in found.causes[0].cause
    assert "removes the Upgrade headers" in found.causes[1].cause
    other = first(refused("400 Bad Request", b"<h1>Bad Request</h1>", Content_Type="text/html"))
    assert "Werkzeug" not in other.title


def test_a_bare_403_without_an_origin_is_what_go_writes():
    bare = refused("403 Forbidden", head=request(without=("Origin",)))
    assert "x/net/websocket" in first(bare).causes[0].cause
    for other in (
        refused("403 Forbidden"),
        refused("403 Forbidden", head=request(without=("Origin",)), Date="Tue, 01 Dec 2026 10:00:00 GMT"),
        refused("403 Forbidden", b"no", head=request(without=("Origin",))),
    ):
        assert not any("x/net" in one.cause for one in first(other).causes)


@pytest.mark.parametrize("line", [b"b'\\x00'", b"b&#x27;\\x00&#x27;", b"b'PROXY TCP4 1.2.3.4 1.2.3.4 1 2'"])
def test_a_proxy_header_of_either_version_is_the_hops(line):
    found = first(refused("400 Bad Request", b"<p>Bad HTTP request line: " + line + b"</p>"))
    assert (found.fault_of, found.confidence) == ("hop", "high")
    assert "PROXY header" in found.title


@pytest.mark.parametrize("line", [b"b'\\x00\\x01'", b"b'hello'"])
def test_other_bytes_are_no_proxy_header(line):
    found = first(refused("400 Bad Request", b"<p>Bad HTTP request line: " + line + b"</p>"))
    assert "PROXY header" not in found.title


def test_a_429_about_connections_is_no_storm():
    found = first(refused("429 Too Many Requests", b"max connections reached: 1"))
    assert (found.id, found.fault_of) == ("WS-HS-017", "server")
    assert "connections at a time" in found.title
    for body in (b"", b"rate limit exceeded", b"too many requests; close some tabs"):
        assert first(refused("429 Too Many Requests", body)).title == "429: too many attempts"


def near(open_at: float, end_at: float | None, **more: Any) -> Other:
    ends = None if end_at is None else OPEN + int(end_at * SECOND)
    opens = OPEN + int(open_at * SECOND)
    values: dict[str, Any] = {"id": 7, "path": "/chat", "attempt_ns": opens, "open_ns": opens}
    return Other(**{**values, "closed_ns": ends, "end_ns": ends, "ended_by": "client", **more})


def test_a_connection_that_a_newer_one_replaces_is_no_crash_alone():
    mqtt: dict[str, Any] = {
        "raw_request_out": request(Sec_WebSocket_Protocol="mqtt"),
        "raw_request_in": request(Sec_WebSocket_Protocol="mqtt"),
        "raw_response_in": switching(Sec_WebSocket_Protocol="mqtt"),
    }
    said = (frame(1, C2S, 0.1), frame(2, S2C, 1.2))
    newer = near(1.25, None)
    assert "#7 took its place" in first(cut(*said, others=(newer,), **mqtt)).causes[0].cause
    assert "#7 took its place" in first(cut(*said, others=(newer,))).causes[1].cause
    for other in (near(0.5, None), near(1.25, 1.3), near(1.25, None, path="/else"), near(-1, None)):
        causes = first(cut(*said, others=(other,), **mqtt)).causes
        assert not any("took its place" in one.cause for one in causes)


def pinged(pong_after: float) -> ConnectionFacts:
    """A client that pings at 1 s and ends TCP at 2 s, and the pong so long after the ping."""
    sent = ping(3, C2S, 1.0)._replace(pong_id=9, rtt_ns=int(pong_after * SECOND))
    said: tuple[FrameFact, ...] = (frame(1, C2S, 0.1), frame(3, C2S, 1.0, 9, b""))
    late = frame(9, S2C, 1.0 + pong_after, 10, b"")
    return cut(*said, late, at=2.0, by="client", pings=(sent,))


def test_a_pong_of_a_blocked_server_comes_too_late():
    found = first(pinged(3.0))
    assert (found.id, found.fault_of) == ("WS-KA-001", "server")
    assert "too late" in found.title


@pytest.mark.parametrize("pong_after", [0.01, 1.05, 1.5])
def test_a_pong_that_was_on_its_way_is_no_reason(pong_after):
    assert all(one.id != "WS-KA-001" for one in diagnose_connection(pinged(pong_after)))


def test_an_id_that_is_taken_is_what_the_server_closed_for():
    taken = b'{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}'
    found = first(ended(frame(2, S2C, 0.9, payload=taken), by="server", code=None))
    assert (found.id, found.title) == (
        "WS-APP-093",
        "The server closed right after it had said 'ID is taken'",
    )
    order = b'{"type":"order-taken","payload":{"msg":"your order is taken"}}'
    assert all(
        one.id != "WS-APP-093"
        for one in diagnose_connection(ended(frame(2, S2C, 0.9, payload=order), by="server", code=None))
    )
