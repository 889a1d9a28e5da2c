"""Telling a damaged capture from a bug of ours, once something went wrong with what was read.

SQLite keeps any value in any column, so a file that was tampered with can pass every check of its structure.
Checking all values before each look would cost more than the look; this is asked only afterwards.
"""

from __future__ import annotations

from pathlib import Path

from wsinspect.capture.reader import Capture

_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
#: Columns that are stored; hidden = 2 are computed from others. Close reasons are text, whatever is declared.
_COLUMNS = (
    "SELECT name, CASE WHEN name LIKE '%_close_reason' THEN 'text' ELSE lower(type) END "
    "FROM pragma_table_xinfo(?) WHERE hidden = 0"
)


def find_damage(path: Path) -> str | None:
    """The first value that its column cannot hold, in words; None where there is none."""
    with Capture.open(path) as capture:
        for (table,) in capture.query(_TABLES):
            for column, declared in capture.query(_COLUMNS, (table,)):
                name = f'"{table}"."{column}"'
                sql = (
                    f"SELECT typeof({name}) FROM \"{table}\" WHERE typeof({name}) NOT IN (?, 'null') LIMIT 1"  # noqa: S608
                )
                for (found,) in capture.query(sql, (declared,)):
                    return f"{table}.{column} holds {found} where {declared} belongs"
    return None
