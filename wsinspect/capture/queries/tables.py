"""Tables in large pages of plain values, for formats that are made of columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from wsinspect.capture.reader import Capture

_PAGE: Final = 20_000
#: Bytes of payload in a page, unless its only row has more.
PAGE_BYTES: Final = 8 * 1024 * 1024
FRAME_COLUMNS: Final = (
    *("id", "connection_id", "is_s2c", "bits", "time_ns", "span_ns", "sent_after_ns", "header_length"),
    *("wire_length", "message_id", "violation", "fault", "rtt_ns", "data_length", "data"),
)
_FRAMES: Final = (
    "SELECT id, connection_id, is_s2c, bits, time_ns, span_ns, sent_after_ns, length(header), wire_length, "
    "message_id, violation, "
    "CASE WHEN fault_event_id IS NOT NULL THEN "
    "(SELECT rule FROM fault_event WHERE fault_event.id = frame.fault_event_id) END, "
    "CASE WHEN (bits >> 8) & 15 = 9 THEN (SELECT rtt_ns FROM ping WHERE ping_frame = frame.id) END, "
    "length(payload), CASE WHEN (bits >> 8) IN (129, 130) AND message_id = id THEN substr(payload, 1, ?) END "
    "FROM frame WHERE id > ? ORDER BY id LIMIT ?"
)
#: SQLite has the length of a payload without reading it.
_SIZE: Final = (
    "SELECT sum(min(length(payload), ?)) FROM "
    "(SELECT payload FROM frame WHERE id > ? ORDER BY id LIMIT ?) WHERE payload IS NOT NULL"
)
_STORED: Final = (
    "SELECT id, connection_id, is_s2c, opcode, first_frame, last_frame, compressed, length, problem, "
    "length(data) FROM stored_message WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"
)


class StoredMessage(NamedTuple):
    """A message with a row of its own; `data_length` is None where nothing of its data was stored."""

    id: int
    connection_id: int
    is_s2c: int
    opcode: int
    first_frame: int
    last_frame: int | None
    compressed: int
    length: int | None
    problem: str | None
    data_length: int | None


def frame_pages(capture: Capture, most_data: int) -> Iterator[list[tuple[Any, ...]]]:
    """All frames, in order, as `FRAME_COLUMNS`; a page is bounded in rows and bytes.

    `fault` is a rule that acted on it, `rtt_ns` that of a PING, and `data` the payload of one that is a whole
    uncompressed message.

    Args:
        most_data: bytes of a payload that are read; `data_length` is how many there are.

    Raises:
        CaptureError: the capture is damaged.
    """
    after, limit = -1 << 63, _PAGE
    while True:
        while limit > 1 and _size(capture, most_data, after, limit) > PAGE_BYTES:
            limit //= 2
        rows = capture.page(_FRAMES, (most_data, after, limit), after)
        if not rows:
            return
        after = rows[-1][0]
        yield rows
        limit = min(limit * 2, _PAGE)


def _size(capture: Capture, most_data: int, after: int, limit: int) -> int:
    ((size,),) = capture.query(_SIZE, (most_data, after, limit))
    return size if isinstance(size, int) else 0


def stored_messages_between(capture: Capture, after: int, last: int) -> Iterator[StoredMessage]:
    """Those of all connections with ids above `after` up to `last`, in order, without their data.

    Raises:
        CaptureError: the capture is damaged.
    """
    while rows := capture.page(_STORED, (after, last, _PAGE), after):
        yield from map(StoredMessage._make, rows)
        after = rows[-1][0]


def stored_data(capture: Capture, ids: Sequence[int], most_data: int) -> dict[int, bytes | None]:
    """The inflated data of stored messages by their ids, no more bytes of each than asked for."""
    listed = ",".join(str(int(one)) for one in ids)
    rows = capture.query(
        f"SELECT id, CASE length(data) WHEN 0 THEN data ELSE substr(data, 1, ?) END "  # noqa: S608
        f"FROM stored_message WHERE id IN ({listed})",
        (most_data,),
    )
    return dict(rows)
