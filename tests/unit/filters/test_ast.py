"""Trees of filters: no And in an And, no Or in an Or, and the text of a tree gives it back."""

from __future__ import annotations

import pytest

from wsinspect.filters import ast, parse
from wsinspect.filters.ast import And, Everything, Not, Or, all_of, any_of


@pytest.mark.parametrize(
    ("source", "kind", "count", "text"),
    [
        ("(fin:1 masked:1) rsv1:0", And, 3, "fin:1 masked:1 rsv1:0"),
        ("fin:1 (masked:1 & (rsv1:0 rsv2:0))", And, 4, "fin:1 masked:1 rsv1:0 rsv2:0"),
        ("(fin:1 | masked:1) | rsv1:0", Or, 3, "fin:1 | masked:1 | rsv1:0"),
        ("(fin:1 | masked:1) rsv1:0", And, 2, "(fin:1 | masked:1) rsv1:0"),
        ("fin:1 masked:1 | rsv1:0", Or, 2, "fin:1 masked:1 | rsv1:0"),
    ],
)
def test_nested_operands_of_one_kind_are_taken_apart(source, kind, count, text) -> None:
    root = parse(source).root
    assert isinstance(root, And | Or)
    assert type(root) is kind
    assert len(root.operands) == count
    assert str(root) == text


def test_one_operand_stands_for_itself() -> None:
    (one,) = ast.tests_of(parse("fin:1").root)
    assert all_of([one]) is any_of([one]) is one
    assert parse("((fin:1))").root == one


def test_tests_are_found_from_left_to_right_wherever_they_are() -> None:
    def keys(source: str) -> list[str]:
        return [test.field.name for test in ast.tests_of(parse(source).root)]

    assert keys("fin:1 !(masked:1 | !rsv1:0) rsv2:0") == ["fin", "masked", "rsv1", "rsv2"]
    assert keys("") == []
    assert parse("").root == Everything()


def test_a_not_has_parentheses_where_more_than_one_test_is_in_it() -> None:
    (one,) = ast.tests_of(parse("fin:1").root)
    assert isinstance(one, ast.Test)
    assert str(Not(one)) == "!fin:1"
    assert str(Not(Not(one))) == "!!fin:1"
    assert str(Not(And((one, one)))) == "!(fin:1 fin:1)"
    assert str(Not(Or((one, one)))) == "!(fin:1 | fin:1)"
