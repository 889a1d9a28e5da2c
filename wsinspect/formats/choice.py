"""What of a capture is exported: connections, and frames of them, that a filter lets pass."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from wsinspect.capture.filtering import FrameScan, matching_connections
from wsinspect.capture.queries import count_connections, count_frames
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.hops import before_hops
from wsinspect.filters.language import Filter
from wsinspect.text import counted

_CHUNK_BITS: Final = 13


class Ids:
    """A set of row ids, a bit each, so that those of a large capture fit in memory."""

    def __init__(self) -> None:
        self._chunks: dict[int, bytearray] = {}
        self.count = 0

    def add(self, number: int) -> None:
        chunk = self._chunks.get(number >> _CHUNK_BITS)
        if chunk is None:
            chunk = self._chunks[number >> _CHUNK_BITS] = bytearray(1 << _CHUNK_BITS - 3)
        place, bit = number >> 3 & (1 << _CHUNK_BITS - 3) - 1, 1 << (number & 7)
        if not chunk[place] & bit:
            chunk[place] |= bit
            self.count += 1

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int):
            return False
        chunk = self._chunks.get(number >> _CHUNK_BITS)
        place = number >> 3 & (1 << _CHUNK_BITS - 3) - 1
        return chunk is not None and bool(chunk[place] >> (number & 7) & 1)


@dataclass(frozen=True)
class Choice:
    """What is exported.

    Attributes:
        connections: their ids; None is all of them, and what belongs to none.
        frames: their ids; None is all of those connections.
        messages: those that a chosen frame belongs to; None is all.
        source: the filter.
        left_out: what the filter left out, in words; None without one.
    """

    connections: frozenset[int] | None = None
    frames: Ids | None = None
    messages: Ids | None = None
    source: str | None = None
    left_out: str | None = None

    def has(self, table: str, number: object) -> bool:
        """Whether the row of a table with this frame id, or message id, is exported."""
        ids = self.messages if table == "message" else self.frames
        return ids is None or number is None or number in ids


EVERYTHING: Final = Choice()


def choose(capture: Capture, flt: Filter | None, numbers: Collection[int] = ()) -> Choice:
    """Apply a filter: one whose keys are all about connections chooses connections, any other one frames.

    Args:
        capture: what to export.
        flt: the filter.
        numbers: the connections to look at; none is all.

    Raises:
        CaptureError: the capture is damaged.
    """
    asked = frozenset(numbers) or None
    if flt is None or flt.is_empty:
        return Choice(asked)
    total = count_connections(capture) if asked is None else len(asked)
    if flt.lists_connections:
        found = frozenset(one.id for one in matching_connections(capture, flt))
        found = found if asked is None else found & asked
        left = f"{total - len(found)} of {total} connections are left out by the filter"
        return Choice(found, source=str(flt), left_out=left)
    frames, messages, connections = Ids(), Ids(), set()
    for number, connection, message in _passing(capture, flt, asked):
        frames.add(number)
        connections.add(connection)
        if message is not None:
            messages.add(message)
    of = count_frames(capture, asked)
    gone, empty = of - frames.count, total - len(connections)
    left = f"{gone} of {of} frames and {empty} of {total} connections are left out by the filter"
    return Choice(frozenset(connections), frames, messages, str(flt), left)


def hops_own(capture: Capture, chosen: Collection[int] | None = None) -> frozenset[int]:
    """Connections that a hop opened for a client whose own connection is in the capture, too.

    A capture with a tap on each side of a hop has both. Whatever plays recorded clients, or answers them,
    plays the client's alone: the hop opens its own again.

    Args:
        capture: what is played.
        chosen: the connections that are; None is all. A hop's connection is one of the result only where one
            before it is among them.

    Raises:
        CaptureError: the capture is damaged.
    """
    before = before_hops(capture.query)
    found = set()
    for number in before:
        other = before.get(number)
        while other is not None:  # a hop's connection began after the one before it, so this ends
            if chosen is None or other in chosen:
                found.add(number)
                break
            other = before.get(other)
    return frozenset(found if chosen is None else found & {*chosen})


def words_of_hops_own(count: int) -> str | None:
    """What is said of so many; None without any."""
    if not count:
        return None
    what = f"{counted(count, 'connection')} that the hop opened itself, seen at the tap behind it:"
    return f"left out: {what} -c chooses {'it' if count == 1 else 'one'}"


def _passing(
    capture: Capture, flt: Filter, asked: frozenset[int] | None
) -> Iterator[tuple[int, int, int | None]]:
    """Frame, connection and message of each frame that passes."""
    only = next(iter(asked)) if asked is not None and len(asked) == 1 else None
    scan = FrameScan(capture, flt, connection_id=only, columns=("connection_id", "message_id"))
    for batch in scan.batches():
        for number, connection, message in batch.rows:
            if asked is None or connection in asked:
                yield number, connection, message
