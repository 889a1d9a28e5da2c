"""JSON as a tree that folds: read as it is shown, every token as it was sent.

Contract: pure. Only what is on the screen, and what must be passed over to get there, is read: the first
lines of 10 MB cost as much as those of 10 KB. What is folded is skipped. A match or the end far down is
gone to without laying out what comes before: a line says that it is left out. What takes long is `Slices`.
Peers may send anything: where it stops being JSON, a line says so, and there are no more.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterator
from typing import Any, Final, NamedTuple, TypeVar

from wsinspect.filters.jsonvalue import write_path
from wsinspect.present.cells import Line, cut, mark_broken
from wsinspect.text import counted, escape, folded

#: Rows that are made at a time.
STEP_ROWS: Final = 2_000
#: Rows that one key may make: the last line of a long document takes several.
MOST_ROWS: Final = 20_000
#: Characters before a far place that are laid out with it.
_BEFORE_CHARS: Final = 16_384
#: Characters of a string that are shown; the whole is copied, and is in the pager.
_SHOWN_CHARS: Final = 16_384
#: No screen is so wide.
_PAGER_CELLS: Final = 1 << 20
_MAX_INDENT: Final = 40
_SPACE: Final = re.compile(r"[ \t\r\n]*+")
_STRING: Final = re.compile(r'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[^"\\\x00-\x1f]*+)*+"')
_SCALAR: Final = re.compile(
    r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?(?![0-9A-Za-z_.+-])|(?:true|false|null)\b"
)
#: Everything up to the next bracket that is not in a string.
_RUN: Final = re.compile(r'[^"{}\[\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}\[\]]*+)*+', re.DOTALL)
#: The fastest way over a value; what it makes of numbers is not looked at.
_SKIP: Final = json.JSONDecoder(parse_int=len, parse_float=len)
#: Where a folded container's last bracket is looked for: brackets of one kind say nothing without the others.
_OPENERS: Final = "{["


#: Values read, and rows made, between two yields of what works in slices: some milliseconds.
_SLICE_VALUES, _SLICE_ROWS = 1_000, 200
#: A longer container is passed over bracket by bracket, in slices: the fast way cannot be left in between.
_AT_ONCE_CHARS: Final = 256 * 1024
_BRACKETS: Final = re.compile(r'[{\[}\]]|"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
T = TypeVar("T")
#: Work that may be left and gone on with after each slice; the value is its result.
Slices = Generator[None, None, T]

#: In place of what comes before a far place.
_LEFT_OUT: Final = "… what comes before is not laid out: home lays it out"


class _Broken(Exception):
    """Not JSON from a character on."""

    def __init__(self, words: str, at: int) -> None:
        super().__init__(words)
        self.words, self.at = words, at


#: Of values whose children are not read: a list each would be half of what the garbage collector, which stops
#: everything, has to look at.
_CHILDLESS: Final[list[Any]] = []


class Node:
    """A value, and the name or the number that it has in what contains it.

    Attributes:
        start, end: of the value in the text; `end` is -1 while a container's is not known.
        name: the span of the member's name, with its quotes; None of an element, and of the whole.
        number: its place in the container.
        depth: 0 for the whole.
        children: those that have been read so far.
        is_open: whether they are shown.
        is_read: whether there are no more of them.
    """

    __slots__ = ("at", "children", "depth", "end", "is_open", "is_read", "name", "number", "parent", "start")

    def __init__(self, parent: Node | None, name: tuple[int, int] | None, number: int, start: int) -> None:
        self.parent, self.name, self.number, self.start = parent, name, number, start
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.end = -1
        self.children: list[Node] = _CHILDLESS
        self.is_open = True
        self.is_read = False
        self.at = start + 1


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


class _Shown(NamedTuple):
    """A line on the screen: of which row, and whether a match begins in it."""

    row: int
    line: Line
    begins_match: bool


class JsonTree:
    """A document of the inspector.

    Args:
        text: of the payload.
        hint: what is said behind a number: its text, and the member's name, to words; empty says nothing.
    """

    def __init__(self, text: str, hint: Callable[[str, str], str] = lambda _number, _name: "") -> None:
        self._text, self._hint = text, hint
        self._root = Node(None, None, 0, _SPACE.match(text).end())  # type: ignore[union-attr]
        self._needle = ""
        self._folded = ""
        self._width = -1
        self._rows: list[_Row] = []
        self._lines: list[_Shown] = []
        self._walk: Iterator[_Row] = self._rows_from(self._root)
        self._is_whole = False
        self._drawn = 0

    # -- reading

    def _begin(self, node: Node) -> None:
        """Know the end of a scalar; a container's comes when it is read or skipped."""
        at, text = node.start, self._text
        if at < len(text) and text[at] in _OPENERS:
            return
        found = _STRING.match(text, at) or _SCALAR.match(text, at)
        if found is None:
            raise _Broken("a value is expected" if at < len(text) else "it ends here", at)
        node.end, node.is_read = found.end(), True

    def _is_container(self, node: Node) -> bool:
        return node.start < len(self._text) and self._text[node.start] in _OPENERS

    def _child(self, node: Node, number: int) -> Node | None:
        """A child; None behind the last one.

        Raises:
            _Broken: the text is not JSON there.
        """
        while len(node.children) <= number and not node.is_read:
            self._read_child(node)
        return node.children[number] if number < len(node.children) else None

    def _read_child(self, node: Node) -> None:
        text, closer = self._text, "}" if self._text[node.start] == "{" else "]"
        at = self._space(node.at)
        if node.children:
            at = self._space(self._end_of(node.children[-1]))
            if text[at : at + 1] == closer:
                node.end, node.is_read = at + 1, True
                return
            if text[at : at + 1] != ",":
                raise _Broken(f"a comma or {closer} is expected", at)
            at = self._space(at + 1)
        elif text[at : at + 1] == closer:
            node.end, node.is_read = at + 1, True
            return
        name = None
        if closer == "}":
            found = _STRING.match(text, at)
            if found is None:
                raise _Broken("a name in double quotes is expected", at)
            name, at = found.span(), self._space(found.end())
            if text[at : at + 1] != ":":
                raise _Broken("a colon is expected", at)
            at = self._space(at + 1)
        child = Node(node, name, len(node.children), at)
        self._begin(child)
        if node.children is _CHILDLESS:
            node.children = []
        node.children.append(child)

    def _read_elements(self, node: Node, offset: int) -> Slices[None]:
        """Read the elements of an array up to a place as fast as that goes: there may be 300,000.

        Where anything is unusual it leaves off, and `_read_child` says what.
        """
        text, children, end = self._text, node.children, len(self._text)
        if node.is_read or text[node.start] != "[" or not children:
            return
        last = children[-1]
        while last.start < offset:
            if not len(children) % _SLICE_VALUES:
                yield
            if last.end < 0:
                yield from self._pass_over(last)
            if last.end < 0:
                try:
                    last.end = _SKIP.raw_decode(text, last.start)[1]
                except (ValueError, RecursionError):
                    return
            at = last.end
            if at + 1 >= end or text[at] != ",":
                return
            at += 1
            if text[at] in " \t\r\n":
                at = self._space(at)
            last = Node(node, None, len(children), at)
            self._begin(last)
            children.append(last)

    def _space(self, at: int) -> int:
        found = _SPACE.match(self._text, at)
        return at if found is None else found.end()

    def _end_of(self, node: Node) -> int:
        """Where a value ends; of a container that is not read, by skipping it."""
        if node.end >= 0:
            return node.end
        text, at, depth = self._text, node.start, 0
        try:
            _, node.end = _SKIP.raw_decode(text, at)
        except (ValueError, RecursionError):
            pass  # not JSON, or too deep for it: brackets are counted
        else:
            return node.end
        while True:
            found = _RUN.match(text, at)
            at = at if found is None else found.end()
            if at >= len(text) or text[at] == '"':
                raise _Broken("it ends inside of this value", node.start)
            depth += 1 if text[at] in _OPENERS else -1
            at += 1
            if depth == 0:
                node.end = at
                return at

    def _pass_over(self, node: Node) -> Slices[None]:
        """Know the end of a long container in slices; of others, and of what is not JSON, `_end_of` does."""
        text, depth = self._text, 0
        if node.end >= 0 or len(text) - node.start < _AT_ONCE_CHARS:
            return
        for number, found in enumerate(_BRACKETS.finditer(text, node.start), 1):
            if not number % (_SLICE_VALUES * 5):
                yield
            first = text[found.start()]
            if first in _OPENERS:
                depth += 1
            elif first != '"':
                depth -= 1
                if not depth:
                    node.end = found.end()
                    return

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
            else:
                self._begin(node)
            while here is not None or stack:
                if here is not None:
                    broken, has_more = None, False
                    if self._is_container(here) and here.is_open:
                        try:
                            has_more = self._child(here, 0) is not None
                        except _Broken as error:
                            broken = error
                    yield _Row(here)
                    if broken is not None:
                        raise broken
                    if has_more:
                        stack.append((here, 0))
                    here = None
                    continue
                parent, at = stack.pop()
                here = self._child(parent, at)
                if here is not None:
                    stack.append((parent, at + 1))
                else:
                    yield _Row(parent, is_close=True)
            rest = self._space(self._end_of(self._root))
            if rest < len(self._text):
                raise _Broken("nothing more is expected", rest)
        except _Broken as error:
            yield _Row(self._root, problem=f"not JSON from character {error.at + 1} on: {error.words}")

    def _extend(self, count: int) -> None:
        for _ in range(count):
            row = next(self._walk, None)
            if row is None:
                self._is_whole = True
                return
            self._rows.append(row)

    def _draw(self, width: int) -> None:
        """Lines for the rows that there are."""
        if width != self._width:
            self._width, self._lines, self._drawn = width, [], 0
        for number in range(self._drawn, len(self._rows)):
            lines, places = self._row_lines(self._rows[number], width)
            self._lines += [_Shown(number, line, at in places) for at, line in enumerate(lines)]
        self._drawn = len(self._rows)

    def line_count(self, width: int) -> int:
        """Lines that are known so far; more come as the last of them are asked for."""
        if not self._rows:
            self._extend(STEP_ROWS)
        self._draw(width)
        return len(self._lines)

    def line(self, number: int, width: int) -> Line:
        if number + STEP_ROWS // 4 > len(self._lines) and not self._is_whole:
            self._extend(STEP_ROWS)
        self._draw(width)
        return self._lines[number].line

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
        self._rows, self._lines, self._drawn, self._is_whole = [], [], 0, False
        if node is self._root and number == 0:
            self._walk = self._rows_from(node)
        else:
            self._rows = [_Row(node, problem=_LEFT_OUT, is_note=True)]
            self._walk = self._rows_from(node, number, is_begun=True)
        self._extend(1)
        while not self._is_whole and self._rows[-1].at < offset:
            self._extend(STEP_ROWS // 10)
        self._draw(max(self._width, 10))
        after = (at for at, row in enumerate(self._rows) if not row.is_note and row.at > offset)
        row = max(next(after, len(self._rows)) - 1, int(self.is_partial))
        return next((at for at, shown in enumerate(self._lines) if shown.row >= row), len(self._lines) - 1)

    def ending(self) -> Slices[None]:
        """Lay out the end: after all before it where that is not too much."""
        for _ in range(MOST_ROWS // _SLICE_ROWS):
            if self._is_whole:
                return
            self._extend(_SLICE_ROWS)
            yield
        if not self._is_whole:
            yield from self.seeking(len(self._text))
            while not self._is_whole:
                self._extend(_SLICE_ROWS)
                yield

    def _before(self, offset: int) -> Slices[tuple[Node, int]]:
        """The first value that begins at or after a place, as its container and its number there."""
        node = self._root
        try:
            while self._is_container(node) and node.is_open:
                yield from self._read_elements(node, offset)
                while not node.is_read and not (node.children and node.children[-1].start >= offset):
                    if node.children:
                        yield from self._pass_over(node.children[-1])
                    self._read_child(node)
                    if not len(node.children) % _SLICE_VALUES:
                        yield
                number = bisect_left(node.children, offset, key=lambda one: one.start)
                inside = node.children[number - 1] if number else None
                if inside is None or not self._is_container(inside) or self._end_of(inside) <= offset:
                    return node, number
                if not inside.is_open:
                    return node, number - 1
                node = inside
        except _Broken:  # the walk comes to it, too, and says so
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
        if not self._is_container(node):
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
            return self._end_of(node)
        except _Broken:
            return len(self._text)

    def _has_next(self, node: Node) -> bool:
        """Whether a comma follows."""
        if node.parent is None:
            return False
        at = self._space(self._end_or_text(node))
        return self._text[at : at + 1] == ","

    # -- what a key does to a line

    def node_at(self, number: int) -> Node | None:
        """The value that a line is of."""
        if not 0 <= number < len(self._lines):
            return None
        row = self._rows[self._lines[number].row]
        return None if row.problem else row.node

    def fold(self, number: int) -> int:
        """Fold or unfold the container of a line, or that around it.

        Returns:
            The line that it then begins at.
        """
        node = self.node_at(number)
        if node is not None and not self._is_container(node):
            node = node.parent
        if node is None:
            return number
        node.is_open = not node.is_open
        return self._again_from(node)

    def fold_all(self, is_open: bool) -> None:
        """Fold whatever is inside of the whole, or unfold everything that was read.

        The whole itself is open then, also where a key had folded it: one line has nothing to find.
        """
        self._root.is_open = True
        waiting = [self._root]
        while waiting:
            node = waiting.pop()
            if node is not self._root:
                node.is_open = is_open
            waiting += node.children
        self._again_from(self._root)

    def _again_from(self, node: Node) -> int:
        """Make the rows of a container and of what follows it again."""
        if not self._rows:
            return 0
        self._draw(max(self._width, 10))
        rows = enumerate(self._rows)
        at = 0 if node is self._root else next((at for at, row in rows if _begins(row, node)), -1)
        if at < 0:  # it begins in what is left out
            return self.seek(node.start)
        line = next(number for number, shown in enumerate(self._lines) if shown.row == at)
        del self._rows[at:], self._lines[line:]
        self._drawn, self._is_whole = at, False
        if node.parent is None:
            self._walk = self._rows_from(node)
        else:
            self._walk = self._rows_from(node.parent, node.number, is_begun=True)
        self._extend(STEP_ROWS)
        self._draw(self._width)
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
        return not self._is_container(node)

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
        self._draw(width)
        return (yield from self._made_match(line - 1, 1, width))

    def _made_match(self, number: int, step: int, width: int) -> Slices[int | None]:
        made = len(self._rows)
        at = number + step
        while at >= 0:
            self._draw(width)
            if at >= len(self._lines):
                if self._is_whole or len(self._rows) - made > MOST_ROWS:
                    return None
                self._extend(_SLICE_ROWS)
                yield
                continue
            if self._lines[at].begins_match:
                return at
            at += step
        return None


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
