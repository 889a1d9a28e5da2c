"""Help of the focused pane: what it is, and its keys; taken from the bindings, so that it cannot be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from wsinspect.filters import help_lines
from wsinspect.present.cells import Line, flow, fold, width_of
from wsinspect.text import pad
from wsinspect.tui.dialogs.overlay import Whole
from wsinspect.tui.keys import APP_KEYS, MAIN_KEYS, PAGE_KEYS
from wsinspect.tui.widgets.base import LinePane
from wsinspect.tui.workspace import Workspace

_KEY_CELLS = 22
#: From here on two lists of keys stand next to one another.
_WIDE: Final = 150
#: Lines of prose are no longer than one can read.
_PROSE_CELLS: Final = 140
_NAMES = {
    "plus": "+",
    "equals_sign": "=",
    "minus": "-",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "comma": ",",
    "full_stop": ".",
    "question_mark": "?",
    "backslash": "\\",
    "asterisk": "*",
}


class HelpPane(LinePane):
    """What a pane is for and its keys, in lines that scroll."""

    has_cursor = False

    def __init__(
        self,
        workspace: Workspace,
        heading: str,
        about: str,
        bindings: list[tuple[str, str]],
        others: list[tuple[str, str]],
        with_filters: bool,
    ) -> None:
        super().__init__(workspace, id="help")
        self.heading, self.about, self.with_filters = heading, about, with_filters
        self.bindings_shown, self.others = bindings, others

    def title(self) -> tuple[Line, Line]:
        return [("Help: ", "muted"), (self.heading, "title")], [("esc", "key"), (" back", "")]

    def _lines(self) -> list[Line]:
        """What it is, then its keys and the others; on a wide screen these stand next to one another."""
        width = max(self.size.width - 4, 20)
        lines: list[Line] = [[(line, "")] for line in flow(self.about, min(width, _PROSE_CELLS))]
        own = [[("Keys of this pane", "title")], *(_key_line(*both) for both in self.bindings_shown)]
        others = [[("Other keys", "title")], *(_key_line(*both) for both in self.others)]
        filters: list[Line] = []
        if self.with_filters:
            filters = [[("Filters", "title")], *(_key_line(*both) for both in help_lines())]
        if width < _WIDE:
            below = [one for block in (own, others, filters) if block for one in ([], *block)]
            return [*lines, *(part for one in below for part in fold(one, width))]
        cells = width // 2
        sides = [*own, *([[], *filters] if filters else [])], others
        left, right = ([part for one in side for part in fold(one, cells - 3)] for side in sides)
        lines.append([])
        none: Line = []
        for one, other in zip_longest(left, right, fillvalue=none):
            lines.append([*one, (" " * (cells - width_of(one)), ""), *other])
        return lines

    def row_count(self) -> int:
        return len(self._lines())

    def row(self, number: int, width: int) -> Line:
        return [(" ", ""), *self._lines()[number]]


def _key_line(keys: str, words: str) -> Line:
    return [(pad(keys, _KEY_CELLS), "key"), (words, "")]


class HelpScreen(Whole):
    """The help, on top of everything until it is left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,f1", "leave", "leave", show=False, id="help.leave")
    ]

    def __init__(self, workspace: Workspace, pane: LinePane | None, page: str) -> None:
        super().__init__()
        self.workspace = workspace
        self.about = pane
        self._page = page

    def compose(self) -> ComposeResult:
        pane = self.about
        title = pane.help_title if pane is not None else "wsinspect"
        text = pane.help_text if pane is not None else ""
        keymap = self.workspace.keymap
        own = keys_of(pane, keymap)
        taken = [key.keys for key in PAGE_KEYS[self._page]] if self._page != "main" else []
        if self._page != "main":
            end = f" ({self._page})"
            own += [
                (keymap.get(key.id, key.shown), key.words.removesuffix(end)) for key in PAGE_KEYS[self._page]
            ]
        others = [
            (keymap.get(key.id, key.shown), key.words)
            for key in (*MAIN_KEYS, *APP_KEYS)
            if key.keys not in taken and (key in APP_KEYS or key.is_everywhere or self._page == "main")
        ]
        yield HelpPane(self.workspace, title, text, own, others, title in ("Frames", "Connections"))


def keys_of(pane: LinePane | None, keymap: Mapping[str, str]) -> list[tuple[str, str]]:
    """A pane's keys, including those of its base class; where the user has changed them, the user's."""
    found: list[tuple[str, str]] = []
    seen: set[str] = set()
    for kind in type(pane).__mro__ if pane is not None else ():
        own = kind.BINDINGS if issubclass(kind, LinePane) and "BINDINGS" in vars(kind) else ()
        for binding in own:
            if not isinstance(binding, Binding) or binding.key in seen:
                continue  # what the pane's own binding of a key does comes before its base class's
            seen.add(binding.key)
            keys = keymap.get(binding.id or "", binding.key)
            shown = " ".join(_NAMES.get(key, key) for key in keys.split(","))
            found.append((shown, binding.description))
    return found
