"""Facts for the rules (findings/facts.py) out of a capture's tables, and a whole capture's diagnosis.

The recorder asks about its own open database while it writes, `diagnose` about a file: both with the
statements of `capture.queries.facts`. What is read of one connection is bounded whatever it carried: its
first and last frames, its violations, pings and events.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

from wsinspect.capture.missing import GapReader
from wsinspect.capture.queries import facts as rows
from wsinspect.capture.queries.facts import Neighbour, RuleConnection, RuleFrame
from wsinspect.capture.records import Query
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
from wsinspect.findings.lag import Lag, merged, within
from wsinspect.findings.model import Finding
from wsinspect.findings.provenance import Card, close_card
from wsinspect.findings.registry import diagnose_capture, diagnose_connection, ranked
from wsinspect.findings.stalls import stalls_in
from wsinspect.vocabulary import EndedBy, events
from wsinspect.wire.close_codes import REFUSING
from wsinspect.wire.opcodes import Direction

#: Bytes that rules read of a frame that broke the protocol, and for bytes outside frames.
_BROKEN_BYTES: Final = 256
_PINGS: Final = 64
_EVENTS: Final = 64
_ENGINE_EVENTS: Final = 2000
_OPAQUE: Final = 4
#: How many stretches of lag are remembered.
_LAGS: Final = 10_000
_FOREVER_NS: Final = 1 << 63
#: Connections that ended this close to another one ended with it.
_TOGETHER_NS: Final = 500_000_000
#: How many neighbours are searched for others to the same place, and how many of those are used.
_NEAR, _EARLIER, _LATER = 300, 6, 4
_DIRECTIONS: Final = (Direction.CLIENT_TO_SERVER, Direction.SERVER_TO_CLIENT)
#: Columns used as facts unchanged: those before the counts.
_SAME: Final = RuleConnection._fields[: RuleConnection._fields.index("c2s_frames")]


class FactReader:
    """Reads facts through `query`, which runs one statement and gives all of its rows."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._gaps = GapReader(query)
        self._lacks = rows.lacks(query)
        self._lags: tuple[Lag, ...] = ()
        self._last_lag = 0

    def ids(self) -> list[int]:
        """The ids of all connections, ascending."""
        return rows.connection_ids(self._query)

    def eventful(
        self, numbers: Collection[int], *, is_live: bool = False, is_alone: bool = False
    ) -> set[int]:
        """Those of the connections that are worth a look.

        Args:
            is_live: more will come: what is open and did nothing wrong is not looked at before its end.
            is_alone: no second tap saw them: nor is what this proxy ended itself, where nothing was wrong.
        """
        if not numbers:
            return set()
        # Of a file that lacks something, some rules say what it reports of an end.
        is_alone = is_alone and not self._lacks
        return rows.eventful(self._query, numbers, is_live=is_live, is_alone=is_alone)

    def connection(self, connection_id: int, *, with_frames: bool = True) -> ConnectionFacts | None:
        """The facts of one connection.

        Args:
            with_frames: also what was said; no rule needs that of a connection that is not eventful.
        """
        row = rows.connection(self._query, connection_id)
        if row is None:
            return None
        facts: dict[str, Any] = dict(zip(_SAME, row, strict=False))
        events = self._events(connection_id)
        gaps, has_lost_records = self._gaps.of(connection_id)
        facts.update(
            gaps=frozenset(gap.direction for gap in gaps),
            has_lost_records=has_lost_records,
            unrecorded=self._lacks
            | frozenset(
                str(one)
                for kind, detail, _ in events
                if kind == "imported" and isinstance(detail.get("lacks"), list)
                for one in detail["lacks"]
            ),
            path=row.path or "/",
            scheme=row.scheme or "ws",
            attempt_ns=row.attempt_ns or 0,
            js_was_clean=None if row.js_was_clean is None else bool(row.js_was_clean),
        )
        begin_ns, end_ns = facts["attempt_ns"], row.closed_ns
        facts["lags"] = within(self.lags(), begin_ns, end_ns if end_ns is not None else _FOREVER_NS)
        is_used = row.c2s_frames or row.s2c_frames or row.c2s_bytes or row.s2c_bytes
        if with_frames and row.open_ns is not None and is_used:
            facts.update(self._frames(row))
        is_refused = row.state == "refused" or row.server_close_code in REFUSING
        # What this proxy ended itself, as it stopped, is compared with nothing: thousands end at that moment.
        is_cut = row.how in ("fin", "rst", "timeout") and row.ended_by != EndedBy.PROXY
        failed_where = next((_text(e[1].get("where")) for e in events if e[0] == "failed"), None)
        is_unanswered = row.state == "failed" and failed_where == "response"
        if with_frames and (is_refused or is_cut or is_unanswered):
            facts["others"] = tuple(self._others(row, with_requests=is_refused))
        return ConnectionFacts(
            **facts,
            frames=(row.c2s_frames, row.s2c_frames),
            sizes=(row.c2s_bytes, row.s2c_bytes),
            raw_request_in=_blob(row.request_in),
            raw_request_out=_blob(row.request_out),
            raw_response_in=_blob(row.response_in),
            raw_response_out=_blob(row.response_out),
            informational=_blob(row.informational) or b"",
            body=_blob(row.body) or b"",
            rule=_text(row.rule),
            server_address=row.server_address,
            client_tls=_object(row.client_tls),
            server_tls=_object(row.server_tls),
            times=dict(zip(rows.STEPS, row.steps, strict=True)),
            failed_where=failed_where,
            ends=tuple(_end(e) for e in events if e[0] == "end"),
            events=tuple((kind, detail) for kind, detail, _ in events),
            stalls=stalls_in(events),
            faults=tuple(_acted(one, connection_id) for one in rows.acted(self._query, connection_id)),
        )

    def may_lack_attempts(self) -> bool:
        """Whether of some connection it could not be stored where it was seen: an attempt that is not in the
        capture may have been made."""
        return self._gaps.lost_attempts()

    def lags(self) -> tuple[Lag, ...]:
        """When the taps were blind; what came since the last time is read, and the newest are kept."""
        fresh = rows.lags(self._query, self._last_lag)
        if fresh:
            self._last_lag = fresh[-1][0]
            lasted = [
                (end_ns, events.Lag.read(_object(detail) or {}).for_ns or 0) for _, end_ns, detail in fresh
            ]
            spans = [
                Lag(end_ns - for_ns, end_ns)
                for end_ns, for_ns in lasted
                if isinstance(end_ns, int) and for_ns > 0
            ]
            self._lags = merged((*self._lags, *spans))[-_LAGS:]
        return self._lags

    def card(self, connection_id: int) -> Card | None:
        """How a connection ended; None while it lives, or where it never opened."""
        facts = self.connection(connection_id)
        if facts is None or facts.closed_ns is None:
            return None
        near = (facts.closed_ns - _TOGETHER_NS, facts.closed_ns + _TOGETHER_NS)
        return close_card(facts, rows.ended_between(self._query, *near, but=connection_id))

    def _events(self, connection_id: int) -> list[tuple[str, dict[str, Any], int]]:
        found = rows.events(self._query, connection_id, _EVENTS)
        return [(kind, _object(detail) or {}, time_ns) for kind, detail, time_ns in found]

    def _frames(self, row: RuleConnection) -> dict[str, Any]:
        """What was said: first and last frames and messages, violations, pings, opaque bytes."""
        counts = (row.c2s_frames, row.s2c_frames)
        first = rows.first_frames(self._query, row.id, rows.FIRST_FRAMES, rows.PAYLOAD_BYTES)
        last = first
        if sum(counts) > rows.FIRST_FRAMES:
            last = rows.last_frames(self._query, row.id, rows.LAST_FRAMES, rows.PAYLOAD_BYTES)
        frames = [_frame(one) for one in last]
        return {
            "first": tuple(_messages(first)),
            "last": tuple(_messages(last)),
            "last_frames": tuple(frames),
            "last_ns": tuple(self._last_ns(row.id, side, frames, count) for side, count in enumerate(counts)),
            "violations": tuple(self._violations(row.id)),
            "problems": tuple(
                Problem(_DIRECTIONS[bool(one.side)], one.what, one.first, one.times)
                for one in rows.problems(self._query, row.id)
            ),
            "opaque": tuple(
                OpaqueFact(
                    _DIRECTIONS[bool(one.side)],
                    one.time_ns,
                    one.length,
                    _blob(one.data) or b"",
                    one.reason,
                    one.after_frame,
                )
                for one in rows.opaque(self._query, row.id, _OPAQUE, _BROKEN_BYTES)
            ),
            "pings": tuple(
                PingFact(frame, _DIRECTIONS[leg == "client"], time_ns, pong, rtt)
                for frame, leg, time_ns, pong, rtt in rows.pings(self._query, row.id, _PINGS)
            ),
        }

    def _others(self, row: RuleConnection, *, with_requests: bool) -> Iterator[Other]:
        """Connections that were answered with 101 at the same host and port, the nearest first."""
        for near in rows.neighbours(self._query, row, _NEAR, _EARLIER, _LATER, at_path=with_requests):
            one = other_of(near)
            if one.is_cut and row.state != "refused" and one.end_ns is not None:
                c2s, s2c = (self._known_silence_ns(one.id, side, one.open_ns, one.end_ns) for side in (0, 1))
                one = one._replace(silences=(c2s, s2c))
            yield one if with_requests else one._replace(request=None, response=None)

    def _known_silence_ns(self, number: int, side: int, open_ns: int, end_ns: int) -> int | None:
        """`_silence_ns`; None where bytes that could not be stored may have broken the silence."""
        gaps, has_lost_records = self._gaps.of(number)
        if has_lost_records or any(gap.direction == side for gap in gaps):
            return None
        return self._silence_ns(number, side, open_ns, end_ns)

    def _silence_ns(self, number: int, side: int, open_ns: int, end_ns: int) -> int:
        """How long nothing but a CLOSE frame had come of a direction when it ended."""
        last = rows.last_time(self._query, number, side, but_close=True)
        return max(0, end_ns - (open_ns if last is None else last))

    def _last_ns(self, number: int, side: int, frames: list[FrameFact], count: int) -> int | None:
        """When the last frame of a direction came."""
        if not count:
            return None
        known = next((frame.time_ns for frame in reversed(frames) if frame.direction == side), None)
        return rows.last_time(self._query, number, side) if known is None else known

    def _violations(self, number: int) -> Iterator[tuple[FrameFact, int]]:
        """Each code's first frame of each direction."""
        seen: dict[tuple[int, str], list[int]] = {}
        for side, codes, frame_id, count in rows.violations(self._query, number):
            for code in str(codes).split(","):
                known = seen.setdefault((side, code), [frame_id, 0])
                known[0] = min(known[0], frame_id)
                known[1] += count
        for (_, code), (frame_id, count) in sorted(seen.items(), key=lambda item: item[1][0])[:16]:
            frame = _frame(rows.one_frame(self._query, frame_id, _BROKEN_BYTES))
            yield frame._replace(violation=code), count

    def capture(self, newest: int = -1) -> CaptureFacts:
        """What is true of all connections, or of the newest ones, and the engine's events."""
        # Rules about several connections reason from when each was tried.
        untimed = rows.untimed(self._query) if rows.is_imported(self._query) else frozenset()
        return CaptureFacts(
            connections=tuple(
                Summary._make(one) for one in rows.summaries(self._query, newest) if one[0] not in untimed
            ),
            events=tuple(
                EngineEvent(at, kind, _object(detail) or {})
                for kind, detail, at in rows.engine_events(self._query, _ENGINE_EVENTS)
            ),
            lags=self.lags(),
            is_trace=rows.is_trace(self._query),
        )


