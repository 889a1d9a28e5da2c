"""What a frame can be compared with: the last one of its shape, its mate, and the marked ones."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from wsinspect.present.records import Record
from wsinspect.tui.blobs import MESSAGE, Blob, blob_of
from wsinspect.tui.comparing import COMPARED_BYTES, Compared, compare, lines_of, shape_of
from wsinspect.tui.selection import Selection

#: Frames of a connection whose shape is asked for one like the chosen one, and bytes of each.
_SHAPES_ASKED: Final = 300
_SHAPE_BYTES: Final = 16 * 1024


class Partners:
    """See the module docstring."""

    def __init__(self, selection: Selection) -> None:
        self._selection, self._index = selection, selection.model.index

    def of(self, record: Record, position: int) -> list[tuple[str, int]]:
        """What a frame can be compared with, in words, each with its position; the nearest first."""
        index = self._index
        found = []
        if (same := self._same_shape_before(position)) is not None:
            found.append((f"{index.columns.ids[same]} (same shape)", same))
        mate = self._selection.mate_of(record, position)
        if mate is not None and (place := index.position_of(mate)) is not None:
            found.append((f"{mate} (its mate)", place))
        for marked in self._selection.marks:
            if marked != record.frame.id and (place := index.position_of(marked)) is not None:
                found.append((f"{marked} (marked)", place))
        return found

    def _same_shape_before(self, position: int) -> int | None:
        """The nearest frame before in its connection and direction with a payload of the same shape."""
        index, wanted = self._index, self._shape(position)
        own = index.by_connection[index.columns.connections[position]]
        at = bisect_left(own, position)
        opcode, side = index.opcode(position), index.is_s2c(position)
        for place in reversed(own[max(at - _SHAPES_ASKED, 0) : at]):
            if index.opcode(place) == opcode and index.is_s2c(place) == side and self._shape(place) == wanted:
                return place
        return None

    def _shape(self, position: int) -> str:
        payload = self._payload(position)
        return "" if payload is None else shape_of(payload[0].read(0, _SHAPE_BYTES), payload[1])

    def _payload(self, position: int) -> tuple[Blob, int] | None:
        """The message of a frame, joined and inflated, and its opcode; None where it cannot be read."""
        record, source = self._selection.record(self._index.columns.ids[position]), self._selection.source
        if record is None or source is None:
            return None
        blob, _ = blob_of(record, self._index, position, source, MESSAGE)
        return blob, record.frame.opcode if record.message is None else record.message.opcode

    def compared(self, other: int, position: int, words: str) -> Compared:
        """Two frames line by line; `words` are what the other one is."""
        sides, is_cut = [], False
        for place in (other, position):
            payload = self._payload(place)
            if payload is None:
                return Compared("no longer in the capture", [])
            blob, opcode = payload
            is_cut = is_cut or blob.length > COMPARED_BYTES
            sides.append(lines_of(blob.read(0, COMPARED_BYTES), is_text=opcode == 1))
        return compare(sides[0], sides[1], f"compared with {words}", is_cut=is_cut)
