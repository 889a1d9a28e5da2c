"""The questions of `formats.packets` when it writes a capture as packets. Times are epoch nanoseconds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from wsinspect.capture.pages import WholeTable, rows, spans
from wsinspect.capture.reader import Capture, json_object

_MOST_INFLATED: Final = 1032
_PAGE: Final = 10_000
_FRAMES: Final = WholeTable("frame", blob="payload")
_COLUMNS: Final = (
    "id",
    "connection_id",
    "is_s2c",
    "time_ns",
    "header",
    "payload",
    "message_id",
    "wire_length",
)


class Ended(NamedTuple):
    """An event: a side (`client`, `server`, `proxy`) ended its transport (`fin`, `rst`, ...)."""

    time_ns: int
    side: str
    how: str


def all_frames(capture: Capture) -> Iterator[list[tuple[Any, ...]]]:
    """Frames of all connections in order, some at a time: id, connection, is_s2c, time, header, payload,
    message, wire length.
    """
    for span in spans(capture, _FRAMES):
        yield rows(capture, _FRAMES, _COLUMNS, span)


def not_to_inflate(capture: Capture, limit: int) -> Iterator[int]:
    """Compressed messages that inflate to more than so many bytes, or may, where nobody knows to how many.

    Deflate makes at most 1032 bytes of one (zlib.net/zlib_tech.html).
    """
    sql = (
        "SELECT id FROM stored_message WHERE id > ? AND compressed AND CASE "
        "WHEN length IS NOT NULL AND problem IS NULL THEN length > ? "
        "WHEN last_frame IS first_frame THEN "
        "(SELECT wire_length > ? FROM frame WHERE frame.id = first_frame) ELSE 1 END ORDER BY id LIMIT ?"
    )
    after = 0
    while found := capture.page(sql, (after, limit, limit // _MOST_INFLATED, _PAGE), after):
        yield from (row[0] for row in found)
        after = found[-1][0]


def transport_ends(capture: Capture, first: int, last: int, most: int) -> dict[int, list[Ended]]:
    """How transports of some connections ended, by connection; at most so many for each."""
    sql = (
        "SELECT connection_id, time_ns, detail FROM event WHERE connection_id BETWEEN ? AND ? "
        "AND kind = 'end' ORDER BY id LIMIT 100000"
    )
    found: dict[int, list[Ended]] = {}
    for connection, time_ns, detail in capture.query(sql, (first, last)):
        facts = json_object(detail) or {}
        known = found.setdefault(connection, [])
        if len(known) < most and isinstance(time_ns, int):
            known.append(Ended(time_ns, str(facts.get("side")), str(facts.get("how"))))
    return found
