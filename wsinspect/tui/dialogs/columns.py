"""Which columns the frames pane has, in which order, and how wide; remembered between runs."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.binding import Binding, BindingType

from wsinspect.present.cells import Line, fit
from wsinspect.present.rows import COLUMNS, Columns
from wsinspect.tui.dialogs.sheet import LinesDialog, title_line
from wsinspect.tui.workspace import Workspace

_WORDS: Final = {
    "id": "the frame's number",
    "conn": "the connection's number, where several are listed",
    "time": "when the frame arrived; c changes how it is written",
    "delta": "time since the previous frame, where there is room",
    "mark": "! where a finding or a violation is about the frame",
    "lane": "the path between client and server",
    "op": "opcode",
    "flags": "FIN and the reserved bits, where there is room",
    "bytes": "payload bytes on the wire",
}
_KEYS: Final = (
    ("space", "show, hide"),
    ("J K", "move"),
    ("< >", "width"),
    ("d", "defaults"),
    ("esc", "done"),
)
_MOST_CELLS: Final = 40
#: From here on the keys have room behind the whole title.
_WIDE: Final = 100
#: What a column is where nobody has changed it; of those that depend on the capture, about.
_DEFAULT: Final = {
    "id": 5,
    "conn": 4,
    "time": 10,
    "delta": 9,
    "mark": 1,
    "lane": 16,
    "op": 6,
    "flags": 4,
    "bytes": 7,
}


class ColumnsDialog(LinesDialog[None]):
    """The list of columns: what is changed is seen behind it at once."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "leave", "done", show=False, id="columns.leave"),
        Binding("ctrl+c", "leave", "done", show=False, priority=True, id="columns.cancel"),
        Binding("up,k", "step(-1)", "the one above", show=False, id="columns.up"),
        Binding("down,j", "step(1)", "the one below", show=False, id="columns.down"),
        Binding("space", "show", "show or hide", show=False, id="columns.toggle"),
        Binding("K,shift+up", "move(-1)", "further left", show=False, id="columns.left"),
        Binding("J,shift+down", "move(1)", "further right", show=False, id="columns.right"),
        Binding("greater_than_sign,right,l", "widen(1)", "wider", show=False, id="columns.wider"),
        Binding("less_than_sign,left,h", "widen(-1)", "narrower", show=False, id="columns.narrower"),
        Binding("d", "defaults", "back to the defaults", show=False, id="columns.defaults"),
    ]

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        shown = list(workspace.columns.order)
        self.names = [*shown, *(name for name in COLUMNS if name not in shown)]
        self.shown = set(shown)
        self.widths = dict(workspace.columns.widths)
        self.at = 0

    def lines(self) -> list[Line]:
        """The keys, then a line for each column."""
        width, glyphs = self.app.size.width, self.workspace.glyphs
        title = "Columns of the frames pane" if width >= _WIDE else "Columns"
        lines = [title_line(self.workspace, title, _KEYS, width)]
        for number, name in enumerate(self.names):
            box = "[x]" if name in self.shown else "[ ]"
            cells = self.widths.get(name)
            size = f"{cells:>3} cells" if cells else f"{_DEFAULT[name]:>3} default"
            style = "focus" if number == self.at else ""
            sign = glyphs.cursor if number == self.at else " "
            line: Line = [
                (f" {sign} {box} {name:<7}", style),
                (f" {size}  ", "muted"),
                (_WORDS[name], "muted"),
            ]
            lines.append(fit(line, width))
        return lines

    def _changed(self) -> None:
        order = tuple(name for name in self.names if name in self.shown)
        self.workspace.columns = Columns(order, tuple(self.widths.items()))
        self.draw()
        for screen in self.app.screen_stack[:-1]:
            screen.query("#frames").refresh()

    def action_step(self, step: int) -> None:
        self.at = max(0, min(self.at + step, len(self.names) - 1))
        self.draw()

    def action_show(self) -> None:
        """Show or hide it; one column stays."""
        name = self.names[self.at]
        if name not in self.shown:
            self.shown.add(name)
        elif len(self.shown) > 1:
            self.shown.discard(name)
        self._changed()

    def action_move(self, step: int) -> None:
        """Swap it with its neighbour."""
        other = self.at + step
        if 0 <= other < len(self.names):
            self.names[self.at], self.names[other] = self.names[other], self.names[self.at]
            self.at = other
            self._changed()

    def action_widen(self, step: int) -> None:
        name = self.names[self.at]
        self.widths[name] = max(1, min(self.widths.get(name, _DEFAULT[name]) + step, _MOST_CELLS))
        self._changed()

    def action_defaults(self) -> None:
        self.names, self.shown, self.widths = list(COLUMNS), set(COLUMNS), {}
        self._changed()

    def action_leave(self) -> None:
        """Keep what was chosen."""
        self.workspace.remember()
        self.dismiss(None)
