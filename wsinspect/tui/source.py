"""What the screens read of a capture: columns by the thousand, and the records of what is on the screen.

Contract: one connection to the file, for the thread that opened it; every call is one or few short read
transactions. A payload is never read whole for a row: large ones are read by pieces, so that 100 MB cost as
much as 100 bytes.
"""

from __future__ import annotations

import json
import sqlite3
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from wsinspect.capture import schema
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Event, FrameRow, Message, Ping
from wsinspect.errors import CaptureError
from wsinspect.present.records import PREVIEW_BYTES, FaultEvent, FindingRow, Record
from wsinspect.tui.index import FLAG_FAULT, FLAG_VIOLATION, LENGTH_CAP, Columns
from wsinspect.wire.opcodes import Direction

#: Blobs beyond this are read by pieces; below it reading all of it is as fast.
_PIECEWISE_BYTES: Final = 32 * 1024
_ROUND_TRIPS: Final = 500
#: Rows of the smaller tables that are read at once.
PAGE: Final = 1_000

#: Column widths in a packed row, in bytes, in the order of `Columns`; SQLite packs them as hexadecimal
#: digits, which keeps the work in its library, where it does not hold up the event loop.
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
_FRAME: Final = (
    "SELECT id, connection_id, is_s2c, first_ns, time_ns, sent_ns, header, wire_length, "  # noqa: S608
    f"CASE WHEN length(payload) <= {_PIECEWISE_BYTES} THEN substr(payload, 1, {PREVIEW_BYTES}) END, "
    "message_id, violation, fault_event_id, payload IS NULL FROM frame WHERE id IN "
)
_MESSAGE: Final = (
    "SELECT id, connection_id, is_s2c, opcode, first_frame, last_frame, compressed, length, "  # noqa: S608
    f"CASE WHEN length(data) <= {_PIECEWISE_BYTES} THEN substr(data, 1, {PREVIEW_BYTES}) END, "
    "valid_text, problem, length(data) FROM stored_message WHERE id IN "
)


