"""OpenTelemetry's SDK against a receiver that decodes with OpenTelemetry's own messages."""

from __future__ import annotations

import logging
import os

import pytest

from tests.support.chats import chat_capture
from tests.support.otlp import receiving, receiving_grpc
from wsinspect.capture.queries.telemetry import Marks
from wsinspect.capture.reader import Capture
from wsinspect.telemetry.collector import Collector, _LastWords
from wsinspect.telemetry.following import Follower
from wsinspect.telemetry.process import settle_endpoints

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """No variable of the user's, and no handler that stays."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    logger = logging.getLogger("opentelemetry")
    before = [*logger.handlers]
    yield
    logger.handlers[:] = before


def send(path, receiver, monkeypatch, protocol="http/protobuf", **variables):
    """A whole capture; the collector, closed, and what it said."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    said: list[str] = []
    collector = Collector(protocol, "a-1", said.append)
    with Capture.open(path) as capture:
        collector.send(Follower("a-1", Marks(0, 0, 0, 0), collector, {}).look(capture, 1, is_last=True))
    collector.close()
    return collector, said


@pytest.mark.parametrize(
    ("protocol", "receiving"), [("http/protobuf", receiving), ("grpc", receiving_grpc)], ids=["http", "grpc"]
)
def test_spans_and_metrics_arrive(tmp_path, monkeypatch, protocol, receiving):
    with receiving() as receiver:
        collector, said = send(chat_capture(tmp_path / "a.db"), receiver, monkeypatch, protocol)
    assert (collector.dropped, said) == (0, [])
    one, refused = receiver.spans
    assert (one.name, one.is_error, one.attributes["websocket.close.code"]) == (
        "websocket chat.example",
        False,
        1000,
    )
    assert [name for name, _, _ in one.events] == ["attempt", "open", "close"]
    assert (refused.is_error, refused.attributes["error.type"]) == (True, "403")
    assert one.resource["service.name"] == "wsinspect"
    assert {"service.version", "service.instance.id", "host.name"} <= one.resource.keys()
    assert receiver.total("websocket.frames", {"websocket.direction": "c2s"}) == 3
    assert receiver.total("websocket.io") == 90
    assert receiver.total("websocket.ping.rtt", {"websocket.leg": "client"}) == 1
    assert receiver.total("websocket.connection.active") == 0
    assert receiver.total("websocket.handshake.duration", {"http.response.status_code": 403}) == 1
    (duration,) = receiver.metrics["websocket.connection.duration"]
    assert duration.attributes["websocket.close.code"] == 1000
    for body in receiver.raw:
        assert not any(word in body for word in (b"welcome", b"bye", b"s3cr3t", b"t0k3n", b"abc123"))


def test_a_signal_may_have_a_protocol_of_its_own(tmp_path, monkeypatch):
    with receiving() as http, receiving_grpc() as grpc:
        send(
            chat_capture(tmp_path / "a.db"),
            http,
            monkeypatch,
            OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=grpc.url,
            OTEL_EXPORTER_OTLP_TRACES_PROTOCOL="grpc",
        )
    assert (len(grpc.spans), grpc.metrics) == (2, {})
    assert (http.spans, http.total("websocket.frames", {"websocket.direction": "c2s"})) == ([], 3)


def test_endpoints_are_in_words_that_the_sdk_knows(monkeypatch):
    every = "OTEL_EXPORTER_OTLP_ENDPOINT"
    traces, metrics = (f"OTEL_EXPORTER_OTLP_{one}_ENDPOINT" for one in ("TRACES", "METRICS"))
    monkeypatch.setenv(every, "grpc://c:4317")
    monkeypatch.setenv(traces, "grpcs://d:4317")
    monkeypatch.setenv(metrics, "http://grpc:4318")
    settle_endpoints(None)
    found = [os.environ[one] for one in (every, traces, metrics)]
    assert found == ["http://c:4317", "https://d:4317", "http://grpc:4318"]
    settle_endpoints("http://e:4318")
    assert [os.environ.get(one) for one in (every, traces, metrics)] == ["http://e:4318", None, None]


def test_the_users_variables_are_honoured(tmp_path, monkeypatch):
    with receiving() as receiver:
        send(
            chat_capture(tmp_path / "a.db"),
            receiver,
            monkeypatch,
            OTEL_SERVICE_NAME="chat-taps",
            OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test,service.instance.id=mine",
            OTEL_EXPORTER_OTLP_HEADERS="x-tenant=7",
            OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
            OTEL_METRICS_EXPORTER="none",
        )
    assert receiver.metrics == {}
    assert receiver.headers["x-tenant"] == "7"
    assert receiver.headers["Content-Encoding"] == "gzip"
    resource = receiver.spans[0].resource
    assert (resource["service.name"], resource["service.instance.id"]) == ("chat-taps", "mine")
    assert resource["deployment.environment.name"] == "test"


