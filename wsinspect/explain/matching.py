"""Which pattern a line matches: the first of the table. RE2's time is linear, whatever somebody pastes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from wsinspect.explain.places import Places, read_places
from wsinspect.explain.reading import Line
from wsinspect.explain.table import Pattern, patterns

#: Characters of all lines together in which patterns over several lines are looked for.
_WHOLE: Final = 256 * 1024


class Seen(NamedTuple):
    """A line that was recognised, and what it says.

    Attributes:
        groups: the named groups of the pattern, without empty ones.
    """

    pattern: Pattern
    line: Line
    groups: dict[str, str]
    places: Places


class _Compiled(NamedTuple):
    """A set of patterns: which of them match, and then one alone for its groups."""

    all: Any
    patterns: tuple[Pattern, ...]
    alone: tuple[Any, ...]


@cache
def _compiled(is_whole: bool) -> _Compiled:
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = 64 << 20
    chosen = tuple(one for one in patterns() if one.is_whole == is_whole)
    together = re2.Set.SearchSet(options)
    for one in chosen:
        together.Add(one.match)
    together.Compile()
    return _Compiled(together, chosen, tuple(re2.compile(one.match, options) for one in chosen))


def match_line(line: Line) -> Seen | None:
    """What a line says; None where no pattern knows it."""
    return _first(_compiled(False), line)


def match_all(lines: Sequence[Line]) -> list[Seen]:
    """What the lines of one input say, in their order; patterns over several lines come first."""
    found = []
    whole = _compiled(True)
    if lines:
        text = "\n".join(line.text for line in lines)[:_WHOLE]
        if (seen := _first(whole, Line(lines[0].number, text, {}))) is not None:
            found.append(seen._replace(line=_beginning(seen, lines)))
    found += [seen for line in lines if (seen := match_line(line)) is not None]
    hidden = {name for seen in found for name in seen.pattern.hides}
    return [seen for seen in found if seen.pattern.name not in hidden]


def _first(compiled: _Compiled, line: Line) -> Seen | None:
    hits = compiled.all.Match(line.text)
    if not hits:
        return None
    number = min(hits)
    match = compiled.alone[number].search(line.text)
    groups = {name: value for name, value in match.groupdict().items() if value} if match else {}
    return Seen(compiled.patterns[number], line, groups, read_places(line, groups))


def _beginning(seen: Seen, lines: Sequence[Line]) -> Line:
    """The line in which a pattern over several lines begins."""
    match = _compiled(True).alone[_compiled(True).patterns.index(seen.pattern)].search(seen.line.text)
    before = seen.line.text[: match.start()].count("\n") if match else 0
    return lines[min(before, len(lines) - 1)]
