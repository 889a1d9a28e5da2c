"""A filter that was read: what it asks for, and functions that answer it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from wsinspect.filters.ast import And, Everything, Node, Not, Or, Test, tests_of
from wsinspect.filters.facts import ConnectionFacts, FrameFacts
from wsinspect.filters.fields import Scope
from wsinspect.filters.parser import parse_tree

F = TypeVar("F")


@dataclass(frozen=True)
class Filter:
    """A filter; `str()` is its usual form.

    Attributes:
        source: as it was written.
        root: its tree.
    """

    source: str
    root: Node

    def __str__(self) -> str:
        return str(self.root)

    @property
    def is_empty(self) -> bool:
        """Whether it lets all through."""
        return isinstance(self.root, Everything)

    @property
    def keys(self) -> frozenset[str]:
        """The names of its keys; `body` for words without one."""
        return frozenset(test.field.name for test in tests_of(self.root))

    @property
    def lists_connections(self) -> bool:
        """Whether it can be asked of connections: none of its keys is about frames alone."""
        return all(test.field.scope is not Scope.FRAME for test in tests_of(self.root))

    @property
    def is_late(self) -> bool:
        """Whether the answer for a frame can change after the frame was recorded."""
        return any(test.field.is_late for test in tests_of(self.root))

    def frame_predicate(self) -> Callable[[FrameFacts], bool]:
        """A function of a frame; in a row of tests the cheap ones come first."""
        return frame_predicate(self.root)

    def connection_predicate(self) -> Callable[[ConnectionFacts], bool]:
        """A function of a connection.

        Raises:
            ValueError: The filter asks for frames.
        """
        return connection_predicate(self.root)


def parse(source: str) -> Filter:
    """Read a filter.

    Raises:
        FilterError: It cannot be read; says the column and what was expected there.
    """
    return Filter(source, parse_tree(source))


def frame_predicate(node: Node) -> Callable[[FrameFacts], bool]:
    """A function of a frame that answers a tree."""
    return _compiled(node, lambda test: test.field.frame_test(test))


def connection_predicate(node: Node) -> Callable[[ConnectionFacts], bool]:
    """A function of a connection that answers a tree.

    Raises:
        ValueError: The tree asks for frames.
    """
    frame_keys = [test.field.name for test in tests_of(node) if test.field.scope is Scope.FRAME]
    if frame_keys:
        raise ValueError(f"{frame_keys[0]} is a key of frames")
    return _compiled(node, lambda test: test.field.connection_test(test))


def _compiled(node: Node, leaf: Callable[[Test], Callable[[F], bool]]) -> Callable[[F], bool]:
    if isinstance(node, Test):
        return leaf(node)
    if isinstance(node, Not):
        inner = _compiled(node.operand, leaf)
        return lambda facts: not inner(facts)
    if isinstance(node, And | Or):
        parts = [_compiled(one, leaf) for one in sorted(node.operands, key=_cost)]
        return _every(parts) if isinstance(node, And) else _some(parts)
    return lambda facts: True


def _every(parts: list[Callable[[F], bool]]) -> Callable[[F], bool]:
    if len(parts) == 2:  # by far the most frequent
        first, second = parts
        return lambda facts: first(facts) and second(facts)

    def test(facts: F) -> bool:
        for part in parts:  # noqa: SIM110  # all() with a generator is three times slower
            if not part(facts):
                return False
        return True

    return test


def _some(parts: list[Callable[[F], bool]]) -> Callable[[F], bool]:
    def test(facts: F) -> bool:
        for part in parts:  # noqa: SIM110
            if part(facts):
                return True
        return False

    return test


def _cost(node: Node) -> int:
    return sum(test.field.cost for test in tests_of(node))
