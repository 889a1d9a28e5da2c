"""Facts for the rules (findings/facts.py) out of a capture's tables, and a whole capture's diagnosis.

The recorder asks about its own open database while it writes, `diagnose` about a file: both through a
function that runs a short statement. What is read of one connection is bounded whatever it carried: its first
and last frames, its violations, pings and events.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Final

from wsinspect.capture.missing import GapReader
from wsinspect.capture.reader import RULE
from wsinspect.findings.excuses import ActedFault
from wsinspect.findings.facts import (
    CaptureFacts,
    ConnectionFacts,
    EndFact,
    EngineEvent,
    FrameFact,
    MessageFact,
    OpaqueFact,
    Other,
    PingFact,
    Problem,
    Summary,
)
from wsinspect.findings.model import Finding
from wsinspect.findings.provenance import Card, close_card
from wsinspect.findings.registry import diagnose_capture, diagnose_connection, ranked
from wsinspect.wire.opcodes import Direction

Query = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]

FIRST_FRAMES: Final = 16
LAST_FRAMES: Final = 64
#: Bytes of a frame or message that rules look at.
PAYLOAD_BYTES: Final = 1024
_PINGS: Final = 64
_EVENTS: Final = 64
_ENGINE_EVENTS: Final = 2000
_OPAQUE: Final = 4
#: Connections that ended this near to another one ended with it.
_TOGETHER_NS: Final = 500_000_000
_TOGETHER: Final = (
    "SELECT id FROM connection WHERE closed_ns BETWEEN ? AND ? AND id != ? AND open_ns IS NOT NULL "
    "ORDER BY id LIMIT 100"
)
_DIRECTIONS: Final = (Direction.CLIENT_TO_SERVER, Direction.SERVER_TO_CLIENT)
_CONNECTION: Final = (
    *("id", "tap", "client", "listener", "scheme", "host", "port", "path", "http_version", "server"),
    *(
        "server_http_version",
        "client_alpn",
        "server_alpn",
        "status",
        "state",
        "error",
        "attempt_ns",
        "open_ns",
    ),
    *("closed_ns", "ended_by", "how", "js_code", "js_was_clean", "client_close_code", "client_close_reason"),
    *("server_close_code", "server_close_reason"),
)
_COUNTS: Final = ("c2s_frames", "s2c_frames", "c2s_bytes", "s2c_bytes")
_HEADS: Final = ("request_in", "request_out", "response_in", "response_out")
_TIMES: Final = (
    *("tcp_ns", "tls_ns", "server_tcp_start_ns", "server_tcp_done_ns", "server_tls_done_ns", "request_in_ns"),
    *("request_out_ns", "response_in_ns", "response_out_ns"),
)
_SELECT: Final = (
    f"SELECT {', '.join((*_CONNECTION, *_COUNTS))}, {', '.join(_HEADS)}, informational, "  # noqa: S608
    f"substr(body, 1, 16384), {RULE}, server_address, client_tls, server_tls, {', '.join(_TIMES)} "
    "FROM connection LEFT JOIN handshake ON handshake.connection_id = connection.id WHERE connection.id = ?"
)
_FRAME: Final = (
    "SELECT frame.id, frame.is_s2c, time_ns, bits, wire_length, header, substr(payload, 1, ?), violation, "
    "message_id, span_ns, stored_message.opcode, stored_message.length, substr(stored_message.data, 1, ?), "
    "stored_message.compressed, stored_message.problem "
    "FROM frame LEFT JOIN stored_message ON stored_message.id = frame.id "
    "WHERE frame.connection_id = ? ORDER BY frame.id"
)
#: Neighbours among which others to the same place are looked for, and how many of them are taken.
_NEAR, _OTHERS = 300, 8
_OTHER: Final = (
    "SELECT id, path, attempt_ns, open_ns, closed_ns, "
    "(SELECT min(time_ns) FROM event WHERE connection_id = connection.id AND kind = 'end'), ended_by, how, "
    "client_close_reason IS NOT NULL OR server_close_reason IS NOT NULL, request_in "
    "FROM connection LEFT JOIN handshake ON handshake.connection_id = connection.id "
    "WHERE id BETWEEN ?1 - ?2 AND ?1 + ?2 AND id != ?1 AND tap IS ?3 AND host IS ?4 AND port IS ?5 "
    "AND open_ns IS NOT NULL ORDER BY abs(id - ?1) LIMIT ?6"
)
_LAST_DATA: Final = (
    "SELECT time_ns FROM frame WHERE connection_id = ? AND is_s2c = ? AND bits >> 8 & 15 != 8 "
    "ORDER BY id DESC LIMIT 1"
)
_LAST: Final = "SELECT time_ns FROM frame WHERE connection_id = ? AND is_s2c = ? ORDER BY id DESC LIMIT 1"
_VIOLATIONS: Final = (
    "SELECT is_s2c, violation, min(id), count(*) FROM frame "
    "WHERE connection_id = ? AND violation IS NOT NULL GROUP BY is_s2c, violation"
)
_PING: Final = (
    "SELECT ping_frame, leg, time_ns, pong_frame, rtt_ns FROM ping JOIN frame ON frame.id = ping_frame "
    "WHERE ping.connection_id = ? ORDER BY ping_frame DESC LIMIT ?"
)
_SUMMARY: Final = (
    "SELECT id, tap, client, scheme, host, port, path, subprotocol, attempt_ns, open_ns, closed_ns, state,"
    " status, "
    "error, ended_by, how, client_close_code, server_close_code, c2s_frames, s2c_frames, "
    "ended_by IS 'fault' OR open_ns IS NULL AND EXISTS "
    "(SELECT 1 FROM fault_event WHERE connection_id = connection.id) FROM connection"
    " ORDER BY id DESC LIMIT ?"
)


#: Of these connections the ones that a rule could have something to say about. What is left out agreed
#: properly, broke nothing, answered its pings, and was closed by the client with an ordinary code and no
#: reason; it speaks no protocol that says in messages what failed. With many short connections this is most
#: of the rules' cost. tests/unit/diagnosis/test_live.py holds it against the traffic of every rule.
_EVENTFUL: Final = """
SELECT id FROM connection LEFT JOIN handshake ON connection_id = id
WHERE id IN (SELECT value FROM json_each(?1)) AND NOT coalesce((
    status = 101 AND problems = '[]' AND informational IS NULL
    AND (?2 AND state = 'open' OR state = 'closed' AND how = 'close-frame' AND js_was_clean = 1
        AND coalesce(client_close_code, 1000) IN (1000, 1001) AND client_close_reason = ''
        AND coalesce(server_close_code, 1000) = 1000 AND server_close_reason = ''
        AND ended_by = 'client'
        AND NOT EXISTS (SELECT 1 FROM ping WHERE ping.connection_id = id AND pong_frame IS NULL))
    AND (server_tls IS NULL OR json_extract(server_tls, '$.verify_error') IS NULL
        AND instr(server_tls, 'EM OV TLS CA - G3C') = 0)
    AND (listener IS NULL OR listener LIKE '%:' || port
        OR instr(lower(CAST(request_in AS TEXT)), 'origin:') = 0)
    AND path NOT LIKE '%EIO=%' AND path NOT LIKE '%vsn=%' AND path NOT LIKE '%id=%'
    AND (subprotocol IS NULL OR subprotocol NOT LIKE 'actioncable%' AND subprotocol NOT LIKE 'graphql%'
        AND subprotocol NOT LIKE '%mqtt%' AND subprotocol NOT LIKE '%stomp%')
    AND (subprotocol IS NOT NULL OR instr(lower(CAST(request_in AS TEXT)), 'sec-websocket-protocol') = 0)
    AND (extensions IS NULL OR instr(extensions, 'client_max_window_bits') = 0
        OR instr(lower(CAST(request_in AS TEXT)), 'client_max_window_bits') > 0)
    AND NOT EXISTS (SELECT 1 FROM frame WHERE frame.connection_id = id AND violation IS NOT NULL)
    AND NOT EXISTS (SELECT 1 FROM stored_message AS m WHERE m.connection_id = id AND m.problem IS NOT NULL)
    AND NOT EXISTS (SELECT 1 FROM opaque WHERE opaque.connection_id = id)
), 0)
"""


class FactReader:
    """Reads facts through `query`, which runs one statement and gives all of its rows."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._gaps = GapReader(query)

    def ids(self) -> list[int]:
        """All connections."""
        return [row[0] for row in self._query("SELECT id FROM connection ORDER BY id", ())]

    def eventful(self, numbers: Collection[int], *, is_live: bool = False) -> set[int]:
        """Those of the connections that are worth a look.

        Args:
            is_live: more will come: what is open and did nothing wrong is not looked at before its end.
        """
        if not numbers:
            return set()
        return {row[0] for row in self._query(_EVENTFUL, (json.dumps(list(numbers)), is_live))}

    def connection(self, connection_id: int, *, with_frames: bool = True) -> ConnectionFacts | None:
        """The facts of one connection.

        Args:
            with_frames: also what was said; no rule needs that of a connection that is not eventful.
        """
        rows = self._query(_SELECT, (connection_id,))
        if not rows:
            return None
        row = rows[0]
        facts: dict[str, Any] = dict(zip(_CONNECTION, row, strict=False))
        rest = row[len(_CONNECTION) :]
        c2s_frames, s2c_frames, c2s_bytes, s2c_bytes, *heads = rest[:8]
        informational, body, rule, address, client_tls, server_tls, *times = rest[8:]
        events = self._events(connection_id)
        gaps, has_lost_records = self._gaps.of(connection_id)
        facts.update(
            gaps=frozenset(gap.direction for gap in gaps),
            has_lost_records=has_lost_records,
            unrecorded=frozenset(
                str(one)
                for kind, detail, _ in events
                if kind == "imported" and isinstance(detail.get("lacks"), list)
                for one in detail["lacks"]
            ),
            path=facts["path"] or "/",
            scheme=facts["scheme"] or "ws",
            attempt_ns=facts["attempt_ns"] or 0,
            js_was_clean=None if facts["js_was_clean"] is None else bool(facts["js_was_clean"]),
        )
        facts.update({f"raw_{name}": _blob(head) for name, head in zip(_HEADS, heads, strict=True)})
        if (
            with_frames
            and facts["open_ns"] is not None
            and (c2s_frames or s2c_frames or c2s_bytes or s2c_bytes)
        ):
            facts.update(self._frames(connection_id, c2s_frames, s2c_frames))
        if with_frames and (facts["state"] == "refused" or facts["how"] in ("fin", "rst", "timeout")):
            facts["others"] = tuple(self._others(connection_id, facts))
        return ConnectionFacts(
            **facts,
            frames=(c2s_frames, s2c_frames),
            sizes=(c2s_bytes, s2c_bytes),
            informational=_blob(informational) or b"",
            body=_blob(body) or b"",
            rule=_text(rule),
            server_address=address,
            client_tls=_object(client_tls),
            server_tls=_object(server_tls),
            times=dict(zip(_TIMES, times, strict=True)),
            failed_where=next((_text(e[1].get("where")) for e in events if e[0] == "failed"), None),
            ends=tuple(_end(e) for e in events if e[0] == "end"),
            events=tuple((kind, detail) for kind, detail, _ in events),
            faults=tuple(_acted(row, connection_id) for row in self._query(_FAULTS, (connection_id,))),
        )

    def card(self, connection_id: int) -> Card | None:
        """How a connection ended; None while it lives, or where it never opened."""
        facts = self.connection(connection_id)
        if facts is None or facts.closed_ns is None:
            return None
        near = (facts.closed_ns - _TOGETHER_NS, facts.closed_ns + _TOGETHER_NS, connection_id)
        return close_card(facts, [row[0] for row in self._query(_TOGETHER, near)])

    def _events(self, connection_id: int) -> list[tuple[str, dict[str, Any], int]]:
        sql = "SELECT kind, detail, time_ns FROM event WHERE connection_id = ? ORDER BY id LIMIT ?"
        return [(kind, _object(d) or {}, at) for kind, d, at in self._query(sql, (connection_id, _EVENTS))]

    def _frames(self, number: int, c2s: int, s2c: int) -> dict[str, Any]:
        """What was said: first and last frames and messages, violations, pings, opaque bytes."""
        key = (PAYLOAD_BYTES, PAYLOAD_BYTES, number)
        first = self._query(f"{_FRAME} LIMIT {FIRST_FRAMES}", key)
        last = first
        if c2s + s2c > FIRST_FRAMES:
            last = self._query(f"{_FRAME} DESC LIMIT {LAST_FRAMES}", key)[::-1]
        frames = [_frame(row) for row in last]
        last_ns = tuple(self._last_ns(number, side, frames, count) for side, count in enumerate((c2s, s2c)))
        return {
            "first": tuple(_messages(first)),
            "last": tuple(_messages(last)),
            "last_frames": tuple(frames),
            "last_ns": last_ns,
            "violations": tuple(self._violations(number)),
            "problems": tuple(self._problems(number)),
            "opaque": tuple(self._opaque(number)),
            "pings": tuple(self._pings(number)),
        }

    def _others(self, number: int, facts: dict[str, Any]) -> Iterator[Other]:
        """Connections that were accepted at the same host and port, the nearest first."""
        is_refused = facts["state"] == "refused"
        key = (number, _NEAR, facts["tap"], facts["host"], facts["port"], _OTHERS)
        for row in self._query(_OTHER, key):
            number_of_one, path, attempt_ns, open_ns, closed_ns, end_ns, ended_by, how, has_close, request = (
                row
            )
            one = Other(
                id=number_of_one,
                path=path or "/",
                attempt_ns=attempt_ns or open_ns,
                open_ns=open_ns,
                closed_ns=closed_ns,
                end_ns=end_ns,
                ended_by=ended_by,
                how=how,
                has_close=bool(has_close),
                request=_blob(request) if is_refused else None,
            )
            if one.is_cut and not is_refused and one.end_ns is not None:
                end_ns = one.end_ns
                last = [self._query(_LAST_DATA, (one.id, side)) for side in (0, 1)]
                ends = [max(0, end_ns - (rows[0][0] if rows else one.open_ns)) for rows in last]
                one = one._replace(silences=(ends[0], ends[1]))
            yield one

    def _last_ns(self, number: int, side: int, frames: list[FrameFact], count: int) -> int | None:
        """When the last frame of a direction came."""
        if not count:
            return None
        known = next((frame.time_ns for frame in reversed(frames) if frame.direction == side), None)
        if known is not None:
            return known
        rows = self._query(_LAST, (number, side))
        return rows[0][0] if rows else None

    def _violations(self, number: int) -> Iterator[tuple[FrameFact, int]]:
        """Each code's first frame of each direction."""
        seen: dict[tuple[int, str], list[int]] = {}
        for side, codes, frame_id, count in self._query(_VIOLATIONS, (number,)):
            for code in str(codes).split(","):
                known = seen.setdefault((side, code), [frame_id, 0])
                known[0] = min(known[0], frame_id)
                known[1] += count
        for (_, code), (frame_id, count) in sorted(seen.items(), key=lambda item: item[1][0])[:16]:
            rows = self._query(f"{_FRAME.partition('WHERE')[0]} WHERE frame.id = ?", (256, 256, frame_id))
            yield _frame(rows[0])._replace(violation=code), count

    def _problems(self, number: int) -> Iterator[Problem]:
        sql = (
            "SELECT is_s2c, problem, min(id), count(*) FROM stored_message "
            "WHERE connection_id = ? AND problem IS NOT NULL GROUP BY is_s2c, problem"
        )
        for side, kind, frame, count in self._query(sql, (number,)):
            yield Problem(_DIRECTIONS[bool(side)], kind, frame, count)

    def _opaque(self, number: int) -> Iterator[OpaqueFact]:
        sql = (
            "SELECT is_s2c, time_ns, length, substr(data, 1, 256), reason, after_frame FROM opaque "
            "WHERE connection_id = ? ORDER BY id LIMIT ?"
        )
        for side, time_ns, length, data, reason, after in self._query(sql, (number, _OPAQUE)):
            yield OpaqueFact(_DIRECTIONS[bool(side)], time_ns, length, _blob(data) or b"", reason, after)

    def _pings(self, number: int) -> list[PingFact]:
        rows = self._query(_PING, (number, _PINGS))
        return [
            PingFact(frame, _DIRECTIONS[leg == "client"], time_ns, pong, rtt)
            for frame, leg, time_ns, pong, rtt in reversed(rows)
        ]

    def capture(self, newest: int = -1) -> CaptureFacts:
        """What is true of all connections, or of the newest ones, and the engine's events."""
        sql = "SELECT time_ns, kind, detail FROM event WHERE connection_id IS NULL ORDER BY id DESC LIMIT ?"
        events = [
            EngineEvent(at, kind, _object(detail) or {})
            for at, kind, detail in reversed(self._query(sql, (_ENGINE_EVENTS,)))
        ]
        return CaptureFacts(
            connections=tuple(_summary(row) for row in reversed(self._query(_SUMMARY, (newest,)))),
            events=tuple(events),
        )


