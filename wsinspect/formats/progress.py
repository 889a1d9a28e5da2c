"""Who wants to know how far an export or import is."""

from __future__ import annotations

from collections.abc import Callable

#: Called with how many frames, or bytes of a file, are done.
Progress = Callable[[int], None]


def nobody(_done: int) -> None:
    """Nobody wants to know."""
