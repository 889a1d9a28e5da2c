from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.h2_talk import CONNECT, Talk
from tests.support.packets import CLIENT, SERVER, said
from tests.support.told import Told
from wsinspect.formats.packets.http1 import NotHttpError
from wsinspect.formats.packets.http2 import Http2

GET = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "chat.example")]
HEAD = b"".join(f"{name}: {value}\r\n".encode() for name, value in CONNECT) + b"\r\n"


class Pair(Talk):
    """Two ends, and what is read of the bytes between them."""

    def __init__(self, step: int = 0) -> None:
        self.told = Told()
        self.reader = Http2(self.told)
        super().__init__(lambda side, data: self.reader.feed(side, data, 1), step)


@pytest.mark.parametrize("step", [0, 1])
def test_a_websocket_between_other_streams(step: int) -> None:
    pair = Pair(step)
    pair.ends[CLIENT].send_headers(1, GET, end_stream=True)
    pair.connect(3)
    pair.ends[SERVER].send_headers(1, [(":status", "200")])
    pair.ends[SERVER].send_data(1, b"a page", end_stream=True)
    pair.ends[CLIENT].send_data(3, said(b"hi", masked=True))
    pair.ends[SERVER].send_data(3, said(b"hello"), pad_length=7)
    pair.flush()
    assert pair.told.streams[1] == [said(b"hi", masked=True), said(b"hello")]
    pair.ends[CLIENT].end_stream(3)
    pair.flush()
    pair.ends[SERVER].end_stream(3)
    pair.flush()
    assert pair.told.lines() == [
        f"1 attempt on 3 {HEAD!r}",
        f"1 open {b':status: 200' + bytes((13, 10)) + b'server: x' + bytes((13, 10, 13, 10))!r}",
        "1 ended 0 fin END_STREAM",
        "1 ended 1 fin END_STREAM",
        "1 closed",
    ]


def test_a_refusal_with_a_body_and_a_stream_that_is_reset() -> None:
    pair = Pair()
    pair.connect(1, "403")
    pair.ends[SERVER].send_data(1, b"nono", end_stream=True)
    pair.flush()
    pair.connect(3)
    pair.ends[SERVER].reset_stream(3, 8)
    pair.flush()
    lines = pair.told.lines()
    assert lines[2:4] == ["1 body b'nono'", "1 closed"]
    assert lines[-2:] == ["2 ended 1 rst RST_STREAM CANCEL", "2 closed"]


def test_a_reset_instead_of_an_answer() -> None:
    pair = Pair()
    pair.connect(1, None)
    pair.ends[SERVER].reset_stream(1, 7)
    pair.flush()
    assert pair.told.lines()[1:] == [
        "1 ended 1 rst RST_STREAM REFUSED_STREAM",
        "1 failed the stream ended without an answer",
        "1 closed",
    ]


def test_many_headers_in_continuations_and_a_table_that_grew() -> None:
    """The table of header fields (RFC 7541) depends on every block before."""
    pair = Pair()
    for stream in range(1, 41, 2):
        fields = [(f"x-{stream}-{number}", "v" * 900) for number in range(30)]
        pair.ends[CLIENT].send_headers(stream, [*GET, *fields], end_stream=True)
        pair.flush()
    pair.connect(99)
    assert pair.told.lines()[0] == f"1 attempt on 99 {HEAD!r}"


def test_after_a_gap_nothing_is_read() -> None:
    pair = Pair()
    pair.connect(1)
    with pytest.raises(NotHttpError):
        pair.reader.gap(SERVER, 10, 1)
    assert pair.told.lines()[-1] == "1 hole 1 10"


def test_line_breaks_in_fields_are_made_visible() -> None:
    pair = Pair()
    pair.ends[CLIENT].send_headers(1, [*CONNECT, ("x", "a\r\nevil: b")])
    data = pair.ends[CLIENT].data_to_send()
    pair.reader.feed(CLIENT, data, 1)
    assert "\\\\r\\\\nevil" in pair.told.lines()[0]


def test_frames_that_nobody_sends_end_the_reading() -> None:
    pair = Pair()
    for data in (b"\xff\xff\xff" + bytes(6), b"\0\0\x04\x01\x04\0\0\0\x01\xff\xff\xff\xff"):
        with pytest.raises(NotHttpError):
            Pair().reader.feed(SERVER, data, 1)
    assert pair.told.lines() == []


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 12), st.integers(0, 255), st.binary(max_size=40)),
        max_size=20,
    )
)
def test_no_frames_raise_anything_else(frames: list[tuple[int, int, int, bytes]]) -> None:
    pair = Pair()
    pair.connect(1)
    try:
        for side, kind, flags, body in frames:
            head = len(body).to_bytes(3, "big") + bytes((kind, flags)) + (1).to_bytes(4, "big")
            pair.reader.feed(side, head + body, 1)
    except NotHttpError:
        pass  # that is how it ends
