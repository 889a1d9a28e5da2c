"""What the rules ask of a capture (`diagnosis.facts`), bounded whatever a connection carried.

The recorder asks its own open database while it writes, a reader a file: both through a `Query`. Times are
epoch nanoseconds, directions 0 (client to server) and 1; values are as stored, so in a stranger's file of any
type.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, Final, NamedTuple

from wsinspect.capture.reader import RULE, json_object
from wsinspect.capture.records import Query

#: Columns of `handshake` with the times of its steps, as `RuleConnection` ends with them.
STEPS: Final = (
    *("tcp_ns", "tls_ns", "server_tcp_start_ns", "server_tcp_done_ns", "server_tls_done_ns", "request_in_ns"),
    *("request_out_ns", "response_in_ns", "response_out_ns"),
)


class RuleConnection(NamedTuple):
    """A row of `connection` with that of `handshake`, which may be missing; blobs are cut to what rules read.

    Attributes:
        rule: the fault that ended it, or acted on a handshake that failed.
        steps: times by the names of `STEPS`.
    """

    id: int
    tap: str | None
    client: str | None
    listener: str | None
    scheme: str | None
    host: str | None
    port: int | None
    path: str | None
    http_version: str | None
    server: str | None
    server_http_version: str | None
    client_alpn: str | None
    server_alpn: str | None
    status: int | None
    state: str
    error: str | None
    attempt_ns: int | None
    open_ns: int | None
    closed_ns: int | None
    ended_by: str | None
    how: str | None
    js_code: int | None
    js_was_clean: int | None
    client_close_code: int | None
    client_close_reason: str | None
    server_close_code: int | None
    server_close_reason: str | None
    c2s_frames: int
    s2c_frames: int
    c2s_bytes: int
    s2c_bytes: int
    request_in: Any
    request_out: Any
    response_in: Any
    response_out: Any
    informational: Any
    body: Any
    rule: Any
    server_address: str | None
    client_tls: str | None
    server_tls: str | None
    steps: tuple[int | None, ...]


class RuleFrame(NamedTuple):
    """A frame whose payload is cut, and the message that begins with it where that has a row of its own.

    Attributes:
        opcode, length, data, compressed, problem: of the message; data are cut like the payload.
    """

    id: int
    side: int
    time_ns: int
    bits: int
    wire_length: int
    header: Any
    payload: Any
    violation: str | None
    message_id: int | None
    span_ns: int
    opcode: int | None
    length: int | None
    data: Any
    compressed: int | None
    problem: str | None


class RuleEvent(NamedTuple):
    """An event; `detail` is JSON."""

    kind: str
    detail: Any
    time_ns: int


class Broken(NamedTuple):
    """What is wrong with frames or messages of a direction, how many have it, and the first of them."""

    side: int
    what: str
    first: int
    times: int


class RuleOpaque(NamedTuple):
    """Bytes of which no frames could be made; data are cut, `length` is of all."""

    side: int
    time_ns: int
    length: int
    data: Any
    reason: str | None
    after_frame: int | None


class RulePing(NamedTuple):
    """A PING frame and what answered it; `leg` is the side that it went to."""

    frame: int
    leg: str
    time_ns: int
    pong: int | None
    rtt_ns: int | None


class Acted(NamedTuple):
    """A fault that acted on a connection in a direction, and the longest that it held something."""

    rule: str
    kind: str
    direction: str | None
    delay_ns: Any


class Neighbour(NamedTuple):
    """A connection that was answered with 101 at the same place.

    Attributes:
        end_ns, close_ns: when the first side ended its transport, and when the first CLOSE frame came.
        server_close_code: the server's, or the page's where the file does not say who closed.
        server_frames: how many came from the server, its CLOSE frame aside.
    """

    id: int
    path: str | None
    attempt_ns: int | None
    open_ns: int
    closed_ns: int | None
    end_ns: int | None
    close_ns: int | None
    ended_by: str | None
    how: str | None
    has_close: int
    server_close_code: int | None
    server_frames: int
    request: Any
    response: Any


_CONNECTION: Final = (
    f"SELECT {', '.join(RuleConnection._fields[: RuleConnection._fields.index('informational')])}, "  # noqa: S608
    f"informational, substr(body, 1, 16384), {RULE}, server_address, client_tls, server_tls, "
    f"{', '.join(STEPS)} "
    "FROM connection LEFT JOIN handshake ON handshake.connection_id = connection.id WHERE connection.id = ?"
)
#: Bytes of a frame or message that rules read: up to the first size it is read whole, since JSON that is cut
#: says nothing, and of a larger one the beginning.
WHOLE_BYTES: Final = 16 * 1024
PAYLOAD_BYTES: Final = 1024


def _read(column: str) -> str:
    return f"CASE WHEN length({column}) <= {WHOLE_BYTES} THEN {column} ELSE substr({column}, 1, ?) END"


_FRAME: Final = (
    f"SELECT frame.id, frame.is_s2c, time_ns, bits, wire_length, header, {_read('payload')}, violation, "  # noqa: S608
    f"message_id, span_ns, stored_message.opcode, stored_message.length, {_read('stored_message.data')}, "
    "stored_message.compressed, stored_message.problem "
    "FROM frame LEFT JOIN stored_message ON stored_message.id = frame.id"
)
_FIRST_FRAMES: Final = f"{_FRAME} WHERE frame.connection_id = ? ORDER BY frame.id LIMIT ?"
_LAST_FRAMES: Final = f"{_FRAME} WHERE frame.connection_id = ? ORDER BY frame.id DESC LIMIT ?"
_ONE_FRAME: Final = f"{_FRAME} WHERE frame.id = ?"
_LAST: Final = "SELECT time_ns FROM frame WHERE connection_id = ? AND is_s2c = ? ORDER BY id DESC LIMIT 1"
_LAST_BUT_CLOSE: Final = (
    "SELECT time_ns FROM frame WHERE connection_id = ? AND is_s2c = ? AND bits >> 8 & 15 != 8 "
    "ORDER BY id DESC LIMIT 1"
)
_VIOLATIONS: Final = (
    "SELECT is_s2c, violation, min(id), count(*) FROM frame "
    "WHERE connection_id = ? AND violation IS NOT NULL GROUP BY is_s2c, violation"
)
_PROBLEMS: Final = (
    "SELECT is_s2c, problem, min(id), count(*) FROM stored_message "
    "WHERE connection_id = ? AND problem IS NOT NULL GROUP BY is_s2c, problem"
)
_OPAQUE: Final = (
    "SELECT is_s2c, time_ns, length, substr(data, 1, ?), reason, after_frame FROM opaque "
    "WHERE connection_id = ? ORDER BY id LIMIT ?"
)
_PINGS: Final = (
    "SELECT ping_frame, leg, time_ns, pong_frame, rtt_ns FROM ping JOIN frame ON frame.id = ping_frame "
    "WHERE ping.connection_id = ? ORDER BY ping_frame DESC LIMIT ?"
)
_EVENTS: Final = (
    "SELECT kind, detail, time_ns FROM event WHERE connection_id = ? AND kind != 'http' ORDER BY id LIMIT ?"
)
_ENGINE_EVENTS: Final = (
    "SELECT kind, detail, time_ns FROM event WHERE connection_id IS NULL AND kind != 'lag' "
    "ORDER BY id DESC LIMIT ?"
)
_LAGS: Final = (
    "SELECT id, time_ns, detail FROM event WHERE connection_id IS NULL AND kind = 'lag' AND id > ? "
    "ORDER BY id"
)
_ACTED: Final = """
SELECT rule, kind,
    CASE json_extract(detail, '$.direction') WHEN 'c2s' THEN 'c2s' WHEN 's2c' THEN 's2c' END AS side,
    max(json_extract(detail, '$.delay_ns'))
