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

_DIRECTIONS = ("c2s", "s2c")
#: Keys of the event that have columns of their own.
_COLUMNS = frozenset(("event", "rule", "kind", "seed", "frame", "detail"))


def stream_side(event: Mapping[str, Any]) -> int | None:
    """The direction a `fault` event speaks of: 0, 1, or None."""
    direction = event.get("direction")
    return _DIRECTIONS.index(direction) if direction in _DIRECTIONS else None


def add_fault(
    event: Mapping[str, Any],
    time_ns: int,
    connection: ConnectionRows | None,
    stream: StreamRows | None,
    fault_id: int,
    rows: Rows,
) -> int | None:
    """Add the row of a decision, and mark its frame.

    Returns:
        The row id of the frame; None where there is none.
    """
    ordinal = event.get("frame")
    frame_id = stream.frame_id(ordinal) if stream is not None and isinstance(ordinal, int) else None
    if frame_id is None and stream is not None and isinstance(ordinal, int):
        frame_id = stream.held_id(ordinal)
    detail = event.get("detail")
    more = {key: value for key, value in event.items() if key not in _COLUMNS and value is not None}
    seed = event.get("seed")
    rows.faults.append(
        (
            fault_id,
            time_ns,
            connection.id if connection is not None else None,
            frame_id,
            str(event.get("rule")),
            str(event.get("kind")),
            seed if isinstance(seed, int) and abs(seed) < 1 << 63 else None,
            to_json({**(detail if isinstance(detail, dict) else {}), **more}),
        )
    )
    delay_ns = event.get("delay_ns")
    delay = delay_ns if isinstance(delay_ns, int) and 0 <= delay_ns < 1 << 60 else 0
    if frame_id is not None and not event.get("injected"):
        rows.fault_marks.append((fault_id, delay, frame_id))
        if stream is not None and isinstance(ordinal, int):
            stream.note_fault(ordinal, fault_id, is_plan="planned_ns" in event)
            if event.get("dropped"):
                stream.forget_held(ordinal)
                rows.unsent.append((frame_id,))
        if stream is not None and (delay or event.get("dropped")):
            stream.delay_ping(frame_id, None if event.get("dropped") else delay)
    if connection is not None and event.get("ends"):
        connection.end_by_fault(event, time_ns)
    return frame_id


def add_held(event: Mapping[str, Any], stream: StreamRows, rows: Rows) -> None:
    """A frame is kept back: it has no sending time."""
    ordinal = event.get("frame")
    frame_id = stream.frame_id(ordinal) if isinstance(ordinal, int) else None
    if frame_id is not None and isinstance(ordinal, int):
        stream.hold(ordinal, frame_id)
        rows.unsent.append((frame_id,))


def add_sent(event: Mapping[str, Any], time_ns: int, stream: StreamRows, rows: Rows) -> None:
    """The last byte of a frame that was kept back is written."""
    ordinal = event.get("frame")
    held = stream.forget_held(ordinal) if isinstance(ordinal, int) else None
    if held is None:
        return
    rows.sent.append((time_ns, held.frame))
    if held.fault is not None:
        rows.delays.append((time_ns, held.frame, held.fault))
    stream.sent_ping(held.frame, time_ns)
