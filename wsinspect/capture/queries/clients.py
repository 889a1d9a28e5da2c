"""What judging clients asks of a capture (`diagnosis.clients`): attempts, and what was said.

Times are epoch nanoseconds, directions 0 (client to server) and 1; values are as stored, so in a stranger's
file of any type.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from wsinspect.capture.reader import RULE
from wsinspect.capture.records import Query

#: CLOSE frames are among the last of a connection.
_LAST: Final = 64
#: Bytes read of each header block.
_HEAD: Final = 65536


class ClientAttempt(NamedTuple):
    """A row of `connection` with what tells its client apart.

    Attributes:
        request: header block as the client sent it.
        response: as the client got it.
        rule: the fault that refused or ended it.
        closes: when the client and when the server first sent CLOSE.
        client_end_ns, server_end_ns, proxy_end_ns: when each first ended a transport.
    """

    id: int
    tap: str | None
    client: str | None
    scheme: str | None
    host: str | None
    port: int | None
    path: str | None
    subprotocol: str | None
    client_session: int | None
    attempt_ns: int | None
    open_ns: int | None
    closed_ns: int | None
    state: str
    status: int | None
    error: str | None
    ended_by: str | None
    how: str | None
    client_close_code: int | None
    server_close_code: int | None
    has_client_close: int
    has_server_close: int
    c2s_frames: int
    s2c_frames: int
    c2s_bytes: int
    s2c_bytes: int
    request: Any
    response: Any
    rule: Any
    client_end_ns: int | None
    server_end_ns: int | None
    proxy_end_ns: int | None


class ClientMessage(NamedTuple):
    """The first frame of a message, with the content of the whole where that has a row of its own."""

    id: int
    side: int
    time_ns: int
    sent_after_ns: Any
    data: Any
    length: int | None


def _end_of(side: str) -> str:
    """SQL for the first time that a side ended a transport."""
    return (
        "(SELECT min(time_ns) FROM event WHERE connection_id = connection.id AND kind = 'end' "  # noqa: S608
        f"AND json_valid(detail) AND json_extract(detail, '$.side') = '{side}')"
    )


_ATTEMPTS: Final = (
    "SELECT id, tap, client, scheme, host, port, path, subprotocol, client_session, attempt_ns, open_ns, "  # noqa: S608
    "closed_ns, state, status, error, ended_by, how, client_close_code, server_close_code, "
    "client_close_reason IS NOT NULL, server_close_reason IS NOT NULL, c2s_frames, s2c_frames, c2s_bytes, "
    f"s2c_bytes, substr(request_in, 1, {_HEAD}), substr(coalesce(response_out, response_in), 1, {_HEAD}), "
    f"{RULE}, {_end_of('client')}, {_end_of('server')}, {_end_of('proxy')} "
    "FROM connection LEFT JOIN handshake ON handshake.connection_id = connection.id "
    "WHERE id > ? ORDER BY id LIMIT ?"
)
_CLOSES: Final = (
    "SELECT is_s2c, min(time_ns) FROM (SELECT is_s2c, time_ns, bits FROM frame WHERE connection_id = ? "
    "ORDER BY id DESC LIMIT ?) WHERE bits >> 8 = 136 GROUP BY is_s2c"
)
_MESSAGES: Final = (
    "SELECT frame.id, frame.is_s2c, time_ns, sent_after_ns, "
    "substr(coalesce(stored_message.data, payload), 1, ?), "
    "coalesce(stored_message.length, wire_length - length(header)) "
    "FROM frame LEFT JOIN stored_message ON stored_message.id = frame.id "
    "WHERE frame.connection_id = ? AND (bits >> 8 & 15) IN (1, 2) ORDER BY frame.id"
)
_MATCHED: Final = (
    "SELECT frame.id, frame.connection_id, frame.is_s2c, time_ns, sent_after_ns, "
    "substr(coalesce(stored_message.data, payload), 1, ?) "
    "FROM frame LEFT JOIN stored_message ON stored_message.id = frame.message_id "
    "WHERE frame.id IN (SELECT value FROM json_each(?)) ORDER BY frame.id"
)
_PINGS: Final = (
    "SELECT time_ns FROM ping JOIN frame ON frame.id = ping_frame "
    "WHERE ping.connection_id = ? AND leg = 'server' ORDER BY ping_frame DESC LIMIT ?"
)
_FAULTS: Final = (
    "SELECT connection_id, time_ns, rule, kind, detail FROM fault_event "
    "WHERE connection_id IS NOT NULL AND kind IN ('blackhole', 'idle_timeout') ORDER BY id LIMIT ?"
)
_KINDS: Final = "SELECT rule, min(kind) FROM fault_event GROUP BY rule LIMIT ?"
_POLLS: Final = (
    "SELECT id, time_ns, detail FROM event WHERE connection_id IS NULL AND kind = 'polling' AND id > ? "
    "ORDER BY id LIMIT ?"
)
_CUT_OFF: Final = (
    "SELECT id, time_ns, detail FROM event WHERE connection_id IS NULL "
    "AND kind IN ('client_left', 'tls_failed') AND id > ? ORDER BY id LIMIT ?"
)
_RUNS: Final = "SELECT value FROM meta WHERE key = 'started_ns' ORDER BY run"
_LATE: Final = (
    "SELECT time_ns, detail FROM event WHERE connection_id IS NULL AND kind IN ('late', 'lag') "
    "ORDER BY id LIMIT ?"
)
_SESSION_BY: Final = "SELECT value FROM meta WHERE key = 'session_by' ORDER BY run DESC LIMIT 1"
_LAST_TIMES: Final = (
    "SELECT max(time_ns) FROM (SELECT time_ns FROM event ORDER BY id DESC LIMIT 100)",
    "SELECT max(time_ns) FROM (SELECT time_ns FROM frame ORDER BY id DESC LIMIT 100)",
)


def attempts(query: Query, after: int, limit: int) -> list[ClientAttempt]:
    """Attempts with larger ids than `after`, in order."""
    return list(map(ClientAttempt._make, query(_ATTEMPTS, (after, limit))))


def has_polls(query: Query) -> bool:
    """Whether there is a request of long-polling (an event `polling`)."""
    return bool(query(_POLLS, (0, 1)))


def count_attempts(query: Query) -> int:
    """How many attempts there are."""
    return int(query("SELECT count(*) FROM connection", ())[0][0])


def closes(query: Query, connection_id: int) -> tuple[int | None, int | None]:
    """When the client and when the server first sent CLOSE, in epoch nanoseconds; None where it did not."""
    found: dict[int, int] = dict(query(_CLOSES, (connection_id, _LAST)))
    return found.get(0), found.get(1)


def messages(query: Query, connection_id: int, first: int, last: int, cut: int) -> list[ClientMessage]:
    """The first and the last messages of a connection, with this many bytes of each."""
    rows = query(f"{_MESSAGES} LIMIT ?", (cut, connection_id, first))
    if len(rows) == first:
        newest = query(f"{_MESSAGES} DESC LIMIT ?", (cut, connection_id, last))[::-1]
        rows += [row for row in newest if row[0] > rows[-1][0]]
    return list(map(ClientMessage._make, rows))


def frames_with_content(query: Query, ids: Sequence[int], cut: int) -> list[tuple[Any, ...]]:
    """(id, connection, is_s2c, time_ns, sent this much later in ns, the first `cut` bytes of the message)."""
    return query(_MATCHED, (cut, json.dumps(list(ids))))


def client_pings(query: Query, connection_id: int, newest: int) -> list[int]:
    """When the client's newest PING frames came, in epoch nanoseconds, ascending."""
    return [row[0] for row in query(_PINGS, (connection_id, newest))[::-1]]


