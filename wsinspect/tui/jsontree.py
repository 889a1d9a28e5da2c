"""JSON as a tree that folds: read as it is shown, every token as it was sent.

Contract: pure. Only what is on the screen, and what must be passed over to get there, is read: the first
lines of 10 MB cost as much as those of 10 KB. What is folded is skipped. A match or the end far down is
gone to without laying out what comes before: a line says that it is left out. What takes long is `Slices`.
Peers may send anything: where it stops being JSON, a line says so, and there are no more.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from wsinspect.filters.jsonvalue import write_path
from wsinspect.present.cells import Line, cut, mark_broken
from wsinspect.text import counted, escape, folded
from wsinspect.tui.jsonread import SLICE_VALUES, Broken, JsonReader, Node, Slices, T

#: Rows that are made at a time.
STEP_ROWS: Final = 2_000
#: Rows that one key may make: the last line of a long document takes several.
MOST_ROWS: Final = 5_000
#: Characters before a far place that are laid out with it.
_BEFORE_CHARS: Final = 16_384
#: Characters of a string that are shown; the whole is copied, and is in the pager.
_SHOWN_CHARS: Final = 16_384
#: Rows whose lines are kept: more than any screen has.
_KEPT_ROWS: Final = 512
#: No screen is so wide.
_PAGER_CELLS: Final = 1 << 20
_MAX_INDENT: Final = 40


#: Rows made between two yields of what works in slices: some milliseconds.
_SLICE_ROWS: Final = 200

#: In place of what comes before a far place.
_LEFT_OUT: Final = "… what comes before is not laid out: home lays it out"


class _Row(NamedTuple):
    """One line before it is wrapped: a value, the bracket that ends one, what is wrong or left out."""

    node: Node
    is_close: bool = False
    problem: str = ""
    is_note: bool = False

    @property
    def at(self) -> int:
        """Where it begins in the text."""
        if self.is_close:
            return self.node.end - 1
        return self.node.start if self.node.name is None else self.node.name[0]


class JsonTree:
    """A document of the inspector.

    Args:
        text: of the payload.
        hint: what is said behind a number: its text, and the member's name, to words; empty says nothing.
    """

    def __init__(self, text: str, hint: Callable[[str, str], str] = lambda _number, _name: "") -> None:
        self._text, self._hint = text, hint
        self._reader = JsonReader(text)
        self._root = self._reader.root
        self._needle = ""
        self._folded = ""
        self._width = -1
        self._rows: list[_Row] = []
        #: Of the rows that were measured at this width: which line each begins with, and how many all have.
        self._firsts = array("l")
        self._line_count = 0
        #: Lines in which a match begins.
        self._matches = array("l")
        #: The lines of rows that were on the screen a moment ago.
        self._drawn: dict[int, list[Line]] = {}
        self._walk: Iterator[_Row] = self._rows_from(self._root)
        self._is_whole = False

    # -- rows

    def _rows_from(self, node: Node, number: int = 0, *, is_begun: bool = False) -> Iterator[_Row]:
        """The rows of a tree in order; `is_begun` continues after a container's own first row."""
        stack: list[tuple[Node, int]] = []
        here: Node | None = node
        try:
            if is_begun:
                stack = [(node, number)]
                here = None
                above = node
                while above.parent is not None:
                    stack.insert(0, (above.parent, above.number + 1))
                    above = above.parent
            elif (end := self._reader.scalar_end(node.start)) >= 0:
                node.end, node.is_read = end, True
            while here is not None or stack:
                if here is not None:
                    broken, has_more = None, False
                    if self._reader.is_container(here) and here.is_open:
                        try:
                            has_more = self._reader.has_child(here, 0)
                        except Broken as error:
                            broken = error
                    yield _Row(here)
                    if broken is not None:
                        raise broken
                    if has_more:
                        stack.append((here, 0))
                    here = None
                    continue
                parent, at = stack.pop()
                if self._reader.has_child(parent, at):
                    here = self._reader.node_of(parent, at)
                    stack.append((parent, at + 1))
                else:
                    yield _Row(parent, is_close=True)
            rest = self._reader.space(self._reader.end_of(self._root))
            if rest < len(self._text):
                raise Broken("nothing more is expected", rest)
        except Broken as error:
            yield _Row(self._root, problem=f"not JSON from character {error.at + 1} on: {error.words}")

    def _extend(self, count: int) -> None:
        for _ in range(count):
            row = next(self._walk, None)
            if row is None:
                self._is_whole = True
                return
            self._rows.append(row)

    def _measure(self, width: int) -> None:
        """Know how many lines the rows have that there are.

        The lines themselves are made again where they are shown: an object for each piece of thousands of
        them is a pause of the garbage collector.
        """
        if width != self._width:
            self._width = width
            self._forget_lines()
        for number in range(len(self._firsts), len(self._rows)):
            lines, places = self._row_lines(self._rows[number], width)
            self._firsts.append(self._line_count)
            self._matches.extend(self._line_count + place for place in places)
            self._line_count += len(lines)

    def _forget_lines(self, row: int = 0) -> None:
        """From a row on they are others."""
        if row < len(self._firsts):
            self._line_count = self._firsts[row]
            del self._firsts[row:]
        while self._matches and self._matches[-1] >= self._line_count:
            self._matches.pop()
        self._drawn.clear()

    def line_count(self, width: int) -> int:
        """Lines that are known so far; more come as the last of them are asked for."""
        if not self._rows:
            self._extend(STEP_ROWS)
        self._measure(width)
        return self._line_count

    def line(self, number: int, width: int) -> Line:
        if number + STEP_ROWS // 4 > self._line_count and not self._is_whole:
            self._extend(STEP_ROWS)
        self._measure(width)
        row = self._row_at(number)
        lines = self._drawn.get(row)
        if lines is None:
            if len(self._drawn) >= _KEPT_ROWS:
                self._drawn.clear()
            lines = self._drawn[row] = self._row_lines(self._rows[row], width)[0]
        return lines[number - self._firsts[row]]

    def _row_at(self, line: int) -> int:
        """The row that a line is of."""
        return bisect_right(self._firsts, line) - 1

    @property
    def is_partial(self) -> bool:
        """Whether what comes first is left out."""
        return bool(self._rows) and self._rows[0].is_note

    def begin(self) -> None:
        """Lay out from the beginning again, where that was left out."""
        if self.is_partial:
            self._again_from(self._root)

    def seek(self, offset: int) -> int:
        """Lay out what is around a place in the text, all of `seeking` in one go; returns its line."""
        return run_whole(self.seeking(offset))

    def seeking(self, offset: int) -> Slices[int]:
        """Lay out what is around a place in the text, and nothing of what comes long before it.

        Returns:
            The line of what is there; what is folded stays folded.
        """
        node, number = yield from self._before(max(offset - _BEFORE_CHARS, 0))
        self._rows, self._is_whole = [], False
        self._forget_lines()
        if node is self._root and number == 0:
            self._walk = self._rows_from(node)
        else:
            self._rows = [_Row(node, problem=_LEFT_OUT, is_note=True)]
            self._walk = self._rows_from(node, number, is_begun=True)
        self._extend(1)
        while not self._is_whole and self._rows[-1].at < offset:
            self._extend_measured()
            yield
        self._measure(max(self._width, 10))
        after = (at for at, row in enumerate(self._rows) if not row.is_note and row.at > offset)
        row = max(next(after, len(self._rows)) - 1, int(self.is_partial))
        return self._firsts[row] if row < len(self._rows) else self._line_count - 1

    def ending(self) -> Slices[None]:
        """Lay out the end: after all before it where that is not too much."""
        for _ in range(MOST_ROWS // _SLICE_ROWS):
            if self._is_whole:
                return
            self._extend_measured()
            yield
        if not self._is_whole:
            yield from self.seeking(len(self._text))
            while not self._is_whole:
                self._extend_measured()
                yield

    def _extend_measured(self) -> None:
        """A slice of rows, with how many lines they have: neither is left to the next paint."""
        self._extend(_SLICE_ROWS)
        self._measure(max(self._width, 10))

    def _before(self, offset: int) -> Slices[tuple[Node, int]]:
        """The first value that begins at or after a place, as its container and its number there."""
        node = self._root
        try:
            while self._reader.is_container(node) and node.is_open:
                yield from self._reader.read_elements(node, offset)
                while not node.is_read and not (node.children and node.children.starts[-1] >= offset):
                    if node.children:
                        yield from self._reader.pass_over(node, len(node.children) - 1)
                    self._reader.read_child(node)
                    if not len(node.children) % SLICE_VALUES:
                        yield
                number = bisect_left(node.children.starts, offset)
                inside = self._reader.node_of(node, number - 1) if number else None
                if (
                    inside is None
                    or not self._reader.is_container(inside)
                    or self._reader.end_of(inside) <= offset
                ):
                    return node, number
                if not inside.is_open:
                    return node, number - 1
                node = inside
        except Broken:  # the walk comes to it, too, and says so
            return node, max(len(node.children) - 1, 0)
        return self._root, 0

    def read_all(self) -> None:
        """Make every row, for a pager; what may be a tree there is small (`documents.JSON_CHECKED_BYTES`)."""
        while not self._is_whole:
            self._extend(MOST_ROWS)

    @property
    def is_whole(self) -> bool:
        """Whether every row has been made."""
        return self._is_whole

    def _row_lines(self, row: _Row, width: int) -> tuple[list[Line], list[int]]:
        """The lines of a row, and those of them in which a match begins."""
        if row.problem:
            return cut([(row.problem, "muted" if row.is_note else "error")], width), []
        margin = min(min(row.node.depth, _MAX_INDENT) * 2, width // 2)
        most = _SHOWN_CHARS if width < _PAGER_CELLS else len(self._text)
        line: Line = [(" " * margin, ""), *self._row_line(row, most)]
        lines = cut(line, width, margin + 2)
        return mark_broken(lines, line, self._needle, "match") if self._needle else (lines, [])

    def _row_line(self, row: _Row, most: int) -> Line:
        node, text = row.node, self._text
        comma: Line = [(",", "sign")] if not row_is_open(self, row) and self._has_next(node) else []
        if row.is_close:
            return [("}" if text[node.start] == "{" else "]", "sign"), *comma]
        line: Line = []
        if node.name is not None:
            line = [(escape(text[node.name[0] : node.name[1]]), "name"), (": ", "sign")]
        if not self._reader.is_container(node):
            value = text[node.start : node.end]
            shown, more = escape(value[:most]), len(value) - most
            line.append((shown, _style_of(value)))
            if more > 0:
                line.append((f" … {more} more characters", "muted"))
            hint = self._hint(value, self.name_of(node)) if value[0] not in '"tfn' else ""
            return [*line, *comma, *([(f"  {hint}", "muted")] if hint else [])]
        opener, closer = ("{", "}") if text[node.start] == "{" else ("[", "]")
        if row_is_open(self, row):
            return [*line, (opener, "sign")]
        if node.is_read and not node.children:
            return [*line, (opener + closer, "sign"), *comma]
        return [*line, (opener, "sign"), (f" {self._folded_words(node)} ", "muted"), (closer, "sign"), *comma]

    def _folded_words(self, node: Node) -> str:
        if node.is_read:
            return counted(len(node.children), "member" if self._text[node.start] == "{" else "element")
        return counted(self._end_or_text(node) - node.start, "character")

    def _end_or_text(self, node: Node) -> int:
        try:
            return self._reader.end_of(node)
        except Broken:
            return len(self._text)

    def _has_next(self, node: Node) -> bool:
        """Whether a comma follows."""
        if node.parent is None:
            return False
        at = self._reader.space(self._end_or_text(node))
        return self._text[at : at + 1] == ","

    # -- what a key does to a line

    def node_at(self, number: int) -> Node | None:
        """The value that a line is of."""
        if not 0 <= number < self._line_count:
            return None
        row = self._rows[self._row_at(number)]
        return None if row.problem else row.node

    def fold(self, number: int) -> int:
        """Fold or unfold the container of a line, or that around it.

        Returns:
            The line that it then begins at.
        """
        node = self.node_at(number)
        if node is not None and not self._reader.is_container(node):
            node = node.parent
        if node is None:
            return number
        node.is_open = not node.is_open
        return self._again_from(node)

    def fold_all(self, is_open: bool) -> None:
        """Fold whatever is inside of the whole, or unfold everything, what is read later too.

        The whole itself is open then, also where a key had folded it: one line has nothing to find.
        """
        self._root.is_open, self._reader.opens = True, is_open
        waiting = [self._root]
        while waiting:
            node = waiting.pop()
            if node is not self._root:
                node.is_open = is_open
            waiting += node.children.nodes.values()
        self._again_from(self._root)

    def _again_from(self, node: Node) -> int:
        """Make the rows of a container and of what follows it again."""
        if not self._rows:
            return 0
        self._measure(max(self._width, 10))
        rows = enumerate(self._rows)
        at = 0 if node is self._root else next((at for at, row in rows if _begins(row, node)), -1)
        if at < 0:  # it begins in what is left out
            return self.seek(node.start)
        line = self._firsts[at]
        del self._rows[at:]
        self._forget_lines(at)
        self._is_whole = False
        if node.parent is None:
            self._walk = self._rows_from(node)
        else:
            self._walk = self._rows_from(node.parent, node.number, is_begun=True)
        self._extend(STEP_ROWS)
        self._measure(self._width)
        return line

    def name_of(self, node: Node) -> str:
        """A member's name as it was written, without its quotes; of an element, that of the array."""
        named: Node | None = node
        while named is not None and named.name is None:
            named = named.parent
        if named is None or named.name is None:
            return ""
        return self._text[named.name[0] + 1 : named.name[1] - 1]

    def value(self, node: Node) -> str:
        """The value's text: of a string what it says, of everything else its tokens."""
        text = self._text[node.start : self._end_or_text(node)]
        return unquoted(text) if text[:1] == '"' else text

    def raw(self, node: Node) -> str:
        """The value's tokens as they were sent."""
        return self._text[node.start : self._end_or_text(node)]

    def path(self, node: Node) -> str:
        """`$.items[0].id`, as the filter language writes it."""
        steps: list[str | int | None] = []
        while node.parent is not None:
            steps.append(unquoted(self._text[node.name[0] : node.name[1]]) if node.name else node.number)
            node = node.parent
        return write_path(steps[::-1])

    def is_scalar(self, node: Node) -> bool:
        return not self._reader.is_container(node)

    # -- finding

    def find(self, needle: str) -> int:
        """Mark every match, unfolding what is folded; how many there are in the text."""
        self._needle = needle
        if needle:
            self.fold_all(True)
        self._width = -1
        if not needle:
            return 0
        self._folded = self._folded or folded(self._text)
        return self._folded.count(folded(escape(needle)))

    def next_match(self, number: int, step: int, width: int) -> int | None:
        """The next line with a match, all of `matching` in one go."""
        return run_whole(self.matching(number, step, width))

    def matching(self, number: int, step: int, width: int) -> Slices[int | None]:
        """The next line with a match; lines that are not made yet are made, up to `MOST_ROWS`.

        Behind them, and before what is laid out, it is found in the text and gone to: lines have other
        numbers then.
        """
        at = yield from self._made_match(number, step, width)
        if at is not None or not self._needle or not self._rows:
            return at
        self._folded = self._folded or folded(self._text)
        text, needle = self._folded, folded(self._needle)
        if step > 0:
            last = self._rows[-1]
            offset = -1 if self._is_whole else text.find(needle, max(last.at, last.node.end - 1))
        else:
            offset = text.rfind(needle, 0, self._rows[1].at) if self.is_partial else -1
        if offset < 0:
            return None
        line = yield from self.seeking(offset)
        self._measure(width)
        return (yield from self._made_match(line - 1, 1, width))

    def _made_match(self, number: int, step: int, width: int) -> Slices[int | None]:
        made = len(self._rows)
        self._measure(width)
        while True:
            at = bisect_right(self._matches, number) if step > 0 else bisect_left(self._matches, number) - 1
            if 0 <= at < len(self._matches):
                return self._matches[at]
            if step < 0 or self._is_whole or len(self._rows) - made > MOST_ROWS:
                return None
            self._extend(_SLICE_ROWS)
            self._measure(width)
            yield


def run_whole(slices: Slices[T]) -> T:
    """All of them, one after the other."""
    while True:
        try:
            next(slices)
        except StopIteration as end:
            result: T = end.value
            return result


def _begins(row: _Row, node: Node) -> bool:
    """Whether it is the first line of a value."""
    return row.node is node and not row.is_close and not row.problem


def row_is_open(tree: JsonTree, row: _Row) -> bool:
    """Whether it is the first line of a container whose last one follows: the comma is that one's."""
    node = row.node
    return (
        not row.is_close
        and not tree.is_scalar(node)
        and node.is_open
        and bool(node.children or not node.is_read)
    )


def unquoted(text: str) -> str:
    """What a JSON string says; as it is where it is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return text.strip('"')
    return value if isinstance(value, str) else text


def _style_of(value: str) -> str:
    if value[:1] == '"':
        return "string"
    return "word" if value[:1] in "tfn" else "number"
