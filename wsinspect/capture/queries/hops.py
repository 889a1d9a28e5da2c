"""What joining two taps around a hop asks of a capture (`diagnosis.hops`, `diagnosis.live_pairs`).

Times are epoch nanoseconds, directions 0 (client to server) and 1.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

from wsinspect.capture.records import Query

#: What has become of an attempt (`stages`): each may become one of the two that follow `PENDING`, and an open
#: connection be over.
PENDING, OPEN, OVER, REFUSED = range(4)


class AttemptRow(NamedTuple):
    """What attempts are joined by; `request_in` is the request as it arrived."""

    id: int
    tap: str | None
    path: str | None
    attempt_ns: int | None
    closed_ns: int | None
    request_in: Any


#: A frame as it passed a tap: id, time, the first two header bytes, payload bytes on the wire, payload as
#: kept, message. Then of the message that begins with it, where that has a row of its own: content, whether
#: it was compressed, and bytes of the content. A plain tuple, for very many are read.
PassedFrame = tuple[int, int, int, int, bytes | None, int | None, bytes | None, int | None, int | None]


_ATTEMPTS: Final = (
    "SELECT id, tap, path, attempt_ns, closed_ns, request_in FROM connection "
    "LEFT JOIN handshake ON handshake.connection_id = connection.id"
)
_NEW_ATTEMPTS: Final = f"{_ATTEMPTS} WHERE id > ? OR id IN (SELECT value FROM json_each(?)) ORDER BY id"  # noqa: S608
_PASSED: Final = (
    "SELECT frame.id, time_ns, bits, wire_length - length(header), payload, message_id, stored_message.data, "
    "stored_message.compressed, stored_message.length FROM frame "
    "LEFT JOIN stored_message ON stored_message.id = frame.id "
    "WHERE frame.connection_id = ? AND frame.is_s2c = ? AND frame.id > ? ORDER BY frame.id LIMIT ?"
)
_NEWEST_TIMES: Final = (
    "SELECT (SELECT time_ns FROM frame ORDER BY id DESC LIMIT 1) UNION ALL "
    "SELECT (SELECT time_ns FROM event ORDER BY id DESC LIMIT 1) UNION ALL "
    "SELECT max(closed_ns) FROM (SELECT closed_ns FROM connection ORDER BY id DESC LIMIT 100)"
)
_STAGES: Final = (
    "SELECT id, CASE WHEN open_ns IS NULL THEN "  # noqa: S608
    "CASE WHEN closed_ns IS NOT NULL OR state IN ('refused', 'failed', 'lost') "
    f"THEN {REFUSED} ELSE {PENDING} END "
    f"WHEN closed_ns IS NOT NULL OR state IN ('closed', 'lost') THEN {OVER} ELSE {OPEN} END "
    "FROM connection WHERE id IN (SELECT value FROM json_each(?))"
)
_CLOSED: Final = "SELECT id, closed_ns FROM connection WHERE id IN (SELECT value FROM json_each(?))"
_ALIKE: Final = """
SELECT e.id FROM json_each(?) AS pair
JOIN connection AS e ON e.id = json_extract(pair.value, '$[0]')
JOIN connection AS o ON o.id = json_extract(pair.value, '$[1]')
WHERE e.c2s_frames = o.c2s_frames AND e.s2c_frames = o.s2c_frames
AND e.c2s_bytes = o.c2s_bytes AND e.s2c_bytes = o.s2c_bytes
AND e.ended_by IS o.ended_by AND e.how IS o.how
AND e.client_close_code IS o.client_close_code AND e.client_close_reason IS o.client_close_reason
AND e.server_close_code IS o.server_close_code AND e.server_close_reason IS o.server_close_reason
"""
_BRIEFLY: Final = (
    "SELECT is_s2c, id, time_ns, bits >> 8, wire_length > ?1, CASE WHEN wire_length <= ?1 THEN payload END "
    "FROM frame WHERE connection_id = ?2 ORDER BY id LIMIT ?3"
)
_OTHERWISE: Final = """
SELECT DISTINCT went_in.connection_id FROM json_each(?) AS pair
JOIN frame AS went_in ON went_in.id = json_extract(pair.value, '$[0]')
JOIN frame AS came_out ON came_out.id = json_extract(pair.value, '$[1]')
WHERE went_in.payload IS NOT came_out.payload
"""
#: Bytes of a frame whose payload is read with it.
_SHORT: Final = 512


class BriefFrame(NamedTuple):
    """What tells a frame at one tap from the same at another; `payload` is None where it is long, too."""

    is_s2c: int
    id: int
    time_ns: int
    first_byte: int
    is_long: int
    payload: bytes | None


def has_two_taps(query: Query) -> bool:
    """Whether attempts were seen at more than one tap; one without a name counts."""
    return len(query("SELECT DISTINCT tap FROM connection LIMIT 2", ())) > 1


def attempts(query: Query) -> list[AttemptRow]:
    """All attempts, in order."""
    return list(map(AttemptRow._make, query(f"{_ATTEMPTS} ORDER BY id", ())))


def new_attempts(query: Query, after: int, again: Collection[int]) -> list[AttemptRow]:
    """Attempts with larger ids, and again those whose ids are in `again`; ascending."""
    return list(map(AttemptRow._make, query(_NEW_ATTEMPTS, (after, json.dumps(list(again))))))


def request_of(query: Query, connection_id: int) -> bytes | None:
    """The header block of an attempt's request as it arrived; None where it was not recorded."""
    rows = query("SELECT request_in FROM handshake WHERE connection_id = ?", (connection_id,))
    return rows[0][0] if rows and isinstance(rows[0][0], bytes) else None


