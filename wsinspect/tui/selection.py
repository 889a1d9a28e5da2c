"""What is being looked at: which connection, through which filter, and the records of rows on the screen.

Contract: no widget is known here. Records are read when a row is shown, and few are kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from wsinspect.capture.records import Connection, Handshake
from wsinspect.diagnosis.facts import FactReader
from wsinspect.errors import CaptureError
from wsinspect.filters import Filter
from wsinspect.findings.provenance import Card
from wsinspect.present.glyphs import Glyphs
from wsinspect.present.notes import make_row
from wsinspect.present.records import Record
from wsinspect.present.rows import Row
from wsinspect.tui.model import Model
from wsinspect.tui.source import Source
from wsinspect.tui.views import View

DEFAULT_GAP_NS: Final = 1_000_000_000
_KEPT_RECORDS: Final = 2_000


class Selection:
    """The look at a capture.

    Attributes:
        model: the capture.
        view: the rows of the frame table.
        connection: the selected one; None for all.
        filter: what the rows pass; None shows all.
        pending: rows of a newer filter, or of one that is asked again, until they take the place of `view`.
        is_scanning: the filter is being asked, or waits for more frames.
        is_asked_again: the scan is one that nobody typed.
        marks: frames that the user has marked, ascending.
        error: why records cannot be read.
    """

    def __init__(self, model: Model, gap_ns: int = DEFAULT_GAP_NS) -> None:
        self.model = model
        self.gap_ns = gap_ns
        self.connection: int | None = None
        self.view = View(model.index, None, gap_ns)
        self.filter: Filter | None = None
        self.pending: View | None = None
        self.is_scanning = False
        self.is_asked_again = False
        self.marks: list[int] = []
        self.error: str | None = None
        self._source: Source | None = None
        self._records: OrderedDict[int, Record] = OrderedDict()
        self._volatile: set[int] = set()
        self._round_trips: dict[int, tuple[int, int | None]] = {}

    @property
    def path(self) -> Path:
        """The path of the capture, as it was opened."""
        return self.model.path

    @property
    def source(self) -> Source | None:
        """The file, opened when first needed; None where that fails (`error` says why)."""
        if self._source is None:
            try:
                self._source = Source(self.path)
                self.error = None
            except CaptureError as error:
                self.error = str(error)
        return self._source

    def close(self) -> None:
        """Close the capture, if records were read from it."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def select(self, connection: int | None) -> None:
        """Show one connection's frames, or all."""
        self.connection = connection
        self.view = View(self.model.index, connection, self.gap_ns, before=self.view)

    def new_view(self, *, is_filtered: bool) -> View:
        """Rows yet to come, of the frames that are looked at now."""
        return View(self.model.index, self.connection, self.gap_ns, is_filtered=is_filtered, before=self.view)

    @property
    def scan_share(self) -> int | None:
        """How much of the capture the filter was asked about, in percent; None when all was."""
        if not self.is_scanning or (self.is_asked_again and self.pending is not None):
            return None
        view = self.pending if self.pending is not None else self.view
        last = self.model.index.last_id
        return None if view.scanned_to >= last else 100 * view.scanned_to // max(last, 1)

    @property
    def selected(self) -> Connection | None:
        """The connection that is selected; None for all."""
        return None if self.connection is None else self.model.connections.get(self.connection)

    @property
    def zero_ns(self) -> int:
        """What times count from: the selected connection's attempt, else the capture's start."""
        selected = self.selected
        if selected is not None and selected.attempt_ns is not None:
            return selected.attempt_ns
        return self.model.zero_ns

    def refresh_volatile(self) -> None:
        """Forget records that may have changed: pings without an answer, messages that continue."""
        for number in self._volatile:
            self._records.pop(number, None)
        self._volatile.clear()

    def records(self, ids: Sequence[int]) -> dict[int, Record]:
        """The records of some frames; those that cannot be read are missing."""
        missing = [number for number in ids if number not in self._records]
        if missing and self.source is not None:
            try:
                self._keep(self.source.records(missing))
            except CaptureError as error:
                self.error = str(error)
        found = {}
        for number in ids:
            record = self._records.get(number)
            if record is not None:
                self._records.move_to_end(number)
                found[number] = record
        return found

    def known_record(self, frame_id: int) -> Record | None:
        """A record that was read before."""
        return self._records.get(frame_id)

    def is_changing(self, frame_id: int) -> bool:
        """Whether a row is not to be kept as drawn: what it says may change, or it could not be read."""
        return frame_id in self._volatile or frame_id not in self._records

    def record(self, frame_id: int) -> Record | None:
        """The record of one frame, read where it must be; None where it cannot be read."""
        return self.records([frame_id]).get(frame_id)

    def _keep(self, records: dict[int, Record]) -> None:
        self._records.update(records)
        for number, record in records.items():
            if self.model.is_live and is_volatile(record):
                self._volatile.add(number)
        while len(self._records) > _KEPT_RECORDS:
            self._records.popitem(last=False)

    def is_live(self, record: Record) -> bool:
        """Whether more may happen on the connection of a frame."""
        connection = self.model.connections.get(record.frame.connection_id)
        return self.model.is_live and connection is not None and connection.closed_ns is None

    def make_row(self, record: Record, position: int, delta_ns: int, glyphs: Glyphs) -> Row:
        """The row of a frame, as this look shows it."""
        connection = self.model.connections.get(record.frame.connection_id)
        findings = self.model.findings_of_frame.get(record.frame.id, ())
        return make_row(
            record,
            self.model.index.fragment(position, record.message),
            zero_ns=self.zero_ns,
            delta_ns=delta_ns,
            glyphs=glyphs,
            is_live=self.is_live(record),
            findings=tuple(findings),
            connection=connection,
        )

    def round_trip_ns(self, connection: Connection) -> int | None:
        """The connection's median round trip, read again when frames have come."""
        own = self.model.index.by_connection.get(connection.id)
        count = len(own) if own else 0
        known = self._round_trips.get(connection.id)
        if known is not None and (known[0] == count or count - known[0] < count // 50):
            return known[1]
        value = None
        if count and self.source is not None:
            try:
                value = self.source.round_trip_ns(connection.id)
            except CaptureError as error:
                self.error = str(error)
        self._round_trips[connection.id] = (count, value)
        return value

    def handshake(self, connection: int) -> Handshake | None:
        """The opening handshake of a connection."""
        if self.source is None:
            return None
        try:
            return self.source.capture.handshake(connection)
        except CaptureError as error:
            self.error = str(error)
            return None

    def card(self, connection: int) -> Card | None:
        """How a connection ended; None while it lives, and where it never opened."""
        if self.source is None:
            return None
        try:
            return FactReader(self.source.capture.query).card(connection)
        except CaptureError as error:
            self.error = str(error)
            return None

    def mate_of(self, record: Record, position: int) -> int | None:
        """The frame that belongs to a frame: its pong or ping, the next fragment, the other side's CLOSE."""
        frame, index = record.frame, self.model.index
        if record.ping is not None:
            ping = record.ping
            return ping.ping_frame if frame.id == ping.pong_frame else ping.pong_frame
        if frame.opcode == 8:
            return self._other_close(position)
        if record.message is not None and index.is_fragment(position):
            places = index.fragments(position, record.message.first_frame, record.message.last_frame)
            if len(places) > 1 and position in places:
                return index.columns.ids[places[(places.index(position) + 1) % len(places)]]
        return None

    def _other_close(self, position: int) -> int | None:
        """The first CLOSE frame of the other direction."""
        index = self.model.index
        side = index.is_s2c(position)
        for place in reversed(index.closes_of.get(index.columns.connections[position], ())):
            if index.is_s2c(place) != side:
                return index.columns.ids[place]
        return None


def is_volatile(record: Record) -> bool:
    """Whether later frames may change what is known of this one."""
    if record.frame.sent_ns is None:
        return True
    if record.ping is not None:
        return record.ping.pong_frame is None
    if record.frame.opcode == 9:
        return True
    return record.message is not None and record.message.last_frame is None
