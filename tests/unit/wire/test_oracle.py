"""wsproto as the strict judge, its known errors included (they are listed in the oracle's docstring)."""

from __future__ import annotations

import pytest

from tests.support.streams import C2S, KEY, S2C, Deflater
from wsinspect.wire.deflate import DeflateParams
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.oracle import Failure, Heard, Oracle


def test_it_reads_messages_and_control_frames():
    oracle = Oracle(C2S)
    oracle.feed(serialize_frame(1, b"caf", fin=False, key=KEY) + serialize_frame(9, b"?", key=KEY))
    oracle.feed(serialize_frame(0, "é".encode(), key=KEY) + serialize_frame(2, b"\xff", key=KEY))
    oracle.feed(serialize_frame(8, b"\x03\xe8bye", key=KEY))
    assert oracle.heard == [
        Heard(9, b"?"),
        Heard(1, "café".encode()),
        Heard(2, b"\xff"),
        Heard(8, b"\x03\xe8bye"),
    ]
    assert oracle.is_closed
    oracle.feed(b"\xff\xff")
    assert oracle.failure is None


def test_an_empty_close_is_read_as_it_is():
    oracle = Oracle(S2C)
    oracle.feed(b"\x88\x00")
    assert oracle.heard == [Heard(8, b"")]


def test_it_inflates():
    params = DeflateParams(server_no_context_takeover=True)
    oracle, deflater = Oracle(S2C, params), Deflater(S2C, params)
    for _ in range(2):
        oracle.feed(serialize_frame(1, deflater.message(b"hello"), rsv=4))
    assert oracle.heard == [Heard(1, b"hello")] * 2


@pytest.mark.parametrize(
    ("direction", "wire", "code"),
    [
        (C2S, serialize_frame(1, b"a"), 1002),
        (S2C, serialize_frame(1, b"a", key=KEY), 1002),
        (S2C, serialize_frame(3), 1002),
        (S2C, serialize_frame(1, b"a", rsv=4), 1002),
        (S2C, serialize_frame(1, b"\xff"), 1007),
        (S2C, serialize_frame(8, b"\x03\xed"), 1002),
    ],
)
def test_it_fails_for_good_at_the_first_violation(direction, wire, code):
    oracle = Oracle(direction)
    oracle.feed(wire)
    assert isinstance(oracle.failure, Failure)
    assert oracle.failure.code == code
    oracle.feed(serialize_frame(1, b"fine", key=KEY if direction is C2S else None))
    assert oracle.heard == []


def test_known_error_1014():
    oracle = Oracle(S2C)
    oracle.feed(serialize_frame(8, (1014).to_bytes(2, "big")))
    assert oracle.failure is not None


def test_known_error_a_control_frame_inside_a_compressed_message():
    oracle, payload = Oracle(S2C, DeflateParams()), Deflater(S2C, DeflateParams()).message(b"hello")
    oracle.feed(serialize_frame(2, payload[:3], fin=False, rsv=4) + serialize_frame(9))
    oracle.feed(serialize_frame(0, payload[3:]))
    assert oracle.failure is None
    assert oracle.heard[1].data != b"hello"


def test_known_error_it_refuses_what_comes_behind_a_final_block():
    oracle = Oracle(S2C, DeflateParams())
    oracle.feed(serialize_frame(1, bytes.fromhex("f348cdc9c9070000"), rsv=4))
    oracle.feed(serialize_frame(1, bytes.fromhex("f248cdc9c90700"), rsv=4))
    assert oracle.heard == [Heard(1, b"Hello")]
    assert oracle.failure == ("error in extension", 1007)
