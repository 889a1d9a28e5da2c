"""JSON inside of other protocols: read to look at its fields, laid out with every token as it was sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from wsinspect.decoders.limits import MAX_TEXT
from wsinspect.decoders.model import Malformed, shorten

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+', re.DOTALL)
_BEGINS: Final = ("{", "[")
_ENDS: Final = ("}", "]")
_MAX_INDENT: Final = 40


class Number(str):
    """A number as it was written: 1.00 stays 1.00, and a million digits cost nothing."""

    __slots__ = ()


class NotJson(Malformed):
    """A text that is not JSON.

    Attributes:
        position: the character where it stops being that; None where the whole is meant.
    """

    def __init__(self, words: str, position: int | None = None) -> None:
        super().__init__(words if position is None else f"{words} at character {position}")
        self.position = position


def parse_json(text: str) -> Any:
    """The value; numbers are `Number`.

    Raises:
        NotJson: it is not JSON by RFC 8259.
    """
    try:
        return json.loads(text, parse_int=Number, parse_float=Number, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise NotJson(error.msg, error.pos) from None
    except RecursionError:
        raise NotJson("nested too deeply to be laid out") from None


def _refuse(word: str) -> float:
    raise NotJson(f"{word} is not in RFC 8259")


def json_lines(text: str, indent: int = 0) -> Iterator[str]:
    """JSON, a member a line.

    Raises:
        NotJson: it is not JSON.
    """
    parse_json(text)
    yield from lay_out(text, indent)


def lay_out(text: str, indent: int = 0) -> Iterator[str]:
    """A text that is JSON, a member a line, every token as it was sent."""
    depth, line, before = 0, "", ""
    margin = " " * indent
    for match in _TOKEN.finditer(text):
        part = match[0]
        is_end, was_begin = part in _ENDS, before in _BEGINS
        depth -= is_end
        if (before == "," or was_begin) if not is_end else not was_begin:
            yield margin + line
            line = "  " * min(depth, _MAX_INDENT)
        line += ": " if part == ":" else shorten(part, MAX_TEXT)
        depth += part in _BEGINS
        before = part
    yield margin + line


def string_member(text: str, name: str) -> str | None:
    """A member's string, found in how a JSON text begins; the first of that name at whatever depth."""
    found = re.search(rf'"{name}"\s*:\s*"((?:[^"\\]|\\.){{0,200}})"', text)
    return found[1] if found else None


def scalar_member(text: str, name: str) -> str | None:
    """Likewise a string, a number, or a word."""
    found = re.search(rf'"{name}"\s*:\s*("(?:[^"\\]|\\.){{0,200}}"|[-+.\w]{{1,40}})', text)
    return found[1].strip('"') if found else None


def json_text(value: Any) -> str:
    """A value that `parse_json` made, as JSON again; numbers as they were."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{json_text(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(json_text(one) for one in value) + "]"
    return json.dumps(value, ensure_ascii=False)
