"""Two payloads compared: shapes, lines, and what differs in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsinspect.present.cells import text_of
from wsinspect.tui.comparing import compare, lines_of, shape_of


@pytest.mark.parametrize(
    ("one", "other", "are_same"),
    [
        (b'{"type":"tick","p":1}', b'{"p":22,"type":"tick"}', True),
        (b'{"type":"tick","p":1}', b'{"type":"order","p":1}', False),
        (b'{"type":"tick","p":1}', b'{"type":"tick","q":1}', False),
        (b'["say",1]', b'["say",{"a":2}]', True),
        (b'["say",1]', b'["shout",1]', False),
        (b"PING 1", b"PING 22", True),
        (b"PING 1", b"PONG 1", False),
    ],
)
def test_shapes_of_text(one, other, are_same):
    assert (shape_of(one, 1) == shape_of(other, 1)) is are_same


@pytest.mark.parametrize(
    ("data", "shape"),
    [
        (b'{"type":"order","id":1}', "{type=order, id}"),
        (b'{"id":1,"event":"x","op":"y"}', "{event=x, id, op}"),
        (b'{"b":1,"a":2}', "{a, b}"),
        (b"{}", "{}"),
        (b'{"n":1,"type":"order","long":"' + b"x" * 600, "{type=order, n, long, …}"),
    ],
)
def test_a_shape_names_the_member_that_tells_its_kind_once(data, shape):
    assert shape_of(data, 1) == shape


def test_shapes_of_bytes_are_how_they_begin():
    assert shape_of(b"\x01\x02\x03\x04abc", 2) == shape_of(b"\x01\x02\x03\x04xyz", 2)
    assert shape_of(b"\x01\x02", 2) != shape_of(b"\x02\x02", 2)


def test_json_is_compared_member_by_member():
    before = lines_of(b'{"a":1,"b":"x","c":3}', is_text=True)
    after = lines_of(b'{"a": 1, "b": "y", "c": 3}', is_text=True)
    compared = compare(before, after, "compared with frame 1")
    assert compared.words == "compared with frame 1: 1 line differs"
    assert [text_of(line) for line in compared.lines] == [
        "  {",
        '    "a": 1,',
        '-   "b": "x",',
        '+   "b": "y",',
        '    "c": 3',
        "  }",
    ]
    assert ("x", "changed") in compared.lines[2]


def test_the_same_is_said_and_bytes_are_compared_as_hex():
    assert compare(["a"], ["a"], "compared").words == "compared: the same"
    assert lines_of(b"\x00\xff", is_text=False)[0].startswith("00000000  00 ff")
    assert lines_of(b"text", is_text=False) == ["text"]


def test_long_ones_are_compared_to_their_limit():
    compared = compare([str(number) for number in range(5_000)], ["0"], "compared")
    assert compared.lines[0] == [("only the beginning is compared", "warn")]


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_removed_and_added_lines_are_those_of_the_two_sides(before, after):
    compared = compare(before, after, "compared")
    texts = [text_of(line) for line in compared.lines if not text_of(line).startswith("…")]
    if before != after:
        kept = sum(text.startswith("  ") for text in texts)
        removed = sum(text.startswith("- ") for text in texts)
        assert removed + kept <= len(before)
        assert sum(text.startswith("+ ") for text in texts) + kept <= len(after)
        assert len(before) - removed == len(after) - sum(text.startswith("+ ") for text in texts)


@given(st.binary(max_size=200), st.integers(0, 2))
def test_any_payload_has_a_shape_and_lines(data, opcode):
    assert shape_of(data, opcode)
    assert isinstance(lines_of(data, is_text=opcode == 1), list)


@pytest.mark.parametrize(("between", "shown"), [(6, True), (7, True), (8, False)])
def test_one_line_between_two_differences_is_shown_not_announced(between, shown):
    """Three lines stand around each difference: what is between them takes a line at least."""
    same = [f"line {number}" for number in range(between)]
    compared = compare(["a", *same, "b"], ["c", *same, "d"], "6 compared with 5")
    text = [text_of(line) for line in compared.lines]
    assert any("…" in line for line in text) != shown
    assert all(f"  {line}" in text for line in same) == shown


@pytest.mark.parametrize(
    ("before", "after", "marked"),
    [
        ('"vip": true,', '"vip": false,', (["true"], ["false"])),
        ('"n": 98190', '"n": 98191', (["98190"], ["98191"])),
        ('"n": -1.5', '"n": -1.25', (["-1.5"], ["-1.25"])),
        ('"at": "red", "to": "x"', '"at": "reed", "to": "y"', (["red", "x"], ["reed", "y"])),
        ("same end", "same", ([" end"], [])),
    ],
)
def test_words_and_numbers_are_marked_whole_and_nothing_between_them(before, after, marked):
    lines = compare([before], [after], "compared").lines
    assert tuple([text for text, style in line if style == "changed"] for line in lines) == marked
    assert [text_of(line)[2:] for line in lines] == [before, after]


def test_of_hex_the_byte_is_marked_and_its_sign():
    first, second = (lines_of(data + bytes(4), is_text=False) for data in (b"abcdefgh", b"abcxefgh"))
    lines = compare(first, second, "compared").lines
    marked = [[text for text, style in line if style == "changed"] for line in lines]
    assert marked == [["64", "d"], ["78", "x"]]


@given(st.text('ab1. "', max_size=30), st.text('ab1. "', max_size=30))
def test_marking_what_differs_loses_nothing(before, after):
    texts = [text_of(line) for line in compare([before], [after], "compared").lines]
    if before != after:
        assert texts == [f"- {before}", f"+ {after}"]


@pytest.mark.parametrize(
    ("at", "first", "last"),
    [
        (2, "  0", "… 4 more lines without a difference"),
        (6, "… line 4", "  9"),
        (5, "… line 3", "… 1 more line without a difference"),
        (9, "… line 7", "+ new"),
    ],
)
def test_what_is_left_out_at_both_ends_is_announced(at, first, last):
    before = [str(number) for number in range(10)]
    after = [*before[:at], "new", *before[at + 1 :]]
    lines = [text_of(line) for line in compare(before, after, "4 compared with 3").lines]
    assert lines[0] == first
    assert lines[-1] == last
