"""The frames of a capture in columns: what a million rows need in memory, and nothing more.

Contract: a frame costs under 48 bytes here (23 in the columns, 4 in its connection's list, 4 in a view);
payloads stay in the capture. A *position* is a frame's place in the columns; frames arrive ordered by id and
only ever at the end, so positions never change. Nothing here does I/O.
"""

from __future__ import annotations

import re
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

from wsinspect.capture.columns import FLAG_S2C, FLAG_VIOLATION, Columns
from wsinspect.capture.records import Message
from wsinspect.present.records import Fragment
from wsinspect.wire.opcodes import Opcode

_FRAGMENT_CAP: Final = 10_000
_NARROW: Final = 0xFFFFFFFF
#: In columns as bytes: flags beyond the direction; any FIN and RSV with the opcode 8.
_FLAGGED: Final = re.compile(rb"[^\x00\x01]")
_CLOSE: Final = re.compile(b"[%b]" % b"".join(b"\\x%02x" % (high << 4 | Opcode.CLOSE) for high in range(16)))
_HIGH_BYTE: Final = 1 if sys.byteorder == "little" else 0


class FrameIndex:
    """All frames read so far.

    Attributes:
        by_connection: positions of each connection's frames.
        finding_frames: ids of frames that findings name.
        flagged: positions of frames with a violation or a fault; `flagged_of` by connection.
        closes_of: positions of CLOSE frames by connection.
    """

    def __init__(self) -> None:
        # Ids have four bytes until one does not fit.
        self.columns = Columns(array("I"), array("q"), array("I"), array("I"), array("H"), array("B"))
        self.by_connection: dict[int, array[int]] = {}
        self.finding_frames: set[int] = set()
        self.flagged = array("I")
        self.flagged_of: dict[int, array[int]] = {}
        self.closes_of: dict[int, array[int]] = {}

    def __len__(self) -> int:
        return len(self.columns.ids)

    def append(self, more: Columns) -> None:
        """Add frames that follow the last one."""
        position = len(self)
        ids = self.columns.ids
        if ids.typecode == "I" and more.ids and more.ids[-1] > _NARROW:
            self.columns = self.columns._replace(ids=array("Q", ids))
        self.columns.ids.extend(array(self.columns.ids.typecode, more.ids))
        for column, added in zip(self.columns[1:], more[1:], strict=True):
            column.extend(added)
        lists = self.by_connection
        for connection in more.connections:
            try:
                lists[connection].append(position)
            except KeyError:
                lists[connection] = array("I", (position,))
            position += 1
        self._note_rare(len(self) - len(more.ids), more)

    def _note_rare(self, first: int, more: Columns) -> None:
        """What keys look for among all frames is found once, when it comes."""
        for match in _FLAGGED.finditer(more.flags.tobytes()):
            at = match.start()
            self.flagged.append(first + at)
            self.flagged_of.setdefault(more.connections[at], array("I")).append(first + at)
        # Of the first two bytes of a header that with FIN, RSV and the opcode.
        for match in _CLOSE.finditer(more.bits.tobytes()[_HIGH_BYTE::2]):
            at = match.start()
            self.closes_of.setdefault(more.connections[at], array("I")).append(first + at)

    def marked(self, connection: int | None) -> tuple[Sequence[int], Sequence[int]]:
        """Frames of a connection, or of all: those with a violation or a fault, those that findings name."""
        flagged = self.flagged if connection is None else self.flagged_of.get(connection, ())
        places = (self.position_of(number) for number in self.finding_frames)
        return flagged, sorted(place for place in places if place is not None)

    @property
    def last_id(self) -> int:
        """The newest frame's id; 0 without frames."""
        return self.columns.ids[-1] if self.columns.ids else 0

    def position_of(self, frame_id: int) -> int | None:
        """Where a frame is; None when it is not here."""
        ids = self.columns.ids
        position = bisect_left(ids, frame_id)
        return position if position < len(ids) and ids[position] == frame_id else None

    def position_at_time(self, time_ns: int) -> int:
        """The first frame at or after a time; arrival times grow with positions but for clock steps."""
        return bisect_left(self.columns.times_ns, time_ns)

    def opcode(self, position: int) -> int:
        """The opcode of the frame at a position, 0 to 15."""
        return self.columns.bits[position] >> 8 & 15

    def is_s2c(self, position: int) -> bool:
        """Whether it came from the server."""
        return bool(self.columns.flags[position] & FLAG_S2C)

    def is_fin(self, position: int) -> bool:
        """Whether it is a final fragment."""
        return self.columns.bits[position] >= 0x8000

    def is_marked(self, position: int) -> bool:
        """Whether something is wrong with it: a violation or a finding."""
        if self.columns.flags[position] & FLAG_VIOLATION:
            return True
        return bool(self.finding_frames) and self.columns.ids[position] in self.finding_frames

    def is_fragment(self, position: int) -> bool:
        """Whether it may be one of several of a message."""
        opcode = self.opcode(position)
        return opcode < 8 and (opcode == Opcode.CONTINUATION or not self.is_fin(position))

    def fragments(self, position: int, first_id: int, last_id: int | None) -> list[int]:
        """The positions of the data frames of a message, in order; not more than some thousand.

        Args:
            position: one of them.
            first_id: the message's first frame.
            last_id: its last frame; None while it continues.
        """
        own = self.by_connection[self.columns.connections[position]]
        ids, side = self.columns.ids, self.is_s2c(position)
        first = bisect_left(own, bisect_left(ids, first_id))
        end = len(own) if last_id is None else bisect_right(own, bisect_right(ids, last_id) - 1)
        found = []
        for place in own[first : min(end, first + _FRAGMENT_CAP)]:
            if self.is_s2c(place) == side and self.opcode(place) < 8:
                found.append(place)
        return found

    def fragment(self, position: int, message: Message | None) -> Fragment | None:
        """A frame's place in its message; None where it is all of it."""
        if not self.is_fragment(position):
            return None
        if message is None:
            return Fragment(0, 0, 0)
        places = self.fragments(position, message.first_frame, message.last_frame)
        number = places.index(position) + 1 if position in places else 0
        return Fragment(number, len(places), sum(self.columns.lengths[place] for place in places))

    def last_time_ns(self, connection: int) -> int | None:
        """When the connection's newest frame arrived."""
        own = self.by_connection.get(connection)
        return self.columns.times_ns[own[-1]] if own else None
