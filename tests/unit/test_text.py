"""Peer-controlled text on a terminal."""

from __future__ import annotations

import pytest

from wsinspect import text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("", ""),
        ('{"a": "\\n"}', '{"a": "\\n"}'),
        ("a\nb\tc\rd\x00", "a␊b␉c␍d␀"),
        ("\x1b[31mred\x1b]0;title\x07", "␛[31mred␛]0;title␇"),
        ("\x7f\x85\x9b", "␡\\x85\\x9b"),
        ("\u202eabc\u2066\u200b\ufeff", "\\u202eabc\\u2066\\u200b\\ufeff"),
        ("\ud800\ue000\u2028", "\\ud800\\ue000\\u2028"),
        ("\U000e0041\U0010ffff", "\\U000e0041\\U0010ffff"),
        ("\u0301a\u0301", "\\u0301a\u0301"),
        ("日本 é 🙂", "日本 é 🙂"),
    ],
)
def test_text_is_made_safe(raw, shown):
    assert text.escape(raw) == shown


def test_bytes_that_are_not_utf8_are_shown():
    assert text.escape_bytes(b"a\xff\xc3\xa9\x1b") == "a\\xffé␛"


def test_text_without_case_is_as_long_as_it_was():
    every = "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
    assert len(text.folded(every)) == len(every)
    assert text.folded("İSTANBUL Ä") == text.folded("istanbul ä") == "istanbul ä"


def test_lines_end_at_line_feeds_only():
    assert text.escape_lines("a\r\nb\rc\n\x0bd") == ["a", "b␍c", "␋d"]


@pytest.mark.parametrize(("shown", "cells"), [("abc", 3), ("日本", 4), ("e\u0301", 1), ("", 0), ("🙂", 2)])
def test_cells_are_counted(shown, cells):
    assert text.cell_width(shown) == cells


@pytest.mark.parametrize(
    ("shown", "cells", "cut"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("e\u0301e\u0301e\u0301", 3, "e\u0301e\u0301e\u0301"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
        ("日", 1, "…"),
    ],
)
def test_text_is_cut_to_cells(shown, cells, cut):
    assert text.truncate(shown, cells) == cut
    assert text.cell_width(cut) <= cells


def test_text_is_padded_by_cells():
    assert text.pad("日", 4) == "日  "
    assert text.pad("7", 3, right=True) == "  7"
    assert text.pad("toolong", 3) == "toolong"
