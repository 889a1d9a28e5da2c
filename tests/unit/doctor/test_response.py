"""Responses of any server, in any pieces: whole, chunked, endless, and no HTTP at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsinspect.doctor.response import MAX_BODY, MAX_HEAD, MAX_INTERIM, ResponseReader

SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def read(*chunks: bytes, ended: bool = False, is_upgrade: bool = True) -> ResponseReader:
    reader = ResponseReader(is_upgrade=is_upgrade)
    for chunk in chunks:
        reader.feed(chunk)
    if ended:
        reader.end()
    return reader


def pieces(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


CASES = [
    # bytes, whether the server ended then, status, body, done, whether h11 takes it
    (b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone", False, 404, b"none", True, True),
    (b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nno", False, 404, b"no", False, True),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        False,
        200,
        b"ok",
        True,
        True,
    ),
    (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", True, 200, b"until the end", True, True),
    (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", False, 200, b"until the end", False, True),
    (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", False, 200, b"ok", True, True),
    (b"HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 2\r\n\r\nok", False, 200, b"ok", True, False),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok", False, 200, b"zz\r\nok", False, False),
    (b"HTTP/1.1 204 No Content\r\n\r\n", False, 204, b"", True, True),
    (b"HTTP/1.1 2000 OK\r\n\r\nx", True, None, b"x", True, False),
    (b"SSH-2.0-OpenSSH_9.2\r\n", True, None, b"", True, False),
    (b"", True, None, b"", True, False),
]


@pytest.mark.parametrize(("data", "ended", "status", "body", "done", "strict"), CASES)
@pytest.mark.parametrize("cut", [lambda data: [data], pieces], ids=["whole", "bytes"])
def test_a_response(cut, data, ended, status, body, done, strict) -> None:
    reader = read(*cut(data), ended=ended)
    assert (reader.head.status if reader.head else None) == status
    assert (reader.body, reader.is_done, reader.strict is None) == (body, done, strict)
    assert reader.raw_head == (reader.head.raw if reader.head else data)


@pytest.mark.parametrize("cut", [lambda data: [data], pieces], ids=["whole", "bytes"])
def test_interim_responses_and_what_follows_a_101(cut) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    reader = ResponseReader(is_upgrade=True)
    rest = b""
    for piece in cut(early + SWITCHING + b"\x81\x00"):
        if reader.is_switching:
            rest += piece  # the asker gives them to the WebSocket
        reader.feed(piece)
    assert (reader.informational, reader.raw_head, reader.rest + rest) == (early, SWITCHING, b"\x81\x00")
    assert reader.is_switching
    assert reader.is_done
    assert reader.strict is None


def test_what_has_no_end_is_done_with_early() -> None:
    reader = read(b"HTTP/1.1 200 OK\r\n", *[b"X: " + b"x" * 1000 + b"\r\n"] * 100)
    assert reader.is_endless
    assert reader.is_done
    assert len(reader.raw_head) == MAX_HEAD
    assert "64.0 KiB" in reader.too_much
    reader = read(*[b"HTTP/1.1 102 Processing\r\n\r\n"] * 100)
    assert reader.is_endless
    assert f"{MAX_INTERIM + 1} interim" in reader.too_much
    reader = read(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 10_000] * 100)
    assert reader.is_done
    assert len(reader.body) == MAX_BODY


@given(st.lists(st.binary(max_size=40), max_size=8), st.booleans())
def test_no_bytes_raise(chunks, is_upgrade) -> None:
    reader = read(b"HTTP/1.1 ", *chunks, ended=True, is_upgrade=is_upgrade)
    assert reader.is_done
    assert len(reader.body) <= MAX_BODY


@given(st.lists(st.integers(1, 60), max_size=6))
def test_any_pieces_make_the_same_response(cuts) -> None:
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    chunks, at = [], 0
    for size in cuts:
        chunks.append(data[at : at + size])
        at += size
    reader = read(*chunks, data[at:])
    assert (reader.body, reader.is_done, reader.strict) == (b"hello world", True, None)
