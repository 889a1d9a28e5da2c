"""permessage-deflate, the deflating half (RFC 7692 section 7.2.1), for messages that faults made."""

from __future__ import annotations

import zlib
from typing import Final

from wsinspect.wire.deflate import DeflateParams
from wsinspect.wire.opcodes import Direction

#: An empty stored block: what remains of an empty message (RFC 7692 section 7.2.3.6).
EMPTY_BLOCK: Final = b"\x00"
_TAIL: Final = b"\x00\x00\xff\xff"


class Deflater:
    """Compresses messages so that any receiver of the agreed window can inflate them.

    It begins with an empty window, which is always right: what it makes never refers to anything before it.
    """

    def __init__(self, params: DeflateParams, direction: Direction) -> None:
        client = direction is Direction.CLIENT_TO_SERVER
        bits = params.client_max_window_bits if client else params.server_max_window_bits
        # zlib cannot make raw streams with a window of 256 bytes: Huffman coding alone never looks back.
        strategy = zlib.Z_HUFFMAN_ONLY if bits < 9 else zlib.Z_DEFAULT_STRATEGY
        self._bits = min(max(bits, 9), 15)
        self._strategy = strategy
        self._takeover = params.takeover(direction)
        self._zlib = self._new()

    def _new(self) -> zlib._Compress:
        return zlib.compressobj(wbits=-self._bits, strategy=self._strategy)

    def piece(self, plain: bytes, *, first: bool, fin: bool) -> bytes:
        """The payload of one frame of a message."""
        if first and not self._takeover:
            self._zlib = self._new()
        data = self._zlib.compress(plain) + self._zlib.flush(zlib.Z_SYNC_FLUSH)
        if not fin:
            return data
        return data[: -len(_TAIL)] if data.endswith(_TAIL) and len(data) > len(_TAIL) else EMPTY_BLOCK
