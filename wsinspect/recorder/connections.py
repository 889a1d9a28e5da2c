"""One connection on its way into its rows: handshake heads and events in, columns of `connection` and
`handshake` out.

The rows themselves are the state: a restarted recorder reads them back and continues. What has no column (the
order of closes and transport ends, first violations) is in `facts`, kept as JSON in `recorder_connection`
until the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from wsinspect.capture.rows import CONNECTION_COLUMNS, HANDSHAKE_COLUMNS, Rows, to_json
from wsinspect.handshake.negotiation import Heads, Negotiation, read_heads
from wsinspect.journal.format import (
    BODY_BYTES,
    HEAD_INFORMATIONAL,
    HEAD_REQUEST_IN,
    HEAD_REQUEST_OUT,
    HEAD_RESPONSE_IN,
    HEAD_RESPONSE_OUT,
)
from wsinspect.recorder.streams import StreamRows
from wsinspect.vocabulary import End, EndedBy, How, Side, State
from wsinspect.vocabulary.events import (
    Attempt,
    Closed,
    Event,
    Failed,
    Fault,
    Open,
    Refused,
    ReportedError,
    Server,
    TransportEnded,
)
from wsinspect.wire.close_codes import CloseCode, is_reserved_locally
from wsinspect.wire.closing import CloseFacts, CloseSeen, TransportEnd, close_facts, refuser
from wsinspect.wire.deflate import DeflateParams
from wsinspect.wire.frame import Frame
from wsinspect.wire.opcodes import Direction
from wsinspect.wire.violations import CLOSE_CODE

_HEAD_COLUMNS: Final = {
    HEAD_REQUEST_IN: "request_in",
    HEAD_REQUEST_OUT: "request_out",
    HEAD_RESPONSE_IN: "response_in",
    HEAD_RESPONSE_OUT: "response_out",
}
#: Most interim (1xx) responses kept for one connection.
_INFORMATIONAL_BYTES: Final = 64 * 1024
_ATTEMPT_COLUMNS: Final = ("tap", "client", "listener", "scheme", "host", "port", "path", "http_version")
_SERVER_TIMES: Final = {
    "tcp_start_ns": "server_tcp_start_ns",
    "tcp_done_ns": "server_tcp_done_ns",
    "tls_done_ns": "server_tls_done_ns",
}


class ConnectionRows:
    """The facts of one connection.

    Attributes:
        row: columns of `connection`.
        handshake: columns of `handshake`.
        facts: what else a restart needs, JSON.
        streams: both directions, None until the first chunk of it.
        is_closed: nothing more will come for it.
        is_stored: an earlier recorder, or transaction, left rows of it that are not in memory.
        has_row: its row was added to a transaction.
    """

    def __init__(self, connection_id: int) -> None:
        self.id = connection_id
        self.row: dict[str, Any] = dict.fromkeys(CONNECTION_COLUMNS)
        self.row.update(id=connection_id, state=State.CONNECTING.value)
        self.row.update(c2s_frames=0, s2c_frames=0, c2s_bytes=0, s2c_bytes=0)
        self.handshake: dict[str, Any] = dict.fromkeys(HANDSHAKE_COLUMNS)
        self.handshake["connection_id"] = connection_id
        self.facts: dict[str, Any] = {
            "closes": [],
            "ends": [],
            "violations": [],
            "failed_where": None,
            "distrusts_server": False,
            "lost_records": False,
        }
        self.streams: list[StreamRows | None] = [None, None]
        self.is_closed = False
        self.is_stored = False
        self.has_row = False
        self._is_handshake_changed = False
        self._read: tuple[bytes | None, bytes | None, Heads] | None = None

    def restore(
        self, row: Mapping[str, Any], handshake: Mapping[str, Any] | None, facts: Mapping[str, Any]
    ) -> None:
        """Continue from the rows of an earlier transaction."""
        self.is_stored = True
        self.row.update(row)
        if handshake is not None:
            self.handshake.update(handshake)
        self.facts.update(facts)

    @property
    def is_unanswered(self) -> bool:
        """Whether it waits for its response: nothing but rows is known of it."""
        return self.row["state"] == State.CONNECTING.value and self.streams == [None, None]

    # -- the handshake

    def add_head(self, part: int, raw: bytes, time_ns: int) -> None:
        """A raw head as received or forwarded."""
        self._is_handshake_changed = True
        if part == HEAD_INFORMATIONAL:
            known = self.handshake["informational"] or b""
            self.handshake["informational"] = (known + raw)[:_INFORMATIONAL_BYTES]
            return
        column = _HEAD_COLUMNS.get(part)
        if column is None:
            return
        self.handshake[column] = raw
        self.handshake[column + "_ns"] = time_ns
        if part == HEAD_RESPONSE_IN:
            self._read_response()

    def add_body(self, chunk: bytes) -> None:
        """The beginning of a refused attempt's body."""
        self._is_handshake_changed = True
        self.handshake["body"] = ((self.handshake["body"] or b"") + chunk)[:BODY_BYTES]

    def negotiation(self) -> Negotiation:
        """What was agreed, as the server saw it: it and the client use the same frames."""
        return self._heads().negotiation

    def _heads(self) -> Heads:
        request = self.handshake["request_out"] or self.handshake["request_in"]
        response = self.handshake["response_in"] or self.handshake["response_out"]
        if self._read is None or self._read[:2] != (request, response):
            self._read = request, response, read_heads(request, response)
        return self._read[2]

    def deflate(self, negotiation: Negotiation) -> DeflateParams | None:
        """permessage-deflate's parameters for the decoder."""
        accepted = negotiation.deflate
        if accepted is None:
            return None
        return DeflateParams(
            client_no_context_takeover=accepted.client_no_context_takeover,
            server_no_context_takeover=accepted.server_no_context_takeover,
            client_max_window_bits=accepted.client_max_window_bits,
            server_max_window_bits=accepted.server_max_window_bits,
        )

    def _read_response(self) -> None:
        negotiation, version = self._heads()
        self.row["status"] = negotiation.status
        self.row["server_http_version"] = version.decode("latin-1") or None
        self.row["subprotocol"] = negotiation.subprotocol
        self.row["extensions"] = ", ".join(map(str, negotiation.extensions)) or None
        self.handshake["problems"] = to_json(list(negotiation.problems))

    # -- events

    def add_event(self, event: Mapping[str, Any], time_ns: int) -> None:
        """An event of this connection; kinds that have no columns are ignored (they have an `event` row)."""
        reader = _READERS.get(str(event.get("event")))
        if reader is not None:
            reader(self, event, time_ns)

    def _on_attempt(self, event: Attempt, time_ns: int) -> None:
        self._is_handshake_changed = True
        for column in _ATTEMPT_COLUMNS:
            self.row[column] = getattr(event, column)
        self.row["client_session"] = event.client_session
        self.row["attempt_ns"] = time_ns
        self.handshake["tcp_ns"] = event.tcp_ns
        self.handshake["tls_ns"] = event.tls_ns
        self._set_tls(Side.CLIENT, event.client_tls)

    def _on_server(self, event: Server, time_ns: int) -> None:
        self._is_handshake_changed = True
        self.row["server"] = event.peer or event.address
        self.handshake["server_address"] = event.address
        self.handshake["server_sockname"] = event.sockname
        self.handshake["server_reused"] = bool(event.reused)
        for key, column in _SERVER_TIMES.items():
            self.handshake[column] = getattr(event, key)
        self._set_tls(Side.SERVER, event.tls)
        self.facts["distrusts_server"] = event.tls is not None and bool(event.tls.get("verify_error"))
        if event.error:
            self.row["error"] = event.error

    def _set_tls(self, side: Side, tls: Mapping[str, Any] | None) -> None:
        if tls is not None:
            self.row[f"{side}_alpn"] = _plain(tls.get("alpn"))
            self.handshake[f"{side}_tls"] = to_json(tls)

    def _on_open(self, event: Open, time_ns: int) -> None:
        self.row["open_ns"] = time_ns
        self.row["state"] = State.OPEN.value
        if self.row["status"] is None:
            self.row["status"] = 101

    def _on_refused(self, event: Refused, time_ns: int) -> None:
        self.row["state"] = State.REFUSED.value
        if event.by == "fault":
            rule = (self.facts.get("fault") or [None])[3:]
            self.facts["fault"] = [time_ns, None, False, *rule]
        self.row["status"] = event.status or self.row["status"]

    def _on_failed(self, event: Failed, time_ns: int) -> None:
        self.row["state"] = State.FAILED.value
        self.row["error"] = event.error or self.row["error"]
        self.row["status"] = event.status or self.row["status"]
        self.facts["failed_where"] = event.where
        self.facts["failed_ns"] = time_ns

    def _on_end(self, event: TransportEnded, time_ns: int) -> None:
        ends = self.facts["ends"]
        if len(ends) < 8:
            ends.append([event.side, event.how, time_ns, event.http2])

    def _on_closed(self, event: Closed, time_ns: int) -> None:
        self.row["closed_ns"] = time_ns
        if self.row["state"] in (State.OPEN, State.CONNECTING):
            is_open = self.row["open_ns"] is not None
            self.row["state"] = State.CLOSED.value if is_open else State.FAILED.value
        self.count()
        self._judge()
        self._doubt_failure()
        said = event.reported
        is_open_end = self.row["open_ns"] is not None and not self.facts["closes"]
        if said is not None and is_open_end and said.get("side") is None:
            self._take_report(_plain(said.get("code")))
        self.is_closed = True

    def _take_report(self, code: Any) -> None:
        """What an imported file says of the end: the code alone, not who sent it first; no code: aborted."""
        is_code = isinstance(code, int)
        self.row.update(
            ended_by=EndedBy.UNKNOWN.value,
            how=How.CLOSE_FRAME.value if is_code else None,
            js_code=code if is_code else int(CloseCode.ABNORMAL_CLOSURE),
            js_was_clean=is_code,
        )

    def _on_reported_error(self, event: ReportedError, time_ns: int) -> None:
        self.row["error"] = event.error

    def stop(self) -> list[Event]:
        """The events that the engine owes of a connection that lived when it stopped: it ended it itself."""
        ended = {end[0] for end in self.facts["ends"]}
        if self.row["open_ns"] is not None and ended < {Side.CLIENT, Side.SERVER}:
            return [TransportEnded(side=Side.PROXY, how=End.FIN), Closed()]
        if self.row["state"] == State.CONNECTING:
            return [Failed.by_stop(), Closed()]
        return [Closed()]

    # -- frames

    def add_violation(self, side: int, violation: str, frame_id: int) -> bool:
        """A frame broke the protocol; the first of each direction may have ended the connection.

        Returns:
            Whether it is the first one of its direction.
        """
        violations = self.facts["violations"]
        if any(known[0] == side for known in violations):
            return False
        violations.append([side, violation, frame_id])
        return True

    def add_close(
        self, side: int, code: int | None, reason: str, frame_id: int, frame: Frame, sent_after_ns: int = 0
    ) -> None:
        """A CLOSE frame; only the first of each direction counts (RFC 6455 section 5.5.1).

        A fragmented one is none: text such as `HTTP/1.1` in the stream reads as one.
        """
        if not frame.fin:
            return
        closes = self.facts["closes"]
        if any(known[0] == side for known in closes):
            return
        is_reported = frame.violation is None or (
            frame.violation == CLOSE_CODE and not is_reserved_locally(code)
        )
        closes.append([side, code, frame.time_ns, is_reported, frame_id, frame.time_ns + sent_after_ns])
        name = "server" if side else "client"
        self.row[f"{name}_close_code"] = code
        self.row[f"{name}_close_reason"] = reason

    def end_by_fault(self, event: Fault, time_ns: int) -> None:
        """A fault ends the connection; what peers do from here on is its consequence."""
        if self.facts.get("fault") is None and not self.facts["ends"]:
            detail = event.detail or {}
            has_code = detail.get("to") != "server" and detail.get("how", "close") == "close"
            code = _plain(detail.get("code")) if has_code else None
            self.facts["fault"] = [time_ns, code, has_code, event.rule]

    @property
    def ending_rule(self) -> str | None:
        """The rule that refused or ended the connection; by hand it is `by-hand`."""
        is_ours = self.row["ended_by"] == EndedBy.FAULT or self.row["state"] == State.REFUSED
        fault = self.facts.get("fault") if is_ours else None
        return str(fault[3]) if fault is not None and len(fault) > 3 else None

    def _judge(self) -> None:
        """Who ended it, how, and what JavaScript sees (wire.closing)."""
        closes = [
            CloseSeen(
                direction=Direction(side),
                time_ns=time_ns,
                code=code,
                passed_ns=next(iter(passed_ns), None),
                is_valid=is_valid,
            )
            for side, code, time_ns, is_valid, _, *passed_ns in self.facts["closes"]
        ]
        fault = self.facts.get("fault")
        if fault is not None and any(close.time_ns < fault[0] for close in closes):
            fault = None  # a closing handshake was under way before
        by_fault = fault is not None
        if fault is not None and fault[2]:
            code = fault[1] if fault[1] not in (0, 1005) else None
            closes.insert(0, CloseSeen(direction=Direction.SERVER_TO_CLIENT, time_ns=fault[0], code=code))
        sides = {Side.CLIENT: Side.CLIENT, Side.SERVER: Side.SERVER}
        ends = [
            TransportEnd(
                side=sides.get(side, Side.PROXY),
                time_ns=time_ns,
                how=str(how),
                listens="END_STREAM" in http2,
            )
            for side, how, time_ns, *http2 in self.facts["ends"]
        ]
        verdict = close_facts(
            closes,
            ends,
            refused_by=None
            if self.row["open_ns"] is not None
            else refuser(
                self.facts["failed_where"],
                ends,
                None if self.handshake["response_in"] else self.facts.get("failed_ns"),
                distrusts_server=self.facts["distrusts_server"],
            ),
            server_broke_protocol=self._has_server_broken(),
            by_fault=by_fault,
        )
        if self._may_lack_close():
            # A CLOSE frame may be among the bytes that could not be stored.
            verdict = CloseFacts(EndedBy.UNKNOWN, None, None, None)
        self.row.update(
            ended_by=verdict.ended_by.value,
            how=None if verdict.how is None else verdict.how.value,
            js_code=verdict.js_code,
            js_was_clean=verdict.js_was_clean,
        )

    def _may_lack_close(self) -> bool:
        if self.row["open_ns"] is None:
            return False
        closed = {close[0] for close in self.facts["closes"]}
        return any(
            stream is not None and stream.gap and side not in closed
            for side, stream in enumerate(self.streams)
        )

    def _has_server_broken(self) -> bool:
        """Whether the server violated the protocol before its CLOSE frame, if it sent one."""
        close_id = next(
            (close[4] for close in self.facts["closes"] if close[0] == Direction.SERVER_TO_CLIENT), None
        )
        stream = self.streams[Direction.SERVER_TO_CLIENT]
        if close_id is None and stream is not None and stream.decoder.lost is not None:
            return True
        return any(
            side == Direction.SERVER_TO_CLIENT and (close_id is None or frame_id < close_id)
            for side, _, frame_id in self.facts["violations"]
        )

    def lack_records(self) -> None:
        """A header block, a body or an event of it could not be stored."""
        self.facts["lost_records"] = True
        self._doubt_failure()

    def _doubt_failure(self) -> None:
        """Without all of its records, an attempt that nothing says has failed may have been answered."""
        # Of one that had ended before it was loaded, the row alone still has what was said.
        is_said = (
            self.facts["failed_where"] is not None
            or self.row["error"] is not None
            or self.handshake["response_in"] is not None
        )
        if self.row["state"] == State.FAILED and self.facts["lost_records"] and not is_said:
            self.lose()
            self.row.update(how=None, js_code=None, js_was_clean=None)

    def lose(self) -> None:
        """The engine died while this connection was alive: how it ended is not known."""
        self.row["state"] = State.LOST.value
        self.row["ended_by"] = EndedBy.UNKNOWN.value
        self.is_closed = True

    # -- rows

    def count(self) -> None:
        """Bring the columns that count up to date."""
        for stream, name in zip(self.streams, ("c2s", "s2c"), strict=True):
            if stream is not None:
                self.row[f"{name}_frames"] = stream.frames
                self.row[f"{name}_bytes"] = stream.bytes

    def add_rows(self, rows: Rows) -> None:
        """Add what changed to a transaction."""
        is_first = not (self.has_row or self.is_stored)
        self.has_row = True
        self.count()
        rows.connections.append(tuple(self.row.values()))
        if self._is_handshake_changed:
            rows.handshakes.append(tuple(self.handshake.values()))
            self._is_handshake_changed = False
        if self.is_closed:
            if not is_first:  # else it has nothing there that could be deleted
                rows.finished.append((self.id,))
        else:
            rows.notes.append((self.id, to_json(self.facts)))


