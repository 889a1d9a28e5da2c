"""Opcodes and directions."""

from __future__ import annotations

import pytest

from wsinspect.wire.opcodes import Direction, Opcode, is_control, is_reserved, opcode_name


def test_directions_have_the_two_spellings():
    assert [direction.short for direction in Direction] == ["c2s", "s2c"]
    assert [direction.arrow for direction in Direction] == ["c>s", "s>c"]
    assert Direction.CLIENT_TO_SERVER.other is Direction.SERVER_TO_CLIENT
    assert Direction.SERVER_TO_CLIENT.other is Direction.CLIENT_TO_SERVER
    assert [int(direction) for direction in Direction] == [0, 1]


def test_a_direction_is_read_back_from_its_short_name():
    assert [Direction.from_short(direction.short) for direction in Direction] == list(Direction)
    with pytest.raises(ValueError, match="not a direction: 'c>s'"):
        Direction.from_short("c>s")


def test_every_opcode_value_has_a_name_and_a_class():
    names = [opcode_name(value) for value in range(16)]
    assert names[:4] == ["CONT", "TEXT", "BINARY", "0x3"]
    assert names[8:12] == ["CLOSE", "PING", "PONG", "0xB"]
    assert [value for value in range(16) if is_control(value)] == list(range(8, 16))
    assert [value for value in range(16) if not is_reserved(value)] == sorted(Opcode)
