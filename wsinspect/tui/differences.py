"""What of a paint the terminal does not show already: behind a slow line each cell costs time.

Textual paints widgets, with most of what was there before. Its paints are moves of the cursor,
`ESC [ y ; x H`, each with text and styles behind it; all else is written as it is.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from rich.cells import cell_len

_MOVE: Final = re.compile(r"\x1b\[(\d+);(\d+)H")
#: Text with the style before it and the reset behind it, as Rich writes both.
_PIECE: Final = re.compile(r"(?:\x1b\[([\d;]+)m)?([^\x1b]+)(?:\x1b\[0m)?")
#: A colour, or something that is on.
_ATTRIBUTE: Final = re.compile(r"[34]8;5;\d+|[34]8;2;\d+;\d+;\d+|\d+")
#: Cells, style, text.
_Piece = tuple[int, str, str]


class Shown:
    """What the terminal shows, as far as it is known: by line, each piece by where it begins."""

    def __init__(self) -> None:
        self._lines: dict[int, dict[int, _Piece]] = {}
        self._size: object = None

    def forget(self) -> None:
        """Something else may have drawn."""
        self._lines.clear()

    def changes(self, data: str, size: object) -> str:
        """What has to be written of a paint.

        Args:
            data: all that is to be written.
            size: of the screen; a terminal that changes it moves what it shows.
        """
        if size != self._size:
            self._size = size
            self.forget()
        moves = list(_MOVE.finditer(data))
        if not moves or moves[0].start():
            return data
        written: list[str] = []
        ends = [move.start() for move in moves[1:]] + [len(data)]
        for move, end in zip(moves, ends, strict=True):
            content = data[move.end() : end].removesuffix("\n")
            if content:
                written += self._line(int(move[1]), int(move[2]), content)
        if written:
            last = moves[-1]
            written += [last[0]] if last.end() == len(data) else []
        return "".join(written)

    def _line(self, y: int, x: int, content: str) -> list[str]:
        pieces = _pieces(content)
        if pieces is None:
            self._lines.pop(y, None)
            return [f"\x1b[{y};{x}H{content}"]
        known = self._lines.setdefault(y, {})
        written: list[str] = []
        at, style = -1, ""  # where the cursor is, and what it writes in
        for piece in pieces:
            width = piece[0]
            if known.get(x) != piece:
                for other in [
                    begin for begin, one in known.items() if begin < x + width and x < begin + one[0]
                ]:
                    del known[other]
                known[x] = piece
                if at != x:
                    written.append(f"\x1b[{y};{x}H")
                written.append(_to_style(style, piece[1]) + piece[2])
                at, style = x + width, piece[1]
            x += width
        if style:
            written.append("\x1b[0m")
        return written


def _pieces(content: str) -> list[_Piece] | None:
    """Text of one style each; None where there is more than text and styles."""
    found: list[_Piece] = []
    at = 0
    while at < len(content):
        piece = _PIECE.match(content, at)
        if piece is None:
            return None
        found.append((cell_len(piece[2]), piece[1] or "", piece[2]))
        at = piece.end()
    return found


@lru_cache(maxsize=1024)
def _to_style(before: str, after: str) -> str:
    """What leads from one style to another: only what differs, where nothing has to be switched off."""
    if before == after:
        return ""
    old, new = _attributes(before), _attributes(after)
    if old.keys() - new.keys():
        return f"\x1b[0;{after}m" if after else "\x1b[0m"
    return f"\x1b[{';'.join(value for kind, value in new.items() if old.get(kind) != value)}m"


def _attributes(style: str) -> dict[str, str]:
    """By kind: `3` and `4` are the colours of text and ground, all else is its own kind."""
    found = {}
    for value in _ATTRIBUTE.findall(style):
        is_colour = len(value) > 1 and value not in ("38", "48") and value[:-1] in ("3", "4", "9", "10")
        kind = {"9": "3", "10": "4"}.get(value[:-1], value[:-1]) if is_colour else value
        found[value[0] if ";" in value else kind] = value
    return found
