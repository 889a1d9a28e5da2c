"""Jump mode: a letter or two over each pane and row on the screen; typing them goes there.

Contract: what a label leads to is fixed when it is drawn. Frames that arrive meanwhile move rows, not aims.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final, NamedTuple

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.strip import Strip
from textual.widget import Widget

from wsinspect.tui.dialogs.overlay import Overlay
from wsinspect.tui.style import Palette

#: The letters under the fingers first.
LETTERS: Final = "asdfghjklqwertyuiopzxcvbnm"


class Target(NamedTuple):
    """A place that can be jumped to.

    Attributes:
        x, y: where its label stands, in cells of the screen.
        go: goes there.
    """

    x: int
    y: int
    go: Callable[[], None]


def labels(count: int) -> list[str]:
    """`count` labels, none of which begins another, the shortest first."""
    size = len(LETTERS)
    prefixes = 0
    while size - prefixes + prefixes * size < count and prefixes < size:
        prefixes += 1
    single = list(LETTERS[: size - prefixes])
    double = [first + second for first in LETTERS[size - prefixes :] for second in LETTERS]
    return [*single, *double][:count]


class JumpLabel(Widget):
    """One label, on top of whatever is there."""

    DEFAULT_CSS = "JumpLabel { position: absolute; height: 1; width: auto; }"

    def __init__(self, text: str, target: Target, palette: Palette) -> None:
        super().__init__()
        self.text, self.target, self._palette = text, target, palette
        self.styles.offset = (target.x, target.y)
        self.styles.width = len(text)

    def render_line(self, y: int) -> Strip:
        return self._palette.strip([(self.text, "accent")], len(self.text))


class JumpScreen(Overlay[None]):
    """The labels, until one of them, or another key, is typed."""

    DEFAULT_CSS = "JumpScreen { background: transparent; layout: vertical; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+o", "leave", "leave", show=False, id="jump.leave")
    ]

    def __init__(self, targets: Sequence[Target], palette: Palette) -> None:
        super().__init__()
        named = zip(labels(len(targets)), targets, strict=False)
        self.choices = {text: JumpLabel(text, target, palette) for text, target in named}
        self._typed = ""
        self._is_sized = False

    def compose(self) -> ComposeResult:
        """One widget for each label: as many as the screen has lines, not as there are frames."""
        yield from self.choices.values()

    def on_key(self, event: events.Key) -> None:
        """A letter narrows the choice; any other key leaves."""
        event.stop()
        event.prevent_default()
        self._typed += event.character or "\0"
        label = self.choices.get(self._typed)
        if label is not None:
            self.dismiss()
            label.target.go()
        elif not any(text.startswith(self._typed) for text in self.choices):
            self.dismiss()
        else:
            for text, other in self.choices.items():
                other.display = text.startswith(self._typed)

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.dismiss()

    def on_resize(self, _event: events.Resize) -> None:
        """At another size the labels would be in the wrong places."""
        if self._is_sized:
            self.dismiss()
        self._is_sized = True