FROM (
    SELECT * FROM (SELECT * FROM fault_event WHERE connection_id = ?1 ORDER BY id LIMIT 1000)
    UNION
    SELECT * FROM (SELECT * FROM fault_event WHERE connection_id = ?1 ORDER BY id DESC LIMIT 1000)
)
WHERE json_valid(detail) GROUP BY rule, kind, side LIMIT 64
"""
#: Directions in which frames never left, and no row of `fault_event` says why: a breakpoint holds a message,
#: and all behind it, until somebody decides. The recorder knows them; of a connection that is over, the last
#: frames do.
_HELD: Final = """
SELECT is_s2c FROM recorder_stream
WHERE connection_id = ?1 AND json_valid(state) AND json_array_length(state, '$.held') > 0
UNION
SELECT is_s2c FROM (
    SELECT is_s2c, sent_after_ns < 0 AND fault_event_id IS NULL AS is_held
    FROM frame WHERE connection_id = ?1 ORDER BY id DESC LIMIT 64
) WHERE is_held
"""
_BREAKPOINTS: Final = """
SELECT DISTINCT json_extract(detail, '$.rule') FROM event
WHERE connection_id IS NULL AND kind = 'rule' AND json_valid(detail)
    AND json_extract(detail, '$.kind') = 'break' AND json_type(detail, '$.rule') = 'text' LIMIT 8
