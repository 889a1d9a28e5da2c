"""The extended CONNECT against an HTTP/2 server, both without I/O, in any pieces."""

from __future__ import annotations

import pytest
from h2.connection import H2Connection
from hypothesis import given
from hypothesis import strategies as st

from tests.support.doctor_lab import Http2Server
from wsinspect.doctor.http2 import ConnectReader
from wsinspect.doctor.questions import Question, handshake_fields
from wsinspect.doctor.target import Extras, Target

TARGET = Target("wss", "example.org", 443, "/chat?a=b")
QUESTION = Question(
    kind="h2",
    asks="",
    target=TARGET,
    fields=handshake_fields(TARGET, Extras(subprotocols=("v1",)), "key"),
    http_version="HTTP/2",
)


def talk(server: Http2Server, size: int = 10_000) -> ConnectReader:
    """Both sides, `size` bytes at a time."""
    reader = ConnectReader(QUESTION)
    to_client = server.feed(b"")
    for _ in range(20):
        for at in range(0, len(to_client), size):
            reader.feed(to_client[at : at + size])
        if reader.is_done:
            break
        to_client = server.feed(reader.outgoing())
    return reader


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_an_announced_websocket_is_asked_for(size) -> None:
    server = Http2Server("200")
    reader = talk(server, size)
    assert (reader.is_announced, reader.status, reader.error) == (True, 200, None)
    assert reader.raw_response == b"HTTP/2 200\r\nserver: lab\r\n\r\n"
    (request,) = server.requests
    assert request[b":method"] == b"CONNECT"
    assert request[b":protocol"] == b"websocket"
    assert request[b":path"] == b"/chat?a=b"
    assert request[b"sec-websocket-protocol"] == b"v1"
    assert not {b"host", b"connection", b"upgrade", b"sec-websocket-key"} & set(request)
    assert reader.raw_request.startswith(b"CONNECT /chat?a=b HTTP/2\r\n")


def test_nothing_is_asked_where_it_is_not_announced() -> None:
    server = Http2Server("200", is_announced=False)
    reader = talk(server)
    assert (reader.is_announced, reader.status, reader.is_done) == (False, None, True)
    assert server.requests == []
    assert reader.raw_response is None


def test_a_stream_that_is_reset_and_a_connection_that_ends() -> None:
    assert "reset the stream" in (talk(Http2Server(None)).error or "")
    reader = ConnectReader(QUESTION)
    reader.feed(b"")
    assert reader.is_done
    assert "closed" in (reader.error or "")


def page(http2: H2Connection, stream: int) -> None:
    http2.send_headers(stream, [(":status", "200"), ("content-type", "text/html; charset=utf-8")])


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (
            lambda http2, stream: http2.reset_stream(stream, 13),
            "the server reset the stream (HTTP_1_1_REQUIRED)",
        ),
        (lambda http2, stream: http2.reset_stream(stream, 7), "the server reset the stream (REFUSED_STREAM)"),
        (lambda http2, stream: http2.reset_stream(stream, 99), "the server reset the stream (error code 99)"),
        (lambda http2, _: http2.close_connection(0, last_stream_id=0), "the server sent GOAWAY (NO_ERROR)"),
        (page, "the server answered 200, and sent a web page (Content-Type: text/html)"),
        (
            lambda http2, stream: http2.send_headers(stream, [(":status", "200")], end_stream=True),
            "the server answered 200, and ended the stream at once (END_STREAM)",
        ),
    ],
)
def test_what_opens_no_websocket_is_named(answer, error) -> None:
    reader = talk(Http2Server(None, answer=answer))
    assert (reader.status, reader.error) == (None, error)


@pytest.mark.parametrize("status", ["404", "501"])
def test_a_refusal_may_end_the_stream(status) -> None:
    def refuse(http2: H2Connection, stream: int) -> None:
        http2.send_headers(stream, [(":status", status), ("content-type", "text/html")], end_stream=True)

    reader = talk(Http2Server(None, answer=refuse))
    assert (reader.status, reader.error) == (int(status), None)


@pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 100, bytes(range(256))])
def test_what_is_not_http2_ends_it(data) -> None:
    reader = ConnectReader(QUESTION)
    for at in range(len(data)):
        reader.feed(data[at : at + 1])
    assert reader.is_announced is None
    reader.feed(b"")
    assert reader.is_done


@given(st.lists(st.binary(max_size=60), max_size=6), st.booleans())
def test_no_bytes_raise(chunks, is_after_settings) -> None:
    reader = ConnectReader(QUESTION)
    if is_after_settings:
        reader.feed(Http2Server("200").feed(b""))
    for chunk in chunks:
        reader.feed(chunk)
    assert isinstance(reader.outgoing(), bytes)
    assert reader.raw_request


@given(st.integers(0, 9), st.integers(0, 255), st.integers(0, 3), st.binary(max_size=40))
def test_no_frame_raises(kind, flags, stream, payload) -> None:
    reader = ConnectReader(QUESTION)
    reader.feed(Http2Server("200").feed(b""))
    reader.feed(len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload)
    assert isinstance(reader.outgoing(), bytes)
