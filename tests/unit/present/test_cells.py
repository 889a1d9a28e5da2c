"""Lines made of pieces: folding them below one another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsinspect.handshake.diff import Change, ChangeKind
from wsinspect.present.cells import broken, cut, flow, fold, mark, text_of, width_of
from wsinspect.present.glyphs import UNICODE
from wsinspect.present.handshakes import change_lines


@pytest.mark.parametrize(
    ("line", "width", "folded"),
    [
        ([("a: ", ""), ("one two three", "")], 40, ["a: one two three"]),
        ([("a: ", ""), ("one two three", "")], 11, ["a: one two ", "   three"]),
        ([("a: ", ""), ("onetwothree", "")], 9, ["a: onetwo", "   three"]),
        ([("a: ", ""), ("世界世界世界", "")], 9, ["a: 世界世", "   界世界"]),
        ([("a long name: ", ""), ("one two", "")], 24, ["a long name: one two"]),
        (
            [("a long name: ", ""), ("one two three four", "")],
            24,
            ["a long name: one two ", "    three four"],
        ),
        (
            [("x  ", ""), ("a title of words", "title"), ("  [hop]", "")],
            12,
            ["x  a title ", "   of words ", "[hop]"],
        ),
        (
            [("x  ", ""), ("a title of words", "title"), ("  [hop]", "")],
            20,
            ["x  a title of words", "[hop]"],
        ),
        (
            [("steps   ", "muted"), ("+0.500 ms  connected", ""), ("  +500 us", "muted")],
            34,
            ["steps   +0.500 ms  connected", "    +500 us"],
        ),
        ([("seen  ", "muted"), ("no answer for 12.5 ms", "")], 25, ["seen  no answer for ", "      12.5 ms"]),
        ([("seen  ", "muted"), ("no answer for 12.5 ms", "")], 24, ["seen  no answer for ", "      12.5 ms"]),
        ([("x  ", ""), ("twelve cells", "title"), (" and more", "")], 15, ["x  twelve cells", "and more"]),
        ([], 10, [""]),
    ],
)
def test_a_line_that_is_too_long_continues_below_its_words(line, width, folded):
    pieces = fold(line, width)
    assert [text_of(piece) for piece in pieces] == folded
    assert all(width_of(piece) <= width for piece in pieces)


@pytest.mark.parametrize("width", range(12, 40))
def test_a_sentence_keeps_a_number_and_its_unit_on_one_line(width):
    """Wherever it is broken: `4 min 12 s`, `8.0 ms`, `64 KiB`."""
    text = "lasted 4 min 12 s, answered in 8.0 ms, 64 KiB at 17 % (3 h)"
    lines = flow(text, width)
    assert " ".join(lines) == text
    assert not {"min", "12", "s,", "ms,", "KiB", "%", "h)"} & {line.split()[0] for line in lines}


@given(st.text(alphabet="ab 世\u0301", max_size=60), st.integers(2, 40), st.integers(0, 12))
def test_nothing_is_lost_in_folding(text, width, before):
    pieces = fold([("x" * before, "muted"), (text, "")], width)
    assert all(width_of(piece) <= width for piece in pieces)
    shown = "".join(text_of(piece) for piece in pieces).replace(" ", "").removeprefix("x" * before)
    assert shown == text.replace(" ", "")


@given(
    st.lists(st.tuples(st.text(alphabet="ab漢é ", max_size=12), st.sampled_from(["x", "y"])), max_size=5),
    st.integers(2, 12),
)
def test_a_line_that_is_cut_is_the_same_line(line, width):
    lines = cut(line, width)
    assert "".join(map(text_of, lines)) == text_of(line)
    assert all(width_of(one) <= width for one in lines)


def test_a_cut_line_is_indented_and_keeps_its_styles():
    assert cut([("ab", "x"), ("cdefgh", "y")], 6, 2) == [
        [("ab", "x"), ("cdef", "y")],
        [("  ", ""), ("gh", "y")],
    ]


def test_every_match_is_marked_across_pieces():
    line = [("one tw", "x"), ("o ONE", "y")]
    assert mark(line, "two", "m") == [("one ", "x"), ("tw", "m"), ("o", "m"), (" ONE", "y")]
    assert mark(line, "one", "m") == [("one", "m"), (" tw", "x"), ("o ", "y"), ("ONE", "m")]
    assert mark(line, "", "m") == line == mark(line, "three", "m")


def test_the_blanks_of_a_header_line_are_all_there():
    """A run of them may be what is wrong with it; the one at a line's end says nothing."""
    line = b"X-Pad: aaaaaaaa" + b" " * 30 + b"b"
    change = Change(ChangeKind.SAME, b"X-Pad", line, line)
    shown = [text_of(one)[2:22] for one in change_lines(change, 22, UNICODE)]
    assert "".join(shown).rstrip().encode() == line
    assert broken("one  two", 4, 4, is_verbatim=True) == ["one ", " two"]
    assert broken("one  two", 3, 3, is_verbatim=True) == ["one", " tw", "o"]
    assert broken("one two", 3, 3, is_verbatim=True) == broken("one  two", 3, 3) == ["one", "two"]


def test_every_match_is_marked_where_a_letter_is_longer_in_lower_case():
    assert mark([("İİ needle", "x")], "NEEDLE", "m") == [("İİ ", "x"), ("needle", "m")]
    assert mark([("a İx", "x")], "ix", "m") == [("a ", "x"), ("İx", "m")]


def test_a_header_line_side_by_side_continues_at_a_space_and_is_indented():
    """At 80 columns: what continues is not taken for a header of its own, and no word is cut that fits."""
    line = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
    change = Change(ChangeKind.SAME, b"Sec-WebSocket-Extensions", line, line)
    assert [text_of(one).rstrip() for one in change_lines(change, 38, UNICODE)] == [
        "  Sec-WebSocket-Extensions:            │ =",
        "    permessage-deflate;                │",
        "    client_max_window_bits             │",
    ]
