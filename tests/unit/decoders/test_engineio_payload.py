"""Payloads of Engine.IO's long-polling, as its document shows them."""

from __future__ import annotations

import pytest

from wsinspect.decoders.engineio_payload import Packet, decode, encode


# As engine.io-protocol's examples show them.
@pytest.mark.parametrize(
    ("version", "packets", "body"),
    [
        (
            4,
            [Packet(False, b"4hello"), Packet(False, b"2"), Packet(False, b"4world")],
            b"4hello\x1e2\x1e4world",
        ),
        (4, [Packet(False, b"4hi"), Packet(True, b"\1\2\3\4")], b"4hi\x1ebAQIDBA=="),
        (3, [Packet(False, b"4hello"), Packet(False, b"2")], b"6:4hello1:2"),
        (3, [Packet(False, "4€".encode()), Packet(True, b"\4\1\2\3\4")], "2:4€10:b4AQIDBA==".encode()),
        (3, [Packet(False, "4😀".encode())], "3:4😀".encode()),
    ],
)
def test_payloads(version, packets, body):
    assert encode(packets, version) == body
    assert decode(body, version) == packets


@pytest.mark.parametrize(("version", "body"), [(3, b"4hello"), (3, b"9:4hi"), (4, b"b?"), (4, b"\xff")])
def test_invalid_payloads_are_refused(version, body):
    with pytest.raises(ValueError, match=r"."):
        decode(body, version)
