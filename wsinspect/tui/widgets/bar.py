"""The bar at the bottom: the filter while it is typed, and where to go."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

from wsinspect.present.cells import Line, fit

_HISTORY = 50


class BarHints(Widget):
    """Two lines above the input: the caret below an error, and what could come next."""

    DEFAULT_CSS = "BarHints { height: 1; width: 1fr; }"

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Line] = []

    def show(self, lines: list[Line]) -> None:
        """Other words."""
        self.lines = lines
        self.styles.height = max(len(lines), 1)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Drawn."""
        app: Any = self.app
        line = self.lines[y] if y < len(self.lines) else []
        strip: Strip = app.palette.strip(fit(line, self.size.width), self.size.width)
        return strip


class BarInput(Input):
    """The input; Tab completes, up and down go through what was typed before."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "history(-1)", "older", show=False, id="bar.older"),
        Binding("down", "history(1)", "newer", show=False, id="bar.newer"),
        Binding("escape", "leave", "leave", show=False, id="bar.leave"),
    ]

    class Left(Message):
        """Escape was pressed."""

    def __init__(self) -> None:
        super().__init__(compact=True, select_on_focus=False, id="bar-input")
        self.cursor_blink = False
        self.history: dict[str, list[str]] = {"filter": [], "go": []}
        self.kind = "filter"
        self._at = 0

    def action_leave(self) -> None:
        """Close the bar."""
        self.post_message(self.Left())

    def begin(self, kind: str, value: str) -> None:
        """Type into it."""
        self.kind = kind
        self._at = 0
        self.value = value
        self.cursor_position = len(value)
        # At once, not a moment later as `focus` does: what is typed behind the key belongs here already.
        self.screen.set_focus(self)

    def remember(self, value: str) -> None:
        """Put it into the history."""
        known = self.history[self.kind]
        if value and value not in known[:1]:
            known.insert(0, value)
            del known[_HISTORY:]

    def action_history(self, step: int) -> None:
        """An older or a newer one."""
        known = self.history[self.kind]
        self._at = max(0, min(self._at - step, len(known)))
        self.value = known[self._at - 1] if self._at else ""
        self.cursor_position = len(self.value)


class Bar(Vertical):
    """Hints above, prompt and input below."""

    DEFAULT_CSS = """
    Bar { height: auto; display: none; }
    Bar Input, Bar Input:focus { border: none; padding: 0 1; height: 1; width: 1fr; }
    """

    def compose(self):  # type: ignore[no-untyped-def]
        """The two of them."""
        yield BarHints()
        yield BarInput()

    def on_click(self, event: events.Click) -> None:
        """A click stays here."""
        event.stop()
