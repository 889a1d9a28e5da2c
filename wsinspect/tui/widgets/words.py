"""Lines of our own, as many as there are."""

from __future__ import annotations

from collections.abc import Sequence

from textual.strip import Strip
from textual.widget import Widget

from wsinspect.present.cells import Line, fit, flow
from wsinspect.tui.workspace import Workspace


def hint(sign: str, words: str, style: str, width: int) -> list[Line]:
    """What there is to say about what is typed: a sign and words, on as many lines as they need.

    Args:
        sign: one of the glyphs for good, bad, a warning or a note; it says without colour what `style` says.
    """
    texts = flow(words, max(width - 4, 20))
    return [[(f" {' ' if number else sign} {text}", style)] for number, text in enumerate(texts)]


def key_hints(keys: Sequence[tuple[str, str]]) -> Line:
    """Keys and what they do, as the footer shows them."""
    return [part for shown, words in keys for part in ((f" {shown}", "key"), (f" {words} ", ""))]


class Words(Widget):
    """Text that is set by `show`, drawn with the styles of the theme; never read as markup."""

    DEFAULT_CSS = "Words { height: 1; width: 1fr; }"

    def __init__(
        self, workspace: Workspace, lines: list[Line] | None = None, *, id: str | None = None
    ) -> None:
        super().__init__(id=id)
        self.workspace = workspace
        self.lines: list[Line] = lines or []

    def on_mount(self) -> None:
        """As high as it has lines."""
        self.styles.height = max(len(self.lines), 1)

    def show(self, lines: list[Line]) -> None:
        """Put these lines in the place of the others; the height follows."""
        self.lines = lines
        self.styles.height = max(len(lines), 1)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        line = self.lines[y] if y < len(self.lines) else []
        return self.workspace.palette.strip(fit(line, self.size.width), self.size.width)
