"""The table of a capture's connections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wsinspect.capture.records import Connection
from wsinspect.present.terminal import date_time
from wsinspect.present.words import end_words
from wsinspect.text import cell_width, escape, pad, truncate
from wsinspect.units import format_duration, format_size

_NUMBERS = frozenset({"#", "STATUS", "C>S", "S>C", "BYTES", "LASTED"})
#: A longer URL is cut in the table; the connection's own view and JSON have all of it.
_URL_CELLS = 64
_LEAST_URL, _LEAST_END = 24, 14
#: Columns that make room on a narrow terminal, the first one first.
_BY_RANK = ("CLIENT", "STARTED", "BYTES", "LASTED", "STATE", "TAP", "S>C", "C>S", "STATUS")
_GAP = 2
_HEADER = ("#", "STATE", "TAP", "CLIENT", "URL", "STATUS", "C>S", "S>C", "BYTES", "STARTED", "LASTED", "END")


class ConnectionTable:
    """The lines of the table; a follower's later lines keep the widths of the first ones where they fit.

    Args:
        columns: cells of a terminal, which no line exceeds: columns make room by rank, then URL and END are
            cut. None leaves lines as long as they are.
    """

    def __init__(self, connections: Iterable[Connection], with_tap: bool, columns: int | None = None) -> None:
        self._names = [name for name in _HEADER if with_tap or name != "TAP"]
        rows = [_cells(one) for one in connections]
        widths = {name: max(map(cell_width, (name, *(row[name] for row in rows)))) for name in self._names}
        self._columns = columns
        if columns is not None:
            self._shrink(widths, columns)
        self._widths = [widths[name] for name in self._names]
        self._rows = [[row[name] for name in self._names] for row in rows]

    def _shrink(self, widths: dict[str, int], columns: int) -> None:
        """Drop columns by rank until URL and END keep their least, then cut these two, the URL first."""

        def excess() -> int:
            return sum(widths[name] + _GAP for name in self._names) - _GAP - columns

        def room(name: str, least: int) -> int:
            return max(0, widths[name] - least)

        for name in _BY_RANK:
            if excess() <= room("URL", _LEAST_URL) + room("END", 2 * _LEAST_END):
                break
            if name in self._names:
                self._names.remove(name)
        for name, least in (("URL", _LEAST_URL), ("END", _LEAST_END), ("URL", 1), ("END", 1)):
            widths[name] -= max(0, min(excess(), room(name, least)))

    def lines(self) -> list[str]:
        """The heading and a line for each connection."""
        return [self._line(self._names), *map(self._line, self._rows)]

    def line(self, connection: Connection) -> str:
        """The line of a connection that came later, in the columns as they are."""
        return self._line(self._row(connection))

    def _row(self, one: Connection) -> list[str]:
        cells = _cells(one)
        return [cells[name] for name in self._names]

    def _line(self, cells: Sequence[str]) -> str:
        padded = zip(cells, self._widths, self._names, strict=True)
        is_cut = self._columns is not None
        line = "  ".join(
            pad(
                truncate(text, width) if is_cut and name in ("URL", "END") else text,
                width,
                right=name in _NUMBERS,
            )
            for text, width, name in padded
        ).rstrip()
        return truncate(line, self._columns) if self._columns is not None else line


def _cells(one: Connection) -> dict[str, str]:
    end_ns = one.closed_ns
    lasted = "" if end_ns is None or one.attempt_ns is None else format_duration(end_ns - one.attempt_ns)
    return {
        "#": str(one.id),
        "STATE": escape(one.state),
        "TAP": escape(one.tap or "-"),
        "CLIENT": escape(one.client or "-"),
        "URL": truncate(escape(one.url), _URL_CELLS),
        "STATUS": "-" if one.status is None else str(one.status),
        "C>S": str(one.c2s_frames),
        "S>C": str(one.s2c_frames),
        "BYTES": format_size(one.c2s_bytes + one.s2c_bytes),
        "STARTED": "-" if one.attempt_ns is None else date_time(one.attempt_ns),
        "LASTED": lasted,
        "END": end_words(one),
    }
