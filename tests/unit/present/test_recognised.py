"""What bytes are, by how they begin; and what is packed in them."""

from __future__ import annotations

import contextlib
import gzip
import struct
import sys
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsinspect.present.recognised import (
    GZIP,
    UNPACKED_BYTES,
    ZLIB,
    ZSTD,
    NotUnpacked,
    recognise,
    unpack,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def words_of(data: bytes) -> str:
    known = recognise(data)
    return "" if known is None else known.words


PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 640, 480)
JPEG = (
    b"\xff\xd8\xff\xe0\x00\x10JFIF"
    + bytes(10)
    + b"\xff\xc4\x00\x04ab"
    + b"\xff\xc0\x00\x11\x08\x01\xe0\x02\x80"
)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (PNG, "PNG image, 640 x 480"),
        (JPEG, "JPEG image, 640 x 480"),
        (b"GIF89a\x80\x02\xe0\x01", "GIF image, 640 x 480"),
        (b"RIFF....WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\x7f\x02\0" + b"\xdf\x01\0", "WebP image, 640 x 480"),
        (
            b"RIFF....WEBPVP8L\x0a\0\0\0\x2f" + (639 | 479 << 14).to_bytes(4, "little"),
            "WebP image, 640 x 480",
        ),
        (b"RIFF....WEBPVP8 ...." + b"\0\0\0\x9d\x01\x2a\x80\x02\xe0\x01", "WebP image, 640 x 480"),
        (b"BM" + bytes(12) + struct.pack("<Iii", 40, 640, -480), "BMP image, 640 x 480"),
        (b"%PDF-1.7", "PDF document"),
        (gzip.compress(b"hello", mtime=0), "gzip"),
        (zlib.compress(b"hello"), "zlib"),
        (zstd.compress(b"hello"), "zstd"),
    ],
)
def test_known_beginnings(data, words):
    assert words_of(data) == words


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\x89PNG", b"x\x9c", b"x\x9cnot deflate", b"\x78\x01" + b"\xff" * 9]
)
def test_nothing_is_claimed_without_proof(data):
    assert recognise(data) is None


def test_a_picture_that_is_cut_has_no_size():
    assert words_of(PNG[:12]) == "PNG image"
    assert words_of(JPEG[:8]) == "JPEG image"


@pytest.mark.parametrize(
    ("packing", "pack"), [(GZIP, gzip.compress), (ZLIB, zlib.compress), (ZSTD, zstd.compress)]
)
def test_what_is_packed_is_unpacked_up_to_a_limit(packing, pack):
    assert unpack(pack(b"hello"), packing) == (b"hello", True)
    found, is_all = unpack(pack(bytes(UNPACKED_BYTES * 3)), packing)
    assert (len(found), is_all) == (UNPACKED_BYTES, False)
    found, is_all = unpack(pack(bytes(range(256)) * 20)[:-6], packing)
    assert not is_all
    with pytest.raises(NotUnpacked):
        unpack(pack(b"hello")[:2] + b"\xff" * 20, packing)


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", PNG[:16], JPEG[:6], b"RIFF....WEBP", b"x\x9c", b"\x1f\x8b\x08"]),
)
def test_any_bytes_are_something_or_nothing(data, begin):
    known = recognise(begin + data)
    if known is not None and known.packing:
        with contextlib.suppress(NotUnpacked):
            assert len(unpack(begin + data, known.packing)[0]) <= UNPACKED_BYTES
