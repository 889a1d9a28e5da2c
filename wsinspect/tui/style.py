"""Names of styles, and what they look like in a theme.

Contract: panes name what a piece of text is; only this module knows colours. Directions are blue and orange,
which people who confuse red and green tell apart. Without colour, bold, underline, dim and reverse remain.
"""

from __future__ import annotations

from typing import Final

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from wsinspect.present.cells import Line
from wsinspect.text import ELLIPSIS, cell_width

_DARK: Final = {
    "": "",
    "muted": "#8b949e",
    "title": "bold",
    "c2s": "#6cb6ff",
    "s2c": "#f0a45d",
    "control": "#b0b8c0",
    "note": "#d2a8ff",
    "warn": "bold #ffd866",
    "error": "bold #ff9492",
    "good": "#8ddb8c",
    "key": "bold #79c0ff",
    "rule": "#6e7681",
    "gap": "#8b949e italic",
    "focus": "bold #79c0ff",
    "accent": "bold reverse",
    "cursor": "on #2d3f55",
    "idle": "on #24292f",
    "same": "#8b949e",
    "changed": "bold #ffd866",
    "value": "",
    "banner": "bold #ffffff on #8e1519",
    "name": "#79c0ff",
    "string": "#a5d6a7",
    "number": "#f0a45d",
    "word": "#d2a8ff",
    "sign": "#8b949e",
    "match": "bold #0d1117 on #ffd866",
}
_LIGHT: Final = {
    **_DARK,
    "muted": "#57606a",
    "c2s": "#0550ae",
    "s2c": "#953800",
    "control": "#444c56",
    "note": "#6639ba",
    "warn": "bold #734700",
    "error": "bold #a40e26",
    "good": "#116329",
    "key": "bold #0550ae",
    "rule": "#757e88",
    "gap": "#57606a italic",
    "focus": "bold #0550ae",
    "cursor": "on #b6d7ff",
    "idle": "on #c6ced8",
    "same": "#57606a",
    "changed": "bold #734700",
    "name": "#0550ae",
    "string": "#116329",
    "number": "#953800",
    "word": "#6639ba",
    "sign": "#57606a",
    "match": "bold #1f2328 on #ffd33d",
}
_PLAIN: Final = {
    **dict.fromkeys(_DARK, ""),
    "muted": "dim",
    "title": "bold",
    "control": "",
    "warn": "bold",
    "error": "bold underline",
    "key": "bold",
    "rule": "dim",
    "gap": "dim italic",
    "focus": "bold reverse",
    "accent": "bold reverse",
    "cursor": "reverse",
    "idle": "underline",
    "same": "dim",
    "changed": "bold",
    "banner": "bold reverse",
    "sign": "dim",
    "word": "bold",
    "match": "bold reverse",
}
#: A mark that stands for others too: its style with this behind its name.
MORE: Final = "_more"
_WITH_MORE: Final = ("muted", "warn", "error", "gap", "focus", "match")
#: Grounds of a chosen row, and what is dim elsewhere: on these it would be too dim to read (WCAG 2.2, 1.4.3).
_CHOSEN: Final = ("cursor", "idle")
_DIM: Final = ("muted", "gap", "same", "sign")
_DIM_ON_CHOSEN: Final = {True: "#aab2bc", False: "#444c56"}
STYLE_NAMES: Final = frozenset((*_DARK, *(f"{name}{MORE}" for name in _WITH_MORE)))


class Palette:
    """The styles of one theme.

    Args:
        is_dark: whether the theme's background is dark.
        has_colour: false with NO_COLOR.
        is_ascii: nothing but ASCII may reach the terminal, whatever a peer sent.
        ground: foreground and background of the theme, `#rrggbb`; None leaves the terminal's own, whose
            background is then taken for what the theme says it is.
    """

    def __init__(
        self,
        is_dark: bool = True,
        has_colour: bool = True,
        is_ascii: bool = False,
        ground: tuple[str, str] | None = None,
    ) -> None:
        self.is_ascii = is_ascii
        table = _PLAIN if not has_colour else _DARK if is_dark else _LIGHT
        base = Style.parse(f"{ground[0]} on {ground[1]}") if ground and has_colour else Style()
        self._own = {name: Style.parse(definition) for name, definition in table.items()}
        for name in _WITH_MORE:
            own = self._own[name]  # what is underlined anyway is reversed
            more = Style(reverse=True) if own.underline else Style(underline=True)
            self._own[f"{name}{MORE}"] = own + more
        self._over = {"": {name: base + style for name, style in self._own.items()}}
        self._base = base
        dims = [one for name in _DIM for one in (name, f"{name}{MORE}") if one in self._own]
        dim = Style.parse(_DIM_ON_CHOSEN[is_dark]) if has_colour else Style()
        self._on_chosen = dict.fromkeys(dims, dim)

    def __getitem__(self, name: str) -> Style:
        return self._over[""][name]

    def _styles(self, over: str) -> dict[str, Style]:
        """The styles with another laid under each of them."""
        styles = self._over.get(over)
        if styles is None:
            below = self._base + self._own[over]
            over_dim = self._on_chosen if over in _CHOSEN else {}
            styles = self._over[over] = {
                name: below + style + over_dim.get(name, Style()) for name, style in self._own.items()
            }
        return styles

    def strip(self, line: Line, width: int, over: str = "") -> Strip:
        """A line of exactly `width` cells; `over` is laid under all of it."""
        styles = self._styles(over)
        if self.is_ascii:
            line = [(text if text.isascii() else to_ascii(text), name) for text, name in line]
        strip = Strip([Segment(text, styles[name]) for text, name in line if text])
        return strip.adjust_cell_length(width, styles[""])


def to_ascii(text: str) -> str:
    """As many cells of ASCII: an ellipsis becomes `~`, a control picture `.`, anything else `?`."""
    return "".join(char if char.isascii() else _ascii_sign(char) for char in text)


def _ascii_sign(char: str) -> str:
    if char == ELLIPSIS:
        return "~"
    if "\u2400" <= char <= "\u2421" or char == "·":
        return "."
    return "?" * cell_width(char)
