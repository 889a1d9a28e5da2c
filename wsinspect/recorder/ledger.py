"""The ledger: what the engine did to traffic on purpose, as rows of `fault_event`.

The engine names a frame by its number in its direction; it tells of a decision right behind the bytes that
completed the frame, so the number is known to the stream's newest batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wsinspect.capture.rows import Rows, to_json
from wsinspect.recorder.connections import ConnectionRows
from wsinspect.recorder.streams import StreamRows
from wsinspect.vocabulary.events import Fault, Held, Sent

_DIRECTIONS = ("c2s", "s2c")
#: Keys of the event that have columns of their own.
_COLUMNS = frozenset(("event", "rule", "kind", "seed", "frame", "detail"))


def stream_side(event: Fault | Held | Sent) -> int | None:
    """The direction that an event speaks of: 0, 1, or None."""
    return _DIRECTIONS.index(event.direction) if event.direction in _DIRECTIONS else None


def add_fault(
    event: Fault,
    found: Mapping[str, Any],
    time_ns: int,
    connection: ConnectionRows | None,
    stream: StreamRows | None,
    fault_id: int,
    rows: Rows,
) -> int | None:
    """Add the row of a decision, and mark its frame.

    Args:
        found: the object that the event was read from, of which what has no column is kept.

    Returns:
        The row id of the frame; None where the fault was not about a frame.
    """
    ordinal = event.frame
    frame_id = None
    if stream is not None and ordinal is not None:
        frame_id = stream.frame_id(ordinal)
        if frame_id is None:
            frame_id = stream.held_id(ordinal)
    more = {key: value for key, value in found.items() if key not in _COLUMNS and value is not None}
    rows.faults.append(
        (
            fault_id,
            time_ns,
            connection.id if connection is not None else None,
            frame_id,
            str(event.rule),
            str(event.kind),
            event.seed,
            to_json({**(event.detail or {}), **more}),
        )
    )
    is_unsent = bool(event.dropped) or _is_cut(event)
    delay = event.delay_ns if event.delay_ns is not None and 0 <= event.delay_ns < 1 << 60 else 0
    if frame_id is not None and not event.injected:
        rows.fault_marks.append((fault_id, delay, frame_id))
        if stream is not None and ordinal is not None:
            stream.note_fault(ordinal, fault_id, is_plan=event.planned_ns is not None)
            if is_unsent:
                stream.forget_held(ordinal)
                rows.unsent.append((frame_id,))
        if stream is not None and (delay or is_unsent):
            stream.delay_ping(frame_id, None if is_unsent else delay)
    if connection is not None and event.ends:
        connection.end_by_fault(event, time_ns)
    return frame_id


def _is_cut(event: Fault) -> bool:
    """Whether a limit ended the connection inside of its frame, or before it: its last byte never left."""
    detail = event.detail or {}
    if detail.get("copy"):
        return False
    if event.kind == "truncate":
        sent, of = detail.get("sent"), detail.get("of")
        return isinstance(sent, int) and isinstance(of, int) and sent < of
    return event.kind == "limit_data" and bool(event.ends)


def add_held(event: Held, stream: StreamRows, rows: Rows) -> None:
    """A frame is kept back: it has no sending time."""
    frame_id = stream.frame_id(event.frame) if event.frame is not None else None
    if frame_id is not None and event.frame is not None:
        stream.hold(event.frame, frame_id)
        rows.unsent.append((frame_id,))


def add_sent(event: Sent, time_ns: int, stream: StreamRows, rows: Rows) -> None:
    """The last byte of a frame that was kept back is written."""
    held = stream.forget_held(event.frame) if event.frame is not None else None
    if held is None:
        return
    rows.sent.append((time_ns, held.frame))
    if held.fault is not None:
        rows.delays.append((time_ns, held.frame, held.fault))
    stream.sent_ping(held.frame, time_ns)
