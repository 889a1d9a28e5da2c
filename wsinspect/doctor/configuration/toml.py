"""TOML as a document with lines: tomllib reads it, and the lines of tables and keys are looked up in its
text.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any, Final

from wsinspect.doctor.configuration.documents import Node
from wsinspect.doctor.configuration.model import Edit, Lines, Place
from wsinspect.doctor.configuration.sources import Sources
from wsinspect.units import format_size

_TABLE: Final = re.compile(r"^\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$")
_ENTRY: Final = re.compile(r"^\s*([\w.\"'-]+)\s*=\s*")
_MAX_BYTES: Final = 512 * 1024
_Path = tuple[str, ...]


class TomlNode(Node):
    """A value of a TOML file, with the interface of YAML's."""

    def __init__(self, value: Any, file: str, text: str, path: _Path, lines: dict[_Path, int]) -> None:
        super().__init__(value, file, text)
        self._value = value
        self._path = path
        self._lines = lines

    def __bool__(self) -> bool:
        return self._value is not None

    @property
    def at(self) -> Place:
        """The line of its key or table, or of what it is in."""
        path = self._path
        while path and path not in self._lines:
            path = path[:-1]
        return Place(self.file, self._lines.get(path, 1))

    @property
    def text(self) -> str:
        """A scalar as TOML means it."""
        if isinstance(self._value, bool):
            return str(self._value).lower()
        return "" if isinstance(self._value, dict | list | type(None)) else str(self._value)

    @property
    def is_mapping(self) -> bool:
        """Whether it has keys."""
        return isinstance(self._value, dict)

    def _one(self, key: str, depth: int) -> Node:
        value = self._value.get(key) if isinstance(self._value, dict) else None
        return TomlNode(value, self.file, self._text, (*self._path, key), self._lines)

    def items(self) -> Iterator[tuple[str, Node]]:
        """Keys and values of a table."""
        for key in self._value if isinstance(self._value, dict) else ():
            yield key, self._one(key, 0)

    def __iter__(self) -> Iterator[Node]:
        """The items of an array; a single value is one of one."""
        if isinstance(self._value, list):
            for value in self._value:
                yield TomlNode(value, self.file, self._text, self._path, self._lines)
        elif self._value is not None:
            yield self

    def with_value(self, text: str) -> tuple[Edit, ...]:
        """Another scalar in the place of this one, where it is the only one on its line."""
        number = self._lines.get(self._path)
        if number is None:
            return ()
        lines = Lines(self.file, self._text)
        match = re.match(r"^(\s*[\w.\"'-]+\s*=\s*)(\"[^\"]*\"|'[^']*'|[\w.-]+)", lines.get(number))
        if match is None:
            return ()
        quote = match[2][0] if match[2][0] in "\"'" else ""
        start = lines.start(number) + len(match[1])
        return (Edit(self.file, start, start + len(match[2]), f"{quote}{text}{quote}"),)

    def with_entry(self, key: str, value: str, *lines: str) -> tuple[Edit, ...]:
        """Not offered for TOML: tables have several ways to be written."""
        return ()

    def without(self) -> tuple[Edit, ...]:
        """Its line removed, where it has one of its own."""
        number = self._lines.get(self._path)
        if number is None or isinstance(self._value, dict | list):
            return ()
        return (Lines(self.file, self._text).replace(number),)


def toml_document(sources: Sources, file: str) -> TomlNode | None:
    """A TOML file; None with a problem where it is not one."""
    text = sources.text(file)
    if text is None:
        return None
    if len(text) > _MAX_BYTES:
        sources.problem(file, f"larger than {format_size(_MAX_BYTES)}")
        return None
    try:
        value = tomllib.loads(text.replace("\r\n", "\n"))
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        sources.problem(
            file, f"not TOML: {str(error).splitlines()[0][:200] if str(error) else 'nested too deeply'}"
        )
        return None
    return TomlNode(value, file, text, (), _lines_of(text))


def _lines_of(text: str) -> dict[_Path, int]:
    found: dict[_Path, int] = {}
    table: _Path = ()
    for number, line in enumerate(text.split("\n"), 1):
        if match := _TABLE.match(line):
            table = _path(match[1])
            found.setdefault(table, number)
        elif match := _ENTRY.match(line):
            found.setdefault((*table, *_path(match[1])), number)
    return found


def _path(text: str) -> _Path:
    parts = re.findall(r"\"([^\"]*)\"|'([^']*)'|([\w-]+)", text)
    return tuple(one or two or three for one, two, three in parts)