def other_of(near: Neighbour) -> Other:
    """What rules compare of another connection; silences are not read yet."""
    ends = [time for time in (near.end_ns, near.close_ns) if time is not None]
    return Other(
        id=near.id,
        path=near.path or "/",
        attempt_ns=near.attempt_ns or near.open_ns,
        open_ns=near.open_ns,
        closed_ns=near.closed_ns,
        end_ns=min(ends, default=None),
        ended_by=near.ended_by,
        how=near.how,
        has_close=bool(near.has_close),
        request=_blob(near.request),
        response=_blob(near.response),
        server_close_code=near.server_close_code,
        server_frames=near.server_frames,
    )


def _acted(one: rows.Acted, connection_id: int) -> ActedFault:
    delay_ns = one.delay_ns if isinstance(one.delay_ns, int) else None
    return ActedFault(str(one.rule), str(one.kind), one.direction, connection_id, delay_ns)


def diagnose(query: Query, eventful: Collection[int] | None = None) -> list[Finding]:
    """All findings of a capture, errors first.

    Args:
        eventful: the connections that are worth a look, where they are known.
    """
    reader = FactReader(query)
    findings: list[Finding] = []
    for number in sorted(reader.eventful(reader.ids()) if eventful is None else eventful):
        facts = reader.connection(number)
        if facts is not None:
            findings += diagnose_connection(facts)
    return ranked([*findings, *diagnose_capture(reader.capture())])


def _frame(row: RuleFrame) -> FrameFact:
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


def _messages(found: Iterable[RuleFrame]) -> Iterator[MessageFact]:
    """The messages that begin in these frames."""
    for row in found:
        if row.message_id != row.id:
            continue
        frame = _frame(row)
        is_stored = row.opcode is not None
        content = _blob(row.data) if row.data is not None or row.compressed else frame.payload
        yield MessageFact(
            frame.id,
            frame.direction,
            frame.time_ns,
            frame.opcode if row.opcode is None else row.opcode,
            row.length if is_stored else frame.length,
            content or b"",
            bool(row.compressed),
            row.problem,
        )


def _end(event: tuple[str, dict[str, Any], int]) -> EndFact:
    _, detail, time_ns = event
    http2 = detail.get("http2")
    return EndFact(
        str(detail.get("side")), str(detail.get("how")), time_ns, None if http2 is None else str(http2)
    )


def _blob(value: Any) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return str(value).encode("utf-8", "surrogateescape")


def _object(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    try:
        decoded = json.loads(value)
    except (TypeError, ValueError, RecursionError):
        return None
    return decoded if isinstance(decoded, dict) else None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
