"""Lines made of pieces: folding them below one another."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsinspect.cli.main import COMMANDS as COMMANDS_OF_CLI
from wsinspect.handshake.diff import Change, ChangeKind
from wsinspect.present.cells import (
    _COMMANDS,
    broken,
    cut,
    flow,
    fold,
    mark,
    mark_broken,
    text_of,
    width_of,
    without_gaps,
)
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


COMMANDS = {
    "Nothing is held. run --break FILTER starts with one.": "run --break FILTER",
    "Held until you pass them: wsinspect run --break op:text holds all.": "wsinspect run --break op:text",
    "Orders: wsinspect run --break 'op:text size:>9' holds them.": "wsinspect run --break 'op:text size:>9'",
    "With traffic: wsinspect demo, in another terminal.": "wsinspect demo,",
    "wsinspect open last shows the newest one.": "wsinspect open last",
    "No display; try: wsinspect browser URL -- --headless instead.": "wsinspect browser URL -- --headless",
    "To tidy up, rm --older-than 7d asks first.": "rm --older-than 7d",
    "It ends: wsinspect run --append continues this recording": "wsinspect run --append",
    "Is it --fault 'latency,latency=1s' that acts?": "--fault 'latency,latency=1s'",
}


@pytest.mark.parametrize("width", range(8, 60))
@pytest.mark.parametrize("text", COMMANDS)
def test_a_command_that_is_copied_is_on_one_line(text, width):
    """Wherever it fits into one; where it does not, no word of it is cut."""
    command = COMMANDS[text]
    lines = flow(text, width)
    assert " ".join(lines) == text
    assert (len(command) > width) or any(command in line for line in lines)
    if len(command) <= width // 2:  # `broken` rather cuts a line than leave half of it empty
        assert any(command in piece for piece in broken(text, width, width))


def test_every_command_is_known():
    assert set(_COMMANDS.split("|")) == set(COMMANDS_OF_CLI)


@pytest.mark.parametrize(
    "text",
    [
        "with --ascii the lanes are drawn with signs of ASCII",
        "wsinspect says what was wrong with a handshake",
        "a line - as here - ends at dashes, and a-b -- too",
        "what a peer wrote: \ue000 wsinspect run --break FILTER",
    ],
)
def test_prose_is_broken_wherever_it_was(text):
    """Each line is as full as it can be, but for the word behind an option or the program's name."""
    for width in range(16, 40):
        lines = flow(text, width)
        assert " ".join(lines) == " ".join(text.split())
        for line, after in pairwise(lines):
            first = after.split()[0]
            assert len(line) + 1 + len(first) > width or (line.endswith("wsinspect") and first == "says")


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


@given(
    st.text(alphabet="ab" + " " * 6, max_size=60),
    st.sampled_from(["a", "ab", "a b", "ba"]),
    st.integers(3, 12),
)
def test_a_match_that_a_break_cuts_is_marked_on_both_lines_and_is_one_place(text, needle, width):
    line = [(text, "x")]
    whole = [at for at in range(len(text)) if mark(line, needle, "m") and _begins(text, needle, at)]
    for lines in (cut(line, width), cut(line, width, 2), fold([("k::", "key"), *line], width)):
        before = [("k::", "key"), *line] if text_of(lines[0]).startswith("k") else line
        marked, places = mark_broken(lines, before, needle, "m")
        assert [text_of(one) for one in marked] == [text_of(one) for one in lines]
        shown = "".join(piece for one in marked for piece, style in one if style == "m")
        assert shown.replace(" ", "") == (needle * len(whole)).replace(" ", "")
        assert len(set(places)) == len(places) <= len(whole)
        assert bool(places) == bool(whole)
    starts = [at // width for at in whole]
    assert mark_broken(cut(line, width), line, needle, "m")[1] == sorted(set(starts))


def _begins(text: str, needle: str, wanted: int) -> bool:
    """Whether a match begins there, counted as `str.count` does."""
    at = text.find(needle)
    while 0 <= at < wanted:
        at = text.find(needle, at + len(needle))
    return at == wanted


def test_a_match_in_our_own_words_is_found_across_a_break():
    line = [("answer        ", "muted"), ("101 in 3.8 ms; key of 16 bytes, accept right", "")]
    lines = fold(line, 45)
    assert text_of(lines[0]).endswith("bytes,")
    marked, places = mark_broken(lines, line, "bytes, accept", "m")
    assert places == [next(at for at, one in enumerate(lines) if "bytes" in text_of(one))]
    assert [piece for one in marked for piece, style in one if style == "m"] == ["bytes,", "accept"]
    assert mark_broken(lines, line, "bytes accept", "m") == (lines, [])


def test_a_table_for_a_pager_has_no_blanks_that_no_row_needs():
    rows = [" #  target" + " " * 90 + "end", " 1  /a" + " " * 94 + "by server", "12  /chat"]
    assert without_gaps(rows) == [" #  target  end", " 1  /a      by server", "12  /chat"]
    assert without_gaps([]) == []
    assert without_gaps(["a" + " " * 9 + "b", "\u4f60 c"]) == ["a" + " " * 9 + "b", "\u4f60 c"]


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
        "  Sec-WebSocket-Extensions:            │   =",
        "    permessage-deflate;                │",
        "    client_max_window_bits             │",
    ]


def test_the_sign_of_a_header_line_is_on_the_side_that_has_it():
    line = b"X-Real-IP: 10.0.0.1"
    lines = [
        text_of(*change_lines(Change(kind, b"X-Real-IP", before, after), 24, UNICODE))
        for kind, before, after in (
            (ChangeKind.ADDED, None, line),
            (ChangeKind.REMOVED, line, None),
            (ChangeKind.CHANGED, line, line[:-1]),
        )
    ]
    assert [one.rstrip() for one in lines] == [
        "                         │ + X-Real-IP: 10.0.0.1",
        "- X-Real-IP: 10.0.0.1    │",
        "~ X-Real-IP: 10.0.0.1    │   X-Real-IP: 10.0.0.",
    ]
