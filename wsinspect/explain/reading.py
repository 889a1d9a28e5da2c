"""Text that somebody pasted or piped in, as lines: without colours, bounded, and with its JSON read.

Contract: whatever the bytes, this ends in time linear to `MAX_BYTES`, and never raises. Lines keep their
control characters; who prints them escapes them.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NamedTuple

from wsinspect.units import format_size

#: Bytes read of one input; logs are longer, and people pipe in their last failure.
MAX_BYTES: Final = 16 << 20
#: Characters of a line that are looked at: no program says what is wrong after that.
MAX_LINE: Final = 8192
MAX_LINES: Final = 100_000
#: Sequences that only colour or move (ECMA-48): CSI, OSC, and the two-character ones.
_ESCAPES: Final = re.compile(
    r"\x1b\[[0-9;:?<=>]{0,64}[ -/]{0,4}[@-~]"
    r"|\x1b\][^\x07\x1b]{0,2048}(?:\x07|\x1b\\)"
    r"|\x1b[()][0-9A-Za-z]|\x1b[=>78cDEHM]"
)
_MOVES: Final = re.compile(r"[\x00\x08]")
_MAX_FIELDS: Final = 400


class Line(NamedTuple):
    """One line.

    Attributes:
        number: from 1.
        text: what is looked at.
        fields: of a line that is a JSON object, its values by their path: `request.host`.
    """

    number: int
    text: str
    fields: dict[str, str]


class Reading(NamedTuple):
    """The lines that say something, and what of the input was left out."""

    lines: list[Line]
    notes: list[str]


def read_lines(data: bytes, *, is_cut: bool = False) -> Reading:
    """The lines of an input.

    Args:
        data: at most `MAX_BYTES` of it are looked at.
        is_cut: the caller has left out what came after `data`.
    """
    notes = []
    if is_cut or len(data) > MAX_BYTES:
        data = data[:MAX_BYTES]
        notes.append(f"only the first {format_size(MAX_BYTES)} were looked at")
    kept: list[Line] = []
    long_ones = 0
    for number, raw in enumerate(data.split(b"\n"), 1):
        if number > MAX_LINES:
            notes.append(f"only the first {MAX_LINES:,} lines were looked at".replace(",", " "))
            break
        long_ones += len(raw) > 2 * MAX_LINE
        text = raw[: 2 * MAX_LINE].decode("utf-8", "replace").rstrip("\r")
        if "\x1b" in text:
            text = _ESCAPES.sub("", text)
        text = _MOVES.sub("", text)[:MAX_LINE].strip()
        if text:
            kept.append(Line(number, text, _fields(text)))
    if long_ones:
        notes.append(f"only the first {MAX_LINE} characters of each line were looked at")
    return Reading(kept, notes)


def _fields(text: str) -> dict[str, str]:
    """The values of a JSON object, which may come after a prefix (`web-1  | {...}`)."""
    start = text.find('{"')
    if start < 0 or not text.endswith("}"):
        return {}
    try:
        value = json.loads(text[start:])
    except (ValueError, RecursionError):
        return {}
    found: dict[str, str] = {}
    _flatten(value, "", found, 6)
    return found


def _flatten(value: Any, path: str, found: dict[str, str], depth: int) -> None:
    if len(found) >= _MAX_FIELDS or depth == 0:
        return
    if isinstance(value, dict):
        for key, one in value.items():
            _flatten(one, f"{path}.{key}" if path else str(key), found, depth - 1)
    elif isinstance(value, list):
        for one in value[:8]:
            _flatten(one, path, found, depth - 1)
    elif value is not None and path not in found:
        found[path] = str(value)
