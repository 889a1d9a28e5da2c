"""Times that matter and do not belong to a frame: ends of connections, findings about them, faults that stop
them.

Contract: pure, and bounded: of very many the newest are taken, which is what an overview of some hundred
cells can show.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from wsinspect.capture.records import Connection
from wsinspect.tui.histogram import MARK_CLOSE, MARK_FAULT, MARK_FINDING, MARK_GAP, Bin
from wsinspect.tui.lanes import begin_of
from wsinspect.tui.model import Model

_MOST: Final = 2_000


def last_end_ns(model: Model, connection: int | None) -> int:
    """When a connection, or the last of all, ended; 0 where none did."""
    return max((one.closed_ns or 0 for one in _newest(model, connection)), default=0)


def _newest(model: Model, connection: int | None) -> Iterator[Connection]:
    if connection is None:
        yield from islice(reversed(model.connections.values()), _MOST)
    elif connection in model.connections:
        yield model.connections[connection]


def moments(model: Model, connection: int | None, gap_ns: int) -> Iterator[tuple[int, int]]:
    """Time and mark of each; of one connection, or of all.

    Args:
        gap_ns: how long one connection was silent before its end where that is a moment, too.
    """
    for one in _newest(model, connection):
        if one.closed_ns is None:
            continue
        yield one.closed_ns, MARK_CLOSE
        own = model.index.by_connection.get(one.id, ()) if connection is not None else ()
        last_ns = model.index.columns.times_ns[own[-1]] if own else one.closed_ns
        if one.closed_ns - last_ns >= gap_ns:
            yield (last_ns + one.closed_ns) // 2, MARK_GAP  # at its end are the end itself, and why
    for finding in islice(reversed(model.findings), _MOST):
        if connection not in (None, finding.connection_id):
            continue
        position = model.index.position_of(finding.frame_id) if finding.frame_id is not None else None
        about = model.connections.get(finding.connection_id or 0)
        if position is not None:
            yield model.index.columns.times_ns[position], MARK_FINDING
        elif about is not None:
            yield about.closed_ns or begin_of(about), MARK_FINDING
    for fault in islice(reversed(model.faults), _MOST):
        if fault.frame_id is None and connection in (None, fault.connection_id):
            yield fault.time_ns, MARK_FAULT


def with_moments(bins: list[Bin], known: list[tuple[int, int]], from_ns: int, to_ns: int) -> list[Bin]:
    """Bins between two times, marked with the moments that fall into them."""
    marks = [one.marks for one in bins]
    span = max(to_ns - from_ns, 1)
    for time_ns, mark in known:
        if from_ns <= time_ns <= to_ns:
            marks[min((time_ns - from_ns) * len(bins) // span, len(bins) - 1)] |= mark
    return [one._replace(marks=mark) for one, mark in zip(bins, marks, strict=True)]
