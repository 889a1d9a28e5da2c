"""Help of the focused pane: what it is, and its keys; taken from the bindings, so that it cannot be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from wsinspect.filters import help_lines
from wsinspect.present.cells import Line, flow, fold
from wsinspect.text import pad
from wsinspect.tui.dialogs.overlay import Overlay
from wsinspect.tui.keys import APP_KEYS, MAIN_KEYS, PAGE_KEYS
from wsinspect.tui.widgets.base import LinePane
from wsinspect.tui.workspace import Workspace

_KEY_CELLS = 22
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
        return [("Help: ", "muted"), (self.heading, "title")], [("esc leaves", "muted")]

    def _lines(self) -> list[Line]:
        width = max(self.size.width - 4, 20)
        lines: list[Line] = [[(line, "")] for line in flow(self.about, width)]
        lines += [[], [("Keys of this pane", "title")]]
        lines += [_key_line(keys, words) for keys, words in self.bindings_shown]
        lines += [[], [("Other keys", "title")]]
        lines += [_key_line(keys, words) for keys, words in self.others]
        if self.with_filters:
            lines += [[], [("Filters", "title")]]
            lines += [_key_line(syntax, meaning) for syntax, meaning in help_lines()]
        return [part for line in lines for part in fold(line, width)]

    def row_count(self) -> int:
        return len(self._lines())

    def row(self, number: int, width: int) -> Line:
        return [(" ", ""), *self._lines()[number]]


def _key_line(keys: str, words: str) -> Line:
    return [(pad(keys, _KEY_CELLS), "key"), (words, "")]


class HelpScreen(Overlay[None]):
    """The help, on top of everything until it is left."""

    DEFAULT_CSS = """
    HelpScreen { align: center middle; }
    HelpScreen LinePane { width: 90%; height: 90%; max-width: 110; background: $surface; }
    """
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
