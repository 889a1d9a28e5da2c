"""Telling a damaged capture from a bug of ours, once something went wrong with what was read.

SQLite keeps any value in any column, so a file that was tampered with can pass every check of its structure.
Checking all values before each look would cost more than the look; this is asked only afterwards.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from wsinspect.capture.reader import Capture
from wsinspect.errors import CaptureError

#: Columns declared with another type that hold text.
_TEXTS: Final = frozenset({"client_close_reason", "server_close_reason"})
#: The tables that an export reads whole.
_READ: Final = ("connection", "handshake", "frame", "stored_message", "ping", "opaque", "event")
_TABLES: Final = (
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
)
#: Stored columns only: those with hidden = 2 are generated.
_COLUMNS: Final = "SELECT name, lower(type) FROM pragma_table_xinfo(?) WHERE hidden = 0"


def find_damage(path: Path) -> str | None:
    """What is wrong with a file, in words: its structure, or a value that its column cannot hold."""
    try:
        with Capture.open(path) as capture:
            for table, column, declared in _stored_columns(capture):
                name = f'"{table}"."{column}"'
                wrong = f"typeof({name}) NOT IN (?, 'null')"
                sql = f'SELECT typeof({name}) FROM "{table}" WHERE {wrong} LIMIT 1'  # noqa: S608
                for (found,) in capture.query(sql, (declared,)):
                    return f"{table}.{column} holds {found}, not {declared}"
            return capture.broken_structure()
    except CaptureError as error:
        return str(error)


def blame(paths: Iterable[Path]) -> CaptureError | None:
    """The damage of one of some files, after reading them went wrong; None where all are sound."""
    for path in paths:
        if path.is_file() and (damage := find_damage(path)) is not None:
            return CaptureError(f"{path} is damaged: {damage}")
    return None


def check_structures(paths: Iterable[Path]) -> None:
    """After files were read without trouble: see `Capture.check_structure`.

    Raises:
        CaptureError: one of them is damaged all the same.
    """
    for path in paths:
        if path.is_file():
            with Capture.open(path) as capture:
                capture.check_structure()


def check_sound(capture: Capture, *, but: Collection[str] = ()) -> None:
    """Refuse a capture with values of wrong types, so that a reader of all of it can rely on them.

    Args:
        but: tables that the reader checks itself.

    Raises:
        CaptureError: it says which table.
    """
    for table in _READ:
        if table in but:
            continue
        checks = [
            f"typeof(\"{name}\") NOT IN ('{declared}', 'null')"
            for of, name, declared in _stored_columns(capture)
            if of == table
        ]
        if capture.query(f'SELECT 1 FROM "{table}" WHERE {" OR ".join(checks)} LIMIT 1'):  # noqa: S608
            raise CaptureError(f"{capture.path} is damaged: its table {table} holds values of wrong types")


def _stored_columns(capture: Capture) -> list[tuple[str, str, str]]:
    """Table, column and the type that its values have."""
    return [
        (table, column, "text" if column in _TEXTS else declared)
        for (table,) in capture.query(_TABLES)
        for column, declared in capture.query(_COLUMNS, (table,))
    ]