"""
#: The CLOSE frame of whoever began to close is among the last frames.
_NEIGHBOUR: Final = """
SELECT id, path, attempt_ns, open_ns, closed_ns,
    (SELECT min(time_ns) FROM event WHERE connection_id = connection.id AND kind = 'end'),
    CASE WHEN how = 'close-frame' THEN (SELECT min(time_ns) FROM (
        SELECT time_ns, bits FROM frame WHERE connection_id = connection.id ORDER BY frame.id DESC LIMIT 16)
        WHERE bits >> 8 & 15 = 8) END,
    ended_by, how, client_close_reason IS NOT NULL OR server_close_reason IS NOT NULL,
    CASE ended_by WHEN 'unknown' THEN js_code ELSE server_close_code END,
    s2c_frames - (server_close_reason IS NOT NULL), request_in, response_in
FROM connection LEFT JOIN handshake ON handshake.connection_id = connection.id
"""
_NEIGHBOURS: Final = (
    f"SELECT * FROM ({_NEIGHBOUR} WHERE id >= ?1 - ?2 AND id < ?1 AND tap IS ?3 AND host IS ?4 "  # noqa: S608
    "AND port IS ?5 AND open_ns IS NOT NULL ORDER BY id DESC LIMIT ?6) "
    f"UNION ALL SELECT * FROM ({_NEIGHBOUR} WHERE id > ?1 AND id <= ?1 + ?2 AND tap IS ?3 AND host IS ?4 "
    "AND port IS ?5 AND open_ns IS NOT NULL ORDER BY id LIMIT ?7)"
)
#: The same, of the earlier ones those at the same path first: where a server has many paths, what was
#: accepted here may be far back. Without the query, the slash at the end, and the case of letters.
_PLAIN: Final = "lower(rtrim(substr(path, 1, instr(path || '?', '?') - 1), '/'))"
_NEIGHBOURS_AT: Final = _NEIGHBOURS.replace("ORDER BY id DESC", f"ORDER BY {_PLAIN} IS NOT ?8, id DESC", 1)
_ANSWERED_101: Final = (
    f"{_NEIGHBOUR} WHERE tap IS ?1 AND id != ?2 AND open_ns IS NOT NULL ORDER BY id DESC LIMIT ?3"
)
_ENDED_BETWEEN: Final = (
    "SELECT id FROM connection WHERE closed_ns BETWEEN ? AND ? AND id != ? AND open_ns IS NOT NULL "
    "ORDER BY id LIMIT 100"
)
_SUMMARIES: Final = (
    "SELECT id, tap, client, coalesce(nullif(scheme, ''), 'ws'), host, port, "
    "coalesce(nullif(path, ''), '/'), subprotocol, coalesce(attempt_ns, 0), open_ns, closed_ns, state, "
    "status, error, ended_by, how, client_close_code, server_close_code, server_close_reason, c2s_frames, "
    "s2c_frames, s2c_bytes, ended_by IS 'fault' OR open_ns IS NULL AND EXISTS "
    "(SELECT 1 FROM fault_event WHERE connection_id = connection.id), "
    # As text throughout: bytes and characters are not counted alike.
    "(SELECT substr(CAST(request_in AS TEXT), nullif(instr(lower(CAST(request_in AS TEXT)), "
    "char(10) || 'sec-websocket-key:'), 0) + 19, 32) FROM handshake WHERE connection_id = connection.id) "
    "FROM connection "
    "ORDER BY id DESC LIMIT ?"
)
#: How many frames at the beginning and the end of a connection rules read.
FIRST_FRAMES: Final = 16
LAST_FRAMES: Final = 64
#: What is left out agreed properly, over TLS on both sides or on neither, broke nothing, answered its
#: pings, and was closed by the client with an ordinary code and no reason; it speaks no protocol that says
#: in messages what failed (SignalR is known by its first message where its URL has no id). With many short
#: connections this is most of the rules' cost.
#: Thousands end at once when the proxy stops (?3), and judging them was most of what a stop took: left out is
#: also what it ended so, without a CLOSE frame or an unanswered ping, with no message of the server that
#: names an error or a disconnect, no server that spoke first to a client that never did, and no odd event.
#: tests/unit/diagnosis/test_live.py holds it against the traffic of every rule. Other tables have an `id`
#: of their own, so the connection's is always written in full.
_EVENTFUL: Final = """
SELECT connection.id FROM connection LEFT JOIN handshake ON connection_id = connection.id
WHERE connection.id IN (SELECT value FROM json_each(?1)) AND NOT coalesce((
    status = 101 AND problems = '[]' AND informational IS NULL
    AND (?2 AND state = 'open' OR ?3 AND state = 'closed' AND ended_by = 'proxy' AND how IN ('fin', 'rst')
        AND client_close_reason IS NULL AND server_close_reason IS NULL
        AND (c2s_frames > 1 OR s2c_frames = 0 OR (SELECT NOT is_s2c AND message_id IS frame.id FROM frame
            WHERE frame.connection_id = connection.id ORDER BY frame.id LIMIT 1))
        AND NOT EXISTS (SELECT 1 FROM ping WHERE ping.connection_id = connection.id AND pong_frame IS NULL)
        AND NOT EXISTS (SELECT 1 FROM event WHERE event.connection_id = connection.id
            AND event.kind NOT IN ('attempt', 'server', 'open', 'end', 'closed', 'http'))
        AND NOT EXISTS (SELECT 1 FROM (
                SELECT * FROM (SELECT id, is_s2c, payload FROM frame WHERE frame.connection_id = connection.id
                    ORDER BY frame.id LIMIT ?4)
                UNION ALL
                SELECT * FROM (SELECT id, is_s2c, payload FROM frame WHERE frame.connection_id = connection.id
                    ORDER BY frame.id DESC LIMIT ?5)
            ) AS said LEFT JOIN stored_message AS m ON m.id = said.id
            WHERE said.is_s2c AND (
                instr(substr(said.payload, 1, ?6), CAST('error' AS BLOB))
                OR instr(substr(said.payload, 1, ?6), CAST('disconnect' AS BLOB))
                OR instr(substr(m.data, 1, ?6), CAST('error' AS BLOB))
                OR instr(substr(m.data, 1, ?6), CAST('disconnect' AS BLOB))))
        OR state = 'closed' AND how = 'close-frame' AND js_was_clean = 1
        AND coalesce(client_close_code, 1000) IN (1000, 1001) AND client_close_reason = ''
        AND coalesce(server_close_code, 1000) = 1000 AND server_close_reason = ''
        AND ended_by = 'client'
        AND NOT EXISTS (SELECT 1 FROM event WHERE event.connection_id = connection.id
            AND event.kind IN ('stalled', 'early_data'))
        AND NOT coalesce((SELECT instr(payload, CAST('"protocol":"' AS BLOB))
            OR instr(payload, CAST('xmpp-framing' AS BLOB)) FROM frame
            WHERE frame.connection_id = connection.id ORDER BY frame.id LIMIT 1), 0)
        AND NOT EXISTS (SELECT 1 FROM ping WHERE ping.connection_id = connection.id AND pong_frame IS NULL))
    AND (server_tls IS NULL OR json_extract(server_tls, '$.verify_error') IS NULL
        AND instr(server_tls, 'EM OV TLS CA - G3C') = 0)
    AND (client_tls IS NULL) = (server_tls IS NULL)
    AND (listener IS NULL OR listener LIKE '%:' || port
        OR instr(lower(CAST(request_in AS TEXT)), 'origin:') = 0)
    AND (host IS NULL OR host NOT LIKE '%.amazonaws.com')
    AND path NOT LIKE '%EIO=%' AND path NOT LIKE '%vsn=%' AND path NOT LIKE '%id=%'
    AND (subprotocol IS NULL OR subprotocol NOT LIKE 'actioncable%' AND subprotocol NOT LIKE 'graphql%'
        AND subprotocol NOT LIKE '%mqtt%' AND subprotocol NOT LIKE '%stomp%' AND subprotocol <> 'xmpp'
        AND subprotocol NOT LIKE 'ocpp%' AND subprotocol NOT LIKE '%ircv3%')
    AND NOT coalesce((SELECT instr(payload, CAST('"BootNotification"' AS BLOB)) FROM frame
        WHERE frame.connection_id = connection.id ORDER BY frame.id LIMIT 1), 0)
    AND (subprotocol IS NOT NULL OR instr(lower(CAST(request_in AS TEXT)), 'sec-websocket-protocol') = 0)
    AND (extensions IS NULL OR instr(extensions, 'client_max_window_bits') = 0
        OR instr(lower(CAST(request_in AS TEXT)), 'client_max_window_bits') > 0)
    AND NOT EXISTS (SELECT 1 FROM frame WHERE frame.connection_id = connection.id AND violation IS NOT NULL)
    AND NOT EXISTS (SELECT 1 FROM stored_message AS m
        WHERE m.connection_id = connection.id AND m.problem IS NOT NULL)
    AND NOT EXISTS (SELECT 1 FROM opaque WHERE opaque.connection_id = connection.id)
), 0)
"""


_UNTIMED: Final = (
    "SELECT connection_id FROM event WHERE kind = 'imported' AND instr(detail, '\"times\"') "
    "AND connection_id IS NOT NULL"
)
#: The event comes with the attempt of each connection, so the first few show it.
_IMPORTED: Final = (
    "SELECT 1 FROM (SELECT kind FROM event ORDER BY id LIMIT 8) WHERE kind = 'imported' LIMIT 1"
)


def lacks(query: Query) -> frozenset[str]:
    """What was left out of the whole capture when it was exported (`vocabulary.Lack`)."""
    found: set[str] = set()
    for (value,) in query("SELECT value FROM meta WHERE key = 'lacks'", ()):
        try:
            named = json.loads(value)
        except (TypeError, ValueError, RecursionError):
            continue
        found |= {str(one) for one in named} if isinstance(named, list) else set()
    return frozenset(found)


def untimed(query: Query) -> frozenset[int]:
    """Connections of an import that has no time of their attempt."""
    return frozenset(row[0] for row in query(_UNTIMED, ()))


def connection_ids(query: Query) -> list[int]:
    """The ids of all connections, ascending."""
    return [row[0] for row in query("SELECT id FROM connection ORDER BY id", ())]


def is_imported(query: Query) -> bool:
    """Whether the capture was made of a file that does not have everything, such as a browser's HAR."""
    return bool(query(_IMPORTED, ())) or bool(lacks(query))


