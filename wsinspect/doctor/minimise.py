"""Delta debugging (Zeller and Hildebrandt, 2002): the fewest of some things that still do it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TypeVar

T = TypeVar("T")


def minimise(things: Sequence[T], *, budget: int) -> Generator[tuple[T, ...], bool, tuple[T, ...]]:
    """Yields sets to try, takes whether each does it, and returns the smallest that was found to.

    All of `things` together are known to do it, and none of them not to.

    Args:
        things: in an order in which neighbours belong together.
        budget: how many sets may be tried; what is returned then is the best so far.
    """
    best = tuple(things)
    parts = 2
    tried: set[tuple[T, ...]] = set()
    while len(best) > 1:
        size = -(-len(best) // parts)
        chunks = [best[start : start + size] for start in range(0, len(best), size)]
        rests = (
            [tuple(one for one in best if one not in chunk) for chunk in chunks] if len(chunks) > 2 else []
        )
        for number, candidate in enumerate((*chunks, *rests)):
            if candidate in tried or not candidate:
                continue
            if budget <= 0:
                return best
            budget -= 1
            tried.add(candidate)
            if (yield candidate):
                parts = 2 if number < len(chunks) else max(2, parts - 1)
                best = candidate
                break
        else:
            if parts >= len(best):
                return best
            parts = min(len(best), 2 * parts)
    return best
