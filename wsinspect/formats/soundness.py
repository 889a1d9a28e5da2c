"""Are all values of a capture what their columns hold?

SQLite keeps any value in any column, so a file that was tampered with opens like any other. Whoever reads
all of it anyway asks once, in one pass over each table, and may rely on the types from there on.
"""

from __future__ import annotations

from typing import Final

from wsinspect.capture.reader import Capture
from wsinspect.errors import CaptureError

#: Columns that are declared otherwise, but hold text.
_TEXTS: Final = frozenset({"client_close_reason", "server_close_reason"})
_TABLES: Final = ("connection", "handshake", "frame", "stored_message", "ping", "opaque", "event")


def check_sound(capture: Capture) -> None:
    """Refuse a capture with values of wrong types.

    Raises:
        CaptureError: it says which table.
    """
    for table in _TABLES:
        checks = []
        for name, declared in capture.query(
            "SELECT name, lower(type) FROM pragma_table_xinfo(?) WHERE hidden = 0", (table,)
        ):
            wanted = "text" if name in _TEXTS else declared
            checks.append(f"typeof(\"{name}\") NOT IN ('{wanted}', 'null')")
        if capture.query(f'SELECT 1 FROM "{table}" WHERE {" OR ".join(checks)} LIMIT 1'):  # noqa: S608
            raise CaptureError(f"{capture.path} is damaged: its table {table} holds values of wrong types")
