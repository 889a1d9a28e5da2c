"""A frame as a row: its cells, marks and notes, and how the timeline lays them out (`frame_table`: `show`).

Contract: `format_row` returns at most `width` cells, whatever the peer sent; columns are dropped by width in
a fixed order (time between frames, F/RSV, the lane down to one sign, the time), the frame's number,
direction, opcode and length stay. The lane is the frame's way between client and server: full line data,
dashed control, double CLOSE, the arrow head its direction, and what was done to it on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

from wsinspect.present.cells import Line, fit, width_of
from wsinspect.present.glyphs import UNICODE, Glyphs
from wsinspect.text import cell_width, pad, truncate
from wsinspect.units import format_duration, format_size
from wsinspect.wire.opcodes import Direction, Opcode, opcode_name

#: What became of a frame in the proxy.
PASSED, ALTERED, STOPPED, INJECTED = "", "altered", "stopped", "injected"
_NOTE_CELLS: Final = 28
_OP_CELLS, _FLAG_CELLS, _DELTA_CELLS = 6, 4, 9
#: A lane drawn with enough room, and the shortest one that still shows what became of a frame.
_LANE_CELLS, _SHORT_LANE_CELLS = 16, 4


class Row(NamedTuple):
    """What a row shows.

    Attributes:
        id: the frame's number.
        connection: shown where frames of several connections are listed.
        t_ns: since the time that counts as zero.
        delta_ns: since the frame row before.
        bits: the first two header bytes.
        length: payload bytes on the wire.
        fate: `PASSED`, `ALTERED`, `STOPPED` or `INJECTED`.
        fate_note: what stands in the lane of an altered frame, as `+250 ms`.
        is_marked: a violation or a finding concerns it.
        notes: what it is part of and what is odd, escaped, each with the name of its style.
        preview: how its payload begins, escaped.
    """

    id: int
    connection: int
    t_ns: int
    delta_ns: int
    direction: Direction
    bits: int
    length: int
    fate: str = PASSED
    fate_note: str = ""
    is_marked: bool = False
    notes: tuple[tuple[str, str], ...] = ()
    preview: str = ""

    @property
    def opcode(self) -> int:
        """Four bits of the header as recorded, 0 to 15 (RFC 6455 section 5.2)."""
        return self.bits >> 8 & 15


@dataclass(frozen=True)
class Caps:
    """What a table of rows can show.

    Attributes:
        width: cells of a row.
        id_cells: of the longest number.
        with_connection: frames of several connections are listed.
        glyphs: the signs.
    """

    width: int
    id_cells: int = 5
    with_connection: bool = False
    glyphs: Glyphs = field(default=UNICODE)

    def layout(self) -> Layout:
        """The columns that fit."""
        for layout in _LAYOUTS[:-1]:
            if self.width - self.fixed_cells(layout) >= _NOTE_CELLS:
                return layout
        return _LAYOUTS[-1]

    def fixed_cells(self, layout: Layout) -> int:
        """Cells before the note."""
        cells = 1 + self.id_cells + 1 + 2 + layout.lane + 1 + _OP_CELLS + 1 + 7 + 2
        cells += (_connection_cells + 1) * self.with_connection
        cells += (layout.time + 1) * bool(layout.time)
        cells += (_DELTA_CELLS + 1) * layout.with_delta
        return cells + (_FLAG_CELLS + 1) * layout.with_flags


_connection_cells: Final = 4


class Layout(NamedTuple):
    """Which columns are shown, and how wide the lane is."""

    with_delta: bool
    with_flags: bool
    lane: int
    time: int


_LAYOUTS: Final = (
    Layout(True, True, _LANE_CELLS, 10),
    Layout(False, True, _LANE_CELLS, 10),
    Layout(False, False, _LANE_CELLS, 10),
    Layout(False, False, 9, 9),
    Layout(False, False, 1, 9),
    Layout(False, False, 1, 0),
)


def format_row(row: Row, caps: Caps) -> Line:
    """A frame as one line of the timeline, in the columns that `caps` has room for."""
    layout = caps.layout()
    side = "s2c" if row.direction else "c2s"
    line: Line = [(" " + pad(str(row.id), caps.id_cells, right=True) + " ", "muted")]
    if caps.with_connection:
        line.append((pad(str(row.connection), _connection_cells, right=True) + " ", "muted"))
    if layout.time:
        line.append((pad(seconds(row.t_ns), layout.time, right=True) + " ", ""))
    if layout.with_delta:
        line.append((pad(milliseconds(row.delta_ns), _DELTA_CELLS, right=True) + " ", "muted"))
    line.append(((caps.glyphs.marked if row.is_marked else " ") + " ", "error"))
    line.append((lane(row, layout.lane, caps.glyphs) + " ", side))
    line.append((pad(opcode_name(row.opcode), _OP_CELLS) + " ", side if row.opcode < 8 else "control"))
    if layout.with_flags:
        line.append((flags(row.bits, caps.glyphs) + " ", "muted"))
    line.append((pad(short_count(row.length), 7, right=True) + "  ", ""))
    return fit([*line, *_tail(row, caps.width - width_of(line), layout.lane, caps.glyphs)], caps.width)


def marks(row: Row, glyphs: Glyphs) -> Line:
    """`!` where a violation or a finding concerns the frame, and what became of it on the way."""
    found: Line = [(f"{glyphs.marked} ", "error")] if row.is_marked else []
    sign = {ALTERED: glyphs.altered, STOPPED: glyphs.stopped, INJECTED: glyphs.injected}.get(row.fate)
    return [*found, (f"{sign} ", "warn")] if sign else found


def notes(row: Row, *, with_delay: bool = True) -> Line:
    """The notes in a row; the delay first where no lane says it."""
    found: Line = [(row.fate_note, "warn")] if row.fate_note and with_delay else []
    for note in row.notes:
        found += [("; ", ""), note] if found else [note]
    return found


def with_preview(found: Line, preview: str, cells: int) -> Line:
    """Notes, and as much of the payload as fits into the cells that they leave."""
    left = cells - width_of(found) - (2 if found else 0)
    if not preview or left < 2:
        return found
    return [*found, ("  " if found else "", ""), (truncate(preview, left), "")]


def _tail(row: Row, cells: int, lane_cells: int, glyphs: Glyphs) -> Line:
    """Notes and preview; the notes go first where both do not fit, and say what a narrow lane cannot."""
    found = notes(row, with_delay=lane_cells < _LANE_CELLS)
    if lane_cells < _SHORT_LANE_CELLS:
        found = [*marks(row._replace(is_marked=False), glyphs), *found]
    return with_preview(fit(found, cells), row.preview, cells)


def format_header(caps: Caps) -> Line:
    """The names of the columns."""
    layout = caps.layout()
    text = " " + pad("#", caps.id_cells, right=True) + " "
    if caps.with_connection:
        text += pad("conn", _connection_cells, right=True) + " "
    if layout.time:
        text += pad("t (s)", layout.time, right=True) + " "
    if layout.with_delta:
        text += pad("Δ ms" if caps.glyphs is UNICODE else "d ms", _DELTA_CELLS, right=True) + " "
    text += "  " + _lane_header(layout.lane, caps.glyphs) + " " + pad("op", _OP_CELLS) + " "
    if layout.with_flags:
        text += pad("FRSV", _FLAG_CELLS) + " "
    return fit([(text + pad("bytes", 7, right=True) + "  note, preview", "muted")], caps.width)


def _lane_header(cells: int, glyphs: Glyphs) -> str:
    if cells >= 16:
        return "client" + glyphs.rule * (cells - 12) + "server"
    return pad("c", cells - 1) + "s" if cells > 1 else " "


def format_gap(silence_ns: int, caps: Caps) -> Line:
    """A silence between two frames."""
    layout = caps.layout()
    words = f"gap {duration(silence_ns)}"
    before = caps.fixed_cells(layout) - layout.lane - _OP_CELLS - 11 - (_FLAG_CELLS + 1) * layout.with_flags
    sign = caps.glyphs.gap
    text = f"{sign} {words.center(layout.lane - 4)} {sign}" if layout.lane >= 16 else f"{sign} {words}"
    return fit([(" " * before + text, "gap")], caps.width)


def lane(row: Row, cells: int, glyphs: Glyphs) -> str:
    """The frame's path between client and server, in `width` cells."""
    kind = 2 if row.opcode == Opcode.CLOSE else 1 if row.opcode >= 8 else 0
    if cells < _SHORT_LANE_CELLS:
        return glyphs.short[2 * kind + row.direction]
    line = (glyphs.data, glyphs.control, glyphs.close)[kind]
    way = line * (cells - 3)
    if row.fate == STOPPED:
        way = line * 2 + glyphs.stopped
        way = pad(way, cells - 2) if row.direction == 0 else pad(way[::-1], cells - 2, right=True)
        return glyphs.left + way + glyphs.right
    if row.fate in (ALTERED, INJECTED):
        sign = glyphs.altered if row.fate == ALTERED else glyphs.injected
        inside = f"{sign} {row.fate_note}" if row.fate_note and cells >= _LANE_CELLS else sign
        inside = truncate(inside, cells - 5)
        way = line * 2 + inside + line * (cells - 5 - cell_width(inside))
    if row.direction:
        return glyphs.left + glyphs.to_client + way + glyphs.right
    return glyphs.left + way + glyphs.to_server + glyphs.right


def flags(bits: int, glyphs: Glyphs) -> str:
    """FIN and the reserved bits, in four cells."""
    signs = zip("F123", (0x8000, 0x4000, 0x2000, 0x1000), strict=True)
    return "".join(sign if bits & bit else glyphs.unset for sign, bit in signs)


def seconds(interval_ns: int) -> str:
    """Seconds to the millisecond."""
    return f"{interval_ns / 1e9:.3f}"


def milliseconds(interval_ns: int) -> str:
    """Milliseconds to the tenth; long ones without it."""
    return f"{interval_ns / 1e6:.1f}" if abs(interval_ns) < 10**12 else f"{interval_ns / 1e6:.0f}"


#: Of steady width: most are in columns, or change while somebody looks.
duration = partial(format_duration, is_steady=True)
byte_count = format_size


def short_count(count: int) -> str:
    """A number in at most seven cells."""
    for limit, divisor, unit in ((10**7, 1, ""), (10**10, 10**6, "M"), (10**13, 10**9, "G")):
        if count < limit:
            return f"{count // divisor}{unit}"
    return f"{count / 10**12:.0f}T"
