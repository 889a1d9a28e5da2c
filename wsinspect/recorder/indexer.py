"""The indexer: journal records in, rows out, with the journal's position and each stream's state in one
transaction.

Contract: whatever kills the process at whatever moment, the capture holds each frame whose record is before
the stored position exactly once, and a new `Indexer` continues from there. `add` never fails because of what
a peer sent; `commit` fails when SQLite cannot write, and may then be called again until it can.
"""

from __future__ import annotations

import json
import traceback
from array import array
from collections.abc import Mapping
from typing import Any, Final

from wsinspect.capture.queries import resuming
from wsinspect.capture.rows import Rows, to_json
from wsinspect.capture.schema import Database, DatabaseError
from wsinspect.journal.budget import Budget
from wsinspect.journal.format import BODY, DATA, EVENT, HEAD, HEADER, Position, Record
from wsinspect.recorder.connections import ConnectionRows
from wsinspect.recorder.ledger import add_fault, add_held, add_sent, stream_side
from wsinspect.recorder.narration import Notes
from wsinspect.recorder.restore import NotesError, load_connection, load_stream, stream_options
from wsinspect.recorder.streams import FRAME_BYTES, Fed, OpenPing, StreamRows
from wsinspect.vocabulary import EventKind
from wsinspect.vocabulary.events import (
    Event,
    Fault,
    Gap,
    Held,
    Lag,
    RecorderError,
    Sent,
    Unreadable,
    Unstored,
)
from wsinspect.wire.close_codes import parse_close
from wsinspect.wire.frame import Frame
from wsinspect.wire.opcodes import Direction, Opcode

#: Bytes of rows gathered before a commit; bounds the recorder's memory.
COMMIT_BYTES: Final = 8 * 1024 * 1024
_RECORD_HEADER: Final = HEADER.size
#: What an event costs that comes without a record.
_EVENT_BYTES: Final = 400
_LEGS: Final = ("server", "client")
#: Events after which a connection has something to report.
_LOOKED_AT: Final = frozenset((EventKind.OPEN, EventKind.REFUSED, EventKind.FAILED, EventKind.CLOSED))
#: The connections that ended last: an engine that was late reports it after them.
_ENDED: Final = 500
_CLOSE: Final = int(Opcode.CLOSE)
_PING: Final = int(Opcode.PING)
_PONG: Final = int(Opcode.PONG)


