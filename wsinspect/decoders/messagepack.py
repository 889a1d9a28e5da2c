"""MessagePack: values in bytes.

Contract: never recursive beyond `MAX_DEPTH`, never more than `MAX_VALUES` values, and nothing is made of a
size that the bytes only promise. Source: https://github.com/msgpack/msgpack/blob/master/spec.md.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from wsinspect.decoders.limits import MAX_DEPTH, MAX_VALUES
from wsinspect.decoders.model import Decoder, Malformed, Payload, brief, shorten, show_bytes

#: First byte to struct format, for scalars of a fixed size.
_NUMBERS: Final = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
_CONSTANTS: Final = {0xC0: None, 0xC2: False, 0xC3: True}
#: First byte to what follows: the kind, and how many bytes its length takes.
_SIZED: Final = {
    0xC4: ("bytes", 1), 0xC5: ("bytes", 2), 0xC6: ("bytes", 4),
    0xD9: ("text", 1), 0xDA: ("text", 2), 0xDB: ("text", 4),
    0xDC: ("array", 2), 0xDD: ("array", 4), 0xDE: ("map", 2), 0xDF: ("map", 4),
    0xC7: ("extension", 1), 0xC8: ("extension", 2), 0xC9: ("extension", 4),
}  # fmt: skip
_FIXED_EXTENSIONS: Final = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_TIMESTAMP: Final = -1


class Map(NamedTuple):
    """Pairs in order; a key may be anything, and may come twice."""

    pairs: tuple[tuple[Any, Any], ...]


class Extension(NamedTuple):
    """Bytes of an application's own type."""

    type: int
    data: bytes


class Reader:
    """Values one after the other.

    Args:
        data: the bytes.
        at: where the first one begins.
    """

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at
        self._left = MAX_VALUES

    @property
    def is_done(self) -> bool:
        """Whether all of the data has been read."""
        return self.at >= len(self.data)

    def value(self, depth: int = 0) -> Any:
        """The next value.

        Raises:
            Malformed: it is cut, is not MessagePack, or goes beyond the limits.
        """
        if depth > MAX_DEPTH:
            raise Malformed(f"nested deeper than {MAX_DEPTH}")
        self._left -= 1
        if self._left < 0:
            raise Malformed(f"more than {MAX_VALUES} values")
        first = self._take(1)[0]
        if first <= 0x7F or first >= 0xE0:
            return first if first <= 0x7F else first - 256
        if first <= 0x8F:
            return self._map(first & 15, depth)
        if first <= 0x9F:
            return self._array(first & 15, depth)
        if first <= 0xBF:
            return self._text(first & 31)
        return self._tagged(first, depth)

    def _tagged(self, first: int, depth: int) -> Any:
        if first in _CONSTANTS:
            return _CONSTANTS[first]
        if first in _NUMBERS:
            form = _NUMBERS[first]
            return struct.unpack(form, self._take(struct.calcsize(form)))[0]
        if first in _FIXED_EXTENSIONS:
            return self._extension(_FIXED_EXTENSIONS[first])
        if first not in _SIZED:
            raise Malformed(f"byte {self.at - 1} is 0x{first:02x}, which MessagePack does not use")
        kind, size = _SIZED[first]
        length = int.from_bytes(self._take(size))
        if kind == "array":
            return self._array(length, depth)
        if kind == "map":
            return self._map(length, depth)
        if kind == "extension":
            return self._extension(length)
        return self._text(length) if kind == "text" else self._take(length)

    def _take(self, size: int) -> bytes:
        piece = self.data[self.at : self.at + size]
        if len(piece) < size:
            raise Malformed(f"it ends at byte {len(self.data)}, {size - len(piece)} before the value does")
        self.at += size
        return piece

    def _text(self, length: int) -> str:
        return self._take(length).decode("utf-8", "backslashreplace")

    def _array(self, length: int, depth: int) -> list[Any]:
        self._promised(length)
        return [self.value(depth + 1) for _ in range(length)]

    def _map(self, length: int, depth: int) -> Map:
        self._promised(2 * length)
        return Map(tuple((self.value(depth + 1), self.value(depth + 1)) for _ in range(length)))

    def _promised(self, values: int) -> None:
        """A value takes a byte at least: more than there are cannot come."""
        if values > len(self.data) - self.at:
            raise Malformed(f"it announces {values} values and has {len(self.data) - self.at} bytes")

    def _extension(self, length: int) -> Extension:
        kind = struct.unpack(">b", self._take(1))[0]
        return Extension(kind, self._take(length))


def value_lines(value: Any, indent: int = 0, name: str = "") -> Iterator[str]:
    """A value that `Reader` made, a member a line."""
    margin = " " * indent + (f"{name}: " if name else "")
    if isinstance(value, Map):
        yield f"{margin}{{" if value.pairs else f"{margin}{{}}"
        for key, one in value.pairs:
            yield from value_lines(one, indent + 2, scalar(key))
        if value.pairs:
            yield " " * indent + "}"
    elif isinstance(value, list):
        yield f"{margin}[" if value else f"{margin}[]"
        for one in value:
            yield from value_lines(one, indent + 2)
        if value:
            yield " " * indent + "]"
    else:
        yield margin + scalar(value)


def scalar(value: Any) -> str:
    """A value in one line."""
    if value is None or isinstance(value, bool):
        return {None: "nil", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return f'"{shorten(value)}"'
    if isinstance(value, bytes):
        return f"bytes({len(value)}) {show_bytes(value)}".rstrip()
    if isinstance(value, Extension):
        return _extension_words(value)
    if isinstance(value, Map):
        return f"map of {len(value.pairs)}"
    return f"array of {len(value)}" if isinstance(value, list) else str(value)


def _extension_words(value: Extension) -> str:
    if value.type == _TIMESTAMP and len(value.data) in (4, 8, 12):
        if len(value.data) == 4:
            seconds, nanoseconds = int.from_bytes(value.data), 0
        elif len(value.data) == 8:
            both = int.from_bytes(value.data)
            seconds, nanoseconds = both & (1 << 34) - 1, both >> 34
        else:
            nanoseconds, seconds = struct.unpack(">Iq", value.data)
        return f"timestamp {seconds}.{nanoseconds:09d} s since 1970"
    return f"extension {value.type} ({len(value.data)}) {value.data[:64].hex(' ')}"


def _fits(payload: Payload) -> bool:
    """A map or an array that is whole, or that how it begins does not contradict."""
    data = payload.data
    if payload.is_text or not data:
        return False
    if (payload.subprotocol or "").endswith(("msgpack", "messagepack")):
        return True
    if not (0x80 < data[0] <= 0x8F or 0x90 < data[0] <= 0x9F or 0xDC <= data[0] <= 0xDF):
        return False
    reader = Reader(data)
    try:
        reader.value()
    except Malformed:
        return not payload.is_whole and reader.at > len(data) // 2
    return reader.is_done


def _lines(payload: Payload) -> Iterator[str]:
    reader = Reader(payload.data)
    while not reader.is_done:
        yield from value_lines(reader.value())


def _summary(payload: Payload) -> str | None:
    try:
        value = Reader(payload.data).value()
    except Malformed:
        return None
    if isinstance(value, Map):
        return "{" + brief(", ".join(f"{scalar(key)}: {scalar(one)}" for key, one in value.pairs[:6])) + "}"
    if isinstance(value, list):
        return "[" + brief(", ".join(scalar(one) for one in value[:8])) + "]"
    return scalar(value)


#: Other bytes may look like MessagePack, so hex is shown first.
DECODER: Final = Decoder("msgpack", _fits, _lines, _summary, is_sure=False)
