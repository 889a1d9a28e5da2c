"""What there is to print about a running capture: the events of `run --headless`.

The indexer adds notes as it goes; they are released when their rows are committed, so that whoever reads a
line finds the rows it speaks of. A note is the JSON object of its line, without `schema`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from wsinspect import decoders
from wsinspect.capture.records import Note
from wsinspect.decoders import Payload
from wsinspect.decoders.as_json import content, json_members
from wsinspect.net import url_of
from wsinspect.recorder.connections import ConnectionRows
from wsinspect.vocabulary import events
from wsinspect.vocabulary.events import Event
from wsinspect.wire.close_codes import parse_close
from wsinspect.wire.frame import Frame
from wsinspect.wire.messages import Message
from wsinspect.wire.opcodes import Direction, Opcode, is_control, opcode_name
from wsinspect.wire.stream import Batch

#: Frame notes in one transaction; more are counted as dropped, because nobody reads that fast.
MAX_NOTES: Final = 2000
#: Bytes of a payload in a note, and of all payloads in the notes of one transaction.
MAX_PAYLOAD: Final = 64 * 1024
MAX_PAYLOADS: Final = 4 * 1024 * 1024
#: Events of the engine itself that are printed, and which of their fields.
_PRINTED: Final[dict[type[Event], tuple[str, ...]]] = {
    events.TlsFailed: ("side", "tap", "client", "sni", "error"),
    events.ClientLeft: ("tap", "client", "how", "ms"),
    events.PassedUnread: ("tap", "client", "server", "sni", "reason"),
    events.RequestFailed: ("tap", "client", "method", "url", "where", "status", "error"),
    events.RuleChanged: ("rule", "kind", "armed", "source", "by", "phase", "seed", "time_scale", "settings"),
    events.PhaseChanged: ("phase", "of", "for_ms", "rules", "do"),
    events.Unstored: ("bytes", "records", "reason"),
    events.WallStep: ("step_ns",),
}
_PRINTED_KINDS: Final = {str(record.KIND): record for record in _PRINTED}


class Notes:
    """Collects notes between commits.

    Args:
        wants_frames: Whether frames are printed too.

    Attributes:
        ready: Notes whose rows are committed; the narrator takes them.
        dropped: How many notes were left out since the narrator last looked.
    """

    def __init__(self, *, wants_frames: bool = False) -> None:
        self.wants_frames = wants_frames
        self.ready: list[Note] = []
        self.dropped = 0
        self._waiting: list[Note] = []
        self._payload_bytes = 0
        #: The beginnings of messages whose last fragment has not come, by connection and direction.
        self._begun: dict[tuple[int, Direction], bytes] = {}

    def release(self) -> None:
        """The rows of all notes so far are committed."""
        self.ready += self._waiting
        self._waiting.clear()
        self._payload_bytes = 0

    def take(self) -> tuple[list[Note], int]:
        """The notes to tell, and how many were dropped."""
        ready, dropped = self.ready, self.dropped
        self.ready, self.dropped = [], 0
        return ready, dropped

    def add_frames(
        self, connection: ConnectionRows, direction: Direction, batch: Batch, first_id: int
    ) -> None:
        """Frames of one chunk; the one that ends a message has what the message says."""
        messages = {message.last_frame: message for message in batch.messages}
        key = (connection.id, direction)
        for number, frame in enumerate(batch.frames):
            ordinal = batch.first_frame + number
            message = messages.get(ordinal)
            data = self._said(key, frame, message)
            if len(self._waiting) >= MAX_NOTES or self._payload_bytes >= MAX_PAYLOADS:
                self.dropped += 1
                continue
            note: Note = {
                "event": "frame",
                "time_ns": frame.time_ns,
                "connection": connection.id,
                "id": first_id + number,
                "direction": direction.short,
                "opcode": frame.opcode,
                "op": opcode_name(frame.opcode),
                "fin": frame.fin,
                "length": frame.length,
            }
            if data is not None:
                self._payload_bytes += len(data[:MAX_PAYLOAD])
                note |= _payload(connection, direction, frame, message, data)
            self._waiting.append(note)

    def forget(self, connection_id: int) -> None:
        """The connection is over: what it left unfinished stays so."""
        for direction in Direction:
            self._begun.pop((connection_id, direction), None)

    def _said(self, key: tuple[int, Direction], frame: Frame, message: Message | None) -> bytes | None:
        """What a whole message or a control frame says, as far as it is known; None for a fragment."""
        if frame.message is None:
            return frame.payload if is_control(frame.opcode) else None
        if message is not None and message.data is not None:
            self._begun.pop(key, None)
            return message.data
        is_whole = message is not None and message.first_frame == message.last_frame
        begun = b"" if is_whole or frame.opcode else self._begun.pop(key, b"")
        data = begun + frame.payload
        if message is None and not frame.fin:
            self._begun[key] = data[: MAX_PAYLOAD + 1]
        return data if message is not None else None

    def add_connection(
        self, kind: str, connection: ConnectionRows, event: Mapping[str, Any], time_ns: int
    ) -> None:
        """An event of a connection, after its columns were set."""
        make = {
            "attempt": _attempt,
            "open": _open,
            "refused": _refused,
            "failed": _refused,
            "closed": _close,
        }.get(kind)
        if kind == "closed":
            self.forget(connection.id)
        # For attempts that never opened, "refused" was the last line.
        if make is None or (kind == "closed" and connection.row["open_ns"] is None):
            return
        note = {
            "event": {"failed": "refused", "closed": "close"}.get(kind, kind),
            "time_ns": time_ns,
            "connection": connection.id,
        }
        self._waiting.append(note | make(connection.row, time_ns, connection.ending_rule))

    def add_fault(
        self, connection_id: int | None, event: events.Fault, frame_id: int | None, time_ns: int
    ) -> None:
        """Note that a fault acted; beyond MAX_NOTES it is only counted as dropped."""
        if len(self._waiting) >= MAX_NOTES:
            self.dropped += 1
            return
        note = {"event": "fault", "time_ns": time_ns, "connection": connection_id}
        self._waiting.append(note | {"rule": event.rule, "kind": event.kind, "frame": frame_id})

    def add_engine(self, kind: str, event: Mapping[str, Any], time_ns: int) -> None:
        """An event of the engine itself."""
        record = _PRINTED_KINDS.get(kind)
        if record is not None:
            event_record = record.read(event)
            self._waiting.append(
                {"event": kind, "time_ns": time_ns}
                | {key: getattr(event_record, key) for key in _PRINTED[record]}
            )


def _payload(
    connection: ConnectionRows, direction: Direction, frame: Frame, message: Message | None, data: bytes
) -> Note:
    """What a message or a control frame says: the names that `show --json --payload` has for it."""
    if message is None:
        found: Note = {"payload": content(data)}
        if frame.opcode == Opcode.CLOSE:
            code, reason = parse_close(data)
            found["close"] = {"code": code, "reason": reason}
        return found
    is_cut = len(data) > MAX_PAYLOAD or len(data) != message.length
    data = data[:MAX_PAYLOAD]
    found = {"compressed": message.compressed, "problem": message.problem}
    payload = content(data, is_cut=is_cut, is_binary=message.opcode == Opcode.BINARY)
    found |= {"message_length": message.length, "payload": payload}
    if is_cut:
        found["cut"] = True
    else:
        found |= json_members(data)
    row = connection.row
    found["summary"] = decoders.summary(
        Payload(
            data,
            message.opcode == Opcode.TEXT,
            row["subprotocol"],
            row["path"] or "",
            bool(direction),
            is_whole=not is_cut,
        )
    )
    return found


def _attempt(row: Mapping[str, Any], time_ns: int, _rule: str | None) -> Note:
    return {
        "tap": row["tap"],
        "client": row["client"],
        "url": url_of(row["scheme"], row["host"], row["port"], row["path"]),
        "http_version": row["http_version"],
    }


def _open(row: Mapping[str, Any], time_ns: int, _rule: str | None) -> Note:
    return {
        "status": row["status"],
        "subprotocol": row["subprotocol"],
        "extensions": row["extensions"],
        "ms": _ms(row, time_ns),
    }


def _refused(row: Mapping[str, Any], time_ns: int, rule: str | None) -> Note:
    return {"status": row["status"], "error": row["error"], "rule": rule, "ms": _ms(row, time_ns)}


def _close(row: Mapping[str, Any], time_ns: int, rule: str | None) -> Note:
    was_clean = row["js_was_clean"]
    return {
        "ended_by": row["ended_by"],
        "how": row["how"],
        "rule": rule,
        "client_code": row["client_close_code"],
        "server_code": row["server_close_code"],
        "js": {"code": row["js_code"], "wasClean": None if was_clean is None else bool(was_clean)},
        "frames": {"c2s": row["c2s_frames"], "s2c": row["s2c_frames"]},
        "bytes": {"c2s": row["c2s_bytes"], "s2c": row["s2c_bytes"]},
    }


def _ms(row: Mapping[str, Any], time_ns: int) -> float | None:
    start = row["attempt_ns"]
    return None if start is None else round((time_ns - start) / 1e6, 3)
