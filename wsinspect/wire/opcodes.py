"""Opcodes and directions (RFC 6455 section 5.2).

Unknown opcodes are legal input here: fields hold plain `int`, and `opcode_name` answers for every value
0..15.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from wsinspect.vocabulary import Direction as Direction


class Opcode(IntEnum):
    """The opcodes RFC 6455 section 11.8 registers."""

    #: "%x0 denotes a continuation frame"
    CONTINUATION = 0x0
    #: "%x1 denotes a text frame"
    TEXT = 0x1
    #: "%x2 denotes a binary frame"
    BINARY = 0x2
    #: "%x8 denotes a connection close"
    CLOSE = 0x8
    #: "%x9 denotes a ping"
    PING = 0x9
    #: "%xA denotes a pong"
    PONG = 0xA


#: Opcodes with this bit are control frames (RFC 6455 section 5.5).
CONTROL_BIT: Final = 0x8

_NAMES: Final = {
    Opcode.CONTINUATION: "CONT",
    Opcode.TEXT: "TEXT",
    Opcode.BINARY: "BINARY",
    Opcode.CLOSE: "CLOSE",
    Opcode.PING: "PING",
    Opcode.PONG: "PONG",
}


def opcode_name(opcode: int) -> str:
    """The short name for a screen; `0x3` and the like for reserved opcodes."""
    return _NAMES.get(opcode) or f"0x{opcode:X}"  # type: ignore[call-overload]


def is_control(opcode: int) -> bool:
    """Whether `opcode` is a control opcode, reserved ones included (RFC 6455 section 5.5)."""
    return opcode >= CONTROL_BIT


def is_reserved(opcode: int) -> bool:
    """Whether RFC 6455 reserves `opcode` for later use: 3 to 7 and 11 to 15."""
    return opcode not in _NAMES
