"""Reading JSON as it is shown: where values begin and end, of those that somebody comes to.

Contract: pure. What is read is kept as numbers in arrays; `Node` is made of what is shown, or gone into. What
takes long is `Slices`. Peers may send anything: where it stops being JSON, `Broken` says so.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Generator
from typing import Final, TypeVar

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
OPENERS: Final = "{["
#: Values read between two yields of what works in slices: some milliseconds.
SLICE_VALUES: Final = 1_000
#: A longer container is passed over bracket by bracket, in slices: the fast way cannot be left in between.
_AT_ONCE_CHARS: Final = 256 * 1024
_BRACKETS: Final = re.compile(r'[{\[}\]]|"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
T = TypeVar("T")
#: Work that may be left and gone on with after each slice; the value is its result.
Slices = Generator[None, None, T]


class Broken(Exception):
    """Not JSON from a character on."""

    def __init__(self, words: str, at: int) -> None:
        super().__init__(words)
        self.words, self.at = words, at


class Children:
    """What has been read of a container's children, in arrays of numbers.

    10 MB have a million values. An object each is what the garbage collector, which stops everything, would
    have to look at: a tenth of a second and more.

    Attributes:
        starts: of the values in the text.
        ends: of the values; -1 while a container's is not known.
        names: of members where their names begin and end, with their quotes; of elements nothing.
        nodes: by their numbers those containers that were shown or entered: they know whether they are open.
    """

    __slots__ = ("ends", "names", "nodes", "starts")

    def __init__(self) -> None:
        self.starts, self.ends, self.names = array("q"), array("q"), array("q")
        self.nodes: dict[int, Node] = {}

    def __len__(self) -> int:
        return len(self.starts)

    def add(self, start: int, end: int, name: tuple[int, int] | None = None) -> None:
        """One more, behind the others."""
        self.starts.append(start)
        self.ends.append(end)
        if name is not None:
            self.names.extend(name)


#: Of what has none, or none that was read.
_CHILDLESS: Final = Children()


class Node:
    """A value, and the name or the number that it has in what contains it.

    Attributes:
        start: of the value in the text.
        name: the span of the member's name, with its quotes; None of an element, and of the whole.
        number: its place in the container.
        depth: 0 for the whole.
        children: those that have been read so far.
        is_open: whether they are shown.
        is_read: whether there are no more of them.
    """

    __slots__ = ("_end", "children", "depth", "is_open", "is_read", "name", "number", "parent", "start")

    def __init__(self, parent: Node | None, name: tuple[int, int] | None, number: int, start: int) -> None:
        self.parent, self.name, self.number, self.start = parent, name, number, start
        self.depth: int = 0 if parent is None else parent.depth + 1
        self._end = -1
        self.children = _CHILDLESS
        self.is_open = True
        self.is_read = False

    @property
    def end(self) -> int:
        """Where the value ends; -1 while a container's end is not known."""
        return self._end if self.parent is None else self.parent.children.ends[self.number]

    @end.setter
    def end(self, at: int) -> None:
        if self.parent is None:
            self._end = at
        else:
            self.parent.children.ends[self.number] = at


