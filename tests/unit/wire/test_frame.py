"""What a frame says about itself, and making one."""

from __future__ import annotations

import pytest

from wsinspect.wire.frame import Frame, serialize_frame

KEY = b"\x37\xfa\x21\x3d"


def test_a_frame_has_what_its_header_says():
    frame = Frame(bytes([0x0F | 0x50, 0x83]) + KEY, 1, 2, b"abc", 9)
    assert (frame.fin, frame.rsv1, frame.rsv2, frame.rsv3) == (False, True, False, True)
    assert (frame.opcode, frame.masked, frame.mask_key, frame.length) == (15, True, KEY, 3)
    assert not frame.is_cut
    assert (frame.violation, frame.message) == (None, None)


def test_a_frame_without_mask_has_no_key():
    frame = Frame(b"\xa2\x7e\x01\x00", 1, 1, b"ab", 260)
    assert (frame.fin, frame.rsv2, frame.masked, frame.mask_key, frame.length) == (
        True,
        True,
        False,
        None,
        256,
    )
    assert frame.is_cut
    assert frame.wire_bytes == b"\xa2\x7e\x01\x00ab"


@pytest.mark.parametrize(
    ("size", "header"),
    [
        (0, "8200"),
        (125, "827d"),
        (126, "827e007e"),
        (65535, "827effff"),
        (65536, "827f0000000000010000"),
    ],
)
def test_serialize_uses_the_fewest_length_bytes(size, header):
    assert serialize_frame(2, bytes(size)) == bytes.fromhex(header) + bytes(size)


def test_serialize_makes_what_is_asked_for_also_when_wrong():
    assert serialize_frame(9, b"", fin=False, rsv=7, key=KEY) == b"\x79\x80" + KEY
    assert serialize_frame(1, b"Hello", key=KEY) == bytes.fromhex("818537fa213d7f9f4d5158")
    assert serialize_frame(1, b"a", length_bytes=2) == b"\x81\x7e\x00\x01a"
    assert serialize_frame(1, b"a", length_bytes=8) == b"\x81\x7f" + bytes(7) + b"\x01a"


def test_wire_bytes_mask_again():
    wire = serialize_frame(1, b"Hello", key=KEY)
    assert Frame(wire[:6], 0, 0, b"Hello", 11).wire_bytes == wire
