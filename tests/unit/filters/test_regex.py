"""Regular expressions over hostile payloads."""

from __future__ import annotations

import pytest

from tests.support.filter_facts import AFrame
from wsinspect.filters import parse
from wsinspect.filters.regex import MAX_TEXT, Pattern, PatternError, _compiled, _short


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


def test_a_pattern_too_large_for_the_short_way_is_searched_all_the_same() -> None:
    source = "z|" + "x{1000}" * 130
    assert _short(source, "") is None
    holds = Pattern(source).bytes_searcher()
    assert holds(b"xyz")
    assert not holds(b"xy")
    assert not holds(b"")


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
