"""What lines and objects are made with: tables, colour, times, and JSON.

Contract: text given to a table is escaped already (`wsinspect.text`); JSON is ASCII, so that no terminal acts
on what it shows. Only `Palette` writes escape sequences, and only where colour is on.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from wsinspect.present.cells import Line, fold
from wsinspect.text import cell_width, pad

SCHEMA = 1
#: SGR codes of styles.
_CODES = {"title": (1,), "changed": (1,), "error": (31, 1), "warn": (33, 1), "note": (36, 1)}


class Palette(NamedTuple):
    """ANSI colours, or none; position and words carry the meaning, colour only repeats it."""

    enabled: bool = False

    @classmethod
    def choose(cls, when: str) -> Palette:
        """For `--color auto|always|never`: auto is a terminal without NO_COLOR and not TERM=dumb."""
        if when != "auto":
            return cls(when == "always")
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        return cls(sys.stdout.isatty() and not plain)

    def paint(self, text: str, *codes: int) -> str:
        """`text` between the SGR sequences of `codes`."""
        if not self.enabled or not text or not codes:
            return text
        return f"\x1b[{';'.join(map(str, codes))}m{text}\x1b[0m"

    def line(self, line: Line) -> str:
        """A line of styled pieces; styles that a terminal's sixteen colours do not need are left out."""
        return "".join(self.paint(text, *_CODES.get(style, ())) if style else text for text, style in line)

    def folded(self, lines: Iterable[Line], columns: int | None) -> Iterator[str]:
        """Lines, those longer than `columns` continued below, between words where there are some.

        Args:
            columns: cells of a terminal; None leaves lines as long as they are, for a pipe that is searched.
        """
        for line in lines:
            pieces = [line] if columns is None else fold(line, columns)
            yield from (self.line(piece).rstrip() for piece in pieces)

    def bold(self, text: str) -> str:
        return self.paint(text, 1)

    def direction(self, text: str, server_to_client: bool) -> str:
        """Blue from the client, orange (the terminal's yellow) from the server."""
        return self.paint(text, 33 if server_to_client else 34)


def json_line(content: dict[str, Any]) -> str:
    """One object in one line, with the schema's number first."""
    return json_text({"schema": SCHEMA, **content})


def json_text(value: object) -> str:
    """JSON without any character that a terminal acts on."""
    return json.dumps(value).replace("\x7f", "\\u007f")


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], right: frozenset[str] = frozenset()
) -> list[str]:
    """The lines of a table; columns named in `right` are numbers."""
    cells = [header, *rows]
    widths = [max(map(cell_width, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            pad(text, width, right=name in right)
            for text, width, name in zip(row, widths, header, strict=True)
        ).rstrip()
        for row in cells
    ]


def narration(line: str) -> str:
    """A line for stderr; on a terminal broken between words, continued below with two spaces."""
    if not sys.stderr.isatty():
        return line
    width = shutil.get_terminal_size().columns
    return textwrap.fill(line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def date_time(time_ns: int) -> str:
    """Local date and time to the second."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time_ns // 10**9))
    except (OverflowError, OSError, ValueError):  # a time outside the calendar, from a damaged file
        return f"{time_ns} ns"


def milliseconds(interval_ns: int) -> str:
    """An interval in ms with a precision that fits it: up to a day, in at most eight cells."""
    places = 3 if abs(interval_ns) < 10**9 else 1 if abs(interval_ns) < 10**11 else 0
    return f"{interval_ns / 1e6:.{places}f}"
