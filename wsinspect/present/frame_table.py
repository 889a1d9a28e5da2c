"""Frames as lines of `show`: a row each, with what `notes` says of it.

Contract: rows come in capture order, a page at a time; `FrameTable` remembers the time of the row before, so
a connection of a million frames costs no memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from wsinspect.capture.records import (
    Connection,
    FaultRow,
    FindingRow,
    FrameRow,
    Message,
    Opaque,
    Ping,
)
from wsinspect.present.cells import Line, fit
from wsinspect.present.clock import DELTA, LOCAL, RELATIVE, RELATIVE_CLOCK, UTC, Clock
from wsinspect.present.glyphs import UNICODE
from wsinspect.present.notes import (
    EVICTED,
    HEX_ROW,
    hex_preview,
    is_text,
    make_row,
    violation_lines,
)
from wsinspect.present.records import Fragment, Record
from wsinspect.present.rows import Row, flags, marks, notes, with_preview
from wsinspect.present.terminal import Palette, milliseconds
from wsinspect.text import escape, escape_lines, pad
from wsinspect.wire.opcodes import opcode_name

_COLUMNS = (("#", 6), ("TIME S", 10), ("DELTA MS", 8), ("DIR", 3), ("OP", 6), ("FRSV", 4), ("BYTES", 7))
_RIGHT = frozenset({"#", "TIME S", "DELTA MS", "BYTES"})
_NOTE_INDENT = sum(width + 2 for _, width in _COLUMNS)
#: Where the notes would have fewer cells than this, the time since the frame before makes room for them.
_ROOMY_NOTE = 40
_DELTA_INDENT = 10
_TIME_CELLS, _WALL_CELLS = 10, 15
_TIME_NAMES = {RELATIVE: "TIME S", DELTA: "DELTA S", LOCAL: "LOCAL TIME", UTC: "UTC"}
_LEAST_NOTE = 22


@dataclass
class Page:
    """Some frames in order, with what is known about them.

    Attributes:
        frames: with payloads cut at `PREVIEW_BYTES` unless whole ones are wanted.
        messages: by id, of these frames.
        pings: by frame id, for a PING and for a PONG.
        faults: by frame id, what they did to it.
        findings: by frame id, those that name it.
        fragments: by frame id, the places of those that are one of several frames of a message.
        whole: gives the payload to print below a frame's row; None prints none.
    """

    frames: list[FrameRow]
    messages: Mapping[int, Message] = field(default_factory=dict)
    pings: Mapping[int, Ping] = field(default_factory=dict)
    faults: Mapping[int, Sequence[FaultRow]] = field(default_factory=dict)
    findings: Mapping[int, Sequence[FindingRow]] = field(default_factory=dict)
    fragments: Mapping[int, Fragment] = field(default_factory=dict)
    whole: Callable[[FrameRow], bytes] | None = None

    def record(self, frame: FrameRow) -> Record:
        """What is known of one of the frames."""
        message = self.messages.get(frame.message_id) if frame.message_id is not None else None
        return Record(frame, message, self.pings.get(frame.id), tuple(self.faults.get(frame.id, ())))


class FrameTable:
    """Turns pages of one connection's frames into lines.

    Args:
        connection: whose frames; times count from its attempt. None where it is not known.
        columns: cells of a line.
        palette: colours.
        is_live: frames may still come, so that a missing PONG is not yet missing; may change later.
        clock: how times are written.

    Attributes:
        connection: as given.
        with_delta: whether there is room for the time since the frame before.
        note_cells: cells that are left for notes and preview.
        start_ns: what times count from; None for the first frame.
        before_ns: the time of the row before.
        violations: codes of all that was broken in the rows so far.
    """

    def __init__(
        self,
        connection: Connection | None,
        columns: int,
        palette: Palette,
        is_live: bool = False,
        clock: Clock = RELATIVE_CLOCK,
    ) -> None:
        self.connection = connection
        self.clock = clock
        self.start_ns = connection.attempt_ns if connection else None
        more = _WALL_CELLS - _TIME_CELLS if clock.is_wall else 0
        self.with_delta = columns - _NOTE_INDENT - more >= _ROOMY_NOTE
        indent = (_NOTE_INDENT if self.with_delta else _NOTE_INDENT - _DELTA_INDENT) + more
        self.note_cells = max(columns - indent, _LEAST_NOTE)
        self._palette = palette
        self.is_live = is_live
        self.before_ns: int | None = None
        self.violations: set[str] = set()

    def header(self) -> str:
        """The names of the columns."""
        columns = [one for one in _COLUMNS if self.with_delta or one[0] != "DELTA MS"]
        names = [pad(name, width, right=name in _RIGHT) for name, width in columns]
        names[1] = pad(_TIME_NAMES[self.clock.kind], self.time_cells, right=True)
        return self._palette.bold("  ".join([*names, "NOTE, PREVIEW"]))

    @property
    def time_cells(self) -> int:
        """Cells of the column of times."""
        return _WALL_CELLS if self.clock.is_wall else _TIME_CELLS

    def time_text(self, time_ns: int, start_ns: int, delta_ns: int) -> str:
        """A frame's time, to the microsecond."""
        if self.clock.is_wall:
            return self.clock.of_day(time_ns, digits=6)
        shown_ns = delta_ns if self.clock.kind == DELTA else time_ns - start_ns
        return f"{shown_ns / 1e9:>{_TIME_CELLS}.6f}"

    def lines(self, page: Page) -> Iterator[str]:
        """A line for each frame, followed by its whole payload where the page has it."""
        for frame in page.frames:
            yield from self.frame_lines(frame, page)

    def frame_lines(self, frame: FrameRow, page: Page) -> Iterator[str]:
        """The lines of one frame of a page."""
        record = page.record(frame)
        yield self._line(self._row(record, page), has_preview=page.whole is None)
        if page.whole is not None and not frame.is_evicted:
            yield from payload_lines(page.whole(frame), is_text=is_text(frame, record.message))

    def legend(self) -> Iterator[str]:
        """What the violations that were shown mean."""
        for line in violation_lines(",".join(sorted(self.violations))):
            yield self._palette.line(line).rstrip()

    def tail(self, found: Line, preview: str) -> str:
        """What stands behind the columns; of a payload as much as fits."""
        return self._palette.line(fit(with_preview(found, preview, self.note_cells), self.note_cells))

    def _row(self, record: Record, page: Page) -> Row:
        frame = record.frame
        zero_ns = frame.time_ns if self.start_ns is None else self.start_ns
        delta_ns = 0 if self.before_ns is None else frame.time_ns - self.before_ns
        self.before_ns = frame.time_ns
        if frame.violation:
            self.violations.update(frame.violation.split(","))
        return make_row(
            record,
            page.fragments.get(frame.id),
            zero_ns=zero_ns,
            delta_ns=delta_ns,
            glyphs=UNICODE,
            is_live=self.is_live,
            findings=page.findings.get(frame.id, ()),
            connection=self.connection,
        )

    def _line(self, row: Row, *, has_preview: bool) -> str:
        delta = f"{milliseconds(row.delta_ns):>8}  " if self.with_delta else ""
        time = self.time_text(self.before_ns or 0, (self.before_ns or 0) - row.t_ns, row.delta_ns)
        columns = (
            f"{row.id:>6}  {time}  {delta}"
            f"{row.direction.arrow:<3}  {opcode_name(row.opcode):<6}  {flags(row.bits, UNICODE)}  "
            f"{row.length:>7}"
        )
        behind = self.tail([*marks(row, UNICODE), *notes(row)], row.preview if has_preview else "")
        return f"{self._palette.direction(columns, bool(row.direction))}  {behind}".rstrip()


