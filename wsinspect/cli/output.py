"""How commands print: lines and JSON objects on stdout, at once, for a reader that follows; and on stderr.

Contract: under `--json` an error is one object on stderr and nothing else, so sentences wait there until the
command has ended well, or says that it runs (`release`). An error takes those that still wait (`take_held`).
"""

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


class _Sentences:
    """What goes to stderr.

    Attributes:
        held: those that wait; None where each is printed at once.
    """

    held: list[str] | None = None


def hold() -> None:
    """From now on sentences wait."""
    _Sentences.held = []


def release() -> None:
    """Print those that wait, and each at once from now on: what can be refused has not been."""
    for line in take_held():
        note(line)


def take_held() -> list[str]:
    """Those that wait, which nobody prints then; from now on each is printed at once."""
    held, _Sentences.held = _Sentences.held or [], None
    return held


def note(line: str) -> None:
    """A line on stderr that is safe to print."""
    if _Sentences.held is None:
        click.echo(line, err=True)
    else:
        _Sentences.held.append(line)


def say(line: str) -> None:
    """A sentence on stderr after the program's name, safe to print, broken between words on a terminal."""
    note(narration(f"wsinspect: {escape(line)}"))


def prose_columns() -> int | None:
    """Cells at which sentences are broken: a terminal's; none in a pipe, where lines are searched."""
    return columns() if sys.stdout.isatty() else None


def screen_rows() -> int | None:
    """Rows of the terminal that stdout is; None is a pipe."""
    return shutil.get_terminal_size().lines if sys.stdout.isatty() else None


def columns() -> int:
    """Cells of a line on stdout."""
    return shutil.get_terminal_size((_PIPE_COLUMNS, 24)).columns if sys.stdout.isatty() else _PIPE_COLUMNS


__all__ = [
    "columns",
    "echo",
    "echo_json",
    "hold",
    "narration",
    "note",
    "prose_columns",
    "release",
    "say",
    "screen_rows",
    "take_held",
]
