"""The connections, newest first, below a row that stands for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar, Final

from textual.binding import Binding, BindingType

from wsinspect.capture.missing import NOT_STORED, lacks
from wsinspect.capture.records import Connection
from wsinspect.present.cells import Line, fit
from wsinspect.present.notes import severity_sign, worst_of
from wsinspect.present.rows import byte_count, duration, short_count
from wsinspect.present.words import ago, end_in, extension_words, state_word, target_words
from wsinspect.text import cell_width, counted, escape, grouped, pad, truncate
from wsinspect.tui.keys import ABOUT_URL
from wsinspect.tui.model import LIVE
from wsinspect.tui.states import no_connections
from wsinspect.tui.widgets.base import LinePane
from wsinspect.tui.workspace import Workspace

_STATE_STYLES = {
    "open": "good",
    "connecting": "key",
    "refused": "error",
    "failed": "error",
    "lost": "warn",
    "closed": "muted",
}
#: Columns: name, cells, whether to the right, and from which width on; 0 cells take what is left.
_COLUMNS = (
    ("#", 5, True, 0),
    ("state", 10, False, 0),
    ("tap", 0, False, 0),
    ("client", 21, False, 130),
    ("target", 0, False, 0),
    ("subproto", 10, False, 120),
    ("ext", 8, False, 120),
    ("c>s", 7, True, 0),
    ("s>c", 7, True, 0),
    ("rtt p50", 8, True, 110),
    ("last", 10, True, 70),
    ("end", 18, False, 0),
)
#: Below this width the column of numbers is as narrow as the longest one, and no narrower than this.
_WIDE: Final = 100
_LEAST_NUMBER: Final = 3
_MOST_TAP: Final = 10
#: Between a column that ends at the right and one that begins at the left, which would run together.
_GAP: Final = 2


class ConnectionsPane(LinePane):
    """The list on top of the screen; the row under the cursor decides what the other panes show."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "screen.focus_pane(3)", "its frames", show=False, id="connections.frames"),
    ]
    help_title = "Connections"
    help_text = (
        "Every attempt and connection, newest first; the first row stands for all of them. The row under the "
        "cursor decides what the other panes show. Counts are frames; rtt p50 is the median round trip of "
        "its pings; last is the time since its last frame; end says how it ended, with the close codes of "
        "both sides or the FIN or RST that came instead, after the numbers of faults and findings, and "
        "counts payloads deleted to make room. With several taps each connection has the name of its own."
    )
    header_lines = 1
    is_table = True

    def __init__(self, workspace: Workspace, *, id: str | None = None) -> None:
        super().__init__(workspace, id=id)
        self.shown: set[int] | None = None
        self._order: list[int] = []
        self._tap_cells = 0  # none where there is one tap, which a column would only repeat

    def refresh_order(self) -> None:
        """Connections were added, or the filter has changed; the cursor stays on its connection."""
        selected = self.connection_at(self.cursor)
        known = self.model.connections
        taps = {one.tap for one in known.values() if one.tap}
        self._tap_cells = min(max(map(cell_width, taps)), _MOST_TAP) if len(taps) > 1 else 0
        self._order = [number for number in known if self.shown is None or number in self.shown]
        if selected is not None and selected in known:
            self.cursor = self._row_of(selected)
            self.show_cursor()
        self.clamp()
        self.refresh()

    def connection_at(self, number: int) -> int | None:
        """The connection of a row; None for the row of all."""
        return self._order[-number] if 0 < number <= len(self._order) else None

    def _row_of(self, connection: int) -> int:
        try:
            return len(self._order) - self._order.index(connection)
        except ValueError:
            return 0

    def choose(self, connection: int | None) -> None:
        """Put the cursor on a connection."""
        self.move_to(0 if connection is None else self._row_of(connection))

    def jump_aim(self, number: int) -> Callable[[], None] | None:
        """The connection of a row: those above it may become more."""
        connection = self.connection_at(number)
        return lambda: self.choose(connection)

    def title(self) -> tuple[Line, Line]:
        model = self.model
        count = len(model.connections)
        live = sum(one.state == "open" for one in model.connections.values()) if count < 5000 else None
        left: Line = [("1 ", "key"), ("Connections", "title")]
        shown = f"{grouped(len(self._order))} of " if self.shown is not None else ""
        left.append((f"  {shown}{grouped(count)}", "muted"))
        if live and model.is_live:
            left.append((f", {grouped(live)} open", "good"))
        gone = sum(one.evicted_payloads for one in model.connections.values()) if count < 5000 else 0
        return left, [(f"{grouped(gone)} payloads deleted (size limit)", "warn")] if gone else []

    def idle_keys(self) -> frozenset[str]:
        """The row of all has no URL."""
        return frozenset() if self.connection_at(self.cursor) is not None else ABOUT_URL

    def row_count(self) -> int:
        """The row of all, and one for each; nothing before the first connection."""
        return len(self._order) + 1 if self._order or self.shown is not None else 0

    def empty_lines(self, width: int) -> list[Line]:
        """Where to point a client."""
        return no_connections(self.model, width, self.glyphs)

    def _columns(self, width: int) -> list[tuple[str, int, bool]]:
        """The columns that fit; how it ended gets more of a wide screen, numbers less of a narrow one."""
        number = max(len(str(max(self.model.connections, default=0))), _LEAST_NUMBER)
        own = {"end": 18 if width < 100 else 24 if width < 140 else 36 + (width - 140) // 3}
        if width < _WIDE:
            own["#"] = number
        hidden = set() if self._tap_cells else {"tap"}
        if self._tap_cells:
            own["tap"] = self._tap_cells
            if width < 140:  # it takes another's place: targets are what people look for
                hidden.add("ext" if width >= _WIDE else "last")
        shown = [
            (name, own.get(name, cells), right)
            for name, cells, right, least in _COLUMNS
            # As wide as the pane is: a scroll bar must not take whole columns away.
            if max(width, self.size.width) >= least and name not in hidden
        ]
        left = max(width - _GAP - sum(cells + 1 for _, cells, _ in shown), 6)
        return [(name, cells or left, right) for name, cells, right in shown]

    def header(self, width: int) -> Line:
        """The names of the columns."""
        line: Line = [(" ", "")]
        for name, cells, right in self._columns(width):
            line += [*_before(name), (pad(truncate(name, cells), cells, right=right), "muted"), (" ", "")]
        return fit(line, width)

    def row(self, number: int, width: int) -> Line:
        """One connection, or all of them."""
        connection = self.connection_at(number)
        columns = self._columns(width)
        if connection is None:
            return self._all(columns, width)
        one = self.model.connections[connection]
        cells = self._cells(one, columns[-1][1])
        line: Line = [(self.glyphs.cursor if number == self.cursor else " ", "key")]
        for name, size, right in columns:
            text, style = cells[name]
            line += [*_before(name), (pad(truncate(text, size), size, right=right), style), (" ", "")]
        return fit(line, width)

    def _all(self, columns: list[tuple[str, int, bool]], width: int) -> Line:
        model = self.model
        ones = model.connections.values()
        many, room = (
            counted(len(ones), "connection"),
            next(size for name, size, _ in columns if name == "target"),
        )
        forms = ([f"all {many}"] if len(ones) != 1 else []) + [many, f"{grouped(len(ones))} conn"]
        many = next((form for form in forms if len(form) <= room), forms[-1])
        cells = {
            "#": "*",
            "state": "ALL",
            "target": many,
            "c>s": short_count(sum(one.c2s_frames for one in ones)),
            "s>c": short_count(sum(one.s2c_frames for one in ones)),
        }
        line: Line = [(self.glyphs.cursor if self.cursor == 0 else " ", "key")]
        for name, size, right in columns:
            text = truncate(cells.get(name, ""), size)
            line += [
                *_before(name),
                (pad(text, size, right=right), "muted" if name != "target" else ""),
                (" ", ""),
            ]
        return fit(line, width)

    def _cells(self, one: Connection, end: int) -> dict[str, tuple[str, str]]:
        """What stands in each column; the last one is `end` cells wide."""
        rtt_ns = self.selection.round_trip_ns(one)
        flags = self._flags(one)
        return {
            "#": (str(one.id), "muted"),
            "state": (state_word(one), self._state_style(one)),
            "tap": (escape(one.tap or "-"), ""),
            "client": (escape(one.client or "-"), ""),
            "target": (target_words(one), ""),
            "subproto": (escape(one.subprotocol or "-"), "muted"),
            "ext": (extension_words(one), "muted"),
            "c>s": (_count(one, one.c2s_frames), "c2s"),
            "s>c": (_count(one, one.s2c_frames), "s2c"),
            "rtt p50": ("-" if rtt_ns is None else duration(rtt_ns), "muted"),
            "last": (self._last(one), "muted"),
            "end": (_end(one, flags, end), _end_style(one)),
        }

    def _state_style(self, one: Connection) -> str:
        """Only what lives is green: of a recording an open one was open when that ended."""
        return (
            "muted" if one.state == "open" and self.model.state != LIVE else _STATE_STYLES.get(one.state, "")
        )

    def _last(self, one: Connection) -> str:
        """Since its last frame or change: to now while live, to the end of the capture else."""
        model = self.model
        times = [time_ns for time_ns in (one.closed_ns, one.open_ns, one.attempt_ns) if time_ns is not None]
        newest = model.index.last_time_ns(one.id)
        if newest is not None:
            times.append(newest)
        if not times:
            return "-"
        now_ns = time.time_ns() if model.is_live else model.end_ns
        return ago(max(now_ns - max(times), 0))

    def _flags(self, one: Connection) -> str:
        model = self.model
        faults = model.faults_of_connection.get(one.id, 0)
        findings = model.findings_of_connection.get(one.id, ())
        text = f"{self.glyphs.altered}{faults} " if faults else ""
        if not findings:
            return text
        worst = worst_of(row.severity for row in findings)
        return f"{text}{severity_sign(worst, self.glyphs)}{len(findings)} "


def _missing(one: Connection) -> str:
    """What the capture lacks: by direction what could not be stored, and how many payloads were deleted."""
    gone = lacks(one)
    if gone is None:
        return ""
    sizes = [(gap.direction.arrow, gap.bytes) for gap in gone.gaps]
    how = "not stored" if gone.how == NOT_STORED else gone.how
    parts = [f"{arrow} {'bytes' if size is None else byte_count(size)} {how}" for arrow, size in sizes]
    parts += [f"headers or events {how}"] if gone.records else []
    parts += [f"{gone.payloads} payloads deleted"] if gone.payloads else []
    return "".join(f", {part}" for part in parts)


def _before(name: str) -> Line:
    """What stands before a column, behind the blank that ends the one before."""
    return [(" " * (_GAP - 1), "")] if name == "end" else []


def _end(one: Connection, flags: str, cells: int) -> str:
    """Flags, and how it ended; of one that lives the flags alone."""
    end = end_in(one, cells - cell_width(flags))
    return (flags.rstrip() if flags and end == "-" else flags + end) + _missing(one)


def _count(one: Connection, frames: int) -> str:
    return "-" if one.open_ns is None else short_count(frames)


def _end_style(one: Connection) -> str:
    if one.state in ("refused", "failed"):
        return "error"
    if one.state == "lost" or (one.closed_ns is not None and one.js_was_clean is False):
        return "warn"
    return "muted"
