"""Questions that the parts above ask of a capture, each one or few short statements.

All SQL on a capture's tables stands in `capture/`: here what is asked by several, in a module each what the
rules, joining taps and live findings ask. What is paged stops at the first row out of order (`Capture.page`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from wsinspect.capture.reader import Capture, json_object
from wsinspect.capture.records import Ping
from wsinspect.vocabulary import EventKind
from wsinspect.wire.opcodes import Direction

_PAGE: Final = 1000
#: Events of an engine that no client used.
_OWN_STORY: Final = (
    EventKind.ENGINE,
    EventKind.ENGINE_STOP,
    EventKind.LISTENING,
    EventKind.WALL_STEP,
    EventKind.RULE,
    EventKind.PHASE,
)
_PING: Final = "SELECT ping_frame, connection_id, leg, pong_frame, rtt_ns FROM ping"
_FAULTS: Final = (
    "SELECT id, time_ns, connection_id, frame_id, rule, kind, seed, detail FROM fault_event "
    "WHERE id > ? ORDER BY id LIMIT ?"
)
_TOTALS: Final = (
    "SELECT state, count(*), sum(c2s_frames), sum(s2c_frames), sum(c2s_bytes), sum(s2c_bytes) "
    "FROM connection GROUP BY state"
)
_STORED: Final = (
    "SELECT id, connection_id, direction, opcode, first_frame, last_frame, compressed, length, NULL, "
    "valid_text, problem FROM stored_message WHERE connection_id = ? AND id > ? ORDER BY id LIMIT ?"
)
_CUT: Final = (
    "SELECT count(*) FROM frame WHERE connection_id = ? AND is_s2c = ? "
    "AND wire_length - length(header) > coalesce(length(payload), 0)"
)


# -- sums


def count_connections(capture: Capture) -> int:
    """How many connections there are."""
    return capture.count("connection")


def count_frames(capture: Capture, connections: Collection[int] | None = None) -> int:
    """How many frames there are, of all connections or of some."""
    if connections is None:
        return capture.count("frame")
    listed = _list(sorted(connections))
    return int(capture.query(f"SELECT count(*) FROM frame WHERE connection_id IN ({listed})")[0][0])  # noqa: S608


def has_content(capture: Capture) -> bool:
    """Whether anything happened in it: a client that came, traffic, a finding; not the engine's own story."""
    sql = (
        "SELECT EXISTS (SELECT 1 FROM connection) OR EXISTS (SELECT 1 FROM finding) OR EXISTS "
        "(SELECT 1 FROM event WHERE kind NOT IN (SELECT value FROM json_each(?)))"
    )
    return bool(capture.query(sql, (json.dumps([*_OWN_STORY]),))[0][0])


def newest_frame(capture: Capture) -> int:
    """The id of the last frame; 0 without frames."""
    return int(capture.query("SELECT coalesce(max(id), 0) FROM frame")[0][0])


def totals_by_state(capture: Capture) -> list[tuple[Any, ...]]:
    """(state, connections, frames c2s, frames s2c, bytes c2s, bytes s2c), a row a state."""
    return capture.query(_TOTALS)


def findings_by_severity(capture: Capture) -> list[tuple[Any, ...]]:
    """(severity, how many findings)."""
    return capture.query("SELECT severity, count(*) FROM finding GROUP BY severity")


def every_meta(capture: Capture) -> list[tuple[Any, ...]]:
    """(run, key, value as JSON): the table `meta`, by run."""
    return capture.query("SELECT run, key, value FROM meta ORDER BY run, key")


def recorder_position(capture: Capture) -> tuple[int, int]:
    """(segment, offset in bytes) of the journal up to which the capture is indexed."""
    segment, offset = capture.query("SELECT segment, offset FROM recorder_position")[0]
    return segment, offset


# -- pages


def faults(capture: Capture, after: int, limit: int) -> list[tuple[Any, ...]]:
    """Rows of `fault_event` with larger ids: (id, time_ns, connection, frame, rule, kind, seed, detail).

    Raises:
        CaptureError: the capture is damaged.
    """
    return capture.page(_FAULTS, (after, limit), after)


def findings(capture: Capture, after: int) -> list[tuple[Any, ...]]:
    """(id, JSON) of findings with larger ids, ascending.

    Raises:
        CaptureError: the capture is damaged.
    """
    return capture.page("SELECT id, detail FROM finding WHERE id > ? ORDER BY id", (after,), after)


def stored_messages(capture: Capture, connection_id: int, after: int, limit: int) -> list[tuple[Any, ...]]:
    """Messages with a row of their own, without their data, as `records.Message` has its fields."""
    return capture.page(_STORED, (connection_id, after, limit), after)


def opaque_pieces(
    capture: Capture, connection_id: int, direction: Direction
) -> Iterator[tuple[int, int, bytes]]:
    """The frame before, the time and the data of bytes that are not frames, one read at a time."""
    sql = (
        "SELECT id, coalesce(after_frame, 0), time_ns, data FROM opaque "
        "WHERE connection_id = ? AND is_s2c = ? AND id > ? ORDER BY id LIMIT 1"
    )
    after = 0
    while rows := capture.page(sql, (connection_id, int(direction), after), after):
        ((after, after_frame, time_ns, data),) = rows
        yield after_frame, time_ns, data or b""


