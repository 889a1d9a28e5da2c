"""What dialogs are made of: words, picks, fields, and a sheet at the bottom of the screen.

Contract: a dialog never covers the header line, so what is armed stays in sight; Escape and Ctrl+C always
leave it; nothing in it waits for the engine.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Final, NamedTuple, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

from wsinspect.present.cells import Line, between, fit, flow, width_of
from wsinspect.text import cell_width, truncate
from wsinspect.tui.dialogs.overlay import Overlay
from wsinspect.tui.widgets.line_input import LineInput
from wsinspect.tui.widgets.words import Words, hint, key_hints
from wsinspect.tui.workspace import Workspace

Answer = TypeVar("Answer")
LABEL_CELLS = 13
#: Keys that a title keeps before its heading is cut: what confirms, and what leaves.
LAST_KEYS: Final = 2
SELECT: Final = ("arrows", "select")
CANCEL: Final = ("esc", "cancel")


def title_line(workspace: Workspace, heading: str, keys: Sequence[tuple[str, str]], width: int) -> Line:
    """What a sheet is about, and at the right its keys: the last ones stay where not all have room.

    The first ones are for moving about, as everywhere; the last one leaves, which must not be guessed. A
    heading that is too long is cut before that.
    """
    rule: tuple[str, str] = (workspace.glyphs.heavy, "focus")
    title = f" {heading} "
    hints = [*key_hints(keys), rule]
    while len(keys) > LAST_KEYS and 1 + cell_width(title) + 1 + width_of(hints) > width:
        keys = keys[1:]
        hints = [*key_hints(keys), rule]
    room = max(width - width_of(hints) - 2, 0)
    if keys and cell_width(title) > room:
        title = f" {truncate(heading, max(room - 2, 1))} "
    return between([rule, (title, "title")], hints, width, *rule)


class Pick(Widget, can_focus=True):
    """A choice between some words, on one line where they fit.

    Not Textual's RadioSet or Select: they show what is chosen by colour alone, with signs that are not ASCII.

    Attributes:
        value: of the one that is chosen.
    """

    DEFAULT_CSS = "Pick { height: auto; width: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "pick(-1)", "the one before", show=False, id="dialog.before"),
        Binding("right,l,space", "pick(1)", "the next one", show=False, id="dialog.next"),
        Binding("enter", "screen.submit", "continue", show=False, id="dialog.submit"),
    ]

    class Changed(Message):
        """Another one was chosen."""

    def __init__(
        self, workspace: Workspace, label: str, options: Sequence[tuple[str, str]], *, id: str
    ) -> None:
        super().__init__(id=id)
        self.workspace = workspace
        self.label = label
        self.options = list(options)
        self.value = self.options[0][0]

    def choose(self, value: str) -> None:
        """Choose a value, and report it if it changes."""
        if value != self.value:
            self.value = value
            self.refresh()
            self.post_message(self.Changed())

    def action_pick(self, step: int) -> None:
        """Choose the next or previous one, wrapping around."""
        values = [value for value, _ in self.options]
        self.choose(values[(values.index(self.value) + step) % len(values)])

    def _parts(self) -> list[tuple[str, str]]:
        """Text and value of each option, in order."""
        return [
            (f"[{words}]" if value == self.value else f" {words} ", value) for value, words in self.options
        ]

    def _rows(self, width: int) -> list[list[tuple[str, str]]]:
        """The parts in as many lines as it takes to have all of them in sight."""
        rows: list[list[tuple[str, str]]] = [[]]
        left = width - LABEL_CELLS - 1
        for text, value in self._parts():
            if rows[-1] and cell_width(text) > left:
                rows.append([])
                left = width - LABEL_CELLS - 1
            rows[-1].append((text, value))
            left -= cell_width(text)
        return rows

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """A line, and more where the options do not fit on it."""
        return len(self._rows(width))

    def render_line(self, y: int) -> Strip:
        """The options, the chosen one in brackets."""
        rows = self._rows(self.size.width)
        label = self.label if y == 0 else ""
        line: Line = [(f" {label:<{LABEL_CELLS}}", "key" if self.has_focus else "muted")]
        for text, value in rows[y] if y < len(rows) else []:
            line.append((text, "focus" if value == self.value else "muted"))
        over = "cursor" if self.has_focus else ""
        return self.workspace.palette.strip(fit(line, self.size.width), self.size.width, over)

    def on_click(self, event: events.Click) -> None:
        """Choose what was clicked."""
        event.stop()
        rows = self._rows(self.size.width)
        at = LABEL_CELLS + 1
        for text, value in rows[event.y] if event.y < len(rows) else []:
            if at <= event.x < at + cell_width(text):
                self.choose(value)
            at += cell_width(text)


class Label(Words):
    """The label before an input."""

    DEFAULT_CSS = f"Label {{ width: {LABEL_CELLS + 1}; }}"

    def name_it(self, words: str) -> None:
        self.show([[(f" {words}", "muted")]])


class DialogInput(LineInput):
    """A one-line input without a frame."""

    def __init__(self, value: str = "", *, id: str) -> None:
        super().__init__(value, compact=True, select_on_focus=False, id=id)
        self.cursor_blink = False

    async def on_key(self, event: events.Key) -> None:
        """Leave the line at once: what is typed right behind is for the field above or below."""
        screen = self.screen
        if event.key in ("up", "down") and isinstance(screen, Dialog) and screen.steps_by_arrows:
            event.stop()
            event.prevent_default()
            screen.action_step(1 if event.key == "down" else -1)


class TextField(Horizontal):
    """A label and an input."""

    DEFAULT_CSS = "TextField { height: 1; }"

    def __init__(self, workspace: Workspace, label: str, line: DialogInput) -> None:
        super().__init__()
        self._label, self._line = Label(workspace, [[(f" {label}", "muted")]]), line

    def compose(self) -> ComposeResult:
        yield self._label
        yield self._line


class Dialog(Overlay[None]):
    """A sheet at the bottom.

    Attributes:
        heading: what it is about.
        keys: keys and what they do, at the right of the title.
    """

    DEFAULT_CSS = """
    Dialog { align: center bottom; background: $background 0%; }
    Dialog > Vertical { width: 100%; height: auto; max-height: 100%; margin-top: 1; background: $surface; }
    Dialog Input, Dialog Input:focus { border: none; padding: 0; height: 1; width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "leave", show=False, id="dialog.leave"),
        Binding("ctrl+c", "leave", "leave", show=False, priority=True, id="dialog.cancel"),
        Binding("up", "step(-1)", "the line above", show=False, id="dialog.up"),
        Binding("down", "step(1)", "the line below", show=False, id="dialog.down"),
    ]
    heading = ""
    keys: tuple[tuple[str, str], ...] = (SELECT, ("enter", "continue"), CANCEL)
    #: Whether up and down in a line to type into lead to the field above or below.
    steps_by_arrows: ClassVar[bool] = True

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Words(self.workspace, id="dialog-title")
            yield from self.content()
            yield Words(self.workspace, id="dialog-verdict")

    def content(self) -> ComposeResult:
        """What is between title and verdict."""
        yield from ()

    @property
    def width(self) -> int:
        """Cells in a line."""
        return self.app.size.width

    def on_mount(self) -> None:
        """Say what it is about."""
        self._show_title()

    def on_resize(self, _event: events.Resize) -> None:
        self._show_title()
        self.judge()

    def _show_title(self) -> None:
        self.words("dialog-title").show([title_line(self.workspace, self.heading, self.keys, self.width)])

    def words(self, name: str) -> Words:
        """One of its texts."""
        return self.query_one(f"#{name}", Words)

    def pick(self, name: str) -> Pick:
        """One of its picks."""
        return self.query_one(f"#{name}", Pick)

    def input(self, name: str) -> DialogInput:
        """One of its inputs."""
        return self.query_one(f"#{name}", DialogInput)

    def verdict(self, sign: str, words: str, style: str, lines: int = 2) -> None:
        """Comment on what was typed, in at most `lines` lines."""
        shown = hint(sign, words, style, self.width)
        if len(shown) > lines:
            rest = " ".join(text for line in shown[lines - 1 :] for text, _ in line)
            shown = [*shown[: lines - 1], fit([(f"   {' '.join(rest.split())}", style)], self.width)]
        self.words("dialog-verdict").show([*shown, *[[] for _ in range(lines - len(shown))]])

    def wrong(self, words: str) -> None:
        """Show what is wrong with what was typed, below the fields."""
        self.verdict(self.workspace.glyphs.bad, words, "error")

    def judge(self) -> None:
        """Say what is wrong with what was typed, or what it means; called on every change."""

    def submit(self) -> None:
        """Do what was typed, if it is right; called on Enter."""

    def action_submit(self) -> None:
        """Enter on a pick."""
        self.submit()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in an input."""
        event.stop()
        self.submit()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.judge()

    def on_pick_changed(self, event: Pick.Changed) -> None:
        event.stop()
        self.judge()

    def action_step(self, step: int) -> None:
        """Focus the field above or below: at once, where `focus_next` does it behind keys that wait."""
        fields = self.focus_chain
        if fields:
            place = fields.index(self.focused) + step if self.focused in fields else 0
            self.set_focus(fields[place % len(fields)])

    def action_leave(self) -> None:
        """Back to where one was."""
        self.dismiss(None)


class Reply(NamedTuple):
    """A way to answer a question: its keys by Textual's names, how people write them, and what it does."""

    keys: tuple[str, ...]
    shown: str
    words: str
    value: str