def is_trace(query: Query) -> bool:
    """Whether the capture was made of packets that somebody else recorded."""
    return any(
        (json_object(value) or {}).get("format") == "packets"
        for (value,) in query("SELECT value FROM meta WHERE key = 'imported' LIMIT 1000", ())
    )


def newest_connection_ids(query: Query, count: int) -> list[int]:
    """The newest connections, the last one first."""
    return [row[0] for row in query("SELECT id FROM connection ORDER BY id DESC LIMIT ?", (count,))]


def eventful(query: Query, numbers: Collection[int], *, is_live: bool, is_alone: bool = False) -> set[int]:
    """Of these connections the ones that a rule could have something to say about.

    Args:
        is_live: more will come: what is open and did nothing wrong is not looked at before its end.
        is_alone: no second tap saw them: nor is what this proxy ended itself, where nothing was wrong.
    """
    read = (FIRST_FRAMES, LAST_FRAMES, WHOLE_BYTES)
    values = (json.dumps(list(numbers)), is_live, is_alone, *read)
    return {row[0] for row in query(_EVENTFUL, values)}


def connection(query: Query, connection_id: int) -> RuleConnection | None:
    """One connection and its handshake; None where the capture does not have it."""
    rows = query(_CONNECTION, (connection_id,))
    if not rows:
        return None
    (row,) = rows
    return RuleConnection._make((*row[: -len(STEPS)], row[-len(STEPS) :]))


