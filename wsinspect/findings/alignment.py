"""Which element of one sequence became which one of another that kept the order, lost some and gained some.

Myers' difference (E. Myers, An O(ND) Difference Algorithm, 1986), bounded: where the sequences differ in more
than `MAX_EDITS` elements a simpler way is taken that counts right and pairs nearly right.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Final

MAX_EDITS: Final = 300

Pairs = list[tuple[int, int]]


def align(before: Sequence[Hashable], after: Sequence[Hashable]) -> Pairs:
    """Pairs of positions with equal elements, in order; what is in no pair was lost or added."""
    start = 0
    shorter = min(len(before), len(after))
    while start < shorter and before[start] == after[start]:
        start += 1
    end = 0
    while end < shorter - start and before[-1 - end] == after[-1 - end]:
        end += 1
    a, b = before[start : len(before) - end], after[start : len(after) - end]
    middle: Pairs = []
    if a and b:
        found = _myers(a, b)
        middle = _in_order(a, b) if found is None else found
    pairs = [(n, n) for n in range(start)]
    pairs += [(start + i, start + j) for i, j in middle]
    pairs += [(len(before) - end + n, len(after) - end + n) for n in range(end)]
    return pairs


def _myers(a: Sequence[Hashable], b: Sequence[Hashable]) -> Pairs | None:
    """The longest common subsequence; None where it takes too many edits."""
    furthest = {1: 0}
    history: list[dict[int, int]] = []
    for edits in range(MAX_EDITS + 1):
        history.append(dict(furthest))
        for diagonal in range(-edits, edits + 1, 2):
            x = _step(furthest, diagonal, edits)
            y = x - diagonal
            while x < len(a) and y < len(b) and a[x] == b[y]:
                x, y = x + 1, y + 1
            furthest[diagonal] = x
            if x >= len(a) and y >= len(b):
                return _way_back(history, len(a), len(b))
    return None


def _step(furthest: dict[int, int], diagonal: int, edits: int) -> int:
    """Where this diagonal begins after one more edit: one down (added), or one to the right (lost)."""
    is_down = diagonal == -edits or (diagonal != edits and furthest[diagonal - 1] < furthest[diagonal + 1])
    return furthest[diagonal + 1] if is_down else furthest[diagonal - 1] + 1


def _way_back(history: list[dict[int, int]], x: int, y: int) -> Pairs:
    pairs: Pairs = []
    for edits in range(len(history) - 1, -1, -1):
        furthest, diagonal = history[edits], x - y
        begun = _step(furthest, diagonal, edits) if edits else 0
        while x > begun and y > 0 and (edits or x > 0):
            x, y = x - 1, y - 1
            pairs.append((x, y))
        if not edits:
            break
        is_down = diagonal == -edits or (
            diagonal != edits and furthest[diagonal - 1] < furthest[diagonal + 1]
        )
        x, y = (x, y - 1) if is_down else (x - 1, y)
    return pairs[::-1]


def _in_order(a: Sequence[Hashable], b: Sequence[Hashable]) -> Pairs:
    """Each with the next equal one; where little is alike that is near enough."""
    places: dict[Hashable, list[int]] = defaultdict(list)
    for index, one in enumerate(b):
        places[one].append(index)
    pairs: Pairs = []
    at = 0
    for index, one in enumerate(a):
        where = places.get(one, [])
        next_one = bisect_left(where, at)
        # A jump far ahead would skip everything in between.
        if next_one < len(where) and where[next_one] - at <= MAX_EDITS:
            pairs.append((index, where[next_one]))
            at = where[next_one] + 1
    return pairs
