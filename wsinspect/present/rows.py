"""A frame as a row: its cells, marks and notes, and how the timeline lays them out (`frame_table`: `show`).

Contract: `format_row` returns at most `width` cells, whatever the peer sent; columns are dropped by width in
a fixed order (time between frames, F/RSV, the lane down to one sign, the time), the frame's number,
direction, opcode and length stay. The lane is the frame's way between client and server: full line data,
dashed control, double CLOSE, the arrow head its direction, and what was done to it on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Final, NamedTuple

from wsinspect.present.cells import Line, fit, width_of
from wsinspect.present.clock import DELTA, RELATIVE_CLOCK, Clock
from wsinspect.present.glyphs import UNICODE, Glyphs
from wsinspect.text import cell_width, pad, truncate
from wsinspect.units import format_duration, format_size
from wsinspect.wire.opcodes import Direction, Opcode, opcode_name

#: What became of a frame in the proxy.
PASSED, ALTERED, STOPPED, INJECTED = "", "altered", "stopped", "injected"
_NOTE_CELLS: Final = 28
_OP_CELLS, _FLAG_CELLS, _DELTA_CELLS, _BYTES_CELLS = 6, 4, 9, 7
#: Columns of the timeline, in their usual order.
COLUMNS: Final = ("id", "conn", "time", "delta", "mark", "lane", "op", "flags", "bytes")
_RIGHT: Final = frozenset({"id", "conn", "time", "delta", "bytes"})
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
        mark_style: the name of the style of that, by the worst of them.
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
    mark_style: str = "error"
    notes: tuple[tuple[str, str], ...] = ()
    preview: str = ""

    @property
    def opcode(self) -> int:
        """Four bits of the header as recorded, 0 to 15 (RFC 6455 section 5.2)."""
        return self.bits >> 8 & 15


class Columns(NamedTuple):
    """Which columns are shown, in which order, and how wide; the note is always the last one.

    Attributes:
        order: names out of `COLUMNS`.
        widths: cells of those that are not as wide as usual.
    """

    order: tuple[str, ...] = COLUMNS
    widths: tuple[tuple[str, int], ...] = ()

    def width(self, name: str, usual: int) -> int:
        """Cells of a column."""
        return dict(self.widths).get(name, usual)


_USUAL: Final = Columns()


@dataclass(frozen=True)
class Caps:
    """What a table of rows can show.

    Attributes:
        width: cells of a row.
        id_cells: of the longest number.
        with_connection: frames of several connections are listed.
        glyphs: the signs.
        clock: how times are written.
        zero_ns: what relative times count from.
        columns: those that the user wants.
    """

    width: int
    id_cells: int = 5
    with_connection: bool = False
    glyphs: Glyphs = field(default=UNICODE)
    clock: Clock = RELATIVE_CLOCK
    zero_ns: int = 0
    columns: Columns = _USUAL

    @cached_property  # a table asks this of each of its rows
    def shown(self) -> tuple[tuple[str, int], ...]:
        """The columns that fit in order, each with its cells."""
        for layout in _LAYOUTS[:-1]:
            shown = self._columns(layout)
            if self.width - (2 + sum(cells + 1 for _, cells in shown)) >= _NOTE_CELLS:
                return shown
        return self._columns(_LAYOUTS[-1])

    def _columns(self, layout: Layout) -> tuple[tuple[str, int], ...]:
        is_delta = self.clock.kind == DELTA
        usual = {
            "id": self.id_cells,
            "conn": _connection_cells * self.with_connection,
            "time": layout.time and max(layout.time, self.clock.cells),
            "delta": _DELTA_CELLS * (layout.with_delta and not is_delta),
            "mark": 1,
            "lane": layout.lane,
            "op": _OP_CELLS,
            "flags": _FLAG_CELLS * layout.with_flags,
            "bytes": _BYTES_CELLS,
        }
        columns = self.columns
        found = ((name, usual[name] and columns.width(name, usual[name])) for name in columns.order)
        # A lane that has shrunk to one sign stays that.
        is_sign = layout.lane == 1
        return tuple((name, 1 if name == "lane" and is_sign else cells) for name, cells in found if cells)


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
    shown = caps.shown
    line: Line = []
    for number, (name, cells) in enumerate(shown):
        text, style, is_right = _cell(row, name, cells, caps)
        begin, end = " " * (number == 0), " " * (1 + (number == len(shown) - 1))
        line.append((begin + pad(truncate(text, cells), cells, right=is_right) + end, style))
    return fit([*line, *_tail(row, caps.width - width_of(line), dict(shown), caps.glyphs)], caps.width)


def _cell(row: Row, name: str, cells: int, caps: Caps) -> tuple[str, str, bool]:
    """Text, style and alignment of one cell."""
    side = "s2c" if row.direction else "c2s"
    match name:
        case "id":
            return str(row.id), "muted", True
        case "conn":
            return str(row.connection), "muted", True
        case "time":
            return caps.clock.cell(caps.zero_ns + row.t_ns, caps.zero_ns, row.delta_ns), "", True
        case "delta":
            return milliseconds(row.delta_ns), "muted", True
        case "mark":
            return caps.glyphs.marked if row.is_marked else " ", row.mark_style, False
        case "lane":
            return lane(row, cells, caps.glyphs), side, False
        case "op":
            return opcode_name(row.opcode), side if row.opcode < 8 else "control", False
        case "flags":
            return flags(row.bits, caps.glyphs), "muted", False
        case _:
            return short_count(row.length), "", True


def marks(row: Row, glyphs: Glyphs) -> Line:
    """`!` where a violation or a finding concerns the frame, and what became of it on the way."""
    found: Line = [(f"{glyphs.marked} ", row.mark_style)] if row.is_marked else []
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


def _tail(row: Row, cells: int, shown: dict[str, int], glyphs: Glyphs) -> Line:
    """Notes and preview; the notes go first where both do not fit, and say what a narrow lane cannot."""
    lane_cells = shown.get("lane", 0)
    found = notes(row, with_delay=lane_cells < _LANE_CELLS or glyphs.is_plain)
    if lane_cells < _SHORT_LANE_CELLS or glyphs.is_plain:
        found = [*marks(row._replace(is_marked=row.is_marked and "mark" not in shown), glyphs), *found]
    return with_preview(fit(found, cells), row.preview, cells)


def format_header(caps: Caps) -> Line:
    """The names of the columns."""
    text = " "
    for name, cells in caps.shown:
        text += pad(truncate(_heading(name, cells, caps), cells), cells, right=name in _RIGHT) + " "
    return fit([(text + " note, preview", "muted")], caps.width)


def _heading(name: str, cells: int, caps: Caps) -> str:
    is_ascii = caps.glyphs is not UNICODE
    match name:
        case "id":
            return "#"
        case "time":
            return caps.clock.heading(is_ascii=is_ascii)
        case "delta":
            return "d ms" if is_ascii else "Δ ms"
        case "mark":
            return ""
        case "lane":
            return _lane_header(cells, caps.glyphs)
        case "flags":
            return "FRSV"
        case _:
            return name


def _lane_header(cells: int, glyphs: Glyphs) -> str:
    if cells >= 16 and glyphs.is_plain:
        return "way"
    if cells >= 16:
        return "client" + glyphs.rule * (cells - 12) + "server"
    return pad("c", cells - 1) + "s" if cells > 1 else " "


def format_gap(silence_ns: int, caps: Caps) -> Line:
    """A silence between two frames."""
    before, lane_cells = 1, 0
    for name, cells in caps.shown:
        if name == "lane":
            lane_cells = cells
            break
        before += cells + 1
    words, sign = f"gap {duration(silence_ns)}", caps.glyphs.gap
    text = f"{sign} {words.center(lane_cells - 4)} {sign}" if lane_cells >= 16 else f"{sign} {words}"
    return fit([(" " * min(before, max(caps.width - 20, 1)) + text, "gap")], caps.width)


def lane(row: Row, cells: int, glyphs: Glyphs) -> str:
    """The frame's path between client and server, in `width` cells."""
    kind = 2 if row.opcode == Opcode.CLOSE else 1 if row.opcode >= 8 else 0
    if glyphs.is_plain:
        return _lane_words(row, cells)
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


def _lane_words(row: Row, cells: int) -> str:
    """A lane for those who hear it: where the frame went."""
    ways = (
        ("client to server", "to server", ">")
        if not row.direction
        else ("server to client", "to client", "<")
    )
    return pad(next(way for way in ways if len(way) <= max(cells, 1)), cells)


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