def first_frames(query: Query, connection_id: int, limit: int, cut: int) -> list[RuleFrame]:
    """The first frames of a connection, with this many bytes of each payload above `WHOLE_BYTES`."""
    return list(map(RuleFrame._make, query(_FIRST_FRAMES, (cut, cut, connection_id, limit))))


def last_frames(query: Query, connection_id: int, limit: int, cut: int) -> list[RuleFrame]:
    """The last frames of a connection, in order, with this many bytes of each payload above `WHOLE_BYTES`."""
    return list(map(RuleFrame._make, query(_LAST_FRAMES, (cut, cut, connection_id, limit))[::-1]))


def one_frame(query: Query, frame_id: int, cut: int) -> RuleFrame:
    """A frame that is in the capture, with this many bytes of a payload above `WHOLE_BYTES`."""
    return RuleFrame(*query(_ONE_FRAME, (cut, cut, frame_id))[0])


def last_time(query: Query, connection_id: int, side: int, *, but_close: bool = False) -> int | None:
    """When the last frame of a direction came, in epoch nanoseconds; None where there is none.

    Args:
        but_close: leave CLOSE frames out.
    """
    rows = query(_LAST_BUT_CLOSE if but_close else _LAST, (connection_id, side))
    return rows[0][0] if rows else None


