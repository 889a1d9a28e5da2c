"""A pane of lines: title, rows, cursor, scroll bar, all drawn by the line API.

Contract: only lines that are on the screen are made, whatever the number of rows; rows never become widgets.
A pane tells what it is for (`help_text`), so that help can be of the pane that has the focus.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Final

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Offset
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from wsinspect.present.cells import Line, between, fit, text_of, without_gaps
from wsinspect.present.glyphs import Glyphs
from wsinspect.text import ELLIPSIS, counted
from wsinspect.tui.keys import FooterKey
from wsinspect.tui.style import Palette
from wsinspect.tui.workspace import Workspace

#: What a pager gets of a pane: rows, and cells of each.
_PAGER_ROWS: Final = 10_000
_PAGER_CELLS: Final = 400


class LinePane(Widget, can_focus=True):
    """Base of all panes.

    Attributes:
        top: the first row on the screen.
        cursor: the chosen row; -1 where there is none.
        has_cursor: whether rows can be chosen; else the pane only scrolls.
        idle_style: what is laid under the chosen row while another pane has the focus.
    """

    DEFAULT_CSS = "LinePane { height: 1fr; width: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False, id="move.up"),
        Binding("down,j", "move(1)", "down", show=False, id="move.down"),
        Binding("pageup", "page(-1)", "page up", show=False, id="move.page_up"),
        Binding("pagedown", "page(1)", "page down", show=False, id="move.page_down"),
        Binding("home,g", "first", "first", show=False, id="move.first"),
        Binding("end,G", "last", "last", show=False, id="move.last"),
    ]
    help_title: ClassVar[str] = ""
    help_text: ClassVar[str] = ""
    has_cursor: bool = True
    header_lines: int = 0
    is_table: ClassVar[bool] = False
    idle_style: ClassVar[str] = "idle"

    class Moved(Message):
        """The cursor went to another row."""

        def __init__(self, pane: LinePane) -> None:
            super().__init__()
            self.pane = pane

    class OtherKeys(Message):
        """Other keys of the footer do nothing now (`idle_keys`)."""

    class Chosen(Message):
        """The row under the cursor was chosen by Enter or a click."""

        def __init__(self, pane: LinePane) -> None:
            super().__init__()
            self.pane = pane

    def __init__(self, workspace: Workspace, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.workspace = workspace
        self.selection = workspace.selection
        self.model = workspace.model
        self.top = 0
        self.cursor = 0 if self.has_cursor else -1

    # -- what a pane says

    @property
    def palette(self) -> Palette:
        """The styles of the theme."""
        return self.workspace.palette

    @property
    def glyphs(self) -> Glyphs:
        """The signs to draw with: Unicode, or ASCII with `--ascii`."""
        return self.workspace.glyphs

    def title(self) -> tuple[Line, Line]:
        """What stands at the left and at the right of the title line."""
        return [], []

    def header(self, width: int) -> Line:
        """The line below the title, where `header_lines` is 1."""
        return []

    def row_count(self) -> int:
        """How many rows there are, those off the screen included."""
        return 0

    def row(self, number: int, width: int) -> Line:
        """One row, at most `width` cells."""
        return []

    def row_strip(self, number: int, width: int, over: str) -> Strip:
        """One row, drawn; `over` is the name of the style of a chosen one."""
        return self.palette.strip(self.row(number, width), width, over)

    def empty_lines(self, width: int) -> list[Line]:
        """What to say where there are no rows: one sentence, and what to do."""
        return []

    # -- drawing

    @property
    def visible_rows(self) -> int:
        """Rows that fit below title and header."""
        height = self.size.height
        return max(height - 1 - self._header_lines_at(height), 0)

    @property
    def _header_height(self) -> int:
        return self._header_lines_at(self.size.height)

    def _header_lines_at(self, height: int) -> int:
        """Names of columns take room only where there are rows below them."""
        return self.header_lines if self.header_lines and height > 4 and self.row_count() else 0

    def render_line(self, y: int) -> Strip:
        """One line of the pane."""
        width, height = self.size  # asked once: Textual works it out each time
        if y == 0:
            return self.title_strip(width)
        header = self._header_lines_at(height)
        if y <= header:
            # As wide as the rows, or names would not stand above their columns.
            inner = max(width - 2, 0) if self.row_count() > self.visible_rows else width
            return self.palette.strip(self.header(inner), width)
        at = y - 1 - header
        number = self.top + at
        count = self.row_count()
        if count == 0:
            return self.palette.strip(fit(self._empty_line(at, width), width), width)
        if number >= count:
            return self.palette.strip([], width)
        over = ""
        if self.has_cursor and number == self.cursor:
            over = "cursor" if self.has_focus else self.idle_style
        if count > (shown := max(height - 1 - header, 0)):
            # Text that ends at the bar would read as cut.
            gap = self.palette.strip([], 1, over)
            row = self.row_strip(number, max(width - 2, 0), over)
            return Strip.join([row, gap, self._bar(at, count, shown)])
        return self.row_strip(number, width, over)

    def title_strip(self, width: int) -> Strip:
        """The title line: a rule with words in it; heavy while the pane has the focus."""
        left, right = self.title()
        rule = self.glyphs.heavy if self.has_focus else self.glyphs.rule
        style = "focus" if self.has_focus else "rule"
        begin: Line = [(rule, style), *([(" ", ""), *left, (" ", "")] if left else [])]
        end: Line = [*([(" ", ""), *right, (" ", "")] if right else []), (rule, style)]
        return self.palette.strip(between(begin, end, width, rule, style), width)

    def _bar(self, y: int, count: int, shown: int) -> Strip:
        """One cell of the scroll bar, where so many of the rows are on the screen."""
        shown = max(shown, 1)
        size = max(shown * shown // count, 1)
        last = max(count - shown, 1)
        start = (shown - size) * min(self.top, last) // last
        is_thumb = start <= y < start + size
        sign = self.glyphs.column if not is_thumb else ("#" if self.palette.is_ascii else "█")
        if self.glyphs.is_plain:
            sign = " "
        return self.palette.strip([(sign, "rule")], 1)

    def _empty_line(self, at: int, width: int) -> Line:
        """Of what stands where no rows are, one line; the last that fits says how many do not."""
        lines, shown = self.empty_lines(width), self.size.height - 1  # no names of columns without rows
        if len(lines) > shown == at + 1:
            more = counted(len(lines) - shown + 1, "more line")
            return [
                (f"  {ELLIPSIS} {more}: {self.workspace.key_shown(FooterKey('pager', ''))} opens all", "key")
            ]
        return lines[at] if at < len(lines) else []

    # -- moving

    def show_cursor(self) -> None:
        """Scroll so that the cursor is on the screen; before the pane has its height, that does it later."""
        if not self.visible_rows:
            return
        if self.cursor < self.top:
            self.top = max(self.cursor, 0)
        elif self.cursor >= self.top + self.visible_rows:
            self.top = max(self.cursor - self.visible_rows + 1, 0)

    def cursor_place(self) -> Offset:
        """Where the chosen line is on the screen; without one, the first line."""
        line = self.cursor - self.top if self.has_cursor and self.cursor >= self.top else 0
        return Offset(
            self.region.x, self.region.y + min(1 + self._header_height + line, self.size.height - 1)
        )

    def clamp(self) -> None:
        """After rows have gone: keep cursor and top within them."""
        count = self.row_count()
        self.top = max(min(self.top, count - self.visible_rows), 0)
        if self.has_cursor:
            self.cursor = max(min(self.cursor, count - 1), 0)

    def move_to(self, number: int) -> None:
        """Put the cursor, or the first row, somewhere."""
        count = self.row_count()
        if not self.has_cursor:
            self.top = max(min(number, count - self.visible_rows), 0)
        elif count:
            self.cursor = max(min(number, count - 1), 0)
            self.show_cursor()
            self.post_message(self.Moved(self))
        self.refresh()

    def scroll_by(self, rows: int) -> None:
        """Scroll without moving the cursor."""
        self.top = max(min(self.top + rows, self.row_count() - self.visible_rows), 0)
        self.refresh()

    def action_move(self, step: int) -> None:
        self.move_to((self.cursor if self.has_cursor else self.top) + step)

    def action_page(self, step: int) -> None:
        """One screen of rows."""
        self.action_move(step * max(self.visible_rows - 1, 1))

    def action_first(self) -> None:
        self.move_to(0)

    def action_last(self) -> None:
        self.move_to(self.row_count() - 1)

    def on_resize(self, _event: events.Resize) -> None:
        """Keep the cursor on the screen."""
        self.clamp()
        if self.has_cursor:
            self.show_cursor()

    # -- jump mode

    def idle_keys(self) -> frozenset[str]:
        """Ids of the footer's keys that do nothing with what is shown now."""
        return frozenset()

    def other_labels(self) -> Mapping[str, str]:
        """What keys of the footer do now where it is not what their label says, by their ids."""
        return {}

    def jump_rows(self) -> list[tuple[int, Callable[[], None]]]:
        """The rows on the screen that can be chosen: the line of each, and what chooses it."""
        if not self.has_cursor:
            return []
        first, count = self.top, min(self.visible_rows, self.row_count() - self.top)
        rows = ((at, self.jump_aim(first + at)) for at in range(max(count, 0)))
        return [(at + 1 + self._header_height, aim) for at, aim in rows if aim is not None]

    def jump_aim(self, number: int) -> Callable[[], None] | None:
        """What chooses a row, wherever it will be then; None where it cannot be chosen."""
        return lambda: self.move_to(number)

    # -- the mouse

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.scroll_by(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.scroll_by(-3)

    def on_click(self, event: events.Click) -> None:
        """Choose a row, a place in the scroll bar, or something in the title."""
        event.stop()
        self.focus()
        at = event.y - 1 - self._header_height
        count = self.row_count()
        if event.y == 0:
            self.click_title(event.x)
        elif event.x == self.size.width - 1 and count > self.visible_rows and self.visible_rows:
            self.scroll_to_fraction(at / self.visible_rows)
        elif at >= 0 and self.top + at < count and self.has_cursor:
            self.move_to(self.top + at)
            self.post_message(self.Chosen(self))

    def click_title(self, x: int) -> None:
        """A click into the title line."""

    def scroll_to_fraction(self, fraction: float) -> None:
        """Scroll to a part of all rows."""
        self.top = max(min(int(fraction * self.row_count()), self.row_count() - self.visible_rows), 0)
        self.refresh()

    # -- for tests and for copying

    def text(self) -> list[str]:
        """The pane as plain text, as it is on the screen."""
        return [self.render_line(y).text.rstrip() for y in range(self.size.height)]

    def document_text(self) -> str:
        """All rows, as wide as they want to be, for a pager; of very many, those from the screen on."""
        begin = 0 if self.row_count() <= _PAGER_ROWS else self.top
        end = min(self.row_count(), begin + _PAGER_ROWS)
        lines = [self.header(_PAGER_CELLS)] if self.header_lines else []
        if begin:
            lines.append([(f"({counted(begin, 'row')} before these)", "")])
        lines += [self.row(number, _PAGER_CELLS) for number in range(begin, end)]
        if not self.row_count():
            lines = self.empty_lines(_PAGER_CELLS)
        if end < self.row_count():
            lines.append([(f"({counted(self.row_count() - end, 'more row')})", "")])
        texts = [text_of(line).rstrip() for line in lines]
        return "\n".join(without_gaps(texts) if self.is_table else texts)

    def row_text(self, number: int) -> str:
        """One row as plain text."""
        return text_of(self.row(number, max(self.size.width, 1))).rstrip()