class JsonReader:
    """Reads values of a text, each once.

    Args:
        text: of the payload.

    Attributes:
        opens: whether containers are open that nobody has folded or unfolded.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.root = Node(None, None, 0, self.space(0))
        self.opens = True

    def scalar_end(self, at: int) -> int:
        """Where the value that begins there ends; -1 of a container, which is read or skipped for it.

        Raises:
            Broken: no JSON value begins there.
        """
        text = self.text
        if at < len(text) and text[at] in OPENERS:
            return -1
        found = _STRING.match(text, at) or _SCALAR.match(text, at)
        if found is None:
            raise Broken("a value is expected" if at < len(text) else "it ends here", at)
        return found.end()

    def is_container(self, node: Node) -> bool:
        return node.start < len(self.text) and self.text[node.start] in OPENERS

    def has_child(self, node: Node, number: int) -> bool:
        """Whether there is a child; what is before it, and itself, is read.

        Raises:
            Broken: the text is not JSON there.
        """
        while len(node.children) <= number and not node.is_read:
            self.read_child(node)
        return number < len(node.children)

    def node_of(self, parent: Node, number: int) -> Node:
        """A child that was read; a container is the same object each time."""
        known = parent.children
        if (node := known.nodes.get(number)) is not None:
            return node
        name = (known.names[2 * number], known.names[2 * number + 1]) if known.names else None
        node = Node(parent, name, number, known.starts[number])
        if self.is_container(node):
            node.is_open = self.opens
            known.nodes[number] = node
        else:
            node.is_read = True
        return node

    def read_child(self, node: Node) -> None:
        text, closer = self.text, "}" if self.text[node.start] == "{" else "]"
        at = self.space(node.start + 1)
        if node.children:
            at = self.space(self.end_at(node, len(node.children) - 1))
            if text[at : at + 1] == closer:
                node.end, node.is_read = at + 1, True
                return
            if text[at : at + 1] != ",":
                raise Broken(f"a comma or {closer} is expected", at)
            at = self.space(at + 1)
        elif text[at : at + 1] == closer:
            node.end, node.is_read = at + 1, True
            return
        name = None
        if closer == "}":
            found = _STRING.match(text, at)
            if found is None:
                raise Broken("a name in double quotes is expected", at)
            name, at = found.span(), self.space(found.end())
            if text[at : at + 1] != ":":
                raise Broken("a colon is expected", at)
            at = self.space(at + 1)
        end = self.scalar_end(at)
        if node.children is _CHILDLESS:
            node.children = Children()
        node.children.add(at, end, name)

    def read_elements(self, node: Node, offset: int) -> Slices[None]:
        """Read the elements of an array up to a place as fast as that goes: there may be 300,000.

        Where anything is unusual it leaves off, and `_read_child` says what.
        """
        text, known, end = self.text, node.children, len(self.text)
        if node.is_read or text[node.start] != "[" or not known:
            return
        starts, ends = known.starts, known.ends
        while starts[-1] < offset:
            if not len(starts) % SLICE_VALUES:
                yield
            if ends[-1] < 0:
                yield from self.pass_over(node, len(starts) - 1)
            at = ends[-1]
            if at < 0:
                try:
                    at = ends[-1] = _SKIP.raw_decode(text, starts[-1])[1]
                except (ValueError, RecursionError):
                    return
            if at + 1 >= end or text[at] != ",":
                return
            at += 1
            if text[at] in " \t\r\n":
                at = self.space(at)
            known.add(at, self.scalar_end(at))

    def space(self, at: int) -> int:
        found = _SPACE.match(self.text, at)
        return at if found is None else found.end()

    def end_of(self, node: Node) -> int:
        """Where a value ends; of a container that is not read, by skipping it."""
        if node.end < 0:
            node.end = self._skipped(node.start)
        return node.end

    def end_at(self, parent: Node, number: int) -> int:
        """Likewise of a child."""
        ends = parent.children.ends
        if ends[number] < 0:
            ends[number] = self._skipped(parent.children.starts[number])
        return ends[number]

    def _skipped(self, start: int) -> int:
        """Where the container ends that begins there.

        Raises:
            Broken: it does not.
        """
        text, at, depth = self.text, start, 0
        try:
            return _SKIP.raw_decode(text, at)[1]
        except (ValueError, RecursionError):
            pass  # not JSON, or too deep for it: brackets are counted
        while True:
            found = _RUN.match(text, at)
            at = at if found is None else found.end()
            if at >= len(text) or text[at] == '"':
                raise Broken("it ends inside of this value", start)
            depth += 1 if text[at] in OPENERS else -1
            at += 1
            if depth == 0:
                return at

    def pass_over(self, parent: Node, number: int) -> Slices[None]:
        """Know the end of a long child in slices; of others, and of what is not JSON, `_end_at` does."""
        text, depth = self.text, 0
        start, ends = parent.children.starts[number], parent.children.ends
        if ends[number] >= 0 or len(text) - start < _AT_ONCE_CHARS:
            return
        for count, found in enumerate(_BRACKETS.finditer(text, start), 1):
            if not count % (SLICE_VALUES * 5):
                yield
            first = text[found.start()]
            if first in OPENERS:
                depth += 1
            elif first != '"':
                depth -= 1
                if not depth:
                    ends[number] = found.end()
                    return
