"""Where frames begin: the header-only scan of an unarmed connection, one direction.

The relay sends bytes on without looking at them; this scan comes after that and remembers only how much of
the frame under way is still to come, so that a fault armed later begins at a frame boundary. Frames of equal
size in a row are skipped at once (one strided comparison); others cost a table look-up each.
"""

from __future__ import annotations

from typing import Final

from wsinspect.wire.header import LENGTH_16, MASK_BIT, SHORT, frame_length
from wsinspect.wire.opcodes import CONTROL_BIT

#: Frames compared at a time; two equal ones in a row make it worth trying.
_RUN: Final = 1024
_FIN_BIT: Final = 0x80


class Boundary:
    """The place in one direction's stream.

    Attributes:
        skip: bytes of the frame under way that are still to come.
        head: the beginning of a header that has not arrived whole.
        frames: frames whose header was seen.
        is_inside: whether a message was begun and continues in further fragments. It is looked at once a
            chunk, at its last frame; where that is a control frame, what was known before it is kept.
        is_lost: a length made no sense: there are no boundaries any more.
    """

    __slots__ = ("frames", "head", "is_inside", "is_lost", "skip")

    def __init__(self) -> None:
        self.skip = 0
        self.head = b""
        self.frames = 0
        self.is_inside = False
        self.is_lost = False

    @property
    def is_at_frame(self) -> bool:
        """Whether the next byte begins a frame."""
        return not self.skip and not self.head

    def feed(self, data: bytes) -> None:
        """Look at the next bytes of the stream."""
        size = len(data)
        if self.skip >= size:
            self.skip -= size
            return
        if not self.head and not self.skip and size > 1 and SHORT[data[1]] == size:
            self.frames += 1  # the usual chunk: one short frame
            first = data[0]
            if not first & CONTROL_BIT:
                self.is_inside = first < _FIN_BIT
            return
        if self.is_lost:
            return
        if self.head:
            self._scan(self.head + data, 0)
        else:
            self._scan(data, self.skip)

    def _scan(self, data: bytes, position: int) -> None:
        size = len(data)
        short = SHORT
        frames = 0
        before = 0
        last = -1
        self.head = b""
        while position + 1 < size:
            length = short[data[position + 1]]
            if length == before and length:
                seconds = data[position + 1 : position + 1 + _RUN * length : length]
                run = len(seconds)
                if seconds != seconds[:1] * run:
                    run -= len(seconds.lstrip(seconds[:1]))
                frames += run
                last = position + (run - 1) * length
                position += run * length
                before = 0
                continue
            before = length
            if not length:
                if position + 4 <= size and (second := data[position + 1]) & 0x7F == LENGTH_16:
                    frames += 1
                    last = position
                    position += (8 if second >= MASK_BIT else 4) + (
                        data[position + 2] << 8 | data[position + 3]
                    )
                    continue
                found = frame_length(data, position)
                if found is None:
                    break
                if found < 0:
                    self.is_lost = True
                    self.skip = 0
                    return
                length = found
            frames += 1
            last = position
            position += length
        self.frames += frames
        if last >= 0 and not data[last] & CONTROL_BIT:
            self.is_inside = data[last] < _FIN_BIT
        if position < size:
            self.head = data[position:]
            self.skip = 0
        else:
            self.skip = position - size
