"""Regular expressions over hostile payloads."""

from __future__ import annotations

import pytest

from tests.support.filter_facts import AFrame
from wsinspect.filters import FilterError, parse
from wsinspect.filters.regex import MAX_PROGRAM, MAX_TEXT, Pattern, PatternError, _compiled


@pytest.mark.parametrize("length", [0, 1, 255, 256, 257, 5000])
@pytest.mark.parametrize("source", ["x", "^x", "x$", "^x{3,}y?$", "(?i)X.Y", "\\bxy\\b", "a|b|", "."])
def test_short_and_long_texts_are_searched_alike(source: str, length: int) -> None:
    """Two ways of RE2, by length: `search` is the one that counts."""
    holds = Pattern(source, "s").bytes_searcher()
    search = _compiled(source, "s").search
    for data in (b"x" * length, b" " * length + b"xy", b"xy" + b"\n" * length, b"\xff" * length, b"\0x y"):
        assert holds(data) == (search(data) is not None)


def test_hostile_payloads_do_not_hang_a_pattern() -> None:
    passes = parse("body~/(a+)+$/").frame_predicate()
    assert not passes(AFrame(body=b"a" * 100_000 + b"b"))


def test_what_is_searched_is_bounded_by_the_pattern_s_size_too() -> None:
    small, large = Pattern("x"), Pattern("x[ab]{900}|x")
    assert small.most_bytes == MAX_TEXT
    assert 32 * 1024 < large.most_bytes < MAX_TEXT // 8
    for data, expected in ((large.most_bytes - 1, True), (large.most_bytes, False)):
        assert large.bytes_searcher()(b" " * data + b"x") is expected
        assert large.searcher()(" " * data + "x") is expected


@pytest.mark.parametrize(
    "source",
    ["x{1000}" * 5, "[ab]{1000}" * 5, r"\pL{20}", "a?" * 4500],
    ids=("literals", "classes", "letters", "alternatives"),
)
def test_a_pattern_that_compiles_to_too_much_is_an_error(source: str) -> None:
    with pytest.raises(PatternError, match=f"too large: \\d+ instructions, at most {MAX_PROGRAM}"):
        Pattern(source).check()
    with pytest.raises(FilterError, match="too large"):
        parse(f"body~/{source}/")


@pytest.mark.parametrize(
    "source",
    ["x{1000}", "[ab]{990}" * 4, r"\pL{3}", "|".join(f"word{n}" for n in range(400))],
    ids=("literals", "classes", "letters", "alternatives"),
)
def test_the_largest_pattern_that_is_taken_can_be_searched_either_way(source: str) -> None:
    holds = Pattern(source).bytes_searcher()
    assert not holds(b"-")
    assert not holds(b"-" * 1000)


def test_a_pattern_that_utf_8_cannot_have_is_an_error() -> None:
    with pytest.raises(PatternError, match="utf-8"):
        Pattern("a\udc80").check()
    Pattern("a\u20ac").check()


def test_only_the_beginning_of_a_long_text_is_searched() -> None:
    for data, expected in ((b" " * (MAX_TEXT - 1) + b"x", True), (b" " * MAX_TEXT + b"x", False)):
        assert Pattern("x").bytes_searcher()(data) is expected
        assert Pattern("x").searcher()(data.decode()) is expected


@pytest.mark.parametrize(("source", "flags", "text"), [("a/b", "i", "/a\\/b/i"), ("x", "", "/x/")])
def test_a_pattern_is_written_as_it_is_read(source: str, flags: str, text: str) -> None:
    assert str(Pattern(source, flags)) == text
    assert parse(f"body~{text}").frame_predicate()(AFrame(body=source.encode()))
