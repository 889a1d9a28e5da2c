"""What some bytes are, by how they begin: images with their size, and what is packed.

Contract: only what the first bytes prove is named; nothing is unpacked beyond a limit, whatever bytes claim.
"""

from __future__ import annotations

import sys
import zlib
from typing import Final, NamedTuple

from wsinspect.errors import WsinspectError
from wsinspect.units import format_size

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

GZIP, ZLIB, ZSTD = "gzip", "zlib", "zstd"
#: Bytes that are unpacked at most.
UNPACKED_BYTES: Final = 1024 * 1024
#: Bytes that are looked at: enough for the frame header of most JPEGs.
LOOKED_AT: Final = 64 * 1024
_MAGIC: Final = (
    (b"%PDF-", "PDF document"),
    (b"PK\x03\x04", "ZIP archive"),
    (b"OggS", "Ogg stream"),
    (b"\x1aE\xdf\xa3", "Matroska or WebM"),
    (b"fLaC", "FLAC audio"),
    (b"ID3", "MP3 audio"),
    (b"\0asm", "WebAssembly module"),
    (b"SQLite format 3\0", "SQLite database"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
)


class Recognised(NamedTuple):
    """What bytes are.

    Attributes:
        words: as in "PNG image, 16 x 16".
        packing: `GZIP`, `ZLIB` or `ZSTD` where `unpack` takes it; else empty.
    """

    words: str
    packing: str = ""


class NotUnpacked(WsinspectError):
    """Bytes that begin like something packed and are not that."""


def recognise(data: bytes) -> Recognised | None:
    """By the first `LOOKED_AT` bytes; None where they prove nothing."""
    if image := _image(data):
        return Recognised(image)
    if data.startswith(b"\x1f\x8b\x08"):
        return Recognised("gzip", GZIP)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        return Recognised("zstd", ZSTD)
    if _is_zlib(data):
        return Recognised("zlib", ZLIB)
    return next((Recognised(words) for magic, words in _MAGIC if data.startswith(magic)), None)


def _image(data: bytes) -> str:
    """Type and size in pixels; empty where it is none."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        size = data[16:24] if data[12:16] == b"IHDR" else b""
        return _sized("PNG image", int.from_bytes(size[:4]), int.from_bytes(size[4:]))
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return _sized("GIF image", int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little"))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _sized("WebP image", *_webp(data))
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "WAV audio"
    if data.startswith(b"\xff\xd8\xff"):
        return _sized("JPEG image", *_jpeg(data))
    if data[:2] == b"BM" and len(data) >= 26 and int.from_bytes(data[14:18], "little") in (40, 108, 124):
        height = int.from_bytes(data[22:26], "little", signed=True)
        return _sized("BMP image", int.from_bytes(data[18:22], "little"), abs(height))
    return ""


def _sized(name: str, width: int, height: int) -> str:
    return f"{name}, {width} x {height}" if width and height else name


def _jpeg(data: bytes) -> tuple[int, int]:
    """The first frame header's size (ITU T.81 B.2.2); 0 where it is not in these bytes."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        kind = data[at + 1]
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
        if kind == 0xFF:
            at += 1
        elif kind == 0x01 or 0xD0 <= kind <= 0xD8:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return 0, 0


def _webp(data: bytes) -> tuple[int, int]:
    """By the first chunk (RFC 9649 section 2.7 and RFC 6386 section 9.1)."""
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8 " and len(data) >= 30 and data[23:26] == b"\x9d\x01\x2a":
        both = int.from_bytes(data[26:28], "little"), int.from_bytes(data[28:30], "little")
        return both[0] & 0x3FFF, both[1] & 0x3FFF
    if kind == b"VP8L" and len(data) >= 25 and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return 0, 0


def _is_zlib(data: bytes) -> bool:
    """RFC 1950 section 2.2: deflate, a window it allows, the check bits; and the first block can be read."""
    if len(data) < 6 or data[0] & 0x0F != 8 or data[0] >> 4 > 7 or int.from_bytes(data[:2]) % 31:
        return False
    try:
        return bool(zlib.decompressobj().decompress(data[:1024], 256))
    except zlib.error:
        return False


def unpack(data: bytes, packing: str) -> tuple[bytes, bool]:
    """What is packed, at most `UNPACKED_BYTES` of it, and whether that is all.

    Raises:
        NotUnpacked: it is broken from the beginning.
    """
    try:
        if packing == ZSTD:
            one = zstd.ZstdDecompressor()
            found = one.decompress(data, UNPACKED_BYTES)
            return found, one.eof
        other = zlib.decompressobj(31 if packing == GZIP else 15)
        found = other.decompress(data, UNPACKED_BYTES)
        return found, other.eof
    except (zlib.error, zstd.ZstdError, EOFError) as error:
        raise NotUnpacked(f"{packing}: {error}") from None


def unpacked_words(packing: str, data: bytes, is_all: bool) -> str:
    """A line above what was unpacked."""
    return f"{packing}, unpacked: {'' if is_all else 'the first '}{format_size(len(data))}"
