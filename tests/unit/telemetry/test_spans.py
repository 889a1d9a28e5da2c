"""A connection as a span: its attributes, its events, and the trace that it belongs to."""

from __future__ import annotations

import pytest

from tests.support.chats import SECRET_REQUEST, Chat, chat_capture, store
from tests.support.fleet import make_fleet
from wsinspect.capture.queries.telemetry import Found, faults_of, round_trips_of
from wsinspect.capture.reader import Capture
from wsinspect.telemetry.spans import context_of, late_span, own_context, span_of

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
TITLES = {"WS-HS-010": "Refused"}


def spans(path, **more):
    with Capture.open(path) as capture:
        return [
            span_of(
                "a-1",
                one,
                capture.handshake(one.id),
                faults=faults_of(capture, one.id),
                pings=round_trips_of(capture, one.id),
                titles=TITLES,
                **more,
            )
            for one in capture.connections()
        ]


def test_a_session_has_the_names_of_the_conventions(tmp_path):
    one, refused = spans(chat_capture(tmp_path / "a.db"))
    assert one.name == "websocket chat.example"
    assert one.error is None
    expected = {
        "url.scheme": "ws",
        "url.path": "/room",
        "url.query": "id=7&token=***",
        "server.address": "chat.example",
        "server.port": 80,
        "client.address": "127.0.0.1",
        "client.port": 5,
        "network.local.port": 8080,
        "network.protocol.version": "1.1",
        "network.type": "ipv4",
        "http.request.method": "GET",
        "http.response.status_code": 101,
        "websocket.state": "closed",
        "websocket.close.code": 1000,
        "websocket.close.client.code": 1000,
        "websocket.ended_by": "client",
        "websocket.c2s.frames": 3,
        "websocket.s2c.frames": 4,
        "websocket.ping.client.count": 1,
        "websocket.ping.client.unanswered": 0,
        "websocket.ping.client.rtt.mean": 0.001,
    }
    assert {name: one.attributes.get(name) for name in expected} == expected
    assert [event.name for event in one.events] == ["attempt", "open", "close"]
    assert one.start_ns < one.events[1].time_ns < one.end_ns
    assert (refused.error, refused.attributes["error.type"]) == ("403", "403")
    assert refused.attributes["http.request.header.origin"] == ["http://evil.example"]


def test_nothing_that_was_said_is_in_it(tmp_path):
    everything = repr(spans(chat_capture(tmp_path / "a.db")))
    for said in ("welcome", "join", "bye", "no entry", "s3cr3t", "t0k3n", "abc123", "c00k1e"):
        assert said not in everything


def test_both_sides_of_a_proxy_and_both_machines_have_one_trace(tmp_path):
    paths = {path.stem: path for path in make_fleet(tmp_path)}
    edge = [one for name in ("edge1", "edge2") for one in spans(paths[f"{name}-2026-11-28"])]
    app = spans(paths["app1-2026-11-28"])
    opened = {one.context.trace_id for one in edge if one.attributes["websocket.state"] == "closed"}
    assert {one.context.trace_id for one in app} == opened
    assert len(opened) == len(app) == 22
    assert not {one.context.span_id for one in edge} & {one.context.span_id for one in app}


def _with(tmp_path, more: bytes):
    request = SECRET_REQUEST.replace(b"\r\n\r\n", b"\r\n" + more + b"\r\n")
    (one, _) = spans(chat_capture(tmp_path / "a.db", request=request))
    return one.context


def test_a_traceparent_comes_first_and_is_linked_to_the_keys_trace(tmp_path):
    plain = _with(tmp_path, b"")
    (tmp_path / "a.db").unlink()
    context = _with(tmp_path, f"traceparent: 00-{TRACE}-{PARENT}-00\r\n".encode())
    assert (f"{context.trace_id:032x}", f"{context.parent_id:016x}") == (TRACE, PARENT)
    assert context.is_sampled is False
    assert context.link is not None
    assert context.link[0] == plain.trace_id
    assert (plain.parent_id, plain.link) == (None, None)


def test_without_key_and_traceparent_each_has_a_trace_of_its_own(tmp_path):
    script = Chat()
    for number in (1, 2):
        script.accept(number, SECRET_REQUEST.replace(KEY, b""))
    found = spans(store(tmp_path / "a.db", script))
    assert len({one.context.trace_id for one in found}) == 2


@pytest.mark.parametrize(
    ("code", "error"),
    [(1000, None), (1001, None), (1011, "1011"), (1012, "1012"), (4000, None), (3001, None)],
)
def test_a_code_that_means_trouble_is_an_error(tmp_path, code, error):
    script = Chat()
    script.accept(1)
    script.server(1, code.to_bytes(2, "big"), opcode=8)
    script.client(1, code.to_bytes(2, "big"), opcode=8)
    script.end(1, "server")
    (one,) = spans(store(tmp_path / "a.db", script))
    assert one.error == error


def test_findings_and_faults_are_events_at_their_times(tmp_path):
    script = Chat()
    script.accept(1)
    script.fault(1, "slow", "latency", frame=0)
    script.fault(1, "slow", "latency", frame=1)
    script.end(1, "server", "rst")
    found = [Found(1, 1, "WS-HS-010", "error", None), Found(2, 1, "WS-X", "note", 5)]
    (one,) = spans(store(tmp_path / "a.db", script), found=found)
    assert [event.name for event in one.events] == [
        "finding",
        "attempt",
        "open",
        "fault",
        "close",
        "finding",
    ] or [event.name for event in one.events] == ["finding", "attempt", "open", "fault", "finding", "close"]
    fault = next(event for event in one.events if event.name == "fault")
    assert fault.attributes == {
        "wsinspect.fault.rule": "slow",
        "wsinspect.fault.kind": "latency",
        "wsinspect.fault.count": 2,
    }
    first = one.events[0]
    assert (first.time_ns, first.attributes["wsinspect.finding.id"]) == (5, "WS-X")
    last = [event for event in one.events if event.name == "finding"][-1]
    assert last.attributes["wsinspect.finding.title"] == "Refused"
    assert one.error == "1006"


def test_a_late_finding_is_a_child_of_its_connections_span(tmp_path):
    path = chat_capture(tmp_path / "a.db")
    with Capture.open(path) as capture:
        one = capture.connection(2)
        assert one is not None
        context = context_of("a-1", one, capture.handshake(2))
    late = late_span(Found(7, 2, "WS-HS-010", "error", None), context, TITLES, 99)
    assert (late.context.trace_id, late.context.parent_id) == (context.trace_id, context.span_id)
    assert (late.start_ns, late.end_ns, late.error) == (99, 99, "WS-HS-010")
    alone = late_span(Found(8, None, "WS-TOOL-1", "note", None), own_context("a-1", 8), TITLES, 99)
    assert (alone.context.parent_id, alone.error) == (None, None)
