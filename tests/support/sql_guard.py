"""Who makes the SQL that reaches SQLite: `wsinspect/capture/` alone, whichever way a statement takes.

tests/unit/test_import_hygiene.py reads what stands in the source. It cannot follow a text that is put
together, kept in a variable or run through an alias. So each statement that runs in a test, or in a process
that tests/support/warm.py forked, is asked for its maker: the first caller that did not get it as an argument
named `sql` itself.
"""

from __future__ import annotations

import functools
import os
import sqlite3
import sys
from pathlib import Path
from types import FrameType
from typing import Any

_PACKAGE = str(Path(__file__).resolve().parents[2] / "wsinspect") + os.sep
_CAPTURE = _PACKAGE + "capture" + os.sep


class SqlElsewhereError(AssertionError):
    """A part of the program outside `capture/` has made a statement; the message has its file and line."""


class Watched(sqlite3.Connection):
    """A connection that asks each statement for its maker."""

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        _ask(sys._getframe(1))
        return super().execute(*arguments)

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        _ask(sys._getframe(1))
        return super().executemany(*arguments)

    def executescript(self, *arguments: Any) -> sqlite3.Cursor:
        _ask(sys._getframe(1))
        return super().executescript(*arguments)


def watch() -> None:
    """Watch every connection that this process opens from now on; to be called once."""
    connect = sqlite3.connect

    @functools.wraps(connect)
    def watched(*arguments: Any, **options: Any) -> sqlite3.Connection:
        options.setdefault("factory", Watched)
        return connect(*arguments, **options)

    sqlite3.connect = watched  # type: ignore[assignment]


def _ask(frame: FrameType | None) -> None:
    while frame is not None:
        code = frame.f_code
        if "sql" not in code.co_varnames[: code.co_argcount]:
            break
        frame = frame.f_back
    if frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(_PACKAGE) and not name.startswith(_CAPTURE):
            raise SqlElsewhereError(f"SQL of {name.removeprefix(_PACKAGE)}:{frame.f_lineno}")
