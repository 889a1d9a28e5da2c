"""Sections of an HAProxy configuration, as they are read: with their lines, and what they inherit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from wsinspect.doctor.configuration.model import Place
from wsinspect.doctor.configuration.sources import Sources

_SECTIONS: Final = frozenset(
    (
        *("global", "defaults", "frontend", "backend", "listen", "userlist", "peers", "resolvers", "mailers"),
        *(
            "cache",
            "program",
            "ring",
            "http-errors",
            "log-forward",
            "fcgi-app",
            "crt-list",
            "traces",
            "crt-store",
        ),
    )
)
_PROXIES: Final = ("frontend", "backend", "listen")
_UNITS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "": 1e-3}
_MAX_WORDS: Final = 512


class Line(NamedTuple):
    """One line of a section."""

    words: tuple[str, ...]
    file: str
    line: int

    @property
    def at(self) -> Place:
        """File and number of the line."""
        return Place(self.file, self.line)

    @property
    def text(self) -> str:
        """Its words with one blank in between."""
        return " ".join(self.words)


@dataclass(eq=False)
class Section:
    """`frontend web`, and the lines below it.

    Attributes:
        defaults: the section whose lines it inherits.
    """

    head: Line
    lines: list[Line] = field(default_factory=list)
    defaults: Section | None = None

    @property
    def kind(self) -> str:
        """`frontend`, `backend`, `listen`, `defaults` and so on."""
        return self.head.words[0]

    @property
    def name(self) -> str:
        """What it is called; empty for those without a name."""
        return self.head.words[1] if len(self.head.words) > 1 else ""

    def all(self, *first: str) -> Iterator[Line]:
        """Its own lines that begin with these words."""
        return (one for one in self.lines if one.words[: len(first)] == first)

    def inherited(self, *first: str) -> Iterator[Line]:
        """Such lines of its defaults, then its own."""
        if self.defaults is not None:
            yield from self.defaults.all(*first)
        yield from self.all(*first)

    def effective(self, *first: str) -> Line | None:
        """The last such line of its own, else of its defaults."""
        own = list(self.all(*first))
        if own:
            return own[-1]
        return None if self.defaults is None else self.defaults.effective(*first)


class Tree(NamedTuple):
    """All sections of all files, in their order."""

    sections: tuple[Section, ...]
    sources: Sources

    def named(self, name: str) -> Section | None:
        """The backend of that name."""
        return next(
            (one for one in self.sections if one.kind in ("backend", "listen") and one.name == name), None
        )

    @property
    def end(self) -> Section | None:
        """The `global` section, where there is one."""
        return next((one for one in self.sections if one.kind == "global"), None)


def words_of(text: str) -> tuple[str, ...]:
    """A line in words, by HAProxy's quoting; a comment ends it."""
    found: list[str] = []
    word: list[str] = []
    quote, started, at = "", False, 0
    while at < len(text) and len(found) < _MAX_WORDS:
        char = text[at]
        if char == "\\" and quote != "'" and at + 1 < len(text):
            word.append(text[at + 1])
            started, at = True, at + 1
        elif quote:
            if char == quote:
                quote = ""
            else:
                word.append(char)
        elif char in "\"'":
            quote, started = char, True
        elif char == "#":
            break
        elif char.isspace():
            if started or word:
                found.append("".join(word))
            word, started = [], False
        else:
            word.append(char)
        at += 1
    if started or word:
        found.append("".join(word))
    return tuple(found)


def seconds_of(text: str) -> float | None:
    """A time as HAProxy writes it: `30s`, `500` (milliseconds); None if it is not one."""
    parts = re.fullmatch(r"(\d{1,12})(us|ms|s|m|h|d|)", text)
    return int(parts[1]) * _UNITS[parts[2]] if parts else None


def read_tree(sources: Sources, files: Sequence[str]) -> Tree | None:
    """All sections, a `defaults` holding for those behind it; None if no proxy is among them."""
    sections: list[Section] = []
    defaults: Section | None = None
    for file in files:
        for number, raw in enumerate((sources.text(file) or "").split("\n"), 1):
            words = words_of(raw)
            if not words:
                continue
            line = Line(words, file, number)
            if words[0] in _SECTIONS and not raw[:1].isspace():
                section = Section(line, defaults=_inherited(line, sections, defaults))
                defaults = section if words[0] == "defaults" else defaults
                sections.append(section)
            elif words[0].startswith("."):
                sources.problem(str(line.at), f"{words[0]}: what it depends on is not known here")
            elif sections:
                sections[-1].lines.append(line)
    return Tree(tuple(sections), sources) if any(one.kind in _PROXIES for one in sections) else None


def _inherited(line: Line, sections: Sequence[Section], defaults: Section | None) -> Section | None:
    if line.words[0] == "global":
        return None
    if "from" in line.words[1:-1]:
        name = line.words[line.words.index("from") + 1]
        return next((one for one in sections if one.kind == "defaults" and one.name == name), defaults)
    return None if line.words[0] == "defaults" else defaults
