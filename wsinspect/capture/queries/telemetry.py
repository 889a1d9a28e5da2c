"""What is new in a capture that grows, as telemetry asks for it: numbers and no payloads.

All of it is narrowed to the newest run, so that `--append` does not send twice.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, Final, NamedTuple

from wsinspect.capture.records import Queried

_FINAL: Final = ("closed", "refused", "failed", "lost")
_TRAFFIC: Final = (
    "SELECT tap, is_s2c, (bits >> 8) & 15, count(*), sum(wire_length) FROM frame "
    "JOIN connection ON connection.id = frame.connection_id "
    "WHERE frame.id > ? AND frame.id <= ? AND frame.connection_id > ? GROUP BY 1, 2, 3"
)
_ROUND_TRIPS: Final = (
    "SELECT tap, leg, rtt_ns FROM ping JOIN connection ON connection.id = ping.connection_id "
    "WHERE pong_frame > ? AND pong_frame <= ? AND ping.connection_id > ? AND rtt_ns IS NOT NULL"
)
_RTT_OF: Final = (
    "SELECT leg, count(*), count(pong_frame), min(rtt_ns), avg(rtt_ns), max(rtt_ns) FROM ping "
    "WHERE connection_id = ? GROUP BY leg"
)
_FINDINGS_OF: Final = (
    "SELECT finding.id, finding.connection_id, rule, severity, time_ns FROM finding "
    "LEFT JOIN frame ON frame.id = finding.frame_id "
)


class Marks(NamedTuple):
    """How far a capture is known: the last ids of the run before."""

    connection: int
    frame: int
    finding: int
    fault: int


class Found(NamedTuple):
    """A finding; `time_ns` is that of its frame, where it has one."""

    id: int
    connection_id: int | None
    rule: str
    severity: str
    time_ns: int | None


class RoundTrips(NamedTuple):
    """Pings on one leg of a connection, times in nanoseconds."""

    leg: str
    pings: int
    answered: int
    least: int | None
    mean: float | None
    most: int | None


def marks_before_run(capture: Queried) -> Marks:
    """What there was before the newest run began."""
    started = capture.query(
        "SELECT value FROM meta WHERE key = 'started_ns' AND run = (SELECT max(run) FROM meta) AND run > 1"
    )
    if not started:
        return Marks(0, 0, 0, 0)
    since = int(started[0][0])
    sql = "SELECT coalesce(max(id), 0) FROM connection WHERE attempt_ns < ?"
    ((connection,),) = capture.query(sql, (since,))
    ((frame,),) = capture.query("SELECT coalesce(max(id), 0) FROM frame WHERE time_ns < ?", (since,))
    ((fault,),) = capture.query("SELECT coalesce(max(id), 0) FROM fault_event WHERE time_ns < ?", (since,))
    ((finding,),) = capture.query(
        "SELECT coalesce(max(id), 0) FROM finding WHERE connection_id <= ?", (connection,)
    )
    return Marks(connection, frame, finding, fault)


def newest(capture: Queried) -> Marks:
    """The last ids there are."""
    rows = [
        capture.query(f"SELECT coalesce(max(id), 0) FROM {table}")[0][0]  # noqa: S608
        for table in ("connection", "frame", "finding", "fault_event")
    ]
    return Marks(*rows)


def states(capture: Queried, numbers: Collection[int]) -> dict[int, bool]:
    """Whether each of these connections has ended, by id; deleted ones are missing."""
    sql = "SELECT id, state FROM connection WHERE id IN (SELECT value FROM json_each(?))"
    return {number: state in _FINAL for number, state in capture.query(sql, (json.dumps([*numbers]),))}


def began(capture: Queried, after: int, limit: int) -> list[tuple[int, str | None]]:
    """Id and tap of connections with larger ids."""
    sql = "SELECT id, tap FROM connection WHERE id > ? ORDER BY id LIMIT ?"
    return [(number, tap) for number, tap in capture.query(sql, (after, limit))]


def traffic(capture: Queried, after: int, last: int, connection: int) -> list[tuple[Any, ...]]:
    """(tap, is_s2c, opcode, frames, bytes on the wire) of frames with `after` < id <= `last`.

    Args:
        connection: only connections with larger ids.
    """
    return capture.query(_TRAFFIC, (after, last, connection))


def round_trips(capture: Queried, after: int, last: int, connection: int) -> list[tuple[Any, ...]]:
    """(tap, leg, round trip in ns) of pings whose PONG has an id above `after`, up to `last`.

    Args:
        connection: only connections with larger ids.
    """
    return capture.query(_ROUND_TRIPS, (after, last, connection))


def round_trips_of(capture: Queried, connection: int) -> list[RoundTrips]:
    """The pings of a connection by leg."""
    return [RoundTrips(*row) for row in capture.query(_RTT_OF, (connection,))]


def found_between(capture: Queried, after: int, last: int) -> list[Found]:
    """Findings in a range of ids."""
    sql = f"{_FINDINGS_OF} WHERE finding.id > ? AND finding.id <= ? ORDER BY finding.id LIMIT 1000"
    return [Found(*row) for row in capture.query(sql, (after, last))]


def found_of(capture: Queried, connection: int, last: int) -> list[Found]:
    """Findings about a connection, up to an id."""
    sql = f"{_FINDINGS_OF} WHERE finding.connection_id = ? AND finding.id <= ? ORDER BY finding.id LIMIT 50"
    return [Found(*row) for row in capture.query(sql, (connection, last))]


def faults_between(capture: Queried, after: int, last: int) -> list[tuple[Any, ...]]:
    """(rule, kind, how many) of fault events with `after` < id <= `last`."""
    sql = "SELECT rule, kind, count(*) FROM fault_event WHERE id > ? AND id <= ? GROUP BY 1, 2"
    return capture.query(sql, (after, last))


def faults_of(capture: Queried, connection: int) -> list[tuple[Any, ...]]:
    """(time_ns of the first, rule, kind, how many) of the fault events of a connection."""
    sql = (
        "SELECT min(time_ns), rule, kind, count(*) FROM fault_event WHERE connection_id = ? "
        "GROUP BY rule, kind ORDER BY 1 LIMIT 50"
    )
    return capture.query(sql, (connection,))
