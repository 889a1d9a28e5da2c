"""The bar at the bottom: the filter while it is typed, and where to go."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input

from wsinspect.filters import Filter, FilterError, complete, parse
from wsinspect.present.cells import Line, width_of
from wsinspect.text import escape
from wsinspect.tui.widgets.line_input import LineInput
from wsinspect.tui.widgets.words import Words, hint
from wsinspect.tui.workspace import Workspace

_HISTORY = 50
#: Kinds of input that are filters: one that hides frames, one that looks for them.
FILTERS: Final = ("filter", "find")
_NAMES: Final = {"filter": "filter", "find": "find"}
_DELAY_SECONDS = 0.15


class BarInput(LineInput):
    """The input; Tab completes, up and down go through what was typed before."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "history(-1)", "older", show=False, id="bar.older"),
        Binding("down", "history(1)", "newer", show=False, id="bar.newer"),
        Binding("escape", "leave", "leave", show=False, id="bar.leave"),
        Binding("ctrl+s", "save", "save the filter", show=False, id="bar.save"),
        Binding("enter", "submit", "do what is typed", show=False, id="bar.apply"),
        Binding("tab", "complete", "complete", show=False, id="bar.complete"),
    ]

    class Saved(Message):
        """What is typed is to be kept."""

    def action_save(self) -> None:
        self.post_message(self.Saved())

    class Left(Message):
        """Escape was pressed: the bar is to be closed without effect."""

    def __init__(self, saved: Callable[[], list[str]]) -> None:
        super().__init__(compact=True, select_on_focus=False, id="bar-input")
        self.saved = saved
        self.cursor_blink = False
        self.history: dict[str, list[str]] = {"filter": [], "go": [], "find": [], "text": []}
        self.kind = "filter"
        self._at = 0

    def action_leave(self) -> None:
        self.post_message(self.Left())

    def begin(self, kind: str, value: str) -> None:
        """Type a `kind` of input, from `value` on; takes the focus at once."""
        self.kind = kind
        self._at = 0
        self.value = value
        self.cursor_position = len(value)
        # At once, not a moment later as `focus` does: what is typed next belongs here.
        self.screen.set_focus(self)

    def idle_keys(self) -> frozenset[str]:
        """Ids of the footer's keys that do nothing for what is typed now."""
        return frozenset() if self.kind in FILTERS else frozenset({"bar.complete", "bar.save"})

    def remember(self, value: str) -> None:
        """Add an input to the history."""
        known = self.history[self.kind]
        if value and value not in known[:1]:
            known.insert(0, value)
            del known[_HISTORY:]

    def action_history(self, step: int) -> None:
        """Show an older or a newer input; behind the oldest come the saved filters."""
        known = self.history[self.kind]
        if self.kind in FILTERS:
            known = [*known, *(one for one in self.saved() if one not in known)]
        self._at = max(0, min(self._at - step, len(known)))
        self.value = known[self._at - 1] if self._at else ""
        self.cursor_position = len(self.value)

    def action_complete(self) -> None:
        """Tab, where the page has not taken it."""
        self.complete()

    def complete(self) -> None:
        """Replace what was typed of a candidate by the first one."""
        if self.kind not in FILTERS:
            return
        completion = complete(self.value, self.cursor_position)
        if completion.candidates:
            text = completion.candidates[0].text
            self.value = self.value[: completion.start] + text + self.value[completion.end :]
            self.cursor_position = completion.start + len(text)


