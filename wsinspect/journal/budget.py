"""How `--max-capture-size` is shared out: the file, its WAL, and the journal's backlog.

Each part is kept within its share by somebody else: the engine's writer keeps the journal (`JournalRoom`),
SQLite's checkpoints keep the WAL, and `eviction` keeps the file. While the file is small the journal may have
half of what it has not used yet, so that a burst need not wait for the recorder; what the journal takes
beyond its own share the file may not have (`eviction`), so that the sum holds at every moment.
Only the standard library is imported: the engine loads this module.
"""

from __future__ import annotations

import contextlib
import errno
import time
from pathlib import Path
from typing import Final, NamedTuple

from wsinspect.journal.format import SEGMENT_BYTES, segment_numbers, segment_path

_MIB: Final = 1024 * 1024
#: Below this, what does not shrink (a transaction, the WAL, a segment) would leave no room for data.
LEAST_BYTES: Final = 64 * _MIB
DEFAULT_BYTES: Final = 4096 * _MIB
_COMMIT_BYTES: Final = 8 * _MIB
_WAL_BYTES: Final = 32 * _MIB
#: A journal that is full and does not shrink for this long has no working recorder.
_PATIENCE_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.01


class Budget(NamedTuple):
    """Shares of a limit, in bytes.

    Attributes:
        limit: what `--max-capture-size` says.
        database: the file.
        reserve: of `database`, kept free for the next transaction.
        wal: the write-ahead log; after a quarter of it SQLite copies it into the file.
        journal: what is not indexed yet; more while the file is small (`most_journal`).
        segment: one file of the journal.
        commit: rows that are gathered for one transaction.
        longest: the most that is kept of one payload or inflated message.
    """

    limit: int
    database: int
    reserve: int
    wal: int
    journal: int
    segment: int
    commit: int
    longest: int

    @classmethod
    def of(cls, limit: int) -> Budget:
        """The shares of a limit."""
        limit = max(limit, LEAST_BYTES)
        journal, wal = limit // 8, min(_WAL_BYTES, limit // 8)
        commit, longest = min(_COMMIT_BYTES, limit // 64), limit // 16
        segment = min(SEGMENT_BYTES, journal // 4)
        return cls(limit, limit - journal - wal, commit + longest, wal, journal, segment, commit, longest)

    def most_journal(self, file_bytes: int) -> int:
        """What the journal may take next to a file, with its WAL, of this size.

        Half of what the file has left: rows take more than their journal does, about twice at 64 B a frame.
        """
        return self.journal + max(0, self.database - self.reserve - file_bytes) // 2


def journal_bytes(directory: Path) -> int:
    """The size of a journal's segments."""
    used = 0
    for number in segment_numbers(directory):
        try:
            used += segment_path(directory, number).stat().st_size
        except FileNotFoundError:
            continue  # indexed meanwhile
    return used


class JournalRoom:
    """Keeps the journal within its share, for the thread that writes it.

    While the recorder indexes, a journal that is full makes the writer wait, and in the end the engine read
    its sockets more slowly. A recorder that neither frees a segment nor writes the capture any more is like a
    full disk: traffic continues, and what cannot be stored is counted.
    """

    def __init__(self, directory: Path, budget: Budget) -> None:
        self._directory = directory
        capture = directory.with_name(directory.name.removesuffix(".journal"))
        self._written = (capture, Path(f"{capture}-wal"))
        self._budget = budget
        self._given_up_at = -1

    def wait(self) -> None:
        """Return when there is room for one more segment.

        Raises:
            OSError: there is none, and nothing frees any.
        """
        used = least = journal_bytes(self._directory)
        stamps = self._stamps()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while used > self._most():
            if used >= self._given_up_at >= 0 or time.monotonic() > deadline:
                self._given_up_at = used
                raise OSError(errno.EDQUOT, "the recorder is too far behind for --max-capture-size")
            time.sleep(_PAUSE_SECONDS)
            used = journal_bytes(self._directory)
            if used < least or stamps != self._stamps():
                least, stamps = used, self._stamps()
                deadline = time.monotonic() + _PATIENCE_SECONDS
        self._given_up_at = -1

    def _stamps(self) -> list[int]:
        """When the capture was written last: this distinguishes a slow recorder from one that is gone."""
        stamps = []
        for path in self._written:
            with contextlib.suppress(FileNotFoundError):
                stamps.append(path.stat().st_mtime_ns)
        return stamps

    def _most(self) -> int:
        """So much that one more segment fits."""
        file_bytes = 0
        for path in self._written:
            with contextlib.suppress(FileNotFoundError):
                file_bytes += path.stat().st_size
        return self._budget.most_journal(file_bytes) - self._budget.segment
