"""The bytes of a frame or message in their forms, read by pieces: as on the wire, unmasked, inflated.

Contract: nothing is read before it is asked for, and never more than was asked for; 100 MB cost as much to
look at as 100 bytes.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import Final, Protocol

from wsinspect.present.records import Record
from wsinspect.tui.index import FrameIndex
from wsinspect.tui.source import Source
from wsinspect.wire.masking import unmask

#: The forms in the order in which `u` goes through them.
MESSAGE, UNMASKED, WIRE = "message", "unmasked", "wire"
FORMS: Final = (MESSAGE, UNMASKED, WIRE)


class Blob(Protocol):
    """The bytes of a frame or message, read by pieces wherever they are."""

    @property
    def length(self) -> int: ...

    def read(self, offset: int, size: int) -> bytes:
        """So many bytes from there on; fewer at the end."""


class StoredBlob:
    """A column of the capture."""

    def __init__(self, source: Source, table: str, row: int) -> None:
        self._source, self._table, self._row = source, table, row
        self.length = source.stored_length(table, row)

    def read(self, offset: int, size: int) -> bytes:
        """By SQLite's incremental reads."""
        return self._source.piece(self._table, self._row, offset, size)


class JoinedBlob:
    """Several after one another."""

    def __init__(self, parts: list[Blob]) -> None:
        self._parts = parts
        self._ends = list(accumulate(part.length for part in parts))
        self.length = self._ends[-1] if parts else 0

    def read(self, offset: int, size: int) -> bytes:
        """Across the borders of the parts."""
        number, pieces = bisect_right(self._ends, offset), []
        while size > 0 and number < len(self._parts):
            begin = self._ends[number] - self._parts[number].length
            piece = self._parts[number].read(offset - begin, size)
            pieces.append(piece)
            size -= len(piece)
            offset = self._ends[number]
            number += 1
        return b"".join(pieces)


class WireBlob:
    """A frame as it was on the wire: header, then the payload, masked again where it was."""

    def __init__(self, header: bytes, key: bytes | None, payload: Blob) -> None:
        self._header, self._key, self._payload = header, key, payload
        self.length = len(header) + payload.length

    def read(self, offset: int, size: int) -> bytes:
        """The mask continues at the right byte wherever a piece begins."""
        head = self._header[offset : offset + size]
        at = max(offset - len(self._header), 0)
        piece = self._payload.read(at, size - len(head)) if size > len(head) else b""
        if self._key is not None and piece:
            turned = at % 4
            piece = unmask(piece, self._key[turned:] + self._key[:turned])
        return head + piece


def blob_of(record: Record, index: FrameIndex, position: int, source: Source, form: str) -> tuple[Blob, str]:
    """The bytes of a frame in a form, and what they are in words."""
    frame, message = record.frame, record.message
    payload = StoredBlob(source, "frame", frame.id)
    if frame.is_evicted and (message is None or not message.compressed):
        return payload, f"payload of frame {frame.id}: deleted to make room (--max-capture-size)"
    if form == WIRE:
        masked = "masked" if frame.masked else "not masked"
        return WireBlob(frame.header, frame.mask_key, payload), f"frame {frame.id} as on the wire, {masked}"
    if form == UNMASKED or message is None:
        kind = "compressed" if message is not None and message.compressed else "not compressed"
        return payload, f"payload of frame {frame.id}, {kind}"
    if message.compressed:
        if message.data is None:
            if frame.is_evicted:
                return payload, f"message {message.id}: deleted to make room (--max-capture-size)"
            why = message.problem or (
                "not complete yet" if message.last_frame is None else "not kept inflated"
            )
            return payload, f"payload of frame {frame.id}, still compressed ({why})"
        return StoredBlob(source, "stored_message", message.id), f"message {message.id}, inflated"
    places = index.fragments(position, message.first_frame, message.last_frame)
    if len(places) < 2:
        return payload, f"message {message.id}, not compressed"
    parts: list[Blob] = [StoredBlob(source, "frame", index.columns.ids[place]) for place in places]
    return JoinedBlob(parts), f"message {message.id}, {len(parts)} fragments joined, not compressed"
