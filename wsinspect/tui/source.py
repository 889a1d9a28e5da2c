"""What the screens read of a capture: columns by the thousand, and the records of what is on the screen.

Contract: one connection to the file, for the thread that opened it; every call is one or few short read
transactions, and payloads are read by pieces (`capture.queries.timeline`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from wsinspect.capture import queries
from wsinspect.capture.columns import Columns, frame_columns
from wsinspect.capture.queries import timeline
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Event, FaultRow, FindingRow
from wsinspect.present.records import PREVIEW_BYTES, Record
from wsinspect.present.requests import Asked
from wsinspect.wire.opcodes import Opcode

_ROUND_TRIPS: Final = 500
#: Rows of the smaller tables read at a time.
PAGE: Final = 1_000
#: Events looked through at a time for requests near attempts.
EVENTS: Final = 20_000


class Source:
    """An open capture, for one thread."""

    def __init__(self, path: Path) -> None:
        self.capture = Capture.open(path)

    def close(self) -> None:
        self.capture.close()

    def columns(self, after: int, limit: int) -> tuple[int, Columns] | None:
        """The next frames as columns, and the last one's id; None without any."""
        columns = frame_columns(self.capture, after, limit)
        return None if columns is None else (columns.ids[-1], columns)

    def newest_id(self) -> int:
        """The id of the last frame; 0 without frames."""
        return queries.newest_frame(self.capture)

    def records(self, ids: Sequence[int]) -> dict[int, Record]:
        """The records of some frames, in few statements."""
        if not ids:
            return {}
        frames = timeline.frame_previews(self.capture, ids, PREVIEW_BYTES)
        wanted = {frame.message_id for frame in frames if frame.message_id is not None}
        messages = timeline.message_previews(self.capture, wanted, PREVIEW_BYTES)
        heartbeats = [frame.id for frame in frames if frame.opcode in (Opcode.PING, Opcode.PONG)]
        pings = queries.pings_of(self.capture, heartbeats)
        faulted = [frame.id for frame in frames if frame.fault_event_id is not None]
        faults = timeline.faults_of(self.capture, faulted)
        return {
            frame.id: Record(
                frame,
                messages.get(frame.message_id) if frame.message_id is not None else None,
                pings.get(frame.id),
                tuple(faults.get(frame.id, ())),
            )
            for frame in frames
        }

    def piece(self, table: str, row: int, offset: int, size: int) -> bytes:
        """A part of `frame.payload` or `stored_message.data`, the rest unread; empty without one."""
        return self.capture.piece(table, row, offset, size)

    def stored_length(self, table: str, row: int) -> int:
        """How many bytes of `frame.payload` or `stored_message.data` are in the capture."""
        return self.capture.stored_length(table, row)

    def round_trip_ns(self, connection_id: int) -> int | None:
        """The median of the connection's newest round trips."""
        times = sorted(timeline.round_trips(self.capture, connection_id, _ROUND_TRIPS))
        return times[len(times) // 2] if times else None

    def engine_events(self, after: int, limit: int = PAGE) -> list[Event]:
        """What the engine noted of itself, not of a connection, with larger ids."""
        return timeline.engine_events(self.capture, after, limit)

    def asked(self, after: int) -> tuple[int, list[Asked]]:
        """Plain requests near attempts, of later events, and the last event that was looked at."""
        last, found = timeline.asked_near(self.capture, after, EVENTS)
        return last, [Asked.of(event) for event in found]

    def findings(self, after: int, limit: int = PAGE) -> list[FindingRow]:
        """Findings with larger ids."""
        return timeline.finding_rows(self.capture, after, limit)

    def findings_mark(self, upto: int) -> tuple[int, int]:
        """Changes when one of the findings up to an id was replaced or taken back."""
        return timeline.findings_mark(self.capture, upto)

    def fault_events(self, after: int, limit: int = PAGE) -> list[FaultRow]:
        """What faults did, with larger ids."""
        return timeline.fault_rows(self.capture, after, limit)
