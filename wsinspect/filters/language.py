"""A filter, ready to be asked: what it is about, and its predicates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from wsinspect.filters.ast import And, Everything, Node, Not, Or, Test, tests_of
from wsinspect.filters.facts import ConnectionFacts, FrameFacts
from wsinspect.filters.fields import Field, Scope
from wsinspect.filters.parser import parse_tree

Predicate = Callable[[Any], bool]


@dataclass(frozen=True)
class Filter:
    """What `parse` makes of a text.

    Attributes:
        source: as typed.
        root: the tree.
    """

    source: str
    root: Node

    def __str__(self) -> str:
        return str(self.root)

    @property
    def is_empty(self) -> bool:
        """Whether every frame passes, because nothing was asked."""
        return isinstance(self.root, Everything)

    @cached_property
    def keys(self) -> frozenset[str]:
        """The names of its keys; a bare word is `body`."""
        return frozenset(test.field.name for test in tests_of(self.root))

    @cached_property
    def is_late(self) -> bool:
        """It asks for what may come after the frame."""
        return any(test.field.is_late for test in tests_of(self.root))

    @cached_property
    def lists_connections(self) -> bool:
        """Whether it can choose connections: no key is about frames alone."""
        return all(test.field.scope is not Scope.FRAME for test in tests_of(self.root))

    def frame_predicate(self) -> Callable[[FrameFacts], bool]:
        """A function that says whether a frame passes; cheap tests come first."""
        return _compile(self.root, _frame_test)

    def connection_predicate(self) -> Callable[[ConnectionFacts], bool]:
        """A function that tells whether a connection passes.

        Raises:
            ValueError: a key is about frames.
        """
        if not self.lists_connections:
            raise ValueError("a key of this filter is about frames")
        return _compile(self.root, Test.predicate)


def parse(source: str) -> Filter:
    """Read a filter.

    Raises:
        FilterError: with the column and what was expected there.
    """
    return Filter(source, parse_tree(source))


def cost_of(node: Node) -> int:
    """How dear a node is, compared with others."""
    return sum(test.field.cost for test in tests_of(node))


def _frame_test(test: Test) -> Predicate:
    predicate = test.predicate()
    if test.field.scope is Scope.CONNECTION:
        return lambda frame: predicate(frame.connection)
    return predicate


def _compile(node: Node, of_test: Callable[[Test], Predicate]) -> Predicate:
    if isinstance(node, Test):
        return of_test(node)
    if isinstance(node, Not):
        operand = _compile(node.operand, of_test)
        return lambda facts: not operand(facts)
    if isinstance(node, And | Or):
        operands = [_compile(one, of_test) for one in sorted(node.operands, key=cost_of)]
        if isinstance(node, And):
            return lambda facts: all(operand(facts) for operand in operands)
        return lambda facts: any(operand(facts) for operand in operands)
    return lambda facts: True


__all__ = ["Field", "Filter", "cost_of", "parse"]