class Indexer:
    """Makes rows of records.

    Args:
        database: From `schema.open_for_writing`; used by this object alone while it lives.
        notes: Collects what a narrator may print; gets only committed rows.

    Attributes:
        position: Where the journal continues after the records added so far.
        weight: About how many bytes the uncommitted rows hold; see `is_heavy`.
        last_ns: The newest time of the records that were added.
        looks: Connections whose committed rows the rules should look at (`live.LiveFindings`).
        is_engine_changed: An event of the engine came that rules look at.
        is_restartable: Each commit has what a restart needs. False while a capture is made that is deleted if
            that fails: rows of open connections wait for the commit that follows their end, or a True.
    """

    def __init__(self, database: Database, notes: Notes | None = None) -> None:
        self._database = database
        self._notes = notes
        self._rows = Rows()
        self._is_built = False
        self._connections: dict[int, ConnectionRows] = {}
        self._touched: set[ConnectionRows] = set()
        progress = resuming.progress(database)
        self._segment, self._offset, self.next_frame = progress[:3]
        self._next_fault = progress.newest_fault + 1
        self._newest_connection = progress.newest_connection
        self.weight = 0
        self.last_ns = 0
        self.looks: set[int] = set()
        self.is_engine_changed = False
        self.is_restartable = True
        self._ended_ns, self._ended_ids = (array("q", bytes(8 * _ENDED)) for _ in range(2))
        self._ended = 0
        self._run = progress.newest_run
        meta = self._meta()
        self._set_options(meta)
        stopped_ns = meta.get("stopped_ns")
        self._stopped_ns: int | None = stopped_ns if isinstance(stopped_ns, int) else None

    @property
    def position(self) -> Position:
        """Where the next record begins."""
        return Position(self._segment, self._offset)

    @property
    def has_uncommitted(self) -> bool:
        """Whether anything was added since the last commit."""
        return self._is_built or self.weight > 0

    @property
    def open_count(self) -> int:
        """How many connections are known that have not ended."""
        return len(self._connections)

    @property
    def is_heavy(self) -> bool:
        """Whether it is time to commit."""
        return self.weight > self._commit_bytes

    @property
    def max_capture_size(self) -> int | None:
        """The limit that the engine was given for this run."""
        return self._options.max_capture_size

    def seek(self, position: Position) -> None:
        """The records to come begin there (the reader went on to another segment)."""
        self._segment, self._offset = position

    def add(self, record: Record) -> None:
        """Index one record.

        Raises:
            DatabaseError, NotesError: What is known of its connection cannot be read.
        """
        kind, part, connection_id, time_ns, sent_after_ns, payload = record
        if kind == DATA:
            self.add_data(connection_id, part & 1, time_ns, payload, sent_after_ns)
            return
        try:
            self._index(record)
        except (DatabaseError, NotesError):
            raise
        except Exception as error:  # our bug must not cost the rest of the capture
            self._note_mistake(record, error)

    def add_data(
        self, connection_id: int, side: int, time_ns: int, data: bytes, sent_after_ns: int = 0
    ) -> None:
        """Index bytes of a direction: `add` for many small pieces.

        Raises:
            DatabaseError, NotesError: What is known of the connection cannot be read.
        """
        try:
            if time_ns > self.last_ns:
                self.last_ns = time_ns
            size = _RECORD_HEADER + len(data)
            self._offset += size
            self.weight += size
            connection = self._connections.get(connection_id)
            if connection is None:
                connection = self._load(connection_id)
            self._touched.add(connection)
            stream = connection.streams[side] or self._stream(connection, side)
            notes = self._notes
            if notes is None or not notes.wants_frames:
                end, pos = len(data), 0
                while pos < end:
                    pos, cost, fed = stream.feed_whole(data, pos, time_ns, sent_after_ns, self, self._rows)
                    self.weight += cost
                    if fed is not None:
                        self._note_fed(connection, stream, side, fed, sent_after_ns)
                    elif pos < end:
                        rest = data[pos:] if pos else data
                        fed = stream.feed(rest, time_ns, sent_after_ns, self, self._rows, is_rest=pos > 0)
                        if fed is not None:
                            self._note_fed(connection, stream, side, fed, sent_after_ns)
                        return
                return
            fed = stream.feed(data, time_ns, sent_after_ns, self, self._rows)
            if fed is not None:
                self._note_fed(connection, stream, side, fed, sent_after_ns)
                notes.add_frames(connection, Direction(side), fed.batch, fed.first_id)
        except (DatabaseError, NotesError):
            raise
        except Exception as error:  # our bug must not cost the rest of the capture
            self._note_mistake(Record(DATA, side, connection_id, time_ns, sent_after_ns, data), error)

    def _note_fed(
        self, connection: ConnectionRows, stream: StreamRows, side: int, fed: Fed, sent_after_ns: int
    ) -> None:
        """What frames that are not correct messages each mean to their connection."""
        batch, _, special = fed
        self.weight += FRAME_BYTES * len(batch.frames)
        if stream.has_deflate:
            for message in batch.messages:
                if message[6]:
                    self.weight += len(message[6])
        for frame_id, frame in special:
            self._add_special(connection, stream, side, frame_id, frame, sent_after_ns)

    def add_event(self, connection_id: int, time_ns: int, event: Event) -> None:
        """Index an event that no journal holds: `add` without a way through JSON and back.

        Raises:
            DatabaseError, NotesError: What is known of its connection cannot be read.
        """
        self.last_ns = max(self.last_ns, time_ns)
        self._offset += _EVENT_BYTES
        self.weight += _EVENT_BYTES
        self._take_event(connection_id, time_ns, event.as_json())

    def _index(self, record: Record) -> None:
        kind, part, connection_id, time_ns, _, payload = record
        self.last_ns = max(self.last_ns, time_ns)  # requests before an attempt are recorded with it
        size = len(payload)
        self._offset += _RECORD_HEADER + size
        self.weight += _RECORD_HEADER + size
        if kind == EVENT:
            self._take_event(connection_id, time_ns, _parse_event(payload))
        elif kind in (HEAD, BODY):
            connection = self._load(connection_id)
            self._touched.add(connection)
            if kind == HEAD:
                connection.add_head(part, payload, time_ns)
            else:
                connection.add_body(payload)

    def commit(self) -> None:
        """Write what was added since the last commit, in one transaction.

        Raises:
            sqlite3.OperationalError: Nothing was written. Call again; add nothing before that succeeded.
        """
        if not self._is_built:
            self._build()
        self._rows.write(self._database)
        self._is_built = False
        self._rows.clear()
        self.weight = 0
        for connection in self._touched:
            if connection.is_closed:
                self._connections.pop(connection.id, None)
        if self.is_restartable:
            self._touched.clear()
        else:
            for connection in self._touched:
                if connection.is_unanswered:  # all of it was written, and there may be very many
                    self._connections.pop(connection.id, None)
            self._touched = {one for one in self._touched if not (one.is_closed or one.is_unanswered)}
        if self._notes is not None:
            self._notes.release()

    def end_open(self) -> int:
        """Close the books of connections that the engine left open. Returns how many there were.

        An engine that said it stopped ended them itself then; one that died leaves them lost.
        """
        ids = resuming.unfinished_connections(self._database)
        stopped_ns = self._stopped_ns
        for connection_id in ids:
            connection = self._load(connection_id)
            self._touched.add(connection)
            self.weight += 1
            # If events of a connection could not be stored, its end may be among them.
            is_whole = connection.row["attempt_ns"] is not None and not connection.facts["lost_records"]
            if stopped_ns is not None and is_whole:
                for event in connection.stop():
                    self._add_connection_event(connection_id, event.as_json(), stopped_ns)
            else:
                self._end_streams(connection, connection.row["attempt_ns"] or 0)
                connection.lose()
        return len(ids)

    def note_damage(self, size: int) -> None:
        """Bytes of the journal that are not records: a writer was killed in the middle of one."""
        if size:
            event = Unstored(
                bytes=size, records=1, reason="torn journal", streams=[], stream_bytes=[], connections=[]
            )
            self._add_own_event(None, self.last_ns, event.as_json())
            self.weight += size

    def mark_clean(self) -> None:
        """Note the clean end in `meta` (only after the engine said that it stopped)."""
        if self._stopped_ns is not None:
            self._rows.meta.append((self._run, "closed_cleanly", "true"))
            self.weight += 1

    def _build(self) -> None:
        rows = self._rows
        for connection in self._touched:
            if not (connection.is_closed or connection.is_unanswered or self.is_restartable):
                if (
                    not connection.has_row
                ):  # whoever finds what a killed import left sees whose frames they are
                    connection.add_rows(rows)
                continue
            connection.add_rows(rows)
            for stream in connection.streams:
                if stream is not None and stream.is_touched and not connection.is_closed:
                    stream.checkpoint(rows)
        rows.place(self.position, self.next_frame)
        self._is_built = True

    def _load(self, connection_id: int) -> ConnectionRows:
        connection = self._connections.get(connection_id)
        if connection is None:
            found = None
            if connection_id <= self._newest_connection:
                found = load_connection(self._database, connection_id)
            else:
                self._newest_connection = connection_id  # no row has a larger one
            connection = found or ConnectionRows(connection_id)
            self._connections[connection_id] = connection
        return connection

    def _stream(self, connection: ConnectionRows, side: int) -> StreamRows:
        stream = connection.streams[side]
        if stream is None:
            stream = load_stream(self._database, connection, Direction(side), self._options)
            connection.streams[side] = stream
        return stream

    def _note_mistake(self, record: Record, error: Exception) -> None:
        """Say what happened; what a stream says from here on is kept as opaque bytes."""
        traceback.print_exc()
        connection = self._connections.get(record.connection)
        if record.kind == DATA and connection is not None:
            stream = connection.streams[record.part & 1]
            if stream is not None:
                stream.abandon()
        mistake = RecorderError(error=repr(error), kind=record.kind, part=record.part)
        self._add_own_event(record.connection or None, record.time_ns, mistake.as_json())

    # -- data

    def _add_special(
        self,
        connection: ConnectionRows,
        stream: StreamRows,
        side: int,
        frame_id: int,
        frame: Frame,
        sent_after_ns: int,
    ) -> None:
        """Control frames and violations."""
        if frame.violation is not None and connection.add_violation(side, frame.violation, frame_id):
            self.looks.add(connection.id)
        opcode = frame.opcode
        if opcode == _PING:
            stream.open_pings.append(OpenPing(frame_id, frame.payload, frame.time_ns + sent_after_ns))
            self._rows.pings.append((frame_id, connection.id, _LEGS[side]))
        elif opcode == _PONG:
            other = connection.streams[1 - side] or self._stream(connection, 1 - side)
            ping = other.match_pong(frame.payload)
            if ping is not None:
                other.is_touched = True
                rtt_ns = max(0, frame.first_ns - ping.sent_ns)
                self._rows.pongs.append((frame_id, rtt_ns, ping.id))
        elif opcode == _CLOSE:
            connection.add_close(side, *parse_close(frame.payload), frame_id, frame, sent_after_ns)

    # -- events

    def _take_event(self, connection_id: int, time_ns: int, event: Mapping[str, Any]) -> None:
        kind = str(event.get("event"))
        if kind == EventKind.FAULT:
            self._add_fault(connection_id, Fault.read(event), event, time_ns)
            return
        if kind == EventKind.HELD and connection_id:
            self._add_delivery(connection_id, Held.read(event), time_ns)
            return
        if kind == EventKind.SENT and connection_id:
            self._add_delivery(connection_id, Sent.read(event), time_ns)
            return
        if connection_id == 0:
            self._add_engine_event(kind, event, time_ns)
            return
        if kind == EventKind.HTTP:  # changes nothing of the connection, which may be over
            self._add_own_event(connection_id, time_ns, event)
            return
        self._add_connection_event(connection_id, event, time_ns)

    def _add_connection_event(self, connection_id: int, event: Mapping[str, Any], time_ns: int) -> None:
        kind = str(event.get("event"))
        connection = self._load(connection_id)
        self._touched.add(connection)
        if kind in _LOOKED_AT:
            self.looks.add(connection_id)
        if kind == EventKind.CLOSED:
            place = self._ended % _ENDED
            self._ended_ns[place], self._ended_ids[place] = time_ns, connection_id
            self._ended += 1
            self._end_streams(connection, time_ns)
        connection.add_event(event, time_ns)
        self._add_own_event(connection_id, time_ns, event)
        if self._notes is not None:
            self._notes.add_connection(kind, connection, event, time_ns)

    def _add_fault(self, connection_id: int, event: Fault, found: Mapping[str, Any], time_ns: int) -> None:
        """A decision of a fault that acted."""
        connection = self._load(connection_id) if connection_id else None
        side = stream_side(event)
        stream = None
        if connection is not None:
            self._touched.add(connection)
            stream = self._stream(connection, side) if side is not None else None
        frame_id = add_fault(event, found, time_ns, connection, stream, self._next_fault, self._rows)
        self._next_fault += 1
        if self._notes is not None:
            self._notes.add_fault(connection_id or None, event, frame_id, time_ns)

    def _add_delivery(self, connection_id: int, event: Held | Sent, time_ns: int) -> None:
        """A fault keeps a frame back, or its last byte is written at last."""
        connection, side = self._load(connection_id), stream_side(event)
        if side is None:
            return
        self._touched.add(connection)
        stream = self._stream(connection, side)
        if isinstance(event, Held):
            add_held(event, stream, self._rows)
        else:
            add_sent(event, time_ns, stream, self._rows)

    def _add_engine_event(self, kind: str, event: Mapping[str, Any], time_ns: int) -> None:
        if kind == EventKind.ENGINE:
            self._begin_run(event, time_ns)
            return
        if kind == EventKind.ENGINE_STOP:
            self._stopped_ns = time_ns
            self._rows.meta.append((self._run, "stopped_ns", to_json(time_ns)))
        elif kind == EventKind.UNSTORED:
            self._mark_gaps(Unstored.read(event), time_ns)
        elif kind == EventKind.LAG:
            since_ns = time_ns - (Lag.read(event).for_ns or 0)
            ends = zip(self._ended_ns, self._ended_ids[: self._ended], strict=False)
            self.looks.update(number for at_ns, number in ends if at_ns >= since_ns)
        elif kind == EventKind.LATE:
            self._add_own_event(None, time_ns, event)  # no finding depends on it
            return
        self.is_engine_changed = True
        self._add_own_event(None, time_ns, event)
        if self._notes is not None:
            self._notes.add_engine(kind, event, time_ns)

    def _add_own_event(self, connection_id: int | None, time_ns: int, event: Mapping[str, Any]) -> None:
        kind = str(event.get("event"))
        detail = {key: value for key, value in event.items() if key != "event"}
        self._rows.events.append((time_ns, connection_id, kind, to_json(detail)))

    def _begin_run(self, event: Mapping[str, Any], time_ns: int) -> None:
        self._run += 1
        self._stopped_ns = None
        meta = {key: value for key, value in event.items() if key != "event"}
        meta.update(started_ns=time_ns, closed_cleanly=False)
        self._set_options(meta)
        self._rows.meta += [(self._run, key, to_json(value)) for key, value in meta.items()]

    def _set_options(self, meta: Mapping[str, Any]) -> None:
        self._options = stream_options(meta)
        limit = self._options.max_capture_size
        self._commit_bytes = COMMIT_BYTES if limit is None else Budget.of(limit).commit

    def _mark_gaps(self, event: Unstored, time_ns: int) -> None:
        """Say at each connection what of it could not be stored."""
        for connection_id, side, size in event.lost_streams():
            connection = self._load(connection_id)
            self._touched.add(connection)
            self._stream(connection, side).mark_gap(time_ns, self._rows)
            gap = Gap(direction=Direction(side).short, bytes=size, reason=event.reason)
            self._add_own_event(connection_id, time_ns, gap.as_json())
        for connection_id in event.lost_records():
            connection = self._load(connection_id)
            connection.lack_records()
            self._touched.add(connection)
            gap = Gap(reason=event.reason)
            self._add_own_event(connection_id, time_ns, gap.as_json())

    def _end_streams(self, connection: ConnectionRows, time_ns: int) -> None:
        if connection.row["open_ns"] is None and connection.streams == [None, None]:
            return
        for side in (0, 1):
            self._stream(connection, side).end(time_ns, self._rows)

    def _meta(self) -> dict[str, Any]:
        found = resuming.meta_of(self._database, self._run)
        return {key: json.loads(value) for key, value in found.items()}


def _parse_event(raw: bytes) -> Mapping[str, Any]:
    try:
        event = json.loads(raw)
    except (ValueError, RecursionError):
        return Unreadable().as_json()
    return event if isinstance(event, dict) else Unreadable().as_json()
