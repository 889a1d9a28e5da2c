"""Whatever a peer sends, nothing that a terminal acts on comes out, and cut text fits."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from wsinspect.text import cell_width, escape, escape_bytes, escape_lines, pad, truncate

NASTY = st.sampled_from(
    ["\x1b[2J", "\x9b31m", "\u202e", "\x07", "\r", "\u0301", "日", "\ud83d", "\u200d", "\U000e0001"]
)
any_text = st.text(st.characters(codec=None)) | st.lists(NASTY | st.text(max_size=3)).map("".join)


def is_harmless(shown: str) -> bool:
    return shown.isprintable() or all(
        unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for char in shown
    )


@given(any_text)
def test_escaped_text_is_harmless_and_stays_as_it_is(raw):
    shown = escape(raw)
    assert is_harmless(shown)
    assert escape(shown) == shown


@given(st.binary())
def test_escaped_bytes_are_harmless(raw):
    assert is_harmless(escape_bytes(raw))


@given(any_text)
def test_escaped_lines_are_harmless(raw):
    lines = escape_lines(raw)
    assert len(lines) == raw.count("\n") + 1
    assert all(map(is_harmless, lines))


@given(any_text, st.integers(0, 12))
def test_cut_and_padded_text_has_the_width_it_should(raw, cells):
    shown = escape(raw)
    cut = truncate(shown, cells)
    assert cell_width(cut) <= cells
    assert cell_width(shown) > cells or cut == shown
    assert cell_width(pad(cut, cells)) == cells
