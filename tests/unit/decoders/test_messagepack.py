"""MessagePack: what its document says, cut payloads, and payloads that were made to harm."""

from __future__ import annotations

import struct

import pytest

from tests.support.decoding import (
    BY_NAME,
    binary,
    is_bounded,
    lines,
    names,
    read,
)
from wsinspect.decoders.messagepack import Reader
from wsinspect.decoders.model import Malformed


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (binary(b"\xc1"), "byte 0 is 0xc1, which MessagePack does not use"),
        (binary(b"\xdd\xff\xff\xff\xff\x00"), "announces 4294967295 values and has 1 bytes"),
        (binary(b"\x91" * 200 + b"\x01"), "nested deeper than"),
        (binary(b"\xdc\x75\x30" + b"\x01" * 30_000), "more than 20000 values"),
        (binary(b"\xa5ab"), "it ends at byte 3, 3 before the value does"),
    ],
)
def test_a_problem_says_what_is_wrong(payload, problem):
    assert problem in (read("msgpack", payload).problem or "")


@pytest.mark.parametrize(
    "payload",
    [
        binary(b"\xdf\x7f\xff\xff\xff" + b"\x80" * 100_000),
    ],
)
def test_hostile_payloads_are_bounded(payload):
    is_bounded(payload, "msgpack")


MSGPACK = [
    (b"\x00\x7f\xff\xe0", ["0", "127", "-1", "-32"]),
    (b"\xc0\xc2\xc3", ["nil", "false", "true"]),
    (b"\xcc\xff\xcd\xff\xff\xce\xff\xff\xff\xff\xcf" + b"\xff" * 8,
     ["255", "65535", "4294967295", str(2**64 - 1)]),
    (b"\xd0\x80\xd1\x80\x00\xd2\x80\x00\x00\x00\xd3\x80" + bytes(7),
     ["-128", "-32768", str(-(2**31)), str(-(2**63))]),
    (b"\xca\x3f\x80\x00\x00\xcb\x3f\xf0" + bytes(6), ["1.0", "1.0"]),
    (b"\xa2hi\xd9\x02hi\xda\x00\x02hi\xdb\x00\x00\x00\x02hi", ['"hi"'] * 4),
    (b"\xc4\x02hi\xc5\x00\x02\xff\xfe\xc6\x00\x00\x00\x00", ["bytes(2) hi", "bytes(2) ff fe", "bytes(0)"]),
    (b"\x92\x01\x90", ["[", "  1", "  []", "]"]),
    (b"\x82\xa1a\x01\x02\x80", ["{", '  "a": 1', "  2: {}", "}"]),
    (b"\xdc\x00\x01\x01\xdd\x00\x00\x00\x01\x01", ["[", "  1", "]"] * 2),
    (b"\xde\x00\x01\x01\x02\xdf\x00\x00\x00\x00", ["{", "  1: 2", "}", "{}"]),
    (b"\xd4\x05\x01\xd5\x05\x01\x02\xc7\x01\x06\xff",
     ["extension 5 (1) 01", "extension 5 (2) 01 02", "extension 6 (1) ff"]),
    (b"\xd6\xff\x00\x00\x00\x01", ["timestamp 1.000000000 s since 1970"]),
    (b"\xd7\xff" + (5 << 34 | 2).to_bytes(8), ["timestamp 2.000000005 s since 1970"]),
    (b"\xc7\x0c\xff" + struct.pack(">Iq", 7, -1), ["timestamp -1.000000007 s since 1970"]),
]  # fmt: skip  # fmt: skip


@pytest.mark.parametrize(("data", "expected"), MSGPACK)
def test_messagepack_by_its_specification(data, expected):
    assert lines("msgpack", binary(data)) == expected
    for size in range(len(data)):
        reader = Reader(data[:size])
        try:
            while not reader.is_done:
                reader.value()
        except Malformed:
            continue


def test_messagepack_is_offered_for_whole_values_and_never_first():
    assert names(binary(b"\x82\xa1a\x01\xa1b\x02")) == ["msgpack"]
    assert not BY_NAME["msgpack"].is_sure
    assert names(binary(b"\x82\xa1a\x01\xa1b")) == []
    assert names(binary(b"\x82\xa1a\x01\xa1b\x02" + b"junk")) == []
    assert names(binary(b"\x01", subprotocol="x.msgpack")) == ["msgpack"]
    long = binary(b"\x92\xc5\x02\x00" + bytes(512) + b"\x01")
    assert names(long) == ["msgpack"]
