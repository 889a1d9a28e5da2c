"""What the timeline, and `show`, ask of a capture for the rows on a screen: few statements for many rows.

A payload is never read whole for a row: large ones are read by pieces, so that 100 MB cost as much as 100
bytes. Times are epoch nanoseconds.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from wsinspect.capture.reader import Capture, frame_row, json_object
from wsinspect.capture.records import Event, FaultRow, FindingRow, FrameRow, Message
from wsinspect.wire.opcodes import Direction

#: Larger blobs are read in pieces; smaller ones are as fast to read whole.
_PIECEWISE_BYTES: Final = 32 * 1024
_FRAMES: Final = (
    "SELECT id, connection_id, is_s2c, first_ns, time_ns, sent_ns, header, wire_length, "  # noqa: S608
    f"CASE WHEN length(payload) <= {_PIECEWISE_BYTES} THEN substr(payload, 1, ?) END, "
    "message_id, violation, fault_event_id, payload IS NULL FROM frame WHERE id IN "
)
_MESSAGES: Final = (
    "SELECT id, connection_id, is_s2c, opcode, first_frame, last_frame, compressed, length, "  # noqa: S608
    f"CASE WHEN length(data) <= {_PIECEWISE_BYTES} THEN substr(data, 1, ?) END, "
    "valid_text, problem, length(data) FROM stored_message WHERE id IN "
)
_FAULT: Final = "SELECT id, time_ns, connection_id, frame_id, rule, kind, detail FROM fault_event"
_FINDING: Final = "SELECT id, rule, severity, connection_id, frame_id, detail FROM finding"
_FRAGMENTS: Final = (
    "SELECT id, wire_length - length(header) FROM frame WHERE id BETWEEN ? AND ? AND connection_id = ? "
    "AND message_id = ? ORDER BY id LIMIT ?"
)
#: In a message with more fragments than this, the later ones are not numbered.
_MOST_FRAGMENTS: Final = 10_000
_ROUND_TRIPS: Final = (
    "SELECT rtt_ns FROM ping WHERE connection_id = ? AND typeof(rtt_ns) = 'integer' "
    "ORDER BY ping_frame DESC LIMIT ?"
)
_ROUND_TRIPS_BETWEEN: Final = (
    "SELECT frame.time_ns, ping.rtt_ns FROM ping JOIN frame ON frame.id = ping.ping_frame "
    "WHERE typeof(ping.rtt_ns) = 'integer' AND frame.time_ns BETWEEN ? AND ? "
    "AND (? IS NULL OR ping.connection_id = ?) ORDER BY ping.ping_frame DESC LIMIT ?"
)
_ENGINE_EVENTS: Final = (
    "SELECT id, time_ns, connection_id, kind, detail FROM event "
    "WHERE connection_id IS NULL AND id > ? ORDER BY id LIMIT ?"
)
_ASKED: Final = (
    "SELECT id, time_ns, connection_id, kind, detail FROM event "
    "WHERE id > ? AND id <= ? AND kind = 'http' AND connection_id IS NOT NULL ORDER BY id"
)
_MARK: Final = "SELECT count(*), coalesce(sum(id * length(detail)), 0) FROM finding WHERE id <= ?"


def frame_previews(capture: Capture, ids: Collection[int], cut: int) -> list[FrameRow]:
    """Some frames, with this many bytes of each payload."""
    return [_frame(capture, row, cut) for row in capture.query(_FRAMES + _list(ids), (cut,))]


def message_previews(capture: Capture, ids: Collection[int], cut: int) -> dict[int, Message]:
    """The messages with these ids that have a row of their own, with this many bytes of each one's data."""
    found = {}
    for *row, stored in capture.query(_MESSAGES + _list(ids), (cut,)) if ids else ():
        message = Message(*row)
        data = message.data
        if data is None and stored is not None:
            data = capture.piece("stored_message", message.id, 0, cut)
        found[message.id] = message._replace(
            direction=Direction(1 if message.direction else 0),
            compressed=bool(message.compressed),
            data=data if isinstance(data, bytes) else None,
            valid_text=None if message.valid_text is None else bool(message.valid_text),
        )
    return found


