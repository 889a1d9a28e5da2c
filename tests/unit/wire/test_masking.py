"""Masking (RFC 6455 section 5.3), compiled and in Python."""

from __future__ import annotations

import pytest

from wsinspect.wire.masking import rotate_key, unmask, xor_in_python

KEY = b"\x37\xfa\x21\x3d"
SIZES = [0, 1, 2, 3, 4, 5, 64, 125, 126, 1023, 3072, 65536, 65539]


def by_the_book(payload: bytes, key: bytes) -> bytes:
    """RFC 6455 section 5.3: transformed-octet-i = original-octet-i XOR masking-key-octet-(i MOD 4)."""
    return bytes(octet ^ key[index % 4] for index, octet in enumerate(payload))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("key", [KEY, b"\0\0\0\0", b"\xff\0\xff\0"])
def test_unmask_is_the_xor_of_rfc_6455(size, key):
    payload = bytes(index * 7 & 0xFF for index in range(size))
    masked = unmask(payload, key)
    assert masked == by_the_book(payload, key)
    assert type(masked) is bytes
    assert unmask(masked, key) == xor_in_python(key, masked) == payload


def test_the_example_of_rfc_6455_section_5_7():
    assert unmask(bytes.fromhex("7f9f4d5158"), KEY) == b"Hello"


@pytest.mark.parametrize("key", [b"", b"\x37", KEY[:2], KEY[:3]])
def test_of_a_key_that_is_not_whole_no_byte_beside_it_is_read(key):
    masked = unmask(bytes(70_000), key)
    assert masked == (key * 70_000)[:70_000] if key else masked == bytes(70_000)


@pytest.mark.parametrize("offset", range(9))
def test_a_rotated_key_continues_at_its_offset(offset):
    payload = bytes(range(40))
    assert unmask(payload[offset:], rotate_key(KEY, offset)) == unmask(payload, KEY)[offset:]
