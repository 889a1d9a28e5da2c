"""Tables in large pages of plain values, for formats that are made of columns.

Payloads are left out, so that a page is bounded by its number of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from wsinspect.capture.reader import Capture

_PAGE: Final = 20_000
FRAME_COLUMNS: Final = (
    *("id", "connection_id", "is_s2c", "bits", "time_ns", "span_ns", "sent_after_ns", "header_length"),
    *("wire_length", "message_id", "violation", "fault", "rtt_ns"),
)
_FRAMES: Final = (
    "SELECT id, connection_id, is_s2c, bits, time_ns, span_ns, sent_after_ns, length(header), wire_length, "
    "message_id, violation, "
    "CASE WHEN fault_event_id IS NOT NULL THEN "
    "(SELECT rule FROM fault_event WHERE fault_event.id = frame.fault_event_id) END, "
    "CASE WHEN (bits >> 8) & 15 = 9 THEN (SELECT rtt_ns FROM ping WHERE ping_frame = frame.id) END "
    "FROM frame WHERE id > ? ORDER BY id LIMIT ?"
)


def frame_pages(capture: Capture) -> Iterator[list[tuple[Any, ...]]]:
    """All frames, in order, as `FRAME_COLUMNS`; `fault` is a rule that acted on it, `rtt_ns` that of a PING.

    Raises:
        CaptureError: the capture is damaged.
    """
    after = -1 << 63
    while rows := capture.page(_FRAMES, (after, _PAGE), after):
        after = rows[-1][0]
        yield rows
