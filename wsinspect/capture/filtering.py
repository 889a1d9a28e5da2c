"""A filter at work on a capture: which frames fit, in batches, and which connections.

Contract: SQL decides what it can (`filter_sql`), the filter's predicate the rest, and only of frames that SQL
left. A batch is one read transaction of some 30 ms, the first one much shorter, so that a first screen comes
at once and the recorder's WAL can be emptied in between. Frames are judged in order, each once: facts that come
later, as the round trip of a PING, are those of the moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final, NamedTuple

from wsinspect.capture.filter_facts import COLUMNS, ConnectionRow, FrameRow, Lookup
from wsinspect.capture.filter_sql import (
    CONTROL_BITS,
    EVERYTHING,
    PLAIN_HEADS,
    Condition,
    Known,
    Truth,
    split,
    translate,
)
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.filters.ast import Node, Test, all_of, tests_of
from wsinspect.filters.filter import Filter, connection_predicate, frame_predicate

_FIRST_IDS: Final = 2_000
_LEAST_IDS: Final = 250
_MOST_IDS: Final = 65_536
#: Where payloads are read by Python, to bound what is held at once.
_MOST_IDS_WITH_PAYLOADS: Final = 16_384
_AIM_S: Final = 0.03
_SLOW_S: Final = 0.06
_PAYLOAD_KEYS: Final = frozenset({"body", "json", "code", "reason"})
_BITS_AT: Final = COLUMNS.index("f.bits")


class Batch(NamedTuple):
    """Frames that fit.

    Attributes:
        ids: their ids, ascending.
        scanned_to: all frames up to here have been judged.
        rows: for each, its id and the columns that were asked for; empty where none were.
    """

    ids: list[int]
    scanned_to: int
    rows: list[tuple[Any, ...]]


class FrameScan:
    """A filter over the frames of a capture.

    Args:
        capture: open; used in the thread that opened it.
        flt: the filter; one of connections chooses all their frames.
        connection_id: its frames only, and `t` counts from its attempt; else from the capture's start.
        columns: SQL expressions over the frame `f`, read along.
    """

    def __init__(
        self, capture: Capture, flt: Filter, *, connection_id: int | None = None, columns: Sequence[str] = ()
    ) -> None:
        self._capture = capture
        self._filter = flt
        self._connection_id = connection_id
        self._columns = tuple(columns)

    def batches(self, *, after: int = 0, upto: int | None = None) -> Iterator[Batch]:
        """Judge the frames with ids above `after`, up to `upto` or the newest.

        Raises:
            CaptureError: The file is damaged.
        """
        if upto is None:
            upto = self._newest()
        if after >= upto:
            return
        run = _Run(self._capture, self._filter, self._connection_id, self._columns)
        most = _MOST_IDS_WITH_PAYLOADS if run.reads_payloads else _MOST_IDS
        size = min(_FIRST_IDS, most)
        while after < upto:
            end = min(after + size, upto)
            start = time.perf_counter()
            rows = run.rows(after, end)
            spent = time.perf_counter() - start
            if spent < _AIM_S:
                size = min(size * 2, most)
            elif spent > _SLOW_S:
                size = max(size // 2, _LEAST_IDS)
            rows = run.chosen(rows)
            yield Batch([row[0] for row in rows], end, rows if self._columns else [])
            after = end

    def matches(self, frame_id: int) -> bool:
        """Whether one frame fits."""
        return any(batch.ids for batch in self.batches(after=frame_id - 1, upto=frame_id))

    def _newest(self) -> int:
        ((newest,),) = self._capture.query("SELECT max(id) FROM frame")
        return newest if isinstance(newest, int) else 0


class _Run:
    """One pass: what was found out at its beginning, and its statement."""

    def __init__(
        self, capture: Capture, flt: Filter, connection_id: int | None, columns: Sequence[str]
    ) -> None:
        self._capture = capture
        self._lookup = Lookup(capture, _start_ns(capture, connection_id))
        known = Known(self._lookup.start_ns, self._fitting_connections, self._fitting_frames)
        parts = [(one, translate(one, known)) for one in split(flt.root)]
        condition = _all_conditions([condition for _, condition in parts])
        rest = all_of(one for one, condition in parts if condition.truth is not Truth.EXACT)
        keys = {test.field.name for test in tests_of(rest)}
        self._accepts_plain = condition.truth is Truth.PLAIN
        self._predicate = frame_predicate(rest) if keys else None
        self.reads_payloads = bool(keys & _PAYLOAD_KEYS) and not self._accepts_plain
        self._own = len(self._lookup.choose(keys, self.reads_payloads)) if keys else 0
        read = ", ".join(("f.id", *(self._lookup.columns if keys else ()), *columns))
        mine = "" if connection_id is None else "f.connection_id = ? AND "
        self._parameters = (() if connection_id is None else (connection_id,)), condition.parameters
        self._sql = (
            f"SELECT {read} FROM frame f WHERE {mine}f.id > ? AND f.id <= ? AND {condition.sql} "  # noqa: S608
            "ORDER BY f.id"
        )

    def rows(self, after: int, end: int) -> list[tuple[Any, ...]]:
        """What SQL leaves of the frames in a range."""
        mine, others = self._parameters
        return self._capture.query(self._sql, (*mine, after, end, *others))

    def chosen(self, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Those that fit, with the columns of the caller."""
        fits = self._predicate
        if fits is None:
            return rows
        lookup, first = self._lookup, 1 + self._own
        is_plain = _is_plain if self._accepts_plain else _is_never_plain
        return [
            (row[0], *row[first:])
            for row in rows
            if is_plain(row[1 + _BITS_AT]) or fits(FrameRow(row, lookup))
        ]

    def _fitting_connections(self, node: Node) -> Collection[int]:
        fits = connection_predicate(node)
        return [one.id for one in self._lookup.connections() if fits(one)]

    def _fitting_frames(self, test: Test) -> Collection[int]:
        """Frames with a fault or finding that fits; absence is the opposite of presence."""
        fits = test.field.frame_test(test)
        return [one.id for one in self._lookup.marked_frames() if fits(one)]


def matching_connections(capture: Capture, flt: Filter) -> list[Connection]:
    """The connections that fit, by id.

    Raises:
        ValueError: The filter asks for frames.
        CaptureError: The file is damaged.
    """
    fits: Callable[[ConnectionRow], bool] = flt.connection_predicate()
    return [one.record for one in Lookup(capture, None).connections() if fits(one)]


def _start_ns(capture: Capture, connection_id: int | None) -> int | None:
    if connection_id is None:
        return capture.start_ns
    connection = capture.connection(connection_id)
    return None if connection is None else connection.attempt_ns


def _all_conditions(conditions: list[Condition]) -> Condition:
    if not conditions:
        return EVERYTHING
    conditions.sort(key=lambda one: ("SELECT" in one.sql) + 2 * ("payload" in one.sql))
    sql = " AND ".join(one.sql for one in conditions)
    parameters = tuple(value for one in conditions for value in one.parameters)
    return Condition(sql, parameters, min(one.truth for one in conditions))


def _is_plain(bits: int) -> bool:
    return bits >> 8 in PLAIN_HEADS or bits & CONTROL_BITS != 0


def _is_never_plain(bits: int) -> bool:
    return False
