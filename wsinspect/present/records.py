"""What is read of a capture for its rows: a frame with all that belongs to it, faults and findings."""

from __future__ import annotations

from typing import Final, NamedTuple

from wsinspect.capture.records import FrameRow, Message, Ping

#: Bytes of a payload that are read for a row.
PREVIEW_BYTES: Final = 512


class FaultEvent(NamedTuple):
    """A row of `fault_event`: what a fault did, to which frame."""

    id: int
    time_ns: int
    connection_id: int | None
    frame_id: int | None
    rule: str
    kind: str
    detail: str | None


class FindingRow(NamedTuple):
    """A row of `finding`; `detail` is JSON."""

    id: int
    rule: str
    severity: str
    connection_id: int | None
    frame_id: int | None
    detail: str


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
    faults: tuple[FaultEvent, ...] = ()
