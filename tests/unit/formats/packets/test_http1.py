from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.packets import CLIENT, REQUEST, RESPONSE, SERVER, said
from tests.support.told import Told
from wsinspect.formats.packets.http1 import Http1, NotHttpError

PAGE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnono"
REFUSED_CHUNKED = b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnono\r\n0\r\n\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"


def play(*pieces: tuple[int, bytes], step: int = 0) -> Told:
    told = Told()
    http = Http1(told)
    for side, data in pieces:
        size = step or len(data)
        for place in range(0, len(data), size):
            http.feed(side, data[place : place + size], 1)
    return told


@pytest.mark.parametrize("step", [0, 1])
def test_an_upgrade_among_other_requests(step: int) -> None:
    told = play(
        (CLIENT, PAGE),
        (SERVER, OK),
        (CLIENT, POST + CHUNKED),
        (SERVER, OK + b"HTTP/1.1 204 No Content\r\n\r\n"),
        (CLIENT, REQUEST),
        (SERVER, EARLY + RESPONSE + said(b"first")),
        (CLIENT, said(b"hi", masked=True)),
        step=step,
    )
    assert told.lines() == [
        f"1 attempt {REQUEST!r}",
        f"1 informational {EARLY!r}",
        f"1 open {RESPONSE!r}",
    ]
    assert told.streams[1] == [said(b"hi", masked=True), said(b"first")]


@pytest.mark.parametrize("refusal", [REFUSED, REFUSED_CHUNKED])
@pytest.mark.parametrize("step", [0, 1])
def test_a_refusal_with_its_body_and_the_next_attempt(refusal: bytes, step: int) -> None:
    told = play((CLIENT, REQUEST), (SERVER, refusal), (CLIENT, REQUEST), (SERVER, RESPONSE), step=step)
    head = refusal[: refusal.index(b"\r\n\r\n") + 4]
    assert told.lines() == [
        f"1 attempt {REQUEST!r}",
        f"1 refused {head!r}",
        "1 body b'nono'",
        "1 closed",
        f"2 attempt {REQUEST!r}",
        f"2 open {RESPONSE!r}",
    ]


def test_what_the_client_says_before_the_answer_comes_after_it() -> None:
    told = play((CLIENT, REQUEST + said(b"early", masked=True)), (SERVER, RESPONSE))
    assert told.streams[1][CLIENT] == said(b"early", masked=True)


def test_a_pipelined_request_after_a_refused_upgrade() -> None:
    told = play((CLIENT, REQUEST + REQUEST), (SERVER, REFUSED + RESPONSE))
    assert [one.split()[:2] for one in told.lines() if "body" not in one and "closed" not in one] == [
        ["1", "attempt"],
        ["1", "refused"],
        ["2", "attempt"],
        ["2", "open"],
    ]


def test_a_request_that_a_hop_took_upgrade_from() -> None:
    """Its Sec-WebSocket-Key is left: nginx without the two lines does that."""
    request = REQUEST.replace(b"Upgrade: websocket\r\nConnection: Upgrade", b"Connection: close")
    assert play((CLIENT, request), (SERVER, REFUSED)).lines()[0] == f"1 attempt {request!r}"


def test_a_body_until_the_end_and_answers_without_one() -> None:
    told = play(
        (CLIENT, b"HEAD / HTTP/1.1\r\n\r\n" + REQUEST),
        (SERVER, b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"),
        (SERVER, b"HTTP/1.1 400 Bad\r\n\r\nwhy"),
        (SERVER, b" not"),
    )
    assert told.lines()[-1] == "1 body b'why not'"


def test_the_tunnel_of_a_connect() -> None:
    told = Told()
    http = Http1(told)
    http.feed(CLIENT, b"CONNECT a:443 HTTP/1.1\r\n\r\n", 1)
    http.feed(SERVER, b"HTTP/1.1 200 OK\r\n\r\nxyz", 1)
    assert http.tunnel
    assert http.take_rest() == (b"", b"xyz")


def test_a_gap_in_the_middle_of_a_body_is_passed_over() -> None:
    told = Told()
    http = Http1(told)
    http.feed(CLIENT, PAGE, 1)
    http.feed(SERVER, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc", 1)
    http.gap(SERVER, 900, 1)
    http.feed(SERVER, bytes(97), 1)
    http.feed(CLIENT, REQUEST, 1)
    http.feed(SERVER, RESPONSE, 1)
    assert told.lines()[-1] == f"1 open {RESPONSE!r}"


def test_a_gap_elsewhere_ends_the_reading_and_one_in_a_websocket_does_not() -> None:
    http = Http1(Told())
    with pytest.raises(NotHttpError):
        http.gap(CLIENT, 5, 1)
    told = Told()
    http = Http1(told)
    http.feed(CLIENT, REQUEST, 1)
    http.feed(SERVER, RESPONSE, 1)
    http.gap(SERVER, 7, 1)
    assert told.lines()[-1] == "1 hole 1 7"


@pytest.mark.parametrize(
    ("side", "data"),
    [
        (CLIENT, b"hello world\r\n\r\n"),
        (SERVER, b"220 mail.example ESMTP\r\n"),
        (CLIENT, b"GET / HTTP/1.1\r\n" + b"X: " + bytes(300_000)),
        (CLIENT, b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"),
        (CLIENT, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        (CLIENT, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 5000),
        (CLIENT, PAGE * 1500),
        (SERVER, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"),
    ],
)
def test_what_is_not_http_ends_the_reading(side: int, data: bytes) -> None:
    with pytest.raises(NotHttpError):
        Http1(Told()).feed(side, data, 1)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 1), st.one_of(st.binary(max_size=60), st.sampled_from([REQUEST, RESPONSE, OK]))
        )
    )
)
def test_no_bytes_raise_anything_else(pieces: list[tuple[int, bytes]]) -> None:
    try:
        play(*((side, data) for side, data in pieces if data))
    except NotHttpError:
        pass
