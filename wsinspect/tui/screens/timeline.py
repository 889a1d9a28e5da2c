"""The timeline page: all connections as bars on one time axis."""

from __future__ import annotations

import time
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip

from wsinspect.capture.records import Connection
from wsinspect.present.cells import Line, fit
from wsinspect.present.rows import duration
from wsinspect.present.words import end_words
from wsinspect.text import counted, escape, grouped, pad, truncate
from wsinspect.tui import lanes
from wsinspect.tui.keys import bindings_of
from wsinspect.tui.screens.page import Page
from wsinspect.tui.widgets.base import LinePane
from wsinspect.tui.workspace import Workspace

_ZOOM = 2


class TimelinePane(LinePane):
    """One line for each client and target; reconnects follow one another on it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "one(-1)", "connection before", show=False, id="timeline.before"),
        Binding("right", "one(1)", "next connection", show=False, id="timeline.next"),
        Binding("plus,equals_sign", "zoom(1)", "zoom in", show=False, id="timeline.zoom_in"),
        Binding("minus", "zoom(-1)", "zoom out", show=False, id="timeline.zoom_out"),
        Binding("enter", "go", "its frames", show=False, id="timeline.go"),
    ]
    help_title = "Connection timeline"
    help_text = (
        "All connections on one time axis, with a line for each client and target. A bar is an open "
        "connection: it begins with |, is dotted until the connection is open, and ends with | for a clean "
        "close or x for any other end; X is an attempt that was refused or failed. Left and right go to the "
        "next one, + and - zoom around it, Enter shows its frames."
    )
    header_lines = 2

    def __init__(self, workspace: Workspace, *, id: str | None = None) -> None:
        super().__init__(workspace, id=id)
        self.lines: list[lanes.TimeLine] = []
        self.chosen = 0
        self.zoom = 0

    class Opened(Message):
        """Enter: show the connection's frames."""

        def __init__(self, connection: int) -> None:
            super().__init__()
            self.connection = connection

    def reload(self) -> None:
        """Connections have come or changed."""
        self.lines = lanes.time_lines(self.model.connections.values())
        self.clamp()
        self.refresh()

    def title(self) -> tuple[Line, Line]:
        """How many of what."""
        count = len(self.model.connections)
        left: Line = [("Timeline", "title"), (f"  {counted(count, 'connection')}", "muted")]
        refused = sum(one.state in ("refused", "failed") for one in self.model.connections.values())
        if refused:
            left.append((f", {grouped(refused)} refused or failed", "error"))
        return left, [
            ("enter frames  left right connection  + - zoom", "muted")
        ] if self.size.width > 90 else []

    # -- the axis

    def span(self) -> tuple[int, int]:
        """The whole of it, or a part around the chosen connection."""
        ones = self.model.connections.values()
        begins = [lanes.begin_of(one) for one in ones if lanes.begin_of(one)]
        if not begins:
            return 0, 1
        first = min(begins)
        last = time.time_ns() if self.model.is_live else max(self.model.end_ns, max(begins))
        last = max(last, first + 1_000_000)
        chosen = self.chosen_connection()
        if self.zoom and chosen is not None:
            width = max((last - first) // _ZOOM**self.zoom, 1_000_000)
            middle = lanes.begin_of(chosen)
            first = max(first, middle - width // 2)
            last = min(last, first + width)
        return first, last

    def _label_cells(self, width: int) -> int:
        return 34 if width >= 120 else 22

    def _note_cells(self, width: int) -> int:
        return 34 if width >= 120 else 24 if width >= 80 else 0

    def header(self, width: int) -> Line:
        """Times below which bars stand."""
        first, last = self.span()
        label = self._label_cells(width)
        cells = max(width - label - self._note_cells(width) - 2, 10)
        text = lanes.axis(first, last, self.model.zero_ns, cells) if self.lines else ""
        return fit([(pad(" connections  target", label), "muted"), (text, "muted")], width)

    def render_line(self, y: int) -> Strip:
        """The second header line says what the cursor is on."""
        if y == 2 and self._header_height == 2 and self.lines:
            return self.palette.strip(fit(self._chosen_words(), self.size.width), self.size.width)
        return super().render_line(y)

    def _chosen_words(self) -> Line:
        one = self.chosen_connection()
        if one is None:
            return []
        end_ns = lanes.end_of(one)
        lasted = f"lasted {duration(end_ns - lanes.begin_of(one))}" if end_ns is not None else "still open"
        return [(f" conn {one.id} ", "key"), (f"{escape(one.state)}  {lasted}  {end_words(one)}", "")]

    def row_count(self) -> int:
        return len(self.lines)

    def empty_lines(self, width: int) -> list[Line]:
        return [[("  No connections yet. Each attempt will be a bar here.", "muted")]]

    def row(self, number: int, width: int) -> Line:
        line = self.lines[number]
        first, last = self.span()
        label, note = self._label_cells(width), self._note_cells(width)
        cells = max(width - label - note - 2, 10)
        chosen = self.chosen_connection() if number == self.cursor else None
        name = truncate(f" {lanes.numbers(line.ones)} {escape(line.target)} {escape(line.client)}", label - 1)
        words = truncate(lanes.pattern_words(line.ones), max(note - 1, 0))
        return fit(
            [
                (pad(name, label), ""),
                *self._signs(line, first, last, cells, chosen),
                (" ", ""),
                (words, "muted"),
            ],
            width,
        )

    def _signs(
        self, line: lanes.TimeLine, first: int, last: int, cells: int, chosen: Connection | None
    ) -> Line:
        signs = {
            lanes.NOTHING: (" ", ""),
            lanes.WAITING: (self.glyphs.control, "muted"),
            lanes.OPEN: (self.glyphs.heavy, "good"),
            lanes.ATTEMPT: ("|" if self.palette.is_ascii else "┣", "good"),
            lanes.CLOSED: ("|" if self.palette.is_ascii else "┫", "good"),
            lanes.UNCLEAN: ("x", "warn"),
            lanes.REFUSED: ("X" if self.palette.is_ascii else self.glyphs.stopped, "error"),
        }
        at = -1
        if chosen is not None:
            at = max(0, min((lanes.begin_of(chosen) - first) * cells // max(last - first, 1), cells - 1))
        pieces: Line = []
        for number, what in enumerate(lanes.bar(line, first, last, cells)):
            sign, style = signs[what]
            pieces.append((sign, "accent" if number == at else style))
        return pieces

    # -- choosing

    def chosen_connection(self) -> Connection | None:
        """The one that left and right have reached."""
        if not 0 <= self.cursor < len(self.lines):
            return None
        ones = self.lines[self.cursor].ones
        return ones[max(0, min(self.chosen, len(ones) - 1))]

    def move_to(self, number: int) -> None:
        """Another line: its first connection."""
        self.chosen = 0
        super().move_to(number)

    def action_one(self, step: int) -> None:
        """The next or previous connection."""
        if 0 <= self.cursor < len(self.lines):
            self.chosen = max(0, min(self.chosen + step, len(self.lines[self.cursor].ones) - 1))
            self.refresh()

    def action_zoom(self, step: int) -> None:
        """Around the chosen one."""
        self.zoom = max(0, min(self.zoom + step, 30))
        self.refresh()

    def action_go(self) -> None:
        one = self.chosen_connection()
        if one is not None:
            self.post_message(self.Opened(one.id))


class TimelineScreen(Page):
    BINDINGS: ClassVar[list[BindingType]] = bindings_of("timeline")
    page = "timeline"

    def __init__(self, workspace: Workspace) -> None:
        self.timeline = TimelinePane(workspace, id="timeline")
        super().__init__(workspace, self.timeline)

    def on_screen_resume(self) -> None:
        """Connections may have come while it was not shown."""
        self.timeline.reload()
        super().on_screen_resume()

    def grown(self) -> None:
        """Connections may have come or changed."""
        self.timeline.reload()
        super().grown()

    def connection_in_view(self) -> int | None:
        """The one that left and right have reached."""
        one = self.timeline.chosen_connection()
        return None if one is None else one.id

    def action_copy(self) -> None:
        """The chosen connection's URL."""
        one = self.timeline.chosen_connection()
        if one is not None:
            self.copier.text(one.url, "URL", ".txt")
