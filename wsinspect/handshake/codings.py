"""Content codings of a response's body (RFC 9110, 8.4.1): gzip, deflate, br and zstd, each within a limit.

The libraries for br and zstd are imported when a body needs them.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from typing import Final

#: Compressed bytes given to an old brotli at a time.
_FEW: Final = 4


def decoded(body: bytes, coding: bytes, limit: int) -> bytes:
    """The beginning of a body without its coding; the body itself where the coding is unknown or broken.

    Args:
        coding: the value of Content-Encoding.
        limit: most bytes of the result.
    """
    name = coding.strip().lower()
    try:
        if name in (b"gzip", b"x-gzip"):
            return zlib.decompressobj(31).decompress(body, limit)
        if name == b"deflate":  # zlib's format, or bare as some servers send it
            is_zlib = len(body) >= 2 and body[0] & 15 == 8 and not int.from_bytes(body[:2]) % 31
            return zlib.decompressobj(15 if is_zlib else -15).decompress(body, limit)
        if name in (b"br", b"zstd") and body:
            return (unbrotli if name == b"br" else unzstd)(limit)(body)[:limit]
    except (zlib.error, ValueError):
        return body
    return body


def unbrotli(limit: int) -> Callable[[bytes], bytes]:
    """What decompresses a stream of brotli; pieces beyond `limit` bytes are cut.

    A function of the compressed bytes; it raises ValueError where they are none. brotli 1.2 limits what it
    makes of a piece; an older one is given a few bytes at a time, of which each makes 16 MiB at most
    (RFC 7932, 9.2).
    """
    import brotli

    decompressor = brotli.Decompressor()
    if hasattr(decompressor, "can_accept_more_data"):  # brotli 1.2 has a limit of its own

        def decompress(piece: bytes) -> bytes:
            try:
                found: bytes = decompressor.process(piece, output_buffer_limit=limit)
            except brotli.error as error:
                raise ValueError("not brotli") from error
            return found

        return decompress

    def decompress_slowly(piece: bytes) -> bytes:
        found = bytearray()
        try:
            for start in range(0, len(piece), _FEW):
                found += decompressor.process(piece[start : start + _FEW])
                if len(found) > limit:
                    break
        except brotli.error as error:
            raise ValueError("not brotli") from error
        return bytes(found[:limit])

    return decompress_slowly


def unzstd(limit: int) -> Callable[[bytes], bytes]:
    """As `unbrotli`, for Zstandard; what follows the first frame is not looked at."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd

    decompressor = zstd.ZstdDecompressor()

    def decompress(piece: bytes) -> bytes:
        try:
            return decompressor.decompress(piece, limit)
        except (zstd.ZstdError, EOFError) as error:
            raise ValueError("not Zstandard, or at its end") from error

    return decompress
