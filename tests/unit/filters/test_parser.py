"""From text to tree: precedence, and errors with their columns."""

from __future__ import annotations

import pytest

from tests.support.filter_facts import AFrame
from wsinspect.filters import FilterError, parse


@pytest.mark.parametrize(
    ("source", "canonical"),
    [
        ("op:text len>5 | dir:s2c", "op:text len>5B | dir:s2c"),
        ("op:text & (len>5 | dir:s2c)", "op:text (len>5B | dir:s2c)"),
        ("!op:text dir:c2s", "!op:text dir:c2s"),
        ("!(op:text dir:c2s)", "!(op:text dir:c2s)"),
        ("op!=text", "!op:text"),
        ("", ""),
        ("'a b'", 'body:"a b"'),
    ],
)
def test_precedence(source: str, canonical: str) -> None:
    assert str(parse(source)) == canonical


@pytest.mark.parametrize(
    ("source", "column", "words"),
    [
        ("opp:text", 1, "did you mean 'op'"),
        ("op:txt", 4, "did you mean 'text'"),
        ("len>5q", 6, "one of the units"),
        ("len>", 5, "a size such as 64 KiB"),
        ("(op:text", 9, "')' for the '(' at column 1"),
        ("op:text)", 8, "the end"),
        ("op>3", 3, "one of : ="),
        ("body~x", 6, "between slashes"),
        ("body~/(/", 6, "regular expression"),
        ("body~/a/q", 9, "flags"),
        ('"abc', 5, "the one at column 1"),
        ("json:", 6, "a path"),
        ("header:", 8, "name of a header"),
        ("a & | b", 5, "a key"),
        ("http://x", 1, "quotes"),
        ("op:text |", 10, "a key"),
    ],
)
def test_errors_say_where_and_what(source: str, column: int, words: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(source)
    assert caught.value.column == column
    assert words in str(caught.value)
    assert caught.value.caret() == " " * (column - 1) + "^"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "column"),
    [
        ("foo(bar)", 4),
        ("op:text(a)", 8),
        ('a"b"', 2),
        ('"a"(b)', 4),
        ("body~/x/(y)", 9),
        ("json:$.a(b)", 9),
        ("len>5 header:Origin(x)", 20),
    ],
)
def test_a_call_is_refused_where_it_begins(source: str, column: int) -> None:
    with pytest.raises(FilterError) as caught:
        parse(source)
    assert caught.value.column == column
    assert caught.value.expected == "a blank, '&', '|' or the end"
    spaced = parse(f"{source[: column - 1]} {source[column - 1 :]}")
    assert len(spaced.root.operands) >= 2  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("source", "column", "words"),
    [
        ("header=Origin", 7, "':' behind header"),
        ("header:Origin?", 14, "an operator, a blank or the end"),
        ('header:Origin"x"', 14, "an operator, a blank or the end"),
        ("len>64KiB/2", 10, "'&', '|' or the end"),
        ("len>64KiBx", 7, "one of the units"),
        ("!" * 60 + "a", 61, "at most 60 of '!' and '('"),
        ('"a\\q"', 3, "an escape"),
        ('"a\\', 3, "an escape"),
        ('""', 2, "at least one character between the quotes"),
        ("''", 2, "at least one character between the quotes"),
        ("a\ud800", 1, "characters that exist in UTF-8"),
        ("body:a\udfff", 6, "characters that exist in UTF-8"),
        ("x" * 10_001, 10_001, "at most 10000 characters"),
    ],
)
def test_a_syntax_error_is_refused_at_its_place(source: str, column: int, words: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(source)
    assert words in str(caught.value)
    assert caught.value.column == column


@pytest.mark.parametrize(
    ("source", "body"),
    [
        ("'it\\'s'", b"it's"),
        ("'back\\\\slash'", b"back\\slash"),
        ("'\\n'", b"\\n"),
        ('"\\n"', b"\n"),
        ('"it\'s"', b"it's"),
        ('"\\xff"', b"\xff"),
    ],
)
def test_quotes_know_their_escapes(source: str, body: bytes) -> None:
    passes = parse(source).frame_predicate()
    assert passes(AFrame(body=b"<" + body + b">"))
    assert not passes(AFrame(body=body[:-1] + b"_"))
