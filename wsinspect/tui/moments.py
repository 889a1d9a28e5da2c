"""Times that matter and do not belong to a frame: ends of connections, findings about them, faults that stop
them.

Contract: pure, and bounded: of very many the newest are taken, which is what an overview of some hundred
cells can show.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from wsinspect.tui.histogram import MARK_CLOSE, MARK_FAULT, MARK_FINDING, Bin
from wsinspect.tui.lanes import begin_of
from wsinspect.tui.model import Model

_MOST: Final = 2_000


def moments(model: Model, connection: int | None) -> Iterator[tuple[int, int]]:
    """Time and mark of each; of one connection, or of all."""
    ones = model.connections
    if connection is not None:
        ones = {connection: ones[connection]} if connection in ones else {}
    for one in islice(reversed(ones.values()), _MOST):
        if one.closed_ns is not None:
            yield one.closed_ns, MARK_CLOSE
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