def test_a_trace_that_others_do_not_sample_is_sent_unless_the_user_says_so(tmp_path, monkeypatch):
    request = (
        b"GET / HTTP/1.1\r\nHost: chat.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"traceparent: 00-%s-%s-00\r\n\r\n" % (TRACE.encode(), PARENT.encode())
    )
    path = chat_capture(tmp_path / "a.db", request=request)
    with receiving() as receiver:
        send(path, receiver, monkeypatch)
    assert [(one.trace_id, one.parent_id) for one in receiver.spans][:1] == [(TRACE, PARENT)]
    with receiving() as receiver:
        send(path, receiver, monkeypatch, OTEL_TRACES_SAMPLER="parentbased_always_on")
    assert [one.attributes["wsinspect.connection"] for one in receiver.spans] == [2]


def test_what_a_collector_does_not_take_is_dropped_counted_and_said_once(tmp_path, monkeypatch):
    path = chat_capture(tmp_path / "a.db")
    with receiving() as receiver:
        receiver.status = 400
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        said: list[str] = []
        collector = Collector("http/protobuf", "a-1", said.append)

        def again() -> None:
            with Capture.open(path) as capture:
                follower = Follower("a-1", Marks(0, 0, 0, 0), collector, {})
                collector.send(follower.look(capture, 1, is_last=True))

        again()
        again()
        assert (collector.dropped, len(said)) == (4, 1)
        assert "the collector does not take spans" in said[0]
        assert "400" in said[0]
        receiver.status = 200
        again()
        collector.close()
    assert said[1:] == ["the collector takes spans again; 4 spans dropped so far"]
    assert len(receiver.spans) == 2
    assert receiver.total("wsinspect.otlp.dropped") == 4


@pytest.mark.parametrize(
    ("protocol", "reason"), [("http/protobuf", "405"), ("grpc", "method not found")], ids=["http", "grpc"]
)
def test_a_collector_of_spans_alone_is_said_to_be_one(tmp_path, monkeypatch, protocol, reason):
    """As those for tracing alone are: they answer 405 or 404, or do not know the service."""
    of_http = protocol != "grpc"
    with receiving() if of_http else receiving_grpc(has_metrics=False) as receiver:
        receiver.metrics_status = 405
        collector, said = send(chat_capture(tmp_path / "a.db"), receiver, monkeypatch, protocol)
    assert (collector.dropped, len(receiver.spans), len(said)) == (0, 2, 1)
    assert said[0].startswith("the collector does not take metrics (")
    assert reason in said[0]
    assert said[0].endswith("; OTEL_METRICS_EXPORTER=none sends spans alone")
    assert collector.last_words == ""


def test_a_collector_that_takes_nothing_is_said_once(tmp_path, monkeypatch):
    with receiving() as receiver:
        receiver.status = 400
        _, said = send(chat_capture(tmp_path / "a.db"), receiver, monkeypatch)
    assert len(said) == 1
    assert "does not take spans" in said[0]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            "Transient error StatusCode.UNAVAILABLE encountered while exporting traces to c:1, "
            "retrying in 0.9s. Error details: failed to connect to all addresses; "
            "last error: UNKNOWN: ipv4:127.0.0.1:1: "
            "Failed to connect to remote host: Connection refused",
            "connection refused",
        ),
        (
            "Transient error StatusCode.UNAVAILABLE encountered while exporting traces to c:1, "
            "retrying in 0.9s. Error details: failed to connect to all addresses; "
            "last error: UNAVAILABLE: ipv4:127.0.0.1:1: "
            "Failed parsing HTTP/2 (Expected SETTINGS frame as the first frame, got frame type 79)",
            "it does not speak gRPC: use http://, usually port 4318",
        ),
        (
            "Transient error StatusCode.UNAVAILABLE encountered while exporting traces to c:1, "
            "retrying in 0.9s. Error details: failed to connect to all addresses; "
            "last error: UNKNOWN: ipv4:127.0.0.1:1: "
            "Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:100000f7:SSL routines:"
            "OPENSSL_internal:WRONG_VERSION_NUMBER: Invalid certificate verification context: OK",
            "it does not speak TLS: use grpc:// or http://",
        ),
        (
            "Failed to export traces to c:1, error code: StatusCode.UNAUTHENTICATED, error details: No token",
            "no token",
        ),
        (
            "Transient error ('Connection aborted.', BadStatusLine('\\x00\\x00\\x18\\x04')) encountered "
            "while exporting spans batch, retrying in 0.89s.",
            "it speaks gRPC: use grpc://, usually port 4317",
        ),
        (
            "Transient error HTTPConnectionPool(host='a', port=9): Max retries exceeded with url: /v1/traces "
            "(Caused by NewConnectionError('HTTPConnection(host=a, port=9): Failed to establish a new "
            "connection: [Errno 111] Connection refused')) encountered while exporting span batch, "
            "retrying in 1.05s.",
            "connection refused",
        ),
        (
            "Transient error Service Unavailable encountered while exporting traces batch, retrying in 0.9s",
            "Service Unavailable",
        ),
        (
            "Failed to export span batch code: 400, reason: no",
            "Failed to export span batch code: 400, reason: no",
        ),
        (
            "Transient error " + "\x9b" * 500 + " encountered while exporting span batch",
            "\\x9b" * 160 + "...",
        ),
    ],
)
def test_why_something_was_not_sent_is_short(said: str, words: str) -> None:
    heard = _LastWords()
    for one in (said, "Failed to export span batch due to timeout, max retries or shutdown."):
        heard.emit(logging.LogRecord("opentelemetry", logging.WARNING, "", 0, one, None, None))
    assert heard.text == words