def passed_frames(query: Query, connection_id: int, side: int, after: int, limit: int) -> list[PassedFrame]:
    """Frames of one direction with larger ids, in order."""
    return query(_PASSED, (connection_id, side, after, limit))


def newest_time(query: Query) -> int | None:
    """The time of the newest frame, event or end, in epoch nanoseconds; None in an empty capture."""
    return max((row[0] for row in query(_NEWEST_TIMES, ()) if row[0] is not None), default=None)


def taps(query: Query, run: int | None) -> list[Any]:
    """What each run, or one of them, noted of its taps: JSON, a list of objects."""
    rows = query("SELECT value FROM meta WHERE key = 'taps' AND run = coalesce(?, run)", (run,))
    return [row[0] for row in rows]


def newest_run(query: Query) -> int:
    """The number of the run that began last; 0 without any."""
    return int(query("SELECT coalesce(max(run), 0) FROM meta", ())[0][0])


def newest_connection(query: Query) -> int:
    """The largest id of a connection; 0 without any."""
    return int(query("SELECT coalesce(max(id), 0) FROM connection", ())[0][0])


def stages(query: Query, numbers: Iterable[int]) -> dict[int, int]:
    """`PENDING`, `REFUSED`, `OPEN` or `OVER` for each of these attempts; deleted ones are missing."""
    return dict(query(_STAGES, (json.dumps(list(numbers)),)))


def closed_times(query: Query, numbers: Iterable[int]) -> dict[int, int | None]:
    """When each of these connections was closed, by id, in epoch nanoseconds; None while it is open."""
    return dict(query(_CLOSED, (json.dumps(list(numbers)),)))


def ended_alike(query: Query, pairs: Collection[tuple[int, int]]) -> set[int]:
    """Of pairs of connections that ended alike, with as many frames and bytes each way: the first ids."""
    return {row[0] for row in query(_ALIKE, (json.dumps(list(pairs)),))}


def brief_frames(query: Query, connection_id: int, limit: int) -> tuple[list[BriefFrame], list[BriefFrame]]:
    """The first frames of a connection: those to the server, and those to the client.

    Args:
        limit: how many frames of both directions are read.
    """
    sides: tuple[list[BriefFrame], list[BriefFrame]] = ([], [])
    for frame in map(BriefFrame._make, query(_BRIEFLY, (_SHORT, connection_id, limit))):
        sides[bool(frame.is_s2c)].append(frame)
    return sides


def passed_otherwise(query: Query, pairs: Collection[tuple[int, int]]) -> set[int]:
    """Connections of which a frame has another payload than the frame it is paired with, by their ids.

    Payloads stay in the database: of long messages there may be more than fits into memory.
    """
    return {row[0] for row in query(_OTHERWISE, (json.dumps(list(pairs)),))}
