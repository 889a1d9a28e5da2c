"""Content codings of an answer's body: each is read, within its limit, and a broken one is left as it is."""

import gzip
import sys
import zlib

import brotli
import pytest

from wsinspect.handshake.codings import decoded

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TEXT = b"origin not allowed; " * 50


def bare(data):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACKED = [
    (b"gzip", gzip.compress),
    (b"X-GZIP", gzip.compress),
    (b"deflate", zlib.compress),
    (b"deflate", bare),
    (b"br", brotli.compress),
    (b" zstd ", zstd.compress),
    (b"identity", bytes),
    (b"compress", bytes),
]


@pytest.mark.parametrize(("coding", "pack"), PACKED)
def test_a_body_is_read_whole_and_cut(coding, pack):
    assert decoded(pack(TEXT), coding, 1 << 16) == TEXT
    assert decoded(pack(b""), coding, 100) == b""


@pytest.mark.parametrize(("coding", "pack"), PACKED[:-2])
def test_no_more_than_the_limit_comes_of_a_small_body(coding, pack):
    assert decoded(pack(bytes(10_000_000)), coding, 1000) == bytes(1000)


@pytest.mark.parametrize(("coding", "pack"), PACKED[:-2])
def test_the_beginning_of_a_body_that_was_cut_is_read(coding, pack):
    found = decoded(pack(TEXT * 40)[:-4], coding, 1 << 20)
    assert TEXT.startswith(found[: len(TEXT)])


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"zstd"])
def test_what_is_not_packed_is_left_as_it_is(coding):
    assert decoded(b"<html>no</html>", coding, 100) == b"<html>no</html>"


class Brotli11:
    """brotli before 1.2: it makes as much of a piece as there is in it."""

    def __init__(self):
        self._whole = REAL()

    def process(self, piece):
        return self._whole.process(piece)


class Brotli12(Brotli11):
    """brotli 1.2: it stops at a limit."""

    def can_accept_more_data(self):
        return True

    def process(self, piece, output_buffer_limit=0):
        return self._whole.process(piece)[:output_buffer_limit]


REAL = brotli.Decompressor


@pytest.mark.parametrize("library", [Brotli11, Brotli12])
def test_a_brotli_with_a_limit_and_one_without_read_the_same(monkeypatch, library):
    monkeypatch.setattr(brotli, "Decompressor", library)
    packed = brotli.compress(TEXT)
    assert decoded(packed, b"br", 1 << 16) == TEXT
    assert decoded(packed + bytes(40), b"br", 1 << 16) == packed + bytes(40)
    assert decoded(packed, b"br", 100) == TEXT[:100]
    assert decoded(brotli.compress(bytes(10_000_000)), b"br", 1000) == bytes(1000)
    assert decoded(b"<html>no</html>", b"br", 100) == b"<html>no</html>"
    assert TEXT.startswith(decoded(packed[:-4], b"br", 1 << 16))
