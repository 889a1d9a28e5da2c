"""Frames and opening handshakes of load client and target server, built once, sent often (RFC 6455 §5.2).

Everything here runs before the clock starts or costs next to nothing; only the standard library is used.
"""

import base64
import hashlib
import random
from collections.abc import Iterator

TEXT, BINARY, CLOSE = 1, 2, 8
FIN = 0x80
DONE = bytes([FIN | BINARY, 4]) + b"done"
CLOSE_FROM_SERVER = bytes([FIN | CLOSE, 2, 0x03, 0xE8])
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_key(key: bytes) -> bytes:
    """The value of ``Sec-WebSocket-Accept`` for a key (RFC 6455 §4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def request(path: str, host: str) -> bytes:
    """An opening handshake's request, without extensions, so that no peer compresses."""
    key = base64.b64encode(bytes(range(16))).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def response(head: bytes) -> bytes:
    """The 101 that answers a request's head."""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"sec-websocket-key":
            accept = accept_key(value.strip())
            return (
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
    return b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def _length(payload: int, mask_bit: int) -> bytes:
    if payload < 126:
        return bytes([mask_bit | payload])
    if payload < 1 << 16:
        return bytes([mask_bit | 126]) + payload.to_bytes(2, "big")
    return bytes([mask_bit | 127]) + payload.to_bytes(8, "big")


def xor(payload: bytes, key: bytes) -> bytes:
    """Mask or unmask a payload (RFC 6455 §5.3)."""
    size = len(payload)
    pad = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(pad, "little")).to_bytes(size, "little")


def client_frame(payload: bytes, key: bytes, opcode: int = BINARY) -> bytes:
    """One masked frame."""
    return bytes([FIN | opcode]) + _length(len(payload), 0x80) + key + xor(payload, key)


def server_frame(payload: bytes, opcode: int = BINARY) -> bytes:
    """One unmasked frame."""
    return bytes([FIN | opcode]) + _length(len(payload), 0) + payload


def close_from_client() -> bytes:
    """A masked CLOSE frame with code 1000."""
    return client_frame(b"\x03\xe8", b"\x01\x02\x03\x04", CLOSE)


def wire_size(payload: int) -> int:
    """Bytes on the wire of one masked frame with so many bytes of payload."""
    return 1 + len(_length(payload, 0x80)) + 4 + payload


def frame_blocks(
    payload: int, frames: int, *, block_bytes: int = 1 << 18, seed: int = 1
) -> Iterator[memoryview]:
    """The bytes of so many masked frames in blocks of about ``block_bytes``; keys and payloads differ.

    One block is built and then repeated; the last one is cut at a frame boundary.
    """
    rng = random.Random(seed)
    size = wire_size(payload)
    per_block = max(1, min(frames, block_bytes // size))
    block = memoryview(
        b"".join(client_frame(rng.randbytes(payload), rng.randbytes(4)) for _ in range(per_block))
    )
    whole, rest = divmod(frames, per_block)
    for _ in range(whole):
        yield block
    if rest:
        yield block[: rest * size]