_FAULTS: Final = """
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


def _acted(row: Sequence[Any], connection_id: int) -> ActedFault:
    rule, kind, direction, delay_ns = row
    return ActedFault(
        str(rule), str(kind), direction, connection_id, delay_ns if isinstance(delay_ns, int) else None
    )


def diagnose(query: Query) -> list[Finding]:
    """All findings of a capture, errors first."""
    reader = FactReader(query)
    findings: list[Finding] = []
    for number in sorted(reader.eventful(reader.ids())):
        facts = reader.connection(number)
        if facts is not None:
            findings += diagnose_connection(facts)
    return ranked([*findings, *diagnose_capture(reader.capture())])


def _frame(row: tuple[Any, ...]) -> FrameFact:
    frame_id, side, time_ns, bits, wire_length, header, payload, violation, message_id, span_ns, *_ = row
    header = _blob(header) or b"\0\0"
    return FrameFact(
        frame_id,
        _DIRECTIONS[bool(side)],
        time_ns,
        bits >> 8 & 15,
        bool(bits >> 15),
        wire_length - len(header),
        header,
        _blob(payload) or b"",
        violation,
        message_id,
        span_ns,
    )


def _messages(rows: Iterable[tuple[Any, ...]]) -> Iterator[MessageFact]:
    """The messages that begin in these frames."""
    for row in rows:
        frame = _frame(row)
        opcode, length, data, compressed, problem = row[10:]
        if frame.message_id != frame.id:
            continue
        is_stored = opcode is not None
        content = _blob(data) if data is not None or compressed else frame.payload
        yield MessageFact(
            frame.id,
            frame.direction,
            frame.time_ns,
            opcode if is_stored else frame.opcode,
            length if is_stored else frame.length,
            content or b"",
            bool(compressed),
            problem,
        )


def _end(event: tuple[str, dict[str, Any], int]) -> EndFact:
    _, detail, time_ns = event
    return EndFact(str(detail.get("side")), str(detail.get("how")), time_ns)


def _summary(row: tuple[Any, ...]) -> Summary:
    one = Summary(*row)
    return one._replace(path=one.path or "/", scheme=one.scheme or "ws", attempt_ns=one.attempt_ns or 0)


def _blob(value: Any) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return str(value).encode("utf-8", "surrogateescape")


def _object(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    try:
        decoded = json.loads(value)
    except (TypeError, ValueError):
        return None
    return decoded if isinstance(decoded, dict) else None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
