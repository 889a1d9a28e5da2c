"""What is read of a capture for a frame's row: the frame, and all that belongs to it."""

from __future__ import annotations

from typing import Final, NamedTuple

from wsinspect.capture.records import FaultRow, FrameRow, Message, Ping

#: Bytes of a payload that are read for a row: enough for any line.
PREVIEW_BYTES: Final = 512


class Record(NamedTuple):
    """What is known of one frame, its payload cut for a row.

    Attributes:
        frame: `payload` has at most `PREVIEW_BYTES`.
        message: of which it is part, `data` cut likewise; None where the frame alone is an uncompressed one.
        ping: where it is a PING or a PONG that answers one.
        faults: what faults did to it.
    """

    frame: FrameRow
    message: Message | None
    ping: Ping | None
    faults: tuple[FaultRow, ...] = ()


class Fragment(NamedTuple):
    """A frame's place among the frames of its message.

    Attributes:
        number: counted from 1; 0 where it is not known.
        of: fragments so far, all of them once the message has ended.
        wire_bytes: their payloads on the wire.
    """

    number: int
    of: int
    wire_bytes: int
