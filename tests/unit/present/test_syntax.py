"""Colours for text never change it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wsinspect.present.cells import Line, text_of
from wsinspect.present.syntax import coloured, looks_like_markup
from wsinspect.text import escape_lines


def lines_of(text: str) -> list[Line]:
    return [[(line, "")] for line in escape_lines(text)]


def test_xml_has_colours():
    first = coloured(lines_of('<a b="c">text</a>\n<!-- d -->'), is_markup=True)
    assert ("b=", "number") in first[0] or ("b", "number") in first[0]
    assert ('"c"', "string") in first[0]
    assert {style for _, style in first[1]} == {"muted"}


def test_a_head_of_fields_has_colours_and_its_body_none():
    first = coloured(lines_of("SEND\ndestination:/queue/a\ncontent-type:text/plain\n\nname: value"))
    assert first[0] == [("SEND", "word")]
    assert first[1] == [("destination", "name"), (":", "sign"), ("/queue/a", "string")]
    assert first[4] == [("name: value", "")]


def test_prose_with_a_colon_is_prose():
    text = "hello: world\nthis is not a header\na: b"
    assert coloured(lines_of(text)) == lines_of(text)


def test_markup_is_told_by_its_beginning():
    assert all(
        map(
            looks_like_markup,
            (b"<a/>", b" <?xml version='1.0'?>", b"<!DOCTYPE html>", b"\xef\xbb\xbf<a b='c'"),
        )
    )
    assert not any(map(looks_like_markup, (b"", b"< a", b"<3 you", b"a<b>", b"<>")))


@given(st.text(alphabet="<>/=\"'ab :\n&;!-?", max_size=120), st.booleans())
def test_the_text_stays_the_same(text, is_markup):
    lines = lines_of(text)
    assert [text_of(line) for line in coloured(lines, is_markup=is_markup)] == [
        text_of(line) for line in lines
    ]
