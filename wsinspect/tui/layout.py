"""How the screen is shared: pure arithmetic."""

from __future__ import annotations

from typing import Final

from textual.geometry import Size

LEAST: Final = Size(60, 15)
_NARROW: Final = 80
#: Fits 24 lines with header, keys, a banner, and playback open.
_STACK_ROWS: Final = 18


def is_too_small(size: Size) -> bool:
    """Whether only one line is shown, which says what is needed."""
    return size.width < LEAST.width or size.height < LEAST.height


def heights(
    size: Size, pane: int, *, connections: int, is_maximised: bool, extra: int, taken: int
) -> dict[int, int]:
    """The panes that are shown, and their heights; 0 takes what is left.

    Args:
        size: of the terminal.
        pane: the one with the focus, 1 to 4.
        connections: how many there are to list.
        is_maximised: show that pane alone.
        extra: rows that the user gave to the inspector.
        taken: rows that playback and banner take.
    """
    rows = size.height - 2 - taken
    if is_maximised or size.width < _NARROW or rows < _STACK_ROWS:
        return {pane: 0}
    overview = 4
    # Without connections the pane says what to do, which takes more lines.
    top = min(max(connections + 3, 5), max(rows // 5 + 1, 5)) if connections else 6
    inspector = max(min(max(rows * 3 // 10, 6) + extra, rows - top - overview - 5), 3)
    return {1: top, 2: overview, 3: 0, 4: inspector}
