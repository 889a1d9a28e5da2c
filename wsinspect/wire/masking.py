"""Masking (RFC 6455 section 5.3): XOR of the payload with a four-byte key, its own inverse.

tornado has it compiled: 64 KiB in 5 us, 64 B in 0.1 us. What Python can do by itself, one XOR of two big
integers, takes ten and five times as long; it is used where tornado was installed without its compiled part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final


def xor_in_python(key: bytes, payload: bytes) -> bytes:
    """XOR `payload` with `key`, repeated."""
    size = len(payload)
    if not key:
        return payload
    mask = (key * (size // len(key) + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(mask, "little")).to_bytes(size, "little")


def _fastest() -> Callable[[bytes, bytes], bytes]:
    try:
        from tornado.speedups import websocket_mask
    except ImportError:
        return xor_in_python
    return websocket_mask


#: From a key of exactly four bytes and a payload to the payload's other form.
xor: Final = _fastest()


def unmask(payload: bytes, key: bytes) -> bytes:
    """XOR `payload` with `key`, repeated; masks and unmasks.

    Args:
        payload: any length.
        key: four bytes, as they stand in the frame header; a damaged capture may have fewer.
    """
    # Compiled code reads four bytes, whether they are there or not.
    return xor(key, payload) if len(key) == 4 else xor_in_python(key, payload)


def rotate_key(key: bytes, offset: int) -> bytes:
    """The key as it applies from payload byte `offset` on."""
    offset &= 3
    return key[offset:] + key[:offset]
