"""Lines made of styled pieces: measuring, cutting, and joining. Text is escaped before it gets here."""

from __future__ import annotations

from wsinspect.text import cell_width, truncate
from wsinspect.tui.style import Line


def width_of(line: Line) -> int:
    """Cells of a line."""
    return sum(cell_width(text) for text, _ in line)


def text_of(line: Line) -> str:
    """A line without its styles."""
    return "".join(text for text, _ in line)


def fit(line: Line, width: int) -> Line:
    """The line cut to at most `width` cells."""
    left, fitted = width, []
    for text, style in line:
        cells = cell_width(text)
        if cells > left:
            fitted.append((truncate(text, left), style))
            return fitted
        fitted.append((text, style))
        left -= cells
    return fitted


def between(left: Line, right: Line, width: int, filler: str = " ", style: str = "") -> Line:
    """Two ends of a line with a filler between them; the right end goes first where both do not fit."""
    space = width - width_of(left) - width_of(right)
    if space >= 1:
        return [*left, (filler * space, style), *right]
    left = fit(left, width)
    return [*left, (filler * (width - width_of(left)), style)]


def wrap(text: str, width: int) -> list[str]:
    """Escaped text in pieces of at most `width` cells, cut anywhere: what a peer sent has no words."""
    if width <= 0:
        return [text]
    if text.isascii():
        return [text[at : at + width] for at in range(0, len(text), width)] or [""]
    pieces, start, used = [], 0, 0
    for index, char in enumerate(text):
        cells = cell_width(char)
        if used + cells > width:
            pieces.append(text[start:index])
            start, used = index, 0
        used += cells
    return [*pieces, text[start:]]


def flow(text: str, width: int) -> list[str]:
    """Our own sentences, broken at spaces."""
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line] if line else lines
