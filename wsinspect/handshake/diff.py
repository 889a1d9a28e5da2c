"""What changed between two heads, line by line: what a proxy received against what it sent on.

Contract: every line of both heads is in the result once, in reading order; two lines are the same only when
their bytes are. Work grows linearly with the heads, which peers choose. `changed_fields` is the short form:
what the proxy itself did.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from wsinspect.handshake.heads import RawHead


class ChangeKind(StrEnum):
    """How a line fared on its way through."""

    SAME = "same"
    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"
    MOVED = "moved"


class Change(NamedTuple):
    """One line of two heads.

    Attributes:
        kind: what happened to it.
        name: the field's name as written; `b""` for the start line and for lines without a colon.
        before: the line as received, without its last line end; None where it was added.
        after: the line as sent on; None where it was removed.
    """

    kind: ChangeKind
    name: bytes
    before: bytes | None
    after: bytes | None


class _Line(NamedTuple):
    name: bytes
    key: bytes
    raw: bytes


def diff_heads(before: RawHead, after: RawHead) -> list[Change]:
    """The lines of both heads, start line first."""
    old, new = _lines(before), _lines(after)
    pairs = _pair(old, new)
    return [_start(before, after), *_in_reading_order(old, new, pairs)]


def changed_fields(before: RawHead, after: RawHead) -> list[Change]:
    """Only the lines that are not the same."""
    return [change for change in diff_heads(before, after) if change.kind is not ChangeKind.SAME]


def _start(before: RawHead, after: RawHead) -> Change:
    kind = ChangeKind.SAME if before.start_raw == after.start_raw else ChangeKind.CHANGED
    return Change(kind, b"", before.start_line, after.start_line)


def _lines(head: RawHead) -> list[_Line]:
    return [_Line(field.name, field.key, field.raw) for field in head.fields]


def _pair(old: list[_Line], new: list[_Line]) -> dict[int, int]:
    """Index in `old` to index in `new`: equal lines first, then what has the same name, each in order."""
    pairs: dict[int, int] = {}
    _match(((index, line.raw) for index, line in enumerate(old)), enumerate(line.raw for line in new), pairs)
    taken = set(pairs.values())
    left_old = ((index, line.key) for index, line in enumerate(old) if index not in pairs and line.key)
    left_new = ((index, line.key) for index, line in enumerate(new) if index not in taken and line.key)
    _match(left_old, left_new, pairs)
    return pairs


def _match(old: Iterable[tuple[int, bytes]], new: Iterable[tuple[int, bytes]], pairs: dict[int, int]) -> None:
    waiting: dict[bytes, deque[int]] = defaultdict(deque)
    for index, key in new:
        waiting[key].append(index)
    for index, key in list(old):
        if waiting.get(key):
            pairs[index] = waiting[key].popleft()


def _in_reading_order(old: list[_Line], new: list[_Line], pairs: dict[int, int]) -> list[Change]:
    """The old lines in their order; an added line follows the line it follows in the new head."""
    placed: list[tuple[tuple[int, int, int], Change]] = []
    furthest = -1
    for index, line in enumerate(old):
        target = pairs.get(index)
        if target is None:
            placed.append(((index, 0, 0), Change(ChangeKind.REMOVED, line.name, _shown(line), None)))
            continue
        kind = ChangeKind.SAME if new[target].raw == line.raw else ChangeKind.CHANGED
        if kind is ChangeKind.SAME and target < furthest:
            kind = ChangeKind.MOVED
        furthest = max(furthest, target)
        placed.append(((index, 0, 0), Change(kind, new[target].name, _shown(line), _shown(new[target]))))
    sources = {target: index for index, target in pairs.items()}
    anchor = -1
    for target, line in enumerate(new):
        if target in sources:
            anchor = sources[target]
        else:
            placed.append(((anchor, 1, target), Change(ChangeKind.ADDED, line.name, None, _shown(line))))
    return [change for _, change in sorted(placed, key=lambda item: item[0])]


def _shown(line: _Line) -> bytes:
    return line.raw.rstrip(b"\r\n")
