"""The frames of a capture as columns of plain integers: what a million rows need in memory, and nothing more.

SQLite packs the rows as hexadecimal digits, which keeps the work in its library, where it does not hold up
the event loop.
"""

from __future__ import annotations

from array import array
from typing import Final, NamedTuple

from wsinspect.capture.reader import Capture
from wsinspect.errors import CaptureError

#: `flags`: the direction, and the marks of a row.
FLAG_S2C: Final = 1
FLAG_VIOLATION: Final = 2
FLAG_FAULT: Final = 4
#: `lengths` saturates here; the frame's own record has the true length.
LENGTH_CAP: Final = 0xFFFFFFFF
#: Widths in a packed row, in bytes, and types of the arrays, in the order of `Columns`.
_WIDTHS: Final = (8, 8, 4, 4, 2, 1)
_TYPES: Final = ("Q", "q", "I", "I", "H", "B")
_ROW_BYTES: Final = sum(_WIDTHS)
_PACKED: Final = (
    "SELECT max(id), group_concat(printf('%016x%016x%08x%08x%04x%02x', id, time_ns, "  # noqa: S608
    f"max(0, min(wire_length - length(header), {LENGTH_CAP})), connection_id & 4294967295, bits & 65535, "
    f"(is_s2c != 0) + (violation IS NOT NULL) * {FLAG_VIOLATION} "
    f"+ (fault_event_id IS NOT NULL) * {FLAG_FAULT}), '') "
    "FROM (SELECT id, time_ns, wire_length, header, connection_id, bits, is_s2c, violation, fault_event_id "
    "FROM frame WHERE id > ? ORDER BY id LIMIT ?)"
)
_IS_BIG_ENDIAN: Final = array("H", (1,)).tobytes()[0] == 0


class Columns(NamedTuple):
    """Some frames in a row, a column each: epoch nanoseconds, payload bytes on the wire, two header bytes."""

    ids: array[int]
    times_ns: array[int]
    lengths: array[int]
    connections: array[int]
    bits: array[int]
    flags: array[int]


def frame_columns(capture: Capture, after: int, limit: int) -> Columns | None:
    """The next frames with larger ids than `after`; None without any.

    Raises:
        CaptureError: the file is damaged.
    """
    ((last, packed),) = capture.query(_PACKED, (after, limit))
    if last is None or not packed:
        capture.check_structure()
        return None
    raw = bytes.fromhex(packed)
    columns, offset = [], 0
    for width, kind in zip(_WIDTHS, _TYPES, strict=True):
        columns.append(_column(raw, offset, width, kind))
        offset += width
    ids = columns[0].tolist()
    if ids[0] <= after or ids[-1] != last or sorted(ids) != ids:
        raise CaptureError(f"{capture.path} is damaged: its rows are out of order")
    return Columns(*columns)


def _column(raw: bytes, offset: int, width: int, kind: str) -> array[int]:
    """One column of packed big-endian rows, a plane of bytes at a time."""
    count = len(raw) // _ROW_BYTES
    planes = bytearray(count * width)
    for byte in range(width):
        planes[width - 1 - byte :: width] = raw[offset + byte :: _ROW_BYTES]
    column = array(kind)
    column.frombytes(planes)
    if _IS_BIG_ENDIAN:
        column.byteswap()
    return column
