"""Lines made of pieces: folding them below one another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsinspect.present.cells import fold, text_of, width_of


@pytest.mark.parametrize(
    ("line", "width", "folded"),
    [
        ([("a: ", ""), ("one two three", "")], 40, ["a: one two three"]),
        ([("a: ", ""), ("one two three", "")], 11, ["a: one two ", "   three"]),
        ([("a: ", ""), ("onetwothree", "")], 9, ["a: onetwo", "   three"]),
        ([("a: ", ""), ("世界世界世界", "")], 9, ["a: 世界世", "   界世界"]),
        ([("a long name: ", ""), ("one two", "")], 24, ["a long name: one two"]),
        (
            [("a long name: ", ""), ("one two three four", "")],
            24,
            ["a long name: one two ", "    three four"],
        ),
        ([], 10, [""]),
    ],
)
def test_a_line_that_is_too_long_continues_below_its_words(line, width, folded):
    pieces = fold(line, width)
    assert [text_of(piece) for piece in pieces] == folded
    assert all(width_of(piece) <= width for piece in pieces)


@given(st.text(alphabet="ab 世\u0301", max_size=60), st.integers(2, 40), st.integers(0, 12))
def test_nothing_is_lost_in_folding(text, width, before):
    pieces = fold([("x" * before, "muted"), (text, "")], width)
    assert all(width_of(piece) <= max(width, before) for piece in pieces)
    if before < width:
        shown = "".join(text_of(piece) for piece in pieces).replace(" ", "").removeprefix("x" * before)
        assert shown == text.replace(" ", "")
