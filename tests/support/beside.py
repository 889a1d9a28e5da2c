"""What may stand beside the first finding of a cell: nothing that blames somebody else, and nothing twice.

One failure has one cause. A second error or warning about the same attempt is a second opinion, and where it
names another party, or another cause, the reader has two. So a cell says which others it may have, by id and
party, with the reason; every other one fails. Notes blame nobody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

#: (id, whose fault it is)
Said = tuple[str, str]


def beside(found: Sequence[Said], may: Collection[Said] = ()) -> Iterator[str]:
    """What is wrong with the errors and warnings of one cell beside the first of them; nothing is right.

    Args:
        found: its errors and warnings in their order.
        may: those that it may have in addition.
    """
    for one in found[1:]:
        if one not in may:
            yield f"also {one[0]} of: {one[1]}"
    for one, times in Counter(found).items():
        if times > 1:
            yield f"{one[0]} {times} times"
