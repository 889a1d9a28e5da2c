"""Frames as bytes, legal or not (RFC 6455 §5.2); independent of wsinspect's own code, which it is used to
judge."""

from __future__ import annotations

import zlib

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
KEY = bytes.fromhex("37fa213d")


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    key: bytes | None = None,
    form: int = 0,
    length: int | None = None,
) -> bytes:
    """One frame's wire bytes.

    Args:
        payload: unmasked bytes.
        rsv: 0..7, RSV1 being the 4.
        key: masking key, or None for an unmasked frame.
        form: 7, 16 or 64 to force an encoding of the length; 0 for the shortest.
        length: a length to declare other than the payload's own.
    """
    declared = len(payload) if length is None else length
    form = form or (7 if declared < 126 else 16 if declared < 65536 else 64)
    mask = 0x80 if key is not None else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if form == 7:
        head += bytes([mask | declared])
    elif form == 16:
        head += bytes([mask | 126]) + declared.to_bytes(2, "big")
    else:
        head += bytes([mask | 127]) + declared.to_bytes(8, "big")
    return head + payload if key is None else head + key + xor(payload, key)


def xor(payload: bytes, key: bytes) -> bytes:
    if not payload:
        return b""
    stream = (key * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(payload), "big")


def close(code: int | None = None, reason: bytes = b"", *, key: bytes | None = None) -> bytes:
    body = b"" if code is None else code.to_bytes(2, "big") + reason
    return frame(CLOSE, body, key=key)


def deflate(*messages: bytes, wbits: int = 15, takeover: bool = True) -> list[bytes]:
    """The payloads of compressed messages (RFC 7692 §7.2.1), one context for all unless `takeover` is
    False."""
    payloads = []
    packer = zlib.compressobj(wbits=-wbits)
    for message in messages:
        if not takeover:
            packer = zlib.compressobj(wbits=-wbits)
        payloads.append(
            (packer.compress(message) + packer.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")
        )
    return payloads
