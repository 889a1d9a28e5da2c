"""Headers of frames: their size, and the length of the frame, by table and by bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.streams import C2S, KEY, S2C
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.header import (
    IN_16_BITS,
    IN_64_BITS,
    MAX_LENGTH,
    SHORT,
    frame_length,
    header_length,
    shapes,
    whole_header,
)

LENGTHS = [0, 1, 125, 126, 65_535, 65_536]


def test_shapes_know_sizes_and_who_must_mask():
    client, server = shapes(C2S, 100), shapes(S2C, 100)
    assert [len(client), len(server)] == [256, 256]
    assert (client[0x85], server[0x85]) == ((6, 5, True), (6, 5, False))
    assert (client[5], server[5]) == ((2, 5, False), (2, 5, True))
    assert (client[0xFE], server[0x7E]) == ((8, IN_16_BITS, True), (4, IN_16_BITS, True))
    assert (client[0xFF], server[0x7F]) == ((14, IN_64_BITS, True), (10, IN_64_BITS, True))
    assert (server[100], server[101]) == ((2, 100, True), (2, 101, False))


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "masked"])
@pytest.mark.parametrize("length", LENGTHS)
def test_all_agree_with_the_bytes_of_a_frame(length, key):
    raw = serialize_frame(2, bytes(length), key=key)
    size = len(raw) - length
    assert header_length(raw[1]) == size
    assert whole_header(raw) == raw[:size]
    assert frame_length(raw) == frame_length(b"xx" + raw, 2) == len(raw)
    assert SHORT[raw[1]] == (len(raw) if length < 126 else 0)
    assert shapes(S2C, 125)[raw[1]][0] == size


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "masked"])
@pytest.mark.parametrize("length", LENGTHS)
def test_a_header_that_is_not_there_yet(length, key):
    raw = serialize_frame(2, bytes(length), key=key)
    size = header_length(raw[1])
    needs = size - (0 if key is None else 4)  # the length is known before the masking key has come
    for have in range(size):
        assert whole_header(raw[:have]) == b""
        assert frame_length(raw[:have]) == (None if have < needs else len(raw))


def test_a_length_that_makes_no_sense():
    assert frame_length(b"\x82\x7f" + (MAX_LENGTH + 1).to_bytes(8, "big")) == -1
    assert frame_length(b"\x82\x7f" + MAX_LENGTH.to_bytes(8, "big")) == MAX_LENGTH + 10


@given(st.binary(max_size=20))
def test_any_bytes_have_a_length_or_none(data):
    found = frame_length(data)
    assert found is None or found == -1 or found >= 2
