"""A table read in pages that are bounded in bytes, each one short read transaction.

A page of rows with large payloads would otherwise be as large as memory. So the sizes are asked for first,
which SQLite answers without reading the payloads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from wsinspect.capture.reader import Capture

#: Bytes of payload, and rows, that one page holds; a larger row is a page of its own.
PAGE_BYTES: Final = 1024 * 1024
PAGE_ROWS: Final = 2000


class Span(NamedTuple):
    """The rows of a page: ids above `after` up to `last`; `size` are the bytes of their blobs."""

    after: int
    last: int
    size: int


def spans(
    capture: Capture,
    table: str,
    *,
    row_id: str = "id",
    blob: str | None = None,
    where: str = "",
    key: tuple[Any, ...] = (),
) -> Iterator[Span]:
    """Cut a table into pages.

    Args:
        capture: where it is.
        table: its name.
        row_id: its primary key.
        blob: the column whose sizes bound a page.
        where: a condition that narrows it, with parameters `key`.
        key: them.
    """
    narrow = f"{where} AND " if where else ""
    size = f"length({blob})" if blob else "0"
    sql = (
        f"SELECT {row_id}, {size} FROM {table} WHERE {narrow}{row_id} > ? "  # noqa: S608
        f"ORDER BY {row_id} LIMIT {PAGE_ROWS}"
    )
    after = -1 << 63
    while sizes := capture.page(sql, (*key, after), after):
        span = _fitting(after, sizes)
        yield span
        after = span.last


def select(
    capture: Capture,
    table: str,
    columns: str,
    span: Span,
    *,
    row_id: str = "id",
    where: str = "",
    key: tuple[Any, ...] = (),
) -> list[tuple[Any, ...]]:
    """The rows of a page."""
    narrow = f"{where} AND " if where else ""
    return capture.query(
        f"SELECT {columns} FROM {table} WHERE {narrow}{row_id} > ? AND {row_id} <= ? ORDER BY {row_id}",  # noqa: S608
        (*key, span.after, span.last),
    )


def _fitting(after: int, sizes: list[tuple[Any, ...]]) -> Span:
    last: int = sizes[0][0]
    total = _size(sizes[0][1])
    for row_id, size in sizes[1:]:
        if total + _size(size) > PAGE_BYTES:
            break
        last, total = row_id, total + _size(size)
    return Span(after, last, total)


def _size(value: Any) -> int:
    return value if isinstance(value, int) else 0
