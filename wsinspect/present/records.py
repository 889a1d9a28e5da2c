"""What is read of a capture for its rows: a frame with all that belongs to it."""

from __future__ import annotations

from typing import Final, NamedTuple

from wsinspect.capture.records import FaultRow, FrameRow, Message, Ping

#: Bytes of a payload that are read for a row.
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
