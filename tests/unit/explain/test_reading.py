"""Text that was pasted, as lines: bounded, without colours, with its JSON read."""

import pytest

from wsinspect.explain import reading
from wsinspect.explain.reading import read_lines


def texts(data):
    return [line.text for line in read_lines(data).lines]


def test_lines_have_their_numbers_and_empty_ones_are_left_out():
    found = read_lines(b"one\r\n\n  two  \n").lines
    assert [(line.number, line.text) for line in found] == [(1, "one"), (3, "two")]


def test_colours_and_titles_are_taken_out():
    assert texts(b"\x1b[1;31mError\x1b[0m: \x1b]0;title\x07x\x1b(B") == ["Error: x"]


def test_an_unfinished_sequence_stays_and_is_no_trouble():
    assert texts(b"a\x1b[31") == ["a\x1b[31"]
    assert texts(b"a\x1b]0;never ended") == ["a\x1b]0;never ended"]


def test_bytes_that_are_not_utf8_are_read():
    assert texts(b"caf\xe9 1006") == ["caf� 1006"]


def test_a_json_line_has_fields_also_behind_a_prefix():
    [line] = read_lines(b'web-1 | {"msg": "x", "request": {"host": "a:1"}, "n": 3, "l": [{"k": "v"}]}').lines
    assert line.fields == {"msg": "x", "request.host": "a:1", "n": "3", "l.k": "v"}
    assert read_lines(b'{"broken": ').lines[0].fields == {}
    assert read_lines(b'{"a":' * 3000 + b"1" + b"}" * 3000).lines[0].fields == {}


def test_long_lines_and_inputs_are_cut_and_that_is_said(monkeypatch):
    found = read_lines(b"x" * 100_000)
    assert len(found.lines[0].text) == reading.MAX_LINE
    assert found.notes == [f"only the first {reading.MAX_LINE} characters of each line were looked at"]
    monkeypatch.setattr(reading, "MAX_LINES", 3)
    assert len(read_lines(b"a\n" * 9).lines) == 3
    monkeypatch.setattr(reading, "MAX_BYTES", 4)
    assert texts(b"abcdefgh") == ["abcd"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", [b"\x1b[", b"\x1b]0;", b'{"', b"\x1b[31mError ", b'{"a":'])
def test_ten_megabytes_of_one_thing_are_read(piece):
    assert len(read_lines(piece * (10_000_000 // len(piece))).lines) == 1
