"""Keeping a capture within `--max-capture-size`: the oldest data goes first, and that is recorded.

What is stored is counted off in generations, each a 64th of the file's share. The newest ones, a quarter of
the share, are not touched; of the others go, one stage after the other and oldest first in each:

1. payloads, inflated messages, opaque data and bodies of connections that have ended;
2. those of connections that are still open;
3. rows of frames, messages, pings, what faults did to them, and opaque data;
4. connections that have ended and have no frames left, with their handshakes and events.

Should all of that not be enough, the quarter shrinks. Evicted data is NULL; the table `evicted` counts it for
each connection, and an `event` of kind `evicted` for each 16th of the share, in the transaction that evicts.

Contract: each step is a short transaction (some milliseconds), so that rows continue to be committed
meanwhile, readers are never kept out, and a process killed in the middle leaves a capture that says what it
lacks. What a restarted recorder needs of an open connection (the last 32 KiB that a compressed stream
inflated to) stays.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from wsinspect.capture.evicting import (
    BODY,
    FAULT,
    FRAME,
    MESSAGE,
    OPAQUE,
    PING,
    Column,
    EvictableRows,
    Freed,
    Generation,
)
from wsinspect.capture.schema import Database
from wsinspect.journal.budget import Budget, journal_bytes
from wsinspect.journal.format import journal_directory
from wsinspect.vocabulary.events import Evicted
from wsinspect.wire.deflate import WINDOW

#: Parts of the file's share: a generation, what is left alone, and what is freed in one go (one event).
_GENERATION: Final = 64
_PROTECTED: Final = 4
_ROUND: Final = 16
_VACUUM_PAGES: Final = 128
#: How long evicting may delay the recorder's next commit, and how long if the file is full.
_PATIENCE_SECONDS: Final = 0.04
_FULL_SECONDS: Final = 0.2
#: How long restarting the WAL may wait for readers, whose transactions are short. For those of others,
#: which are not, the pause until the next try doubles.
_READERS_MS: Final = 400
_LEAST_PAUSE_SECONDS: Final = 0.1
_MOST_PAUSE_SECONDS: Final = 5.0
#: Streams whose last 32 KiB are remembered.
_MAX_WINDOWS: Final = 10_000

#: What of a generation is evicted next.
ENDED, OPEN, ROWS = range(3)
_COLUMNS: Final = {
    ENDED: (FRAME, MESSAGE, OPAQUE, BODY),
    OPEN: (FRAME, MESSAGE, OPAQUE, BODY),
    ROWS: (FRAME, MESSAGE, PING, FAULT, OPAQUE),
}


class Account:
    """What was evicted, for its `event`; a new one is begun when it has grown large."""

    def __init__(self, limit: int, at_ns: int) -> None:
        self.limit = limit
        self.at_ns = at_ns
        self.freed = 0
        self.event: int | None = None
        self.payloads = self.bytes = self.frames = self.connections = self.events = 0

    def add(self, freed: Freed) -> None:
        """Count what one step has deleted."""
        self.payloads += freed.payloads
        self.bytes += freed.bytes
        self.frames += freed.frames

    def store(self, rows: EvictableRows) -> None:
        """Insert or update the event; part of the transaction that evicts."""
        counts = (self.payloads, self.bytes, self.frames, self.connections, self.events)
        if any(counts):
            event = Evicted(
                limit=self.limit,
                payloads=self.payloads or None,
                bytes=self.bytes or None,
                frames=self.frames or None,
                connections=self.connections or None,
                events=self.events or None,
            )
            self.event = rows.store_event(self.event, self.at_ns, event)


class Evictor:
    """Keeps one capture within its size; used between the transactions of whoever writes it.

    Args:
        database: The writer's own connection.
        path: The capture, to see its WAL and its journal.

    """

    def __init__(self, database: Database, path: Path) -> None:
        self._rows = EvictableRows(database)
        self._wal = Path(f"{path}-wal")
        self._journal = journal_directory(path)
        self._next_restart = 0.0
        self._pause = _LEAST_PAUSE_SECONDS
        self._budget: Budget | None = None
        self._grown = 0
        self._used = self._rows.used_bytes
        self._is_evicting = False
        self._account: Account | None = None
        self._windows: dict[tuple[int, int], int] = {}
        self._load()

    @property
    def has_evicted(self) -> bool:
        """Whether anything had to go since this object was made."""
        return self._account is not None

    @property
    def has_more(self) -> bool:
        """Whether `keep` should be called again soon, even if nothing is added."""
        return self._budget is not None and (self._is_evicting or self._is_file_large(self._budget))

    def keep(self, limit: int | None, at_ns: int) -> None:
        """Evict what is too much, for as long as that does not delay the next commit.

        Args:
            limit: `--max-capture-size`; None for none.
            at_ns: The capture's time by now.

        Raises:
            sqlite3.OperationalError: The capture cannot be written now.
        """
        if limit is None:
            return
        if self._budget is None or self._budget.limit != limit:
            budget = Budget.of(limit)
            self._rows.set_wal(copy_at=budget.wal // 4, keep=budget.wal // 2)
            if not self._generations:
                self._adopt(budget)
            self._budget = budget
        budget = self._budget
        self._note_growth(budget)
        self._bound_wal(budget)
        most = budget.database - budget.reserve - self._wal_excess(budget) - self._journal_excess(budget)
        if self._is_evicting or self._used > most:
            self._is_evicting = self._evict(budget, most, at_ns)
        if self._is_file_large(budget):
            self._rows.give_back(_VACUUM_PAGES)
            if not self._is_file_large(budget):
                # The file itself is cut when the WAL is copied into it.
                self._rows.copy_wal()

    def _evict(self, budget: Budget, most: int, at_ns: int) -> bool:
        """Free enough that there is room for a while; true if that has to continue later.

        Whole rows go only as far as they must: what remains of a frame without its payload is small.
        """
        started = time.monotonic()
        while self._used > most - budget.database // _ROUND:
            if self._account is None or self._account.freed > budget.database // _ROUND:
                self._account = Account(budget.limit, at_ns)
            patience = _FULL_SECONDS if self._used > budget.database else _PATIENCE_SECONDS
            if time.monotonic() - started > patience:
                return True
            if not self._step(budget, self._account, may_drop=self._used > most):
                return False
            self._bound_wal(budget)
            used, self._used = self._used, self._rows.used_bytes
            self._account.freed += max(0, used - self._used)
        return False

    # -- measuring

    def _is_file_large(self, budget: Budget) -> bool:
        """Whether there are free pages at the cost of a file beyond its share (it was larger once)."""
        return self._rows.file_bytes > budget.database and self._rows.has_free_pages

    def _wal_excess(self, budget: Budget) -> int:
        """What a WAL that a reader keeps from being copied takes beyond its share."""
        return max(0, self._wal_bytes() - budget.wal)

    def _journal_excess(self, budget: Budget) -> int:
        """What a journal that was given room while the file was small takes beyond its share."""
        return max(0, journal_bytes(self._journal) - budget.journal)

    def _wal_bytes(self) -> int:
        try:
            return self._wal.stat().st_size
        except FileNotFoundError:
            return 0

    def _bound_wal(self, budget: Budget) -> None:
        """Restart the WAL when it has used up its share.

        SQLite does so by itself when nobody reads; between readers that come one after the other there is no
        such moment, so here they are waited for, each of which is short.
        """
        if self._wal_bytes() <= budget.wal - budget.commit or time.monotonic() < self._next_restart:
            return
        is_busy = not self._rows.restart_wal(_READERS_MS)
        self._next_restart = time.monotonic() + self._pause if is_busy else 0.0
        self._pause = min(_MOST_PAUSE_SECONDS, self._pause * 2) if is_busy else _LEAST_PAUSE_SECONDS

    def _note_growth(self, budget: Budget) -> None:
        """Begin another generation when enough was stored since the last one."""
        used = self._rows.used_bytes
        self._grown += max(0, used - self._used)
        self._used = used
        if self._grown >= budget.database // _GENERATION:
            self._begin_generation(self._rows.newest(), self._grown)
            self._grown = 0

    def _begin_generation(self, newest: Sequence[int], size: int) -> None:
        frame, opaque, connection, event = newest
        number = self._generations[-1].id + 1 if self._generations else 1
        generation = Generation(number, frame, opaque, connection, event, size, ENDED)
        self._rows.add_generation(generation)
        self._generations.append(generation)

    def _adopt(self, budget: Budget) -> None:
        """Divide what was recorded when there was no limit, as well as one can: by its ids."""
        newest = self._rows.newest()
        count = self._used * _GENERATION // budget.database
        with self._rows.transaction():
            for part in range(1, count + 1):
                self._begin_generation([each * part // count for each in newest], self._used // count)

    # -- one step

    def _load(self) -> None:
        self._generations = self._rows.generations()
        self._cursors: dict[tuple[int, int, str], int] = {}

    def _step(self, budget: Budget, account: Account, *, may_drop: bool) -> bool:
        """Evict a little in one transaction; false when there is nothing that may go."""
        try:
            with self._rows.transaction():
                has_evicted = self._do_step(budget, account, may_drop)
                account.store(self._rows)
        except BaseException:
            # What was counted and skipped is not in the file: start again from there.
            self._account = None
            self._load()
            raise
        return has_evicted

    def _do_step(self, budget: Budget, account: Account, may_drop: bool) -> bool:
        protected = budget.database // _PROTECTED
        while True:
            old = self._generations[: self._count_old(protected)]
            for stage in (ENDED, OPEN, ROWS) if may_drop else (ENDED, OPEN):
                for index, generation in enumerate(old):
                    if generation.stage <= stage:
                        self._take_some(index, stage, account)
                        return True
            if not may_drop:
                return False
            if self._generations:
                oldest = self._generations[0]
                if self._drop_connections(oldest, account) or self._drop_events(oldest, account):
                    return True
            if not protected:
                return False
            protected = protected // 2 if protected > budget.commit else 0

    def _count_old(self, protected: int) -> int:
        """How many generations come before the newest ones, which hold this many bytes."""
        for index in range(len(self._generations), 0, -1):
            if protected <= 0:
                return index
            protected -= self._generations[index - 1].size
        return 0

    def _take_some(self, index: int, stage: int, account: Account) -> None:
        """Evict a little of a generation; when nothing is left for the stage, it is ready for the next."""
        generation = self._generations[index]
        for column in _COLUMNS[stage]:
            place = (generation.id, stage, column.table)
            begin = getattr(self._generations[index - 1], column.bound) if index else 0
            first, bound = max(begin, self._cursors.get(place, 0)), getattr(generation, column.bound)
            if first < bound:
                last = self._rows.reach(column, first, bound)
                account.add(self._free(column, first, last, stage))
                self._cursors[place] = last
                return
            self._cursors.pop(place, None)
        if stage == ROWS:
            self._rows.drop_generation(generation)
            del self._generations[index]
        else:
            generation = generation._replace(stage=stage + 1)
            self._rows.set_stage(generation)
            self._generations[index] = generation

    def _free(self, column: Column, first: int, last: int, stage: int) -> Freed:
        """Forget the data of some rows, or the rows."""
        if stage == ENDED:
            return self._rows.strip(column, first, last, only_ended=True)
        needed = self._needed(first, last) if column is MESSAGE else ()
        if stage == OPEN:
            return self._rows.strip(column, first, last, only_ended=False, but=needed)
        return self._rows.delete(column, first, last, but=needed)

    # -- what must stay

    def _needed(self, first: int, last: int) -> list[int]:
        """Messages among these that a restarted recorder would need."""
        needed = []
        for message, *stream in self._rows.compressed_of_open(first, last):
            key = (stream[0], stream[1])
            if message >= self._windows.get(key, 0) and message >= self._window_begin(key):
                needed.append(message)
        return needed

    def _window_begin(self, stream: tuple[int, int]) -> int:
        """The first message of the last 32 KiB that a stream inflated to (`restore` reads them)."""
        begin = size = 0
        for message, length in self._rows.inflated_backwards(*stream):
            begin = message
            size += length
            if size >= WINDOW:
                break
        if len(self._windows) >= _MAX_WINDOWS:
            self._windows.clear()
        # It only moves forward, so what is before it can go without another look.
        self._windows[stream] = begin
        return begin

    # -- connections

    def _drop_connections(self, bound: Generation, account: Account) -> bool:
        """Delete the oldest connections that have ended and have no frames left."""
        dropped = self._rows.drop_connections(bound.connection)
        account.connections += dropped
        return dropped > 0

    def _drop_events(self, bound: Generation, account: Account) -> bool:
        """Delete the oldest events of the engine itself, earlier rounds of evictions among them."""
        dropped = self._rows.drop_events(bound.event, but=account.event)
        account.events += dropped
        return dropped > 0