def silencing_faults(query: Query, most: int) -> list[tuple[Any, ...]]:
    """(connection, time_ns, rule, kind, detail as JSON) of faults that may make a connection half-open."""
    return query(_FAULTS, (most,))


def fault_kinds(query: Query, most: int) -> dict[str, str]:
    """The kind of each rule that acted, by the rule's name."""
    return {str(rule): str(kind) for rule, kind in query(_KINDS, (most,))}


def polls(query: Query, after: int, limit: int) -> list[tuple[int, int, Any]]:
    """(id, time_ns, detail as JSON) of requests of long-polling with larger ids, ascending."""
    return [(row[0], row[1], row[2]) for row in query(_POLLS, (after, limit))]


def cut_off(query: Query, after: int, limit: int) -> list[tuple[int, int, Any]]:
    """Id, time and detail (JSON) of clients that did not come to their request."""
    return [(row[0], row[1], row[2]) for row in query(_CUT_OFF, (after, limit))]


def run_starts(query: Query) -> list[Any]:
    """When each run began: JSON numbers, epoch nanoseconds."""
    return [row[0] for row in query(_RUNS, ())]


def lateness(query: Query, limit: int) -> list[tuple[Any, Any]]:
    """(time_ns, detail as JSON) of the events in which the engine noted how late its timers were."""
    return [(row[0], row[1]) for row in query(_LATE, (limit,))]


def session_by(query: Query) -> Any:
    """The `--session-by` of the newest run that had one, as JSON; None where no run had."""
    rows = query(_SESSION_BY, ())
    return rows[0][0] if rows else None


def last_ns(query: Query) -> int:
    """The time of the newest frame or event, in epoch nanoseconds; 0 in an empty capture."""
    times = [query(sql, ())[0][0] for sql in _LAST_TIMES]
    return max((one for one in times if isinstance(one, int)), default=0)
