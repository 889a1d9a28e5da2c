"""An nginx configuration as directives with their places, includes in their place.

crossplane splits the text into directives; files are given to it one at a time, so that what an include names
is opened by `Sources` alone. It knows lines and not characters; `spans` finds those, for edits.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from wsinspect.doctor.configuration.directives import Directive
from wsinspect.doctor.configuration.sources import Sources

#: Blocks within blocks, and files within files; nginx itself allows fewer.
MAX_DEPTH: Final = 32
#: `# configuration file /etc/nginx/nginx.conf:` before each file in the output of `nginx -T`.
_MARKER: Final = re.compile(r"^# configuration file (.+):\r?$", re.M)
_UNREAD: Final = "include"


class Tree(NamedTuple):
    """What was read.

    Attributes:
        root: all directives, includes in their place; an `include` that is left could not be read.
        sources: the files.
    """

    root: tuple[Directive, ...]
    sources: Sources


def pasted(text: str) -> dict[str, str] | None:
    """The files in the output of `nginx -T`; None where it is something else."""
    marks = list(_MARKER.finditer(text))
    found: dict[str, str] = {}
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    for mark, end in zip(marks, ends, strict=False):
        found.setdefault(mark[1], text[mark.end() + 1 : end])
    return found or None


def read_tree(sources: Sources, files: Sequence[str]) -> Tree:
    """The directives of some files, and of all that they include.

    Args:
        files: those that no other one of them includes may stand among them; they are read where they are
            included, and once.
    """
    reading = _Reading(sources)
    with tempfile.TemporaryDirectory(prefix="wsinspect-") as folder:
        reading.scratch = Path(folder) / "one.conf"
        order = sorted(files, key=lambda one: Path(one).name != "nginx.conf")
        root = [one for file in order for one in reading.file(file, str(Path(order[0]).parent), ())]
    return Tree(tuple(root), sources)


class _Reading:
    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.scratch = Path()
        self._seen: set[str] = set()

    def file(self, file: str, base: str, above: tuple[str, ...]) -> tuple[Directive, ...]:
        """A file's directives; none if it was read already, without being included again."""
        real = self.sources.real(file)
        if not above and real in self._seen:
            return ()
        if real in above or len(above) >= MAX_DEPTH:
            self.sources.problem(
                file, "includes itself" if real in above else "too many includes in each other"
            )
            return ()
        self._seen.add(real)
        text = self.sources.text(file)
        if text is None:
            return ()
        parsed = self._parse(file, text)
        counted = _counted(parsed, file)
        return tuple(self._with_includes(counted, base, (*above, real)))

    def _parse(self, file: str, text: str) -> Sequence[Mapping[str, Any]]:
        import crossplane

        self.scratch.write_text(text, "utf-8", "surrogateescape")
        try:
            # In an included file crossplane takes valid directives for misplaced ones.
            read = crossplane.parse(
                str(self.scratch), single=True, check_ctx=False, check_args=False, catch_errors=True
            )
        except RecursionError:
            self.sources.problem(file, "too many blocks in each other")
            return ()
        for one in read["errors"]:
            place = f"{file}:{one['line']}" if one.get("line") else file
            self.sources.problem(place, str(one["error"]).partition(f" in {self.scratch}")[0])
        found: Sequence[Mapping[str, Any]] = read["config"][0]["parsed"]
        return found

    def _with_includes(
        self, found: Iterable[Directive], base: str, above: tuple[str, ...]
    ) -> Iterator[Directive]:
        for one in found:
            if one.name == "include" and one.args:
                yield from self._included(one, base, above)
            elif one.block is not None:
                block = tuple(self._with_includes(one.block, base, above))
                yield replace(one, block=block)
            else:
                yield one

    def _included(self, one: Directive, base: str, above: tuple[str, ...]) -> Iterator[Directive]:
        pattern = one.args[0]
        files = self._named(pattern, base)
        if not files:
            if not re.search(r"[*?\[]", pattern):
                self.sources.problem(one.where, f"include {pattern}: it is not there")
                yield one
            return
        for file in files:
            before = len(self.sources.problems)
            yield from self.file(file, base, above)
            if len(self.sources.problems) > before:
                yield one

    def _named(self, pattern: str, base: str) -> list[str]:
        """The files that an include names; relative to the folder of nginx.conf, which a site's own file
        may be below of.
        """
        above = [] if pattern.startswith("/") or self.sources.is_pasted else list(Path(base).parents)[:2]
        for folder in (base, *map(str, above)):
            if found := self.sources.matching(pattern, folder):
                return found
        return []


def _counted(parsed: Iterable[Mapping[str, Any]], file: str) -> list[Directive]:
    """crossplane's directives, numbered as they stand in the text."""
    count = 0

    def walk(items: Iterable[Mapping[str, Any]], depth: int) -> list[Directive]:
        nonlocal count
        found = []
        for one in items:
            number, count = count, count + 1
            inside = one.get("block")
            block = None if inside is None else tuple(walk(inside if depth < MAX_DEPTH else (), depth + 1))
            args = tuple(map(str, one.get("args") or ()))
            found.append(Directive(str(one["directive"]), args, file, int(one["line"]), 0, block, number))
        return found

    return walk(parsed, 0)


class Span(NamedTuple):
    """The characters of a directive: to behind its `;`, or to behind the `{` of its block."""

    start: int
    end: int


def spans(text: str) -> list[Span]:
    """Where each directive of a file stands, in the order of the text, as nginx reads it."""
    found: list[Span] = []
    start: int | None = None
    at, size = 0, len(text)
    while at < size:
        char = text[at]
        if char == "#" and (at == 0 or text[at - 1] in " \t\r\n;{}"):
            at = _end_of_line(text, at)
            continue
        if char in "\"'" and (start is None or text[at - 1] in " \t\r\n(;{}"):
            start = at if start is None else start
            at = _end_of_quote(text, at)
            continue
        if char == "\\":
            start = at if start is None else start
            at += 2
            continue
        if char == "$" and text[at + 1 : at + 2] == "{":
            at = max(text.find("}", at), at) + 1
            continue
        if char in ";{":
            if start is not None:
                found.append(Span(start, at + 1))
            start = None
        elif char == "}":
            start = None
        elif start is None and not char.isspace():
            start = at
        at += 1
    return found


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _end_of_quote(text: str, at: int) -> int:
    quote, at = text[at], at + 1
    while at < len(text) and text[at] != quote:
        at += 2 if text[at] == "\\" else 1
    return at + 1