def compressed_messages(capture: Capture, connection_id: int, direction: Direction) -> Iterator[int]:
    """The ids of compressed messages, ascending."""
    sql = (
        "SELECT id FROM stored_message WHERE connection_id = ? AND is_s2c = ? AND compressed AND id > ? "
        "ORDER BY id LIMIT ?"
    )
    after = 0
    while rows := capture.page(sql, (connection_id, int(direction), after, _PAGE), after):
        for (after,) in rows:
            yield after


def answering_pongs(capture: Capture, connection_id: int, leg: str) -> Iterator[int]:
    """The frames that answered a ping of a leg (`client`: pings to the client), ascending."""
    sql = (
        "SELECT pong_frame FROM ping WHERE connection_id = ? AND leg = ? AND pong_frame > ? "
        "ORDER BY pong_frame LIMIT ?"
    )
    after = 0
    while rows := capture.page(sql, (connection_id, leg, after, _PAGE), after):
        for (after,) in rows:
            yield after


# -- of a connection


def has_compressed(capture: Capture, connection_id: int, direction: Direction) -> bool:
    """Whether a direction has compressed messages."""
    sql = "SELECT 1 FROM stored_message WHERE connection_id = ? AND is_s2c = ? AND compressed LIMIT 1"
    return bool(capture.query(sql, (connection_id, int(direction))))


def count_cut_frames(capture: Capture, connection_id: int, direction: Direction) -> int:
    """Frames of a direction whose payload is not whole."""
    return int(capture.query(_CUT, (connection_id, int(direction)))[0][0])


def has_faults(capture: Capture, connection_id: int) -> bool:
    """Whether a fault acted on it."""
    return bool(capture.query("SELECT 1 FROM fault_event WHERE connection_id = ? LIMIT 1", (connection_id,)))


def engine_events(capture: Capture, kinds: Collection[str], limit: int) -> list[tuple[str, dict[str, Any]]]:
    """Kind and detail of the engine's newest events of some kinds, the newest first."""
    sql = (
        "SELECT kind, detail FROM event WHERE connection_id IS NULL "
        "AND kind IN (SELECT value FROM json_each(?)) ORDER BY id DESC LIMIT ?"
    )
    return [
        (kind, json_object(detail) or {})
        for kind, detail in capture.query(sql, (json.dumps([*kinds]), limit))
    ]


def har_entries(capture: Capture, after: int, limit: int) -> list[tuple[Any, ...]]:
    """Id and JSON of entries that an imported HAR had apart from WebSockets, with larger ids."""
    sql = "SELECT id, detail FROM event WHERE id > ? AND kind = ? ORDER BY id LIMIT ?"
    return capture.page(sql, (after, EventKind.HAR_ENTRY.value, limit), after)


def polling_events(capture: Capture, session: str) -> list[tuple[Any, ...]]:
    """Time and detail of `polling` events that name an Engine.IO session."""
    sql = "SELECT time_ns, detail FROM event WHERE kind = 'polling' AND detail LIKE ? ORDER BY id LIMIT 1000"
    return capture.query(sql, (f'%"{session}"%',))


# -- pings


def pings_between(capture: Capture, connection_id: int, first: int, last: int) -> dict[int, Ping]:
    """The pairs with a PING or PONG among some frames of a connection, by the id of either."""
    where = "connection_id = ?1 AND {} BETWEEN ?2 AND ?3"
    return _by_frame(capture, where, (connection_id, first, last))


def pings_of(capture: Capture, frames: Sequence[int]) -> dict[int, Ping]:
    """The pairs of some PING and PONG frames, by the id of either."""
    return _by_frame(capture, f"{{}} IN ({_list(frames)})", ()) if frames else {}


def _by_frame(capture: Capture, where: str, key: tuple[int, ...]) -> dict[int, Ping]:
    # One statement for each column, so that each has an index.
    sql = f"{_PING} WHERE {where.format('ping_frame')} UNION {_PING} WHERE {where.format('pong_frame')}"
    found: dict[int, Ping] = {}
    for row in capture.query(sql, key):
        ping = Ping(*row)
        found[ping.ping_frame] = ping
        if ping.pong_frame is not None:
            found[ping.pong_frame] = ping
    return found


# -- what comes late, for a filter that was applied before


def answered_between(capture: Capture, after: int, upto: int, limit: int) -> set[int]:
    """PINGs whose PONG is among some frames."""
    sql = "SELECT ping_frame FROM ping WHERE pong_frame > ? AND pong_frame <= ? LIMIT ?"
    return {row[0] for row in capture.query(sql, (after, upto, limit))}


def frames_named(capture: Capture, table: str, after: int) -> tuple[int, set[int]]:
    """The newest id of `finding` or `fault_event`, and the frames that rows with larger ids name."""
    sql = f"SELECT id, frame_id FROM {table} WHERE id > ? ORDER BY id"  # noqa: S608
    rows = capture.page(sql, (after,), after)
    return (rows[-1][0] if rows else after), {row[1] for row in rows if row[1] is not None}


def newest_id(capture: Capture, table: str) -> int:
    """The largest id of a table; 0 where it is empty."""
    ((newest,),) = capture.query(f"SELECT max(id) FROM {table}")  # noqa: S608
    return newest or 0


def unsettled_connections(capture: Capture) -> frozenset[int]:
    """The ids of connections whose rows the recorder will still change."""
    rows = capture.query("SELECT id FROM connection WHERE closed_ns IS NULL")
    return frozenset(row[0] for row in rows)


def _list(ids: Sequence[int]) -> str:
    """Our own integers for an IN clause: SQLite's limit on parameters does not matter then."""
    return ",".join(map(str, ids))