def violations(query: Query, connection_id: int) -> list[Broken]:
    """Frames that broke the protocol, by direction and codes (with commas between)."""
    return list(map(Broken._make, query(_VIOLATIONS, (connection_id,))))


def problems(query: Query, connection_id: int) -> list[Broken]:
    """Messages that could not be read, by direction and reason."""
    return list(map(Broken._make, query(_PROBLEMS, (connection_id,))))


def opaque(query: Query, connection_id: int, limit: int, cut: int) -> list[RuleOpaque]:
    """The first bytes of which no frames could be made, with this many bytes of each piece."""
    return list(map(RuleOpaque._make, query(_OPAQUE, (cut, connection_id, limit))))


def pings(query: Query, connection_id: int, limit: int) -> list[RulePing]:
    """The newest pings of a connection, in order."""
    return list(map(RulePing._make, query(_PINGS, (connection_id, limit))[::-1]))


def events(query: Query, connection_id: int, limit: int) -> list[RuleEvent]:
    """The first events of a connection."""
    return list(map(RuleEvent._make, query(_EVENTS, (connection_id, limit))))


def engine_events(query: Query, limit: int) -> list[RuleEvent]:
    """The newest events of the engine itself but for stretches of lag, in order."""
    return list(map(RuleEvent._make, query(_ENGINE_EVENTS, (limit,))[::-1]))


def lags(query: Query, after: int) -> list[tuple[int, Any, Any]]:
    """Stretches of lag with larger ids: id, end, and detail (JSON)."""
    return query(_LAGS, (after,))


def acted(query: Query, connection_id: int) -> list[Acted]:
    """The faults that acted on a connection: of very many the first and the last.

    A breakpoint that holds a message acts, too, though the ledger has no row before somebody decides.
    """
    found = list(map(Acted._make, query(_ACTED, (connection_id,))))
    known = {(one.kind, one.direction) for one in found}
    for (is_s2c,) in query(_HELD, (connection_id,)):
        direction = "s2c" if is_s2c else "c2s"
        if ("break", direction) not in known:
            found += [Acted(rule, "break", direction, None) for (rule,) in query(_BREAKPOINTS, ())]
    return found


def neighbours(
    query: Query, of: RuleConnection, reach: int, earlier: int, later: int, *, at_path: bool = False
) -> list[Neighbour]:
    """Connections that were answered with 101 at the same tap, host and port, the nearest first.

    Args:
        reach: how far their numbers may be apart.
        earlier: at most so many with lower numbers; the same ones however many come later.
        later: at most so many with higher ones.
        at_path: of the earlier ones, those at the same path first.
    """
    place = (of.id, reach, of.tap, of.host, of.port, earlier, later)
    path = (of.path or "/").partition("?")[0].rstrip("/").lower()
    rows = query(_NEIGHBOURS_AT, (*place, path)) if at_path else query(_NEIGHBOURS, place)
    found = map(Neighbour._make, rows)
    return sorted(found, key=lambda one: abs(one.id - of.id))


def answered_101(query: Query, tap: str | None, but: int, limit: int) -> list[Neighbour]:
    """The newest connections of a tap that were answered with 101, but for one."""
    return list(map(Neighbour._make, query(_ANSWERED_101, (tap, but, limit))))


def ended_between(query: Query, first_ns: int, last_ns: int, but: int) -> list[int]:
    """Ids of connections that were open and ended between two times (epoch nanoseconds), but for one."""
    return [row[0] for row in query(_ENDED_BETWEEN, (first_ns, last_ns, but))]


def summaries(query: Query, newest: int) -> list[tuple[Any, ...]]:
    """The newest connections (-1: all), in order, as `findings.facts.Summary` has its fields: very many."""
    return query(_SUMMARIES, (newest,))[::-1]
