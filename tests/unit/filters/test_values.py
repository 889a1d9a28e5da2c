"""Values as they are written: quotes, escapes, and the bytes they stand for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsinspect.filters.values import is_text, text_bytes, unescape, write_text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain", "plain"),
        ("caf\u00e9", "caf\u00e9"),
        ("", '""'),
        ("*", '"*"'),
        ("two words", '"two words"'),
        ('say "x"\\', '"say \\"x\\"\\\\"'),
        ("a\tb\r\n", '"a\\tb\\r\\n"'),
        ("\x00\x7f", '"\\u0000\\u007f"'),
        ("\udcff", '"\\xff"'),
    ],
)
def test_a_text_is_in_quotes_where_it_needs_them(text, written) -> None:
    assert write_text(text) == written


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("n", ("\n", 1)),
        ("0", ("\0", 1)),
        ('"', ('"', 1)),
        ("x41", ("A", 3)),
        ("x7f", ("\x7f", 3)),
        ("x80", ("\udc80", 3)),
        ("xff", ("\udcff", 3)),
        ("u20ac", ("\u20ac", 5)),
        ("u00ff", ("\u00ff", 5)),
        ("U0001f600", ("\U0001f600", 9)),
        ("ud800", None),
        ("U00110000", None),
        ("xf", None),
        ("q", None),
        ("", None),
    ],
)
def test_an_escape_is_one_character_and_a_high_byte_stays_a_byte(source, expected) -> None:
    assert unescape(source, 0) == expected


def test_bytes_are_those_of_utf_8_and_of_escapes() -> None:
    assert text_bytes("\u20ac\udcff") == b"\xe2\x82\xac\xff"
    assert is_text("\u20ac\udcff")
    assert not is_text("\ud800")


@given(st.binary(max_size=20))
def test_any_bytes_can_be_written(data: bytes) -> None:
    written = write_text(data.decode("utf-8", "surrogateescape"))
    assert written.isascii() or written == data.decode("utf-8", "surrogateescape") or written[0] == '"'
    assert is_text(written)
