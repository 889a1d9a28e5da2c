"""How commands print: lines and JSON objects on stdout, at once, for a reader that follows."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import click

from wsinspect.present.terminal import json_line, narration
from wsinspect.text import escape

#: Columns assumed where stdout is not a terminal: wide enough that nothing ordinary is cut.
_PIPE_COLUMNS = 160


def echo(line: str = "") -> None:
    """One line of data; it is on its way when this returns, for a reader that follows."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def echo_json(content: dict[str, Any]) -> None:
    """One object on stdout."""
    echo(json_line(content))


def say(line: str) -> None:
    """A sentence on stderr after the program's name, safe to print, broken between words on a terminal."""
    click.echo(narration(f"wsinspect: {escape(line)}"), err=True)


def prose_columns() -> int | None:
    """Cells at which sentences are broken: a terminal's; none in a pipe, where lines are searched."""
    return columns() if sys.stdout.isatty() else None


def screen_rows() -> int | None:
    """Rows of the terminal that stdout is; None is a pipe."""
    return shutil.get_terminal_size().lines if sys.stdout.isatty() else None


def columns() -> int:
    """Cells of a line on stdout."""
    return shutil.get_terminal_size((_PIPE_COLUMNS, 24)).columns if sys.stdout.isatty() else _PIPE_COLUMNS


__all__ = ["columns", "echo", "echo_json", "narration", "prose_columns", "screen_rows"]