def faults_of(capture: Capture, frames: Sequence[int]) -> dict[int, list[FaultRow]]:
    """The last fault that acted on each of some frames, by the frame that it names."""
    found: dict[int, list[FaultRow]] = {}
    if frames:
        chosen = f"SELECT fault_event_id FROM frame WHERE id IN {_list(frames)}"  # noqa: S608
        for row in capture.query(f"{_FAULT} WHERE id IN ({chosen})"):
            fault = FaultRow(*row)
            if fault.frame_id is not None:
                found.setdefault(fault.frame_id, []).append(fault)
    return found


def findings_of(capture: Capture, frames: Sequence[int]) -> dict[int, list[FindingRow]]:
    """The findings that name some frames, by frame."""
    found: dict[int, list[FindingRow]] = {}
    if frames:
        for row in capture.query(f"{_FINDING} WHERE frame_id IN {_list(frames)} ORDER BY id"):
            finding = FindingRow(*row)
            found.setdefault(row[4], []).append(finding)
    return found


def fragments_of(capture: Capture, message: Message) -> list[tuple[int, int]]:
    """Id and payload bytes of the frames of a message, in order; of very many only the first ones."""
    last = message.last_frame if message.last_frame is not None else 1 << 62
    key = (message.first_frame, last, message.connection_id, message.id, _MOST_FRAGMENTS)
    return [(number, length) for number, length in capture.query(_FRAGMENTS, key)]


def fault_rows(capture: Capture, after: int, limit: int) -> list[FaultRow]:
    """Fault events with larger ids, ascending."""
    rows = capture.page(f"{_FAULT} WHERE id > ? ORDER BY id LIMIT ?", (after, limit), after)
    return [FaultRow(*row) for row in rows]


def finding_rows(capture: Capture, after: int, limit: int) -> list[FindingRow]:
    """Findings with larger ids, ascending."""
    rows = capture.page(f"{_FINDING} WHERE id > ? ORDER BY id LIMIT ?", (after, limit), after)
    return [FindingRow(*row) for row in rows]


def findings_about(capture: Capture, connection: int, most: int) -> list[FindingRow]:
    """The first findings about a connection and its frames."""
    rows = capture.query(f"{_FINDING} WHERE connection_id = ? ORDER BY id LIMIT ?", (connection, most))
    return [FindingRow(*row) for row in rows]


def findings_mark(capture: Capture, upto: int) -> tuple[int, int]:
    """Two numbers that change when one of the findings up to an id was replaced or withdrawn."""
    ((count, weight),) = capture.query(_MARK, (upto,))
    return count, weight


def engine_events(capture: Capture, after: int, limit: int) -> list[Event]:
    """What the engine noted of itself, not of a connection, with larger ids."""
    return [
        Event(number, time_ns, of, kind, json_object(detail) or {})
        for number, time_ns, of, kind, detail in capture.page(_ENGINE_EVENTS, (after, limit), after)
    ]


def asked_near(capture: Capture, after: int, most: int) -> tuple[int, list[Event]]:
    """Plain requests near attempts, among the next `most` events; and the id of the last event looked at."""
    ((newest,),) = capture.query("SELECT coalesce(max(id), 0) FROM event")
    upto = min(newest, after + most)
    return max(upto, after), [
        Event(number, time_ns, of, kind, json_object(detail) or {})
        for number, time_ns, of, kind, detail in capture.page(_ASKED, (after, upto), after)
    ]


def round_trips(capture: Capture, connection_id: int, limit: int) -> list[int]:
    """The newest round trips of a connection's pings, in nanoseconds, the last one first."""
    return [row[0] for row in capture.query(_ROUND_TRIPS, (connection_id, limit))]


def round_trips_between(
    capture: Capture, connection_id: int | None, from_ns: int, to_ns: int, limit: int
) -> list[tuple[int, int]]:
    """When each PING in a span was sent, and its round trip, both in nanoseconds; the newest of many."""
    rows = capture.query(_ROUND_TRIPS_BETWEEN, (from_ns, to_ns, connection_id, connection_id, limit))
    return [(time_ns, rtt_ns) for time_ns, rtt_ns in rows]


def _frame(capture: Capture, row: tuple[Any, ...], cut: int) -> FrameRow:
    frame = frame_row(row)
    if row[8] is None and not frame.is_evicted:
        return frame._replace(payload=capture.piece("frame", frame.id, 0, cut))
    return frame


def _list(ids: Collection[int]) -> str:
    """Our own integers for an IN clause: SQLite's limit on parameters does not matter then."""
    return f"({','.join(map(str, ids))})"
