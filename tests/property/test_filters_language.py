"""Filters: nothing but FilterError for any text; what is written is read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsinspect.filters import FIELDS, FilterError, complete, parse

PIECES = st.sampled_from(
    [example for key in FIELDS.values() for example in key.examples]
    + ["(", ")", "|", "&", "!", " ", '"', "'", "\\", "/", "op:", "json:$.a", "len>", "header:", "~", "*", ","]
)


@given(
    st.one_of(
        st.text(max_size=60),
        st.lists(PIECES, max_size=8).map(" ".join),
        st.lists(PIECES, max_size=8).map("".join),
    )
)
def test_any_text_is_a_filter_or_a_filter_error(source: str) -> None:
    column = 1
    try:
        flt = parse(source)
    except FilterError as error:
        column = error.column
    else:
        assert parse(str(flt)).root == flt.root
    assert 1 <= column <= len(source) + 1


@given(st.text(max_size=30), st.integers(-5, 40))
def test_completion_never_raises(text: str, cursor: int) -> None:
    completion = complete(text, cursor)
    assert 0 <= completion.start <= completion.end <= len(text)


@pytest.mark.parametrize("depth", [10, 1000, 100_000])
def test_depth_is_bounded(depth: int) -> None:
    try:
        parse("(" * depth + "op:text" + ")" * depth)
    except FilterError:
        assert depth > 10
