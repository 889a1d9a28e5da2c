"""Reading the journal: while the engine writes to it, and after engine and recorder died.

Contract: `JournalReader.read` hands out each whole record once, in the order of writing, and never half of
one. A torn tail (a process killed in the middle of a write) is waited for while it may still grow, and
skipped when a later segment shows that it never will.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from wsinspect.journal.format import (
    HEADER,
    KINDS,
    MAX_RECORD_BYTES,
    Position,
    Record,
    segment_numbers,
    segment_path,
)

READ_BYTES: Final = 1024 * 1024
START: Final = Position(0, 0)


class JournalReader:
    """Reads the records of a journal from a position on; used while the writer writes and after it died.

    Args:
        directory: The journal directory; it may be absent (then there is nothing to read).
        position: Where the next record begins. Segments before it are done with.

    Attributes:
        position: Where the record after those handed out last begins.
        start: Where the first of those handed out last began; they are of one segment, without holes.
        damaged_bytes: Bytes skipped because they were not records (a damaged segment that is not the last).
    """

    def __init__(self, directory: str | os.PathLike[str], position: Position = START) -> None:
        self.directory = Path(directory)
        self.position = position
        self.start = position
        self.damaged_bytes = 0
        self._fd = -1
        self._is_damaged = False

    def read(self, limit_bytes: int = READ_BYTES) -> list[Record]:
        """The next whole records, about `limit_bytes` of them at most; empty when there are none now."""
        while True:
            if self._fd < 0 and not self._open():
                return []
            records = self._read_segment(limit_bytes)
            if records or not self._advance():
                return records

    def delete_finished(self, before: int | None = None) -> int:
        """Delete the segments before the current one (or before `before`); returns how many were deleted."""
        bound = self.position.segment if before is None else before
        deleted = 0
        for number in segment_numbers(self.directory):
            if number < bound:
                segment_path(self.directory, number).unlink(missing_ok=True)
                deleted += 1
        return deleted

    def skip_rest(self) -> int:
        """Nobody writes any more: what is left of the last segment is a torn tail. Returns its length."""
        if self._fd < 0:
            return 0
        _, offset = self.position
        rest = max(0, os.fstat(self._fd).st_size - offset)
        self.damaged_bytes += rest
        return rest

    def close(self) -> None:
        """Close the segment file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> bool:
        """Open the segment of the position, else the first one after it."""
        for number in segment_numbers(self.directory):
            if number < self.position.segment:
                continue
            try:
                self._fd = os.open(segment_path(self.directory, number), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            if number != self.position.segment:
                self.position = Position(number, 0)
            self._is_damaged = False
            return True
        return False

    def _read_segment(self, limit_bytes: int) -> list[Record]:
        if self._is_damaged:
            return []
        segment, offset = self.start = self.position
        block = os.pread(self._fd, limit_bytes, offset)
        records, consumed, needed = _parse(block)
        if not records and len(block) == limit_bytes and 0 < needed <= MAX_RECORD_BYTES + HEADER.size:
            records, consumed, needed = _parse(os.pread(self._fd, needed, offset))
        # A torn tail is not kept: the writer may cut it off and write something else there.
        self._is_damaged = needed < 0
        self.position = Position(segment, offset + consumed)
        return records

    def _advance(self) -> bool:
        """Go to the next segment if there is one; what is left of this one is then final."""
        segment, offset = self.position
        following = [number for number in segment_numbers(self.directory) if number > segment]
        if not following:
            return False
        size = os.fstat(self._fd).st_size
        if not self._is_damaged and size > offset:
            block = os.pread(self._fd, HEADER.size, offset)
            if len(block) == HEADER.size and HEADER.size + HEADER.unpack(block)[0] <= size - offset:
                # Written between our last read and the start of the next segment.
                return True
        self.damaged_bytes += max(0, size - offset)
        self.close()
        self.position = Position(following[0], 0)
        return True


def _parse(block: bytes) -> tuple[list[Record], int, int]:
    """Cut a block into records.

    Returns:
        The whole records, how many bytes they took, and how many bytes the record after them needs: 0 if not
        even its header is there, -1 if it is not a record at all.
    """
    records: list[Record] = []
    append = records.append
    unpack = HEADER.unpack_from
    size = HEADER.size
    offset = 0
    end = len(block)
    while offset + size <= end:
        length, kind, part, _, connection, time_ns, sent_after_ns = unpack(block, offset)
        if kind not in KINDS or length > MAX_RECORD_BYTES:
            return records, offset, -1
        start = offset + size
        if start + length > end:
            return records, offset, size + length
        append(Record(kind, part, connection, time_ns, sent_after_ns, block[start : start + length]))
        offset = start + length
    return records, offset, 0
