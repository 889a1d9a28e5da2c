"""DATA frames of HTTP/2 (RFC 9113 section 6.1) that carry nothing but bytes: read and written by the hundred.

A WebSocket's messages come as DATA frames of one stream, often many in one read. Those without flags differ
in their length alone, so a run of them is read, and put on another stream, without an object for each.
Whatever else comes (padding, END_STREAM, other types, an empty frame) ends a run and is the HTTP/2 library's
to read.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterable
from typing import Final

#: Bytes of a frame's header (section 4.1): length, type, flags, stream.
HEADER_BYTES: Final = 9
#: Type 0 (DATA) and no flags, as they stand in a header.
_PLAIN: Final = b"\0\0"
#: Headers compared at a time; fewer equal ones than `_FEW` in a row are not worth it.
_COLUMN: Final = 256
_FEW: Final = 4
#: Payloads taken apart at a time.
_SPLIT: Final = 64
#: Payloads so short are joined by taking the headers out, a column at a time: a third of what an object for
#: each payload costs. Longer ones would be moved about too much.
_SHORT: Final = 160
#: Frames of equal length in a row: where they begin in a run, the length of each payload, how many.
_Row = tuple[int, int, int]


class Run:
    """DATA frames of one stream that came one after the other.

    Attributes:
        stream_id: the stream.
        raw: the frames as they came.
        longest: bytes of the longest payload; none is empty.
        size: bytes of all payloads, which is what they cost of a flow-control window.
    """

    __slots__ = ("_data", "_rows", "longest", "raw", "size", "stream_id")

    def __init__(self, stream_id: int, raw: bytes, rows: list[_Row]) -> None:
        self.stream_id = stream_id
        self.raw = raw
        self._rows = rows
        self.longest = max([length for _, length, _ in rows])
        self.size = sum([length * count for _, length, count in rows])
        self._data: bytes | None = None

    @property
    def pieces(self) -> list[bytes]:
        """The payload of each frame, made again at each call."""
        return [piece for row in self._rows for piece in self._pieces(row)]

    def _pieces(self, row: _Row) -> list[bytes]:
        raw = self.raw
        start, length, count = row
        stride = HEADER_BYTES + length
        end = start + count * stride
        if count < _FEW:
            return [raw[at : at + length] for at in range(start + HEADER_BYTES, end, stride)]
        found: list[bytes] = []
        for at in range(start, end, _SPLIT * stride):
            found += _splitter(length, min(_SPLIT, (end - at) // stride))(raw, at)
        return found

    @property
    def data(self) -> bytes:
        """All payloads as one; joined when first asked for."""
        if self._data is None:
            is_one = self.size + HEADER_BYTES == len(self.raw)
            self._data = self.raw[HEADER_BYTES:] if is_one else b"".join(self._parts())
        return self._data

    def _parts(self) -> list[bytes | bytearray]:
        """What `pieces` gives, short payloads together."""
        found: list[bytes | bytearray] = []
        for row in self._rows:
            start, length, count = row
            if count < _FEW or length > _SHORT:
                found += self._pieces(row)
                continue
            stride = HEADER_BYTES + length
            part = bytearray(self.raw[start : start + count * stride])
            for shorter in range(stride, length, -1):
                del part[::shorter]
            found.append(part)
        return found

    def frames_for(self, stream_id: int) -> bytes:
        """The same frames on another stream."""
        if stream_id == self.stream_id:
            return self.raw
        raw, name = self.raw, stream_id.to_bytes(4, "big")
        if self.size + HEADER_BYTES == len(raw):
            return raw[:5] + name + raw[HEADER_BYTES:]
        other = bytearray(raw)
        for start, length, count in self._rows:
            stride = HEADER_BYTES + length
            end = start + count * stride
            for at in range(4):
                other[start + 5 + at : end : stride] = name[at : at + 1] * count
        return bytes(other)


@functools.lru_cache(maxsize=128)
def _splitter(length: int, count: int) -> Callable[[bytes, int], tuple[bytes, ...]]:
    """From bytes and a place the payloads of so many frames of this length: a third of what slices cost."""
    return struct.Struct(f"{HEADER_BYTES}x{length}s" * count).unpack_from


def frame_end(buffer: bytes, start: int) -> int:
    """Where the frame that begins at `start` ends; its header has to be there, the rest need not."""
    return start + HEADER_BYTES + (buffer[start] << 16 | buffer[start + 1] << 8 | buffer[start + 2])


def plain_stream(buffer: bytes, start: int) -> int:
    """The stream of a DATA frame without flags whose header begins at `start`; 0 for any other frame."""
    if buffer[start + 3 : start + 5] != _PLAIN:
        return 0
    # With the reserved bit it would not be the same bytes on the other side.
    stream_id = int.from_bytes(buffer[start + 5 : start + 9], "big")
    return stream_id if stream_id < 1 << 31 else 0


def read_run(buffer: bytes, start: int, most: int, room: int) -> Run | None:
    """The whole frames of one stream that follow each other from a `plain_stream` on.

    Args:
        buffer: bytes of a connection.
        start: where a frame begins.
        most: the longest payload that is allowed (SETTINGS_MAX_FRAME_SIZE).
        room: what the sender's windows allow of payloads together (section 5.2).

    Returns:
        None where the first of them is empty, too long, too much, or not there whole.
    """
    size = len(buffer)
    key = buffer[start + 3 : start + HEADER_BYTES]
    rows: list[_Row] = []
    position = start
    length = 0
    before = b""
    while position + HEADER_BYTES <= size:
        head = buffer[position : position + HEADER_BYTES]
        if head == before:
            stride = HEADER_BYTES + length
            count = min(_equal_heads(buffer, position, head, stride), room // length)
            if not count:
                break
            room -= count * length
            position += count * stride
            begin, _, known = rows[-1]
            rows[-1] = (begin, length, known + count)
            continue
        if head[3:] != key:
            break
        length = head[0] << 16 | head[1] << 8 | head[2]
        end = position + HEADER_BYTES + length
        if not 0 < length <= min(most, room) or end > size:
            break
        room -= length
        rows.append((position - start, length, 1))
        position, before = end, head
    return Run(int.from_bytes(key[2:], "big"), buffer[start:position], rows) if rows else None


def _equal_heads(buffer: bytes, start: int, head: bytes, stride: int) -> int:
    """How many whole frames from `start` on have this header."""
    whole = min((len(buffer) - start) // stride, _COLUMN)
    if not whole:
        return 0
    # The last byte of the length is the one that differs most.
    for at in (2, 1, 0, 8, 7, 6, 5, 4, 3):
        column = buffer[start + at : start + whole * stride : stride]
        value = head[at : at + 1]
        if column != value * whole:
            whole = len(column) - len(column.lstrip(value))
            if whole < _FEW:
                return min(whole, 1)
    return whole


def data_frames(stream_id: int, pieces: Iterable[bytes]) -> bytes:
    """A DATA frame a piece."""
    tail = _PLAIN + stream_id.to_bytes(4, "big")
    return b"".join([part for piece in pieces for part in (len(piece).to_bytes(3, "big"), tail, piece)])


__all__ = ["HEADER_BYTES", "Run", "data_frames", "frame_end", "plain_stream", "read_run"]