def _plain(value: Any) -> Any:
    """A value that an SQLite column takes; the engine writes nothing else, a foreign journal may."""
    if isinstance(value, int):
        return value if abs(value) < 1 << 63 else None
    if value is None or isinstance(value, float):
        return value
    return str(value).encode("utf-8", "backslashreplace").decode()


E = TypeVar("E", bound=Event)
_Reader = Callable[[ConnectionRows, Mapping[str, Any], int], None]


def _reader(record: type[E], handler: Callable[[ConnectionRows, E, int], None]) -> tuple[str, _Reader]:
    """The kind of a record, and what reads one from its object and hands it on."""

    def read(rows: ConnectionRows, event: Mapping[str, Any], time_ns: int) -> None:
        handler(rows, record.read(event), time_ns)

    return record.KIND, read


_READERS: Final[dict[str, _Reader]] = dict(
    (
        _reader(Attempt, ConnectionRows._on_attempt),
        _reader(Server, ConnectionRows._on_server),
        _reader(Open, ConnectionRows._on_open),
        _reader(Refused, ConnectionRows._on_refused),
        _reader(Failed, ConnectionRows._on_failed),
        _reader(ReportedError, ConnectionRows._on_reported_error),
        _reader(TransportEnded, ConnectionRows._on_end),
        _reader(Closed, ConnectionRows._on_closed),
    )
)
