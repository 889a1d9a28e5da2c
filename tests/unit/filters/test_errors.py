"""The error of the filter language: a place, a caret, and nothing that a terminal acts on."""

from __future__ import annotations

import pytest

from wsinspect.filters.errors import FilterError


@pytest.mark.parametrize(
    ("source", "offset", "found"),
    [
        ("op:", 3, "the end"),
        ("op:x y", 3, "'x'"),
        ("op: y", 3, "' '"),
        ("\x1b[31m", 0, "'\\x1b[31m'"),
        ("é", 0, "'\\xe9'"),
        ("x" * 100, 0, repr("x" * 24 + "...")),
    ],
)
def test_what_was_found_is_shown_in_ascii(source, offset, found):
    error = FilterError(source, offset, "a word")
    assert str(error) == f"filter, column {offset + 1}: expected a word, found {found}"
    assert error.excerpt == (source, " " * offset + "^")


def test_a_suggestion_is_the_hint():
    error = FilterError("opp", 0, "a key", suggestion="did you mean 'op'?")
    assert error.hint == "did you mean 'op'?"
