"""What a header breaks, and frames whose payload comes in pieces."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest

from tests.support.streams import C2S, KEY, S2C
from wsinspect.wire import violations
from wsinspect.wire.deflate import Inflater
from wsinspect.wire.masking import unmask
from wsinspect.wire.messages import OpenMessage, TextCheck
from wsinspect.wire.reader import (
    OpenFrame,
    close_body_codes,
    head_codes,
    length_codes,
)


@pytest.mark.parametrize(
    ("first", "wrong_mask", "direction", "allowed", "any_opcode", "expected"),
    [
        (0x81, False, C2S, 0, False, []),
        (0x81, True, C2S, 0, False, [violations.MASK_MISSING]),
        (0x81, True, S2C, 0, False, [violations.MASK_UNEXPECTED]),
        (0xC1, False, C2S, 0, False, [violations.RESERVED_BIT]),
        (0xC1, False, C2S, 0x40, False, []),
        (0xE1, False, C2S, 0x40, False, [violations.RESERVED_BIT]),
        (0x83, False, C2S, 0, False, [violations.RESERVED_OPCODE]),
        (0x83, False, C2S, 0x70, True, []),
        (0x09, False, C2S, 0x70, True, [violations.CONTROL_FRAGMENTED]),
    ],
)
def test_a_header_is_judged(first, wrong_mask, direction, allowed, any_opcode, expected):
    codes = head_codes(
        first, mask_is_wrong=wrong_mask, direction=direction, allowed_rsv=allowed, any_opcode=any_opcode
    )
    assert list(codes) == expected


@pytest.mark.parametrize(
    ("header", "length", "expected"),
    [
        ("827d", 125, []),
        ("827e007e", 126, []),
        ("827e007d", 125, [violations.LENGTH_NOT_MINIMAL]),
        ("827f0000000000010000", 65536, []),
        ("827f000000000000ffff", 65535, [violations.LENGTH_NOT_MINIMAL]),
        ("897e007e", 126, [violations.CONTROL_TOO_LONG]),
        ("897e0001", 1, [violations.LENGTH_NOT_MINIMAL]),
    ],
)
def test_a_length_is_judged(header, length, expected):
    assert list(length_codes(bytes.fromhex(header), length)) == expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", []),
        (b"\x03", [violations.CLOSE_TRUNCATED]),
        (b"\x03\xe8ok", []),
        (b"\x03\xed", [violations.CLOSE_CODE]),
        (b"\x03\xe8\xff", [violations.CLOSE_UTF8]),
        (b"\x00\x00\xff", [violations.CLOSE_CODE, violations.CLOSE_UTF8]),
        (b"\x03\xe8" + b"\xff" * 200, []),
    ],
)
def test_a_close_body_is_judged(payload, expected):
    assert list(close_body_codes(payload, len(payload))) == expected


@pytest.mark.parametrize("keep", [0, 3, 10, 100])
@pytest.mark.parametrize("step", [1, 4, 7, 50])
def test_pieces_are_unmasked_where_they_lie_and_kept_up_to_a_size(keep, step):
    payload = bytes(range(40))
    raw = unmask(payload, KEY)
    frame = OpenFrame(b"\x82\xa8" + KEY, 40, 5, keep)
    for start in range(0, 40, step):
        frame.take(raw[start : start + step])
    assert frame.received == 40
    assert frame.payload == payload[:keep]
    assert frame.wire_bytes == frame.header + raw[:keep]


def text_frame(keep: int = 100) -> OpenFrame:
    frame = OpenFrame(b"\x01\x0a", 10, 5, keep)
    message = OpenMessage(ordinal=0, opcode=1, first_frame=0, compressed=False, text=TextCheck())
    frame.join(message, None, begins=True)
    return frame


def test_text_is_checked_beyond_what_is_kept():
    frame = text_frame(keep=1)
    frame.take(b"abc\xff")
    assert frame.message is not None
    assert frame.message.text is not None
    assert not frame.message.text.is_valid
    assert frame.payload == b"a"


def test_a_frame_continues_where_its_state_was_taken():
    first = text_frame(keep=2)
    first.take(b"ab")
    first.take(b"c\xe2\x82")
    again = text_frame(keep=2)
    again.take(b"ab")
    again.resume(first.state())
    again.take(b"\xac")
    assert (again.received, again.payload, again.keep) == (6, b"ab", 2)
    assert again.message is not None
    assert again.message.text is not None
    assert again.message.text.is_valid
    assert again.message.text.state() == ""


def test_a_frame_without_text_continues_too():
    frame = OpenFrame(b"\x82\x0a", 10, 5, 100)
    frame.take(b"ab")
    frame.resume({"received": 2, "text": None, "text_was_valid": True})
    frame.take(b"cd")
    assert frame.payload == b"abcd"
    frame.resume({"received": 8, "text": None, "text_was_valid": True})
    frame.take(b"ij")
    assert (frame.payload, frame.received) == (b"abcd", 10)


def test_a_bomb_in_one_piece_is_inflated_in_many():
    """As after a recorder's restart, which takes all that is pending at once."""
    deflater = zlib.compressobj(9, wbits=-15)
    zeros = bytes(1 << 20)
    bomb = b"".join(deflater.compress(zeros) for _ in range(64)) + deflater.flush(zlib.Z_SYNC_FLUSH)
    frame = OpenFrame(b"\xc1\x7f" + len(bomb).to_bytes(8, "big"), len(bomb), 0, keep=100)
    inflater = Inflater(bits=15, takeover=True, cap=1000)
    message = OpenMessage(ordinal=0, opcode=1, first_frame=0, compressed=True, text=TextCheck())
    frame.join(message, inflater, begins=True)
    inflater.begin()
    tracemalloc.start()
    frame.take(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert inflater.length == 64 << 20
    assert not frame.codes
    assert peak < 16 << 20
