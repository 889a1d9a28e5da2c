"""Connections as lines: the table of a capture, and how one ended in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wsinspect.capture.missing import lacks
from wsinspect.capture.records import Connection
from wsinspect.present.terminal import date_time
from wsinspect.present.words import LOST_END, by_rule, ender
from wsinspect.text import cell_width, escape, pad, truncate
from wsinspect.units import format_duration, format_size
from wsinspect.wire.close_codes import close_name

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
        """Header and rows."""
        return [self._line(self._names), *map(self._line, self._rows)]

    def line(self, connection: Connection) -> str:
        """One more row."""
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


def end_words(one: Connection) -> str:
    """How a connection ended, in a few words; empty while it lives."""
    if one.state == "refused":
        return f"HTTP {one.status}{by_rule(one)}"
    if one.state == "failed":
        return escape(one.error or "failed") + by_rule(one)
    if one.state == "lost":
        return LOST_END if one.gaps else "the engine died"
    if one.ended_by is None:
        return ""
    words = [f"{ender(one)} {escape(one.how or '')}".rstrip()]
    words += [f"client {one.client_close_code}"] * (one.client_close_code is not None)
    words += [f"server {one.server_close_code}"] * (one.server_close_code is not None)
    if one.js_code is not None:
        words.append(f"JavaScript {one.js_code}{'' if one.js_was_clean else ' unclean'}")
    return ", ".join(words)


def closing_lines(one: Connection) -> list[str]:
    """How a connection ended, a fact a line."""
    lines = [_title(one)]
    if one.open_ns is not None:
        lines.append(f"  client sent         {_close(one.client_close_code, one.client_close_reason)}")
        lines.append(f"  server sent         {_close(one.server_close_code, one.server_close_reason)}")
    if one.js_code is not None:
        clean = "true" if one.js_was_clean else "false"
        lines.append(
            f"  JavaScript sees     code {one.js_code} ({close_name(one.js_code)}), wasClean {clean}"
        )
    frames = f"{one.c2s_frames} c>s, {one.s2c_frames} s>c"
    lines.append(
        f"  frames              {frames}; {format_size(one.c2s_bytes)} c>s, {format_size(one.s2c_bytes)} s>c"
    )
    return lines


def missing_lines(one: Connection) -> list[str]:
    """What the capture lacks of a connection."""
    gone = lacks(one)
    return [f"  missing             {gone.words}"] if gone else []


def _title(one: Connection) -> str:
    if one.state == "lost":
        return f"Lost: {LOST_END if one.gaps else 'the engine died while it was open'}"
    if one.ended_by is None and one.closed_ns is None:
        return f"Not ended: {escape(one.state)}"
    lasted = ""
    if one.closed_ns is not None and one.attempt_ns is not None:
        lasted = f" after {format_duration(one.closed_ns - one.attempt_ns)}"
    error = f" ({escape(one.error)})" if one.error else ""
    how = escape(one.how or "unknown")
    if one.rule is not None and one.state == "refused":
        how = f"HTTP {one.status}{'' if one.ended_by == 'fault' else by_rule(one)}"
    return f"Ended{lasted}: by {ender(one)}, {how}{error}"


def _close(code: int | None, reason: str | None) -> str:
    """What a side's first CLOSE frame said; a frame without a code has an empty reason, no frame has none."""
    if code is None:
        return "no CLOSE frame" if reason is None else "CLOSE without a code"
    quoted = f' "{escape(reason)}"' if reason else ""
    return f"{code} {close_name(code)}{quoted}"
