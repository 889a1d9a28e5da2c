"""A table read in pages that are bounded in bytes, each one short read transaction.

A page of rows with large payloads would otherwise be as large as memory. So the sizes are asked for first,
which SQLite answers without reading the payloads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final, NamedTuple

from wsinspect.capture.reader import Capture

#: Most bytes of payload, and rows, in one page; a larger row gets a page of its own.
PAGE_BYTES: Final = 1024 * 1024
PAGE_ROWS: Final = 2000


class Span(NamedTuple):
    """The rows of a page: ids above `after` up to `last`; `size` are the bytes of their blobs."""

    after: int
    last: int
    size: int


class WholeTable(NamedTuple):
    """A table to be read.

    Attributes:
        name: its name.
        row_id: its primary key.
        blob: the column whose sizes bound a page.
        connections: only rows of these; None for all.
        of: the column that says of which connection a row is.
    """

    name: str
    row_id: str = "id"
    blob: str | None = None
    connections: Collection[int] | None = None
    of: str = "connection_id"


class WireFrame(NamedTuple):
    """A frame with all that was kept of it; direction 0 (client to server) or 1, epoch nanoseconds.

    Attributes:
        bits: the first two header bytes.
        wire_length: bytes of header and payload as they passed; `payload` may hold fewer.
    """

    id: int
    side: int
    bits: int
    time_ns: int
    header: bytes
    payload: bytes | None
    message_id: int | None
    violation: str | None
    wire_length: int

    @property
    def missing(self) -> int:
        """Payload bytes that were not kept."""
        return self.wire_length - len(self.header) - len(self.payload or b"")


#: `WireFrame._make` in half the time: there may be millions.
_as_frame: Final = partial(tuple.__new__, WireFrame)
_FRAMES: Final = WholeTable("frame", blob="payload")
_FRAME_COLUMNS: Final = (
    *("id", "is_s2c", "bits", "time_ns", "header", "payload", "message_id", "violation", "wire_length"),
)


def frames_of(capture: Capture, connection_id: int, *, only_control: bool = False) -> Iterator[WireFrame]:
    """The frames of a connection, in order.

    Args:
        only_control: CLOSE, PING and PONG alone.
    """
    where, key = "connection_id = ?" + (" AND bits & 2048" if only_control else ""), (connection_id,)
    for span in _spans(capture, _FRAMES, where, key):
        yield from map(_as_frame, _rows(capture, _FRAMES, _FRAME_COLUMNS, span, where, key))


def spans(capture: Capture, table: WholeTable) -> Iterator[Span]:
    """Cut a table into pages."""
    return _spans(capture, table, _condition(table), ())


def rows(
    capture: Capture, table: WholeTable, columns: Sequence[str], span: Span, *, with_blob: bool = True
) -> list[tuple[Any, ...]]:
    """The rows of a page.

    Args:
        with_blob: False puts an empty one in the place of the table's blob.
    """
    chosen = columns if with_blob else [f"x'' AS {name}" if name == table.blob else name for name in columns]
    return _rows(capture, table, chosen, span, _condition(table), ())


def _condition(table: WholeTable) -> str:
    if table.connections is None:
        return ""
    return f"{table.of} IN ({', '.join(map(str, sorted(table.connections)))})"


def _spans(capture: Capture, table: WholeTable, where: str, key: tuple[Any, ...]) -> Iterator[Span]:
    narrow = f"{where} AND " if where else ""
    size = f"length({table.blob})" if table.blob else "0"
    sql = (
        f"SELECT {table.row_id}, {size} FROM {table.name} WHERE {narrow}{table.row_id} > ? "  # noqa: S608
        f"ORDER BY {table.row_id} LIMIT {PAGE_ROWS}"
    )
    after = -1 << 63
    while sizes := capture.page(sql, (*key, after), after):
        done = 0
        while done < len(sizes):
            span, done = _fitting(after, sizes, done)
            yield span
            after = span.last


def _rows(
    capture: Capture,
    table: WholeTable,
    columns: Sequence[str],
    span: Span,
    where: str,
    key: tuple[Any, ...],
) -> list[tuple[Any, ...]]:
    narrow = f"{where} AND " if where else ""
    return capture.query(
        f"SELECT {', '.join(columns)} FROM {table.name} WHERE {narrow}"  # noqa: S608
        f"{table.row_id} > ? AND {table.row_id} <= ? ORDER BY {table.row_id}",
        (*key, span.after, span.last),
    )


def _fitting(after: int, sizes: list[tuple[Any, ...]], done: int) -> tuple[Span, int]:
    """The rows from the place `done` on that a page has room for, at least one, and the place after them."""
    last: int = sizes[done][0]
    total = _size(sizes[done][1])
    end = done + 1
    for row_id, size in islice(sizes, end, None):
        size = size if isinstance(size, int) else 0
        if total + size > PAGE_BYTES:
            break
        last, total, end = row_id, total + size, end + 1
    return Span(after, last, total), end


def _size(value: Any) -> int:
    return value if isinstance(value, int) else 0
