"""What could be typed at a place of a filter, and the language in a few lines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from wsinspect.filters.fields import FIELDS, Field

_TOKEN: Final = re.compile(r"[^\s()&|!]*$")
_KEYED: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(>=|<=|!=|:|=|<|>|~)(.*)$", re.DOTALL)
_MEANINGS: Final = {
    ":": "contains, or is one of a list",
    "=": "is exactly",
    "~": "matches a regular expression, such as /ping/i",
    "<": "is less",
    "<=": "is at most",
    ">": "is more",
    ">=": "is at least",
}


@dataclass(frozen=True)
class Candidate:
    """Something to insert.

    Attributes:
        text: what is inserted.
        help: one line.
        kind: "key", "operator" or "value".
    """

    text: str
    help: str
    kind: str


@dataclass(frozen=True)
class Completion:
    """Candidates for the characters from `start` to `end`."""

    start: int
    end: int
    candidates: list[Candidate]


def complete(text: str, cursor: int) -> Completion:
    """What could stand at the cursor; never raises."""
    cursor = max(0, min(cursor, len(text)))
    match = _TOKEN.search(text[:cursor])
    token = match[0] if match else ""
    start = cursor - len(token)
    keyed = _KEYED.match(token)
    if keyed:
        field = FIELDS.get(keyed[1].lower())
        if field is None:
            return Completion(cursor, cursor, [])
        typed = keyed[3].rpartition(",")[2]
        return Completion(cursor - len(typed), cursor, _values(field, typed))
    field = FIELDS.get(token.lower())
    keys = [
        Candidate(f"{one.name}:", one.help, "key")
        for one in FIELDS.values()
        if one.name.startswith(token.lower()) and one is not field
    ]
    if field is None:
        return Completion(start, cursor, keys)
    return Completion(start, cursor, _operators(field) + keys)


def _values(field: Field, typed: str) -> list[Candidate]:
    return [
        Candidate(word, meaning, "value") for word, meaning in field.values if word.startswith(typed.lower())
    ]


def _operators(field: Field) -> list[Candidate]:
    if field.argument:
        return [Candidate(f"{field.name}:", field.help, "operator")]
    return [Candidate(field.name + sign, _MEANINGS[sign], "operator") for sign in field.operators]


def help_lines() -> list[tuple[str, str]]:
    """Syntax and meaning: the language first, then every key."""
    language = [
        ("a b, a & b", "both"),
        ("a | b", "one of them; binds less than &"),
        ("!a", "not"),
        ("( )", "together"),
        ('word, "two words"', "the payload contains it"),
        ("key:value", "contains, or is one of a list: op:ping,pong"),
        ("key=value, key!=value", "is exactly, is not"),
        ("key<5, key>=64 KiB", "numbers, sizes (B KB KiB ... TiB), durations (ns us ms s min h d)"),
        ("key~/re/i", "regular expression (RE2); flags i, m, s"),
        ("key:*", "has one at all"),
    ]
    return language + [(field.examples[0], field.help) for field in FIELDS.values()]