def payload_lines(data: bytes, *, is_text: bool) -> Iterator[str]:
    """A whole payload, indented: text as text, anything else as a hex dump."""
    if not data:
        yield "    (0 bytes)"
    elif is_text:
        yield from (f"    {line}" for line in escape_lines(data.decode("utf-8", "backslashreplace")))
    else:
        yield from (f"    {line}" for line in hex_dump(data))


def hex_dump(data: bytes) -> Iterator[str]:
    """Offset, sixteen bytes, and the ASCII among them."""
    for offset in range(0, len(data), HEX_ROW):
        row = data[offset : offset + HEX_ROW]
        left, right = row[:8].hex(" "), row[8:].hex(" ")
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        yield f"{offset:08x}  {left:<23}  {right:<23}  {shown}"


def opaque_lines(pieces: Iterable[Opaque], with_payload: bool) -> Iterator[str]:
    """Bytes that belong to no frame: after the boundaries were lost, or of a frame that never ended."""
    for one in pieces:
        after = f" after frame {one.after_frame}" if one.after_frame else ""
        reason = f" ({escape(one.reason)})" if one.reason else ""
        yield f"Bytes outside frames: {one.length} {one.direction.arrow}{after}{reason}"
        if one.is_evicted:
            yield f"    ({EVICTED})"
        elif with_payload:
            yield from payload_lines(one.data, is_text=False)
        else:
            yield f"    {hex_preview(one.data)}"