class Bar(Vertical):
    """Hints above, the input below; judges what is typed while it is typed.

    Attributes:
        is_open: whether something is typed.
        error: what is wrong with the filter as it is typed.
        is_unfinished: the word that is typed is the error, and the beginning of a right one: not yet a fault.
    """

    DEFAULT_CSS = """
    Bar { height: auto; display: none; }
    Bar Input, Bar Input:focus { border: none; padding: 0 1; height: 1; width: 1fr; }
    """

    class FilterTyped(Message):
        """A filter without errors was typed; `is_final` by Enter, else a moment ago."""

        def __init__(self, flt: Filter, *, is_final: bool) -> None:
            super().__init__()
            self.filter = flt
            self.is_final = is_final

    class FindTyped(Message):
        """Enter: a filter to look for."""

        def __init__(self, flt: Filter) -> None:
            super().__init__()
            self.filter = flt

    class TextTyped(Message):
        """Enter: a text to look for in the payload."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class FilterSaved(Message):
        """Ctrl+S: keep this filter, or drop it where it is kept."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class GoTyped(Message):
        """Enter: where to go."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Closed(Message):
        """The bar was closed."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(id="bar")
        self.workspace = workspace
        self.input = BarInput(lambda: workspace.settings.filters)
        self.hints = Words(workspace, id="bar-hints")
        self.is_open = False
        self.error: str | None = None
        self.is_unfinished = False
        self._error_at = 0
        self._serial = 0

    def compose(self) -> ComposeResult:
        yield self.hints
        yield self.input

    def open(self, kind: str, value: str) -> None:
        """Type a "filter", something to "find", a "text", or where to "go"."""
        self.is_open = True
        self.error = None
        self.input.begin(kind, value)
        self._hint()

    def close(self) -> None:
        """Close the bar without effect."""
        self._serial += 1
        self.is_open = False
        self.error = None
        self.post_message(self.Closed())

    def accept(self) -> None:
        """Close the bar, and remember what was typed."""
        self.input.remember(self.input.value)
        self.close()

    def refuse(self, words: str, column: int | None = None) -> None:
        """What was typed cannot be used: why, and at which character, from 0."""
        lines = hint(self.workspace.glyphs.bad, escape(words), "error", self.app.size.width)
        if column is not None:
            self._point(lines, width_of([(self.input.value[:column], "")]))
        self.hints.show(lines)

    def on_click(self, event: events.Click) -> None:
        """A click stays here."""
        event.stop()

    def on_bar_input_left(self, message: BarInput.Left) -> None:
        message.stop()
        self.close()

    def on_bar_input_saved(self, message: BarInput.Saved) -> None:
        message.stop()
        if self.input.kind in FILTERS and self.error is None and self.input.value.strip():
            self.post_message(self.FilterSaved(self.input.value.strip()))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Judge the filter at once, apply it a moment later."""
        event.stop()
        self._serial += 1
        if self.input.kind not in FILTERS:
            self._hint()
            return
        try:
            typed = parse(event.value)
        except FilterError as error:
            self.error, self._error_at = str(error), width_of([(event.value[: error.column - 1], "")])
            word = complete(event.value, len(event.value))
            self.is_unfinished = bool(word.candidates) and error.column > word.start
            self._hint()
            return
        self.error = None
        self._hint()
        if self.input.kind == "find":
            return
        serial = self._serial
        self.set_timer(_DELAY_SECONDS, lambda: self._apply(typed, serial))

    def _apply(self, typed: Filter, serial: int) -> None:
        """Unless something else was typed meanwhile."""
        if serial == self._serial and self.is_open:
            self.post_message(self.FilterTyped(typed, is_final=False))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self.input.kind == "go":
            self.post_message(self.GoTyped(event.value))
            return
        if self.input.kind == "text":
            self.post_message(self.TextTyped(event.value))
            self.accept()
            return
        try:
            typed = parse(event.value)
        except FilterError:
            self.is_unfinished = False
            self._hint()
            return
        if self.input.kind == "find":
            self.post_message(self.FindTyped(typed))
        else:
            self.post_message(self.FilterTyped(typed, is_final=True))
        self.accept()

    def _hint(self) -> None:
        """Show what is wrong, or what could come next."""
        typed, width = self.input, self.app.size.width
        if typed.kind == "go":
            words = "98197 a frame, conn 2, t 14.3, t 14:03:22, t +12.5s from here"
            self.hints.show([[(" go to: ", "key"), (words, "muted")]])
            return
        if typed.kind == "text":
            words = "text in this payload, in hex also 0x1f8b or 1f 8b; n and N go on"
            self.hints.show([[(" find: ", "key"), (words, "muted")]])
            return
        lines: list[Line] = []
        completion = complete(typed.value, typed.cursor_position)
        is_wrong = self.error is not None and not self.is_unfinished
        if self.error is not None and is_wrong:
            lines += hint(self.workspace.glyphs.bad, escape(self.error), "error", width)
        line: Line = [(f" {_NAMES[typed.kind]}: ", "key")]
        for candidate in completion.candidates[:12]:
            part: Line = [(f"{escape(candidate.text)} ", ""), (f"{escape(candidate.help)}  ", "muted")]
            if width_of(line) + width_of(part) > width:
                break
            line += part
        lines.append(line)
        if is_wrong:
            self._point(lines, self._error_at)
        self.hints.show(lines)

    def _point(self, lines: list[Line], at: int) -> None:
        """Add a line that points at a cell of what is typed, which begins in the second cell."""
        if at < self.app.size.width - 2:
            lines.append([(" " * (at + 1) + self.workspace.glyphs.down, "error")])
