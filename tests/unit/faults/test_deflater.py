"""Messages that faults compress: any receiver of the agreed window inflates them."""

from __future__ import annotations

import pytest

from wsinspect.faults.deflater import Deflater
from wsinspect.wire.deflate import DeflateParams, Inflater
from wsinspect.wire.opcodes import Direction

C2S, S2C = Direction
WORDS = [b"the same words, again and again", b"", b"the same words, again and again", bytes(range(256)) * 3]


@pytest.mark.parametrize("bits", [8, 9, 12, 15])
@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("direction", [C2S, S2C])
def test_messages_inflate_whatever_was_agreed(bits, takeover, direction):
    params = DeflateParams(
        server_max_window_bits=bits,
        client_max_window_bits=bits,
        server_no_context_takeover=not takeover,
        client_no_context_takeover=not takeover,
    )
    deflater = Deflater(params, direction)
    inflater = Inflater(bits=bits, takeover=takeover, cap=1 << 20)
    for message in WORDS:
        half = len(message) // 2
        inflater.begin()
        pieces = []
        for part, first, fin in ((message[:half], True, False), (message[half:], False, True)):
            pieces += inflater.feed(deflater.piece(part, first=first, fin=fin))
        last, _ = inflater.finish()
        assert b"".join([*pieces, *last]) == message
        assert not inflater.failed


def test_an_empty_message_is_one_byte():
    """RFC 7692 section 7.2.3.6."""
    assert Deflater(DeflateParams(), S2C).piece(b"", first=True, fin=True) == b"\x00"
