"""Requests that no recording answers: h11 reads them in any pieces, and every answer is a valid response."""

from __future__ import annotations

import asyncio

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.examples import examples
from wsinspect.handshake.heads import RawHead
from wsinspect.replay.as_server.answers import plain
from wsinspect.replay.common.conduit import Conduit
from wsinspect.replay.common.exchange import Exchange

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n"


def post(length: int | bytes, *more: bytes) -> bytes:
    size = length if isinstance(length, bytes) else b"%d" % length
    return b"\r\n".join([b"POST / HTTP/1.1", b"Host: a", b"Content-Length: " + size, *more, b"", b""])


def read(response: bytes, method: str = "GET") -> tuple[h11.Response, bytes]:
    """What a strict client makes of it; it must be whole and end the connection."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(response)
    client.receive_data(b"")
    head = client.next_event()
    assert isinstance(head, h11.Response)
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert client.their_state in (h11.MUST_CLOSE, h11.CLOSED)
    return head, body


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("head", "body", "expected"),
    [(post(5), b"abcde", b"abcde"), (CHUNKED, CHUNKS, b"abcde"), (post(0), b"", b""), (GET, b"", b"")],
)
def test_a_body_comes_in_any_pieces_and_what_follows_is_dropped(head, body, expected, size):
    exchange = Exchange(RawHead.parse(head), max_body=10)
    for start in range(0, len(body), size):
        assert not exchange.is_whole
        exchange.on_data(body[start : start + size])
    for _ in range(3):
        exchange.on_data(b"GET /next HTTP/1.1\r\n\r\n" * 1000)
    assert (exchange.is_whole, bytes(exchange.body), exchange.problem) == (True, expected, None)


def test_what_arrives_with_the_end_of_the_body_does_not_belong_to_it():
    exchange = Exchange(RawHead.parse(post(3)), max_body=10)
    exchange.on_data(b"abcPOST / HTTP/1.1\r\n")
    assert exchange.is_whole
    assert exchange.body == b"abc"


@pytest.mark.parametrize(
    ("head", "body"), [(post(11), b""), (post(10**18), b""), (CHUNKED, b"b\r\nabcdefghijk\r\n")]
)
def test_a_body_beyond_the_limit_is_not_waited_for(head, body):
    exchange = Exchange(RawHead.parse(head), max_body=10)
    exchange.on_data(body)
    assert exchange.is_too_large
    exchange.on_data(b"x" * 100_000)
    assert len(exchange.body) <= 11


@pytest.mark.parametrize(
    ("head", "body", "problem"),
    [
        (post(b"1, 2"), b"", "conflicting Content-Length headers"),
        (post(b"-1"), b"", "bad Content-Length"),
        (CHUNKED, b"zz\r\n", "illegal chunk header"),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n", b"abc", "Missing mandatory Host: header"),
        (b"no head at all\r\n\r\n", b"", "illegal request line"),
    ],
)
def test_a_malformed_request_is_a_problem_and_still_gets_an_answer(head, body, problem):
    exchange = Exchange(RawHead.parse(head), max_body=10)
    exchange.on_data(body)
    assert exchange.problem is not None
    assert problem in exchange.problem
    assert read(exchange.respond(400, b"no"))[1] == b"no"


@pytest.mark.parametrize("digits", [30, 5000])
def test_a_length_of_very_many_digits_is_refused_by_any_h11(digits):
    exchange = Exchange(RawHead.parse(post(b"9" * digits)), max_body=10)
    assert exchange.is_over
    assert not exchange.is_whole
    assert read(exchange.respond(413, b"no"))[1] == b"no"


def test_an_end_in_the_middle_of_a_body_is_a_problem():
    exchange = Exchange(RawHead.parse(post(5)), max_body=10)
    exchange.on_data(b"abc")
    exchange.on_end("fin")
    assert exchange.problem is not None
    assert not exchange.is_whole


def test_one_that_asks_may_go_on_before_it_sends_its_body():
    written: list[bytes] = []

    class Wire(Conduit):
        def write(self, data: bytes) -> None:
            written.append(data)

    async def run() -> bytes | None:
        conduit, exchange = Wire(), Exchange(RawHead.parse(post(3, b"Expect: 100-continue")), max_body=10)
        reading = asyncio.create_task(exchange.read(conduit, 10))
        await asyncio.sleep(0)
        assert written == [b"HTTP/1.1 100 Continue\r\n\r\n"]
        exchange.on_data(b"abc")
        return await reading

    assert asyncio.run(run()) == b"abc"


@pytest.mark.parametrize("head", [post(3), CHUNKED])
def test_a_body_that_does_not_come_in_time_is_none(head):
    async def run() -> bytes | None:
        return await Exchange(RawHead.parse(head), max_body=10).read(Conduit(), 0.001)

    assert asyncio.run(run()) is None


def test_an_answer_to_head_has_the_length_and_no_body():
    head, body = read(plain(RawHead.parse(HEAD), 404, "nothing here"), "HEAD")
    assert dict(head.headers)[b"content-length"] == b"13"
    assert body == b""


def test_no_content_has_no_length():
    head, body = read(Exchange(RawHead.parse(GET)).respond(204, b""))
    assert b"content-length" not in dict(head.headers)
    assert body == b""


def test_a_426_names_the_protocol_and_closes():
    head, _ = read(plain(RawHead.parse(GET), 426, "only WebSockets"))
    fields = dict(head.headers)
    assert (head.reason, fields[b"upgrade"]) == (b"Upgrade Required", b"websocket")
    said = [value.lower() for name, value in head.headers if name == b"connection"]
    assert sorted(b",".join(said).replace(b" ", b"").split(b",")) == [b"close", b"upgrade"]


def test_of_several_fields_the_first_counts_as_in_the_header_block():
    raw = b"GET / HTTP/1.1\r\nHost: a\r\nOrigin: http://one\r\norigin: http://two\r\n\r\n"
    head = RawHead.parse(raw)
    assert Exchange(head).field(b"origin") == head.get("origin") == b"http://one"


@examples(150)
@given(
    method=st.sampled_from([b"GET", b"POST", b"OPTIONS", b"CONNECT", b"", b"\xff"]),
    version=st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b""]),
    fields=st.lists(st.sampled_from([b"Origin", b"Host", b"Upgrade", b"X y", b"Expect"]), max_size=4),
    value=st.binary(max_size=30) | st.sampled_from([b"websocket", b"a", b"100-continue"]),
    after=st.binary(max_size=60),
)
def test_any_request_gets_a_valid_answer(method, version, fields, value, after):
    lines = [method + b" / " + version, *(name + b": " + value for name in fields), b"", b""]
    exchange = Exchange(RawHead.parse(b"\r\n".join(lines)), max_body=10)
    exchange.on_data(after)
    exchange.on_end("fin")
    echoed = [(b"X-Echo", exchange.field(name.lower())) for name in fields if exchange.field(name.lower())]
    assert read(exchange.respond(400, b"body", echoed))[1] == b"body"
