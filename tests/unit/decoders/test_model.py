"""Lines and summaries: bounded, and on one line where they have to be."""

from __future__ import annotations

import pytest

from wsinspect.decoders.model import Payload, brief, field, shorten, show_bytes


def test_a_long_text_is_cut_and_says_how_long_it_was():
    assert shorten("abc", 3) == "abc"
    assert shorten("abcd", 3) == "abc… (4 characters)"
    assert field("name", "value") == "name        value"


def test_a_summary_is_one_line():
    assert brief("a\n b\t c") == "a b c"
    assert brief("abcdef", 4) == "abc…"


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"plain", "plain"),
        ("é".encode(), "é"),
        (b"\xff", "ff"),
        (b"a\n", "61 0a"),
        (b"", ""),
        (b"\0" * 65, " ".join(["00"] * 64) + " … (65 bytes)"),
    ],
)
def test_bytes_are_text_where_they_can_be_read(data, shown):
    assert show_bytes(data) == shown


def test_text_of_a_payload_shows_bytes_that_are_not_text():
    assert Payload(b"a\xff").text == "a\\xff"
