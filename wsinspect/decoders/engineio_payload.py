"""Packets of Engine.IO in the body of a long-polling request or response.

Sans-I/O. Version 4 puts U+001E between them; version 3 puts the length in UTF-16 units and a colon before
each. Binary packets are base64 behind a `b`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Final, NamedTuple

_SEPARATOR: Final = "\x1e"
_MOST_PACKETS: Final = 10_000
#: In version 3 a binary packet begins with its type, message.
_BINARY_TYPE: Final = b"\x04"


class Packet(NamedTuple):
    """One packet, as it would be a message of a WebSocket."""

    is_binary: bool
    data: bytes


def encode(packets: Iterable[Packet], version: int) -> bytes:
    """The body for some packets."""
    texts = [_text(packet, version) for packet in packets]
    if version >= 4:
        return _SEPARATOR.join(texts).encode()
    return "".join(f"{_units(text)}:{text}" for text in texts).encode()


def decode(body: bytes, version: int) -> list[Packet]:
    """The packets of a body.

    Raises:
        ValueError: it is not one.
    """
    text = body.decode()
    texts = text.split(_SEPARATOR, _MOST_PACKETS) if version >= 4 else _cut(text)
    return [_packet(one, version) for one in texts if one]


def _text(packet: Packet, version: int) -> str:
    if not packet.is_binary:
        return packet.data.decode("utf-8", "replace")
    if version >= 4:
        return "b" + base64.b64encode(packet.data).decode("ascii")
    return "b4" + base64.b64encode(packet.data.removeprefix(_BINARY_TYPE)).decode("ascii")


def _packet(text: str, version: int) -> Packet:
    if not text.startswith("b"):
        return Packet(False, text.encode())
    try:
        data = base64.b64decode(text[1:] if version >= 4 else text[2:], validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    return Packet(True, data if version >= 4 else _BINARY_TYPE + data)


def _cut(text: str) -> list[str]:
    """The packets of version 3; lengths count characters beyond the first plane twice."""
    units = text.encode("utf-16-le")
    found: list[str] = []
    at = 0
    while at < len(units) and len(found) < _MOST_PACKETS:
        colon = units.find(b":\0", at, at + 24)
        digits = units[at:colon].decode("utf-16-le") if colon > 0 else ""
        if not digits.isascii() or not digits.isdigit():
            raise ValueError("a length is missing")
        at = colon + 2 + 2 * int(digits)
        if at > len(units):
            raise ValueError("a packet is cut off")
        found.append(units[colon + 2 : at].decode("utf-16-le"))
    return found


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