class LinesDialog(Overlay[Answer]):
    """Lines at the bottom of the screen, drawn again when its width changes; what is behind stays visible."""

    DEFAULT_CSS = """
    LinesDialog { align: center bottom; background: $background 0%; }
    LinesDialog > Words { width: 100%; margin-top: 1; background: $surface; }
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace

    def compose(self) -> ComposeResult:
        """One widget of lines."""
        yield Words(self.workspace)

    def on_mount(self) -> None:
        """Drawn for this width."""
        self.draw()

    def on_resize(self, _event: events.Resize) -> None:
        """Drawn for another width."""
        self.draw()

    def draw(self) -> None:
        """Show the lines as they are now."""
        self.query_one(Words).show(self.lines())

    @abstractmethod
    def lines(self) -> list[Line]:
        """The lines, for the width of the screen."""


class Question(LinesDialog[str]):
    """A question that is answered by a key; Escape answers "", and Enter nothing.

    Args:
        heading: what it is about.
        text: what happens.
        replies: the keys.
    """

    def __init__(self, workspace: Workspace, heading: str, text: str, replies: Sequence[Reply]) -> None:
        super().__init__(workspace)
        self.heading, self.text, self.replies = heading, text, replies

    def lines(self) -> list[Line]:
        """The heading, the text, and the keys."""
        width, glyphs = self.app.size.width, self.workspace.glyphs
        left: Line = [(glyphs.heavy, "focus"), (f" {self.heading} ", "title")]
        lines = [between(left, [(glyphs.heavy, "focus")], width, glyphs.heavy, "focus")]
        lines += [[(f" {line}", "")] for line in flow(self.text, max(width - 2, 20))]
        line: Line = []
        for reply in [*self.replies, Reply(("escape",), "esc", "back", "")]:
            part = key_hints([(reply.shown, reply.words)])
            if line and width_of(line) + width_of(part) > width:
                lines.append(line)
                line = []
            line += part
        return [*lines, line]

    def on_key(self, event: events.Key) -> None:
        """An answer; other keys do nothing."""
        event.stop()
        event.prevent_default()
        if event.key == "escape":
            self.dismiss("")
        for reply in self.replies:
            if event.key in reply.keys:
                self.dismiss(reply.value)
                return
