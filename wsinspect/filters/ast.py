"""A filter as a tree; `str()` of a node is a filter that parses to an equal tree.

`And` and `Or` have two operands or more and never one of their own kind: `all_of` and `any_of` keep that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from wsinspect.filters.fields import Field
from wsinspect.filters.kinds import Tester


@dataclass(frozen=True)
class Everything:
    """The empty filter, which everything passes."""

    def __str__(self) -> str:
        return ""


@dataclass(frozen=True)
class Test:
    """One key compared with one value.

    Attributes:
        field: the key; a bare word is `body`.
        operator: as the field's kind normalises it; `*` asks whether there is anything at all.
        value: of a type that the field's kind knows; None with `*`.
        argument: the path of `json`, the name of `header`, else empty.
    """

    __test__ = False  # not a test class, whatever pytest thinks of the name

    field: Field
    operator: str
    value: Any = None
    argument: str = ""

    def __str__(self) -> str:
        return self.field.write(self.operator, self.value, self.argument)

    def predicate(self) -> Tester:
        """A function of the facts that its key is about."""
        return self.field.predicate(self.operator, self.value, self.argument)


@dataclass(frozen=True)
class Not:
    """`!operand`: passes what the operand does not."""

    operand: Node

    def __str__(self) -> str:
        return f"!{_in_parentheses(self.operand, And, Or)}"


@dataclass(frozen=True)
class And:
    """`a b`: passes what all operands pass."""

    operands: tuple[Node, ...]

    def __str__(self) -> str:
        return " ".join(_in_parentheses(operand, Or) for operand in self.operands)


@dataclass(frozen=True)
class Or:
    """`a | b`: passes what any operand passes."""

    operands: tuple[Node, ...]

    def __str__(self) -> str:
        return " | ".join(map(str, self.operands))


Node: TypeAlias = Everything | Test | Not | And | Or


def all_of(operands: Iterable[Node]) -> Node:
    """One operand or more that must all hold; nested ones are taken apart."""
    return _joined(operands, And)


def any_of(operands: Iterable[Node]) -> Node:
    """One operand or more of which one must hold; nested ones are taken apart."""
    return _joined(operands, Or)


def tests_of(node: Node) -> Iterator[Test]:
    """The tests in a tree, from left to right."""
    if isinstance(node, Test):
        yield node
    elif isinstance(node, Not):
        yield from tests_of(node.operand)
    elif isinstance(node, And | Or):
        for operand in node.operands:
            yield from tests_of(operand)


def _joined(operands: Iterable[Node], kind: type[And] | type[Or]) -> Node:
    flat: list[Node] = []
    for operand in operands:
        flat.extend(operand.operands if isinstance(operand, kind) else (operand,))
    return flat[0] if len(flat) == 1 else kind(tuple(flat))


def _in_parentheses(node: Node, *kinds: type) -> str:
    return f"({node})" if isinstance(node, kinds) else str(node)
