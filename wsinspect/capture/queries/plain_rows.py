"""Columns of `frame` for those who write hundreds of thousands of ordinary frames as text.

Whether a frame is ordinary, so that its text can be made of these columns alone, SQLite decides: that costs a
tenth of what an object for each frame does.
"""

from __future__ import annotations

from typing import Final

#: Behind the id: those of an object in JSON. The fifth says whether the frame is ordinary for it.
OBJECT_COLUMNS: Final = (
    "connection_id",
    "is_s2c",
    "bits",
    "time_ns",
    "bits & 2048 = 0 AND payload IS NOT NULL",
    "span_ns",
    "sent_after_ns",
    "header",
    "wire_length",
    "message_id",
    "violation",
    "fault_event_id",
)


def line_columns(notable_ns: int, preview_bytes: int) -> tuple[str, ...]:
    """Behind the id: those of a line of text. The fifth says whether the frame is ordinary for it.

    Args:
        notable_ns: a frame that took this long to come, or to be sent on, has a note and is not ordinary.
        preview_bytes: how much of the payload is read.
    """
    is_ordinary = (
        "bits >> 8 IN (129, 130) AND violation IS NULL AND fault_event_id IS NULL AND payload IS NOT NULL "  # noqa: S608
        f"AND span_ns < {notable_ns:d} AND sent_after_ns BETWEEN 0 AND {notable_ns - 1:d} "
        "AND coalesce(message_id, id) = id "
        "AND id NOT IN (SELECT frame_id FROM finding WHERE frame_id IS NOT NULL)"
    )
    length, payload = "wire_length - length(header)", f"substr(payload, 1, {preview_bytes:d})"
    return ("connection_id", "is_s2c", "bits", "time_ns", is_ordinary, length, payload)
