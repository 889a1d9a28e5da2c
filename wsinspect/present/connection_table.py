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
_HEADER = ("#", "STATE", "TAP", "CLIENT", "URL", "STATUS", "C>S", "S>C", "BYTES", "STARTED", "LASTED", "END")


class ConnectionTable:
    """The lines of the table; a follower's later lines keep the widths of the first ones where they fit."""

    def __init__(self, connections: Iterable[Connection], with_tap: bool) -> None:
        self._names = [name for name in _HEADER if with_tap or name != "TAP"]
        self._rows = [self._row(one) for one in connections]
        columns = zip(self._names, *self._rows, strict=True)
        self._widths = [max(map(cell_width, column)) for column in columns]

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
        return "  ".join(pad(text, width, right=name in _NUMBERS) for text, width, name in padded).rstrip()


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
