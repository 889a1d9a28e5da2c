"""How much of a payload is decoded."""

from __future__ import annotations

from tests.support.decoding import (
    binary,
    read,
)
from wsinspect.decoders.limits import MAX_BYTES, MAX_LINES


def test_what_is_too_long_is_not_decoded():
    assert "longer than" in (read("msgpack", binary(bytes(MAX_BYTES + 1))).problem or "")
    assert "longer than" in (read("msgpack", binary(b"\x01", is_whole=False)).problem or "")
    many = read("msgpack", binary(b"\x01" * (MAX_LINES + 5)))
    assert len(many.lines) == MAX_LINES
    assert "only the first" in (many.problem or "")