class Source:
    """An open capture, for one thread."""

    def __init__(self, path: Path) -> None:
        self._database = schema.open_for_reading(path)
        self.capture = Capture(path, self._database)

    def close(self) -> None:
        """Close the file."""
        self.capture.close()

    def columns(self, after: int, limit: int) -> tuple[int, Columns] | None:
        """The next frames as columns, and the last one's id; None when there are none."""
        ((last, packed),) = self.capture.query(_PACKED, (after, limit))
        if last is None or not packed:
            self.capture.check_structure()
            return None
        raw = bytes.fromhex(packed)
        columns, offset = [], 0
        for width, kind in zip(_WIDTHS, _TYPES, strict=True):
            columns.append(_column(raw, offset, width, kind))
            offset += width
        ids = columns[0].tolist()
        if ids[0] <= after or ids[-1] != last or sorted(ids) != ids:
            raise CaptureError(f"{self.capture.path} is damaged: its rows are out of order")
        return last, Columns(*columns)

    def newest_id(self) -> int:
        """The id of the last frame; 0 without frames."""
        ((newest,),) = self.capture.query("SELECT max(id) FROM frame")
        return newest or 0

    def records(self, ids: Sequence[int]) -> dict[int, Record]:
        """The records of some frames, in few statements."""
        if not ids:
            return {}
        frames = [self._frame(row) for row in self.capture.query(_FRAME + _list(ids))]
        messages = self._messages({frame.message_id for frame in frames if frame.message_id is not None})
        pings = self._pings([frame.id for frame in frames if frame.opcode in (9, 10)])
        faults = self._faults([frame.id for frame in frames if frame.fault_event_id is not None])
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
        """A part of `frame.payload` or `stored_message.data`, the rest unread; empty if there is none."""
        column = "payload" if table == "frame" else "data"
        try:
            with self._database.blobopen(table, column, row, readonly=True) as blob:
                blob.seek(min(offset, len(blob)))
                return blob.read(size)
        except sqlite3.OperationalError:
            return b""  # NULL, a text in place of a blob, or gone
        except sqlite3.DatabaseError as error:
            raise CaptureError(f"cannot read {self.capture.path}: {error}") from None

    def stored_length(self, table: str, row: int) -> int:
        """How many bytes of `frame.payload` or `stored_message.data` are in the capture."""
        column = "payload" if table == "frame" else "data"
        rows = self.capture.query(f"SELECT length({column}) FROM {table} WHERE id = ?", (row,))  # noqa: S608
        return (rows[0][0] or 0) if rows else 0

    def round_trip_ns(self, connection_id: int) -> int | None:
        """The median of the connection's newest round trips."""
        rows = self.capture.query(
            "SELECT rtt_ns FROM ping WHERE connection_id = ? AND rtt_ns IS NOT NULL "  # noqa: S608
            f"ORDER BY ping_frame DESC LIMIT {_ROUND_TRIPS}",
            (connection_id,),
        )
        times = sorted(row[0] for row in rows)
        return times[len(times) // 2] if times else None

    def engine_events(self, after: int, limit: int = PAGE) -> list[Event]:
        """What the engine noted of itself, not of a connection, with larger ids."""
        sql = (
            "SELECT id, time_ns, connection_id, kind, detail FROM event "
            "WHERE connection_id IS NULL AND id > ? ORDER BY id LIMIT ?"
        )
        return [
            Event(number, time_ns, of, kind, _object(detail))
            for number, time_ns, of, kind, detail in self.capture.page(sql, (after, limit), after)
        ]

    def findings(self, after: int, limit: int = PAGE) -> list[FindingRow]:
        """Findings with larger ids."""
        sql = (
            "SELECT id, rule, severity, connection_id, frame_id, detail FROM finding "
            "WHERE id > ? ORDER BY id LIMIT ?"
        )
        return [FindingRow(*row) for row in self.capture.page(sql, (after, limit), after)]

    def findings_mark(self, upto: int) -> tuple[int, int]:
        """Changes when one of the findings up to an id was replaced or taken back."""
        rows = self.capture.query(
            "SELECT count(*), coalesce(sum(id * length(detail)), 0) FROM finding WHERE id <= ?", (upto,)
        )
        return rows[0][0], rows[0][1]

    def fault_events(self, after: int, limit: int = PAGE) -> list[FaultEvent]:
        """What faults did, with larger ids."""
        rows = self.capture.page(f"{_FAULT} WHERE id > ? ORDER BY id LIMIT ?", (after, limit), after)
        return [FaultEvent(*row) for row in rows]

    def _frame(self, row: tuple[Any, ...]) -> FrameRow:
        *columns, is_evicted = row
        frame = FrameRow(*columns)
        header: Any = frame.header
        payload: Any = frame.payload
        if not isinstance(header, bytes) or len(header) < 2:
            header = b"\0\0"  # a stranger's file may hold anything
        if not isinstance(payload, bytes):
            payload = b"" if is_evicted else self.piece("frame", frame.id, 0, PREVIEW_BYTES)
        return frame._replace(
            direction=Direction(1 if frame.direction else 0),
            header=header,
            payload=payload,
            is_evicted=bool(is_evicted),
        )

    def _messages(self, ids: set[int]) -> dict[int, Message]:
        found = {}
        for *row, stored in self.capture.query(_MESSAGE + _list(ids)) if ids else ():
            message = Message(*row)
            data = message.data
            if data is None and stored is not None:
                data = self.piece("stored_message", message.id, 0, PREVIEW_BYTES)
            found[message.id] = message._replace(
                direction=Direction(1 if message.direction else 0),
                compressed=bool(message.compressed),
                data=data if isinstance(data, bytes) else None,
                valid_text=None if message.valid_text is None else bool(message.valid_text),
            )
        return found

    def _pings(self, ids: Sequence[int]) -> dict[int, Ping]:
        found: dict[int, Ping] = {}
        if not ids:
            return found
        chosen = _list(ids)
        sql = (
            "SELECT ping_frame, connection_id, leg, pong_frame, rtt_ns FROM ping "  # noqa: S608
            f"WHERE ping_frame IN {chosen} OR pong_frame IN {chosen}"
        )
        for row in self.capture.query(sql):
            ping = Ping(*row)
            found[ping.ping_frame] = ping
            if ping.pong_frame is not None:
                found[ping.pong_frame] = ping
        return found

    def _faults(self, ids: Sequence[int]) -> dict[int, list[FaultEvent]]:
        found: dict[int, list[FaultEvent]] = {}
        if ids:
            chosen = f"SELECT fault_event_id FROM frame WHERE id IN {_list(ids)}"  # noqa: S608
            rows = self.capture.query(f"{_FAULT} WHERE id IN ({chosen})")
            for row in rows:
                event = FaultEvent(*row)
                if event.frame_id is not None:
                    found.setdefault(event.frame_id, []).append(event)
        return found


_FAULT: Final = "SELECT id, time_ns, connection_id, frame_id, rule, kind, detail FROM fault_event"


def _object(detail: Any) -> dict[str, Any]:
    try:
        decoded = json.loads(detail)
    except (TypeError, ValueError):
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _list(ids: Iterable[int]) -> str:
    """Our own integers for an IN clause: SQLite's limit on parameters does not matter then."""
    return f"({','.join(map(str, ids))})"


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


_IS_BIG_ENDIAN: Final = array("H", (1,)).tobytes()[0] == 0
