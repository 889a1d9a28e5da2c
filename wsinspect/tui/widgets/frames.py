"""The frames as lanes between client and server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar, Final

from textual.binding import Binding, BindingType
from textual.cache import LRUCache
from textual.strip import Strip

from wsinspect.present.cells import Line
from wsinspect.present.records import Record
from wsinspect.present.requests import Asked, format_asked
from wsinspect.present.rows import Caps, format_gap, format_header, format_row
from wsinspect.text import escape, grouped
from wsinspect.tui.states import no_frames
from wsinspect.tui.views import View
from wsinspect.tui.widgets.base import LinePane
from wsinspect.tui.workspace import Workspace

_KEPT_STRIPS = 2_000


#: Keys that are about the frame under the cursor.
_ABOUT_FRAME: Final = frozenset({"payload.view", "mate"})


class FrameTable(LinePane):
    """One row a frame, in the order in which the proxy saw them.

    Attributes:
        is_following: the newest row is kept on the screen.
        limit: rows that are shown where the view is paused or in playback; None shows all.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "screen.focus_pane(4)", "inspect", show=False, id="frames.inspect"),
    ]
    help_title = "Frames"
    help_text = (
        "Every frame, in the order in which its last byte arrived at the proxy. The lane shows its path: a "
        "solid line is data, a dashed one control, a double one CLOSE; the arrowhead is the direction. ! "
        "marks a frame that breaks a rule or that a finding names. F and 1 2 3 are FIN and the reserved "
        "bits. A gap row stands for a silence, a dim HTTP row for a plain request of the same client near "
        "the attempt (H hides them; a filter does, too). The view follows the newest frame until you move "
        "up; End follows again."
    )
    header_lines = 1

    def __init__(self, workspace: Workspace, *, is_following: bool = False, id: str | None = None) -> None:
        super().__init__(workspace, id=id)
        self.is_following = is_following
        self.limit: int | None = None
        self._strips: LRUCache[tuple[int, str], Strip] = LRUCache(_KEPT_STRIPS)
        self._drawn_with: tuple[object, ...] = ()
        self._caps_made_of: tuple[object, ...] = ()
        self._caps = Caps(0)
        self._empty_made_with: tuple[object, ...] = ()
        self._empty_lines: list[Line] = []

    @property
    def view(self) -> View:
        """The rows that are shown, filtered or not."""
        return self.selection.view

    # -- drawing

    def title(self) -> tuple[Line, Line]:
        """What is listed, and whether it follows."""
        left: Line = [("3 ", "key"), ("Frames", "title")]
        selected = self.selection.connection
        left.append((f"  conn {selected}" if selected is not None else "  all connections", "muted"))
        left += self._filter_words()
        left += self.workspace.search_words(self.selected_position())
        right: Line = []
        hidden = len(self.view.rows) - self.row_count()
        below = self.row_count() - (self.top + self.visible_rows)
        if self.workspace.is_paused:
            right.append((f"PAUSED  +{grouped(hidden)}", "warn"))
        elif self.limit is not None:
            right.append(("PLAYBACK", "warn"))
        elif self.is_following and not self._never_opened:
            right.append(("FOLLOW", "focus"))
        elif below > 0:
            right.append((f"+{grouped(below)} {self.glyphs.down} end", "accent"))
        return left, right

    @property
    def _never_opened(self) -> bool:
        """Whether the connection is an attempt that failed: there is nothing to follow."""
        selected = self.selection.selected
        return selected is not None and selected.state in ("refused", "failed") and not self.row_count()

    def _filter_words(self) -> Line:
        """The filter and its result."""
        flt, view = self.selection.filter, self.view
        if flt is None:
            return []
        line: Line = [(f"  {escape(flt.source)}", "key")]
        line.append((f"  {self.glyphs.good} {grouped(view.matched)} of {grouped(view.total)}", "good"))
        share = self.selection.scan_share
        if share is not None:
            line.append((f"  scanning {share}%", "warn"))
        return line

    def caps(self, width: int) -> Caps:
        """What fits into `width` cells; the same object as long as it is the same."""
        workspace, selection = self.workspace, self.selection
        id_cells = max(len(str(self.model.newest_id)), 5)
        with_connection = selection.connection is None and len(self.model.connections) > 1
        made_of = (
            *(width, id_cells, with_connection, workspace.glyphs, workspace.clock),
            *(selection.zero_ns, workspace.columns),
        )
        if made_of != self._caps_made_of:
            self._caps_made_of, self._caps = made_of, Caps(*made_of)
        return self._caps

    def header(self, width: int) -> Line:
        """The names of the columns."""
        return format_header(self.caps(width))

    def row_count(self) -> int:
        """Rows that are shown."""
        count = len(self.view.rows)
        return count if self.limit is None else min(self.limit, count)

    def row(self, number: int, width: int) -> Line:
        """A frame, or a gap."""
        view, caps = self.view, self.caps(width)
        if (asked := view.asked_at(number)) is not None:
            return format_asked(asked, caps, self.model.connections.get(asked.connection))
        position = view.position(number)
        if view.is_gap(number):
            return format_gap(view.gap_before_ns(number), caps)
        frame_id = view.index.columns.ids[position]
        record = self._record(number, frame_id)
        if record is None:
            return [
                (f" {frame_id} ", "muted"),
                (self.selection.error or "no longer in the capture", "error"),
            ]
        row = self.selection.make_row(record, position, view.gap_before_ns(number), self.glyphs)
        line = format_row(row, caps)
        if line and self.workspace.is_match(position):
            text = line[0][0]
            line[0] = (text[1:], "match")
            line.insert(0, (text[:1], ""))
        return line

    def row_strip(self, number: int, width: int, over: str) -> Strip:
        """A row from the cache, else made now."""
        drawn_with = (width, self.view, self.palette, self.caps(width))
        if drawn_with != self._drawn_with:
            self._strips.clear()
            self._drawn_with = drawn_with
        asked = self.view.asked_at(number)
        key = (self.view.rows[number] if asked is None else -asked.id, over)
        strip = self._strips.get(key)
        if strip is None:
            strip = super().row_strip(number, width, over)
            if asked is not None or not self.selection.is_changing(self._frame_id(number)):
                self._strips[key] = strip
        return strip

    def _frame_id(self, number: int) -> int:
        """The id of the frame of a row, or of the one after a gap."""
        return self.view.index.columns.ids[self.view.position(number)]

    def forget_strips(self) -> None:
        """Findings or faults of known frames have come: redraw."""
        self._strips.clear()

    def _record(self, number: int, frame_id: int) -> Record | None:
        """The record of a row; those of all rows on the screen are read at once."""
        record = self.selection.known_record(frame_id)
        if record is not None:
            return record
        view = self.view
        first = self.top if self.top <= number < self.top + self.visible_rows else number
        end = min(first + max(self.visible_rows, 1), self.row_count())
        ids = view.index.columns.ids
        wanted = [ids[view.position(y)] for y in range(first, max(end, number + 1)) if view.is_frame(y)]
        return self.selection.records(wanted).get(frame_id)

    def idle_keys(self) -> frozenset[str]:
        """Without a frame there is none to look at."""
        return frozenset() if self.selected_position() is not None else _ABOUT_FRAME

    def empty_lines(self, width: int) -> list[Line]:
        """Why there is nothing, and what to do."""
        selected = self.selection.selected
        is_long = selected is not None and selected.state in ("refused", "failed")
        if not is_long and not (selected is None and self.model.findings_of_connection.get(0)):
            return no_frames(self.workspace, width)
        made_with = (
            width,
            self.model.version,
            selected,
            self.selection.filter,
            self.selection.scan_share,
            self.workspace.playback,
            self.workspace.settings.requests,
            self.workspace.clock,
        )
        if made_with != self._empty_made_with:  # each line on the screen asks for all of them
            self._empty_made_with = made_with
            self._empty_lines = no_frames(self.workspace, width)
        return self._empty_lines

    # -- following and moving

    def grown(self) -> None:
        """Rows were added to the view."""
        if self.is_following and self.limit is None:
            before, self.cursor = self.cursor, max(self.row_count() - 1, 0)
            self._skip_gap(1)
            self.show_cursor()
            if self.cursor != before:
                self.post_message(self.Moved(self))
        self.refresh()

    @contextmanager
    def rows_kept(self) -> Iterator[None]:
        """Rows before the cursor may come and go: the same frame stays chosen, on the same line."""
        chosen, asked, offset = self.selected_position(), self.selected_asked(), self.cursor - self.top
        if asked is not None:
            frame = self.view.find(self.cursor, 1, self.view.is_frame)
            chosen = None if frame is None else self.view.position(frame)
        yield
        if chosen is not None and not self.is_following:
            self.cursor = min(self.view.y_of(chosen), max(self.row_count() - 1, 0))
            if asked is not None:
                self.cursor = self._row_of(asked)
            self.top = max(self.cursor - offset, 0)
            self.clamp()
        self.forget_strips()
        self.grown()

    def _row_of(self, asked: Asked) -> int:
        """The row of a request above the cursor's frame; the frame's own where it has none any more."""
        y = self.cursor
        while y > 0 and (above := self.view.asked_at(y - 1)) is not None:
            y -= 1
            if above.same == asked.same:
                return y
        return self.cursor

    def follow(self, is_on: bool = True) -> None:
        """Keep the newest row on the screen, or stop that."""
        self.is_following = is_on
        if is_on:
            self.move_to(self.row_count() - 1)
        self.refresh()

    def move_to(self, number: int) -> None:
        """Put the cursor on a row; moving up from the newest one ends following."""
        before = self.cursor
        number = max(min(number, self.row_count() - 1), 0)
        if number < self.row_count() - 1:
            self.is_following = False
        self.cursor = number
        self._skip_gap(1 if number >= before else -1)
        super().move_to(self.cursor)

    def _skip_gap(self, step: int) -> None:
        """A gap cannot be chosen: continue to the frame next to it."""
        if 0 <= self.cursor < self.row_count() and self.view.is_gap(self.cursor):
            at = self.cursor + step
            self.cursor = at if 0 <= at < self.row_count() else self.cursor - step

    def scroll_by(self, rows: int) -> None:
        """Scroll; scrolling up ends following, scrolling to the end does not begin it."""
        if rows < 0:
            self.is_following = False
        super().scroll_by(rows)

    def action_last(self) -> None:
        """The newest row, and follow it."""
        self.follow(True)

    def jump_aim(self, number: int) -> Callable[[], None] | None:
        """The frame of a row; a gap is none."""
        if not self.view.is_frame(number):
            return None
        position = self.view.position(number)
        return lambda: self.go_to_position(position)

    def selected_position(self) -> int | None:
        """The position of the frame under the cursor; None where a request is, or nothing."""
        if not 0 <= self.cursor < self.row_count() or not self.view.is_frame(self.cursor):
            return None
        return self.view.position(self.cursor)

    def selected_asked(self) -> Asked | None:
        """The request under the cursor."""
        return self.view.asked_at(self.cursor) if 0 <= self.cursor < self.row_count() else None

    def selected_time_ns(self) -> int | None:
        """When the frame under the cursor arrived, or the request began."""
        position, asked = self.selected_position(), self.selected_asked()
        if asked is not None:
            return asked.time_ns
        return None if position is None else self.model.index.columns.times_ns[position]

    def go_to_position(self, position: int) -> None:
        """Put the cursor on a frame, in the middle of the screen where it was not on it."""
        y = self.view.y_of(position)
        if y >= self.row_count():
            y = self.row_count() - 1
        if not self.top <= y < self.top + self.visible_rows:
            self.top = max(y - self.visible_rows // 2, 0)
        self.is_following = False
        self.move_to(y)
        self.clamp()
        self.refresh()

    def click_title(self, x: int) -> None:
        """A click on the right end follows again."""
        if x > self.size.width - 20:
            self.follow(True)
