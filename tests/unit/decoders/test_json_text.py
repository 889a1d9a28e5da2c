"""JSON inside of other protocols: every token as it was sent."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsinspect.decoders.json_text import (
    NotJson,
    json_lines,
    json_text,
    lay_out,
    parse_json,
    scalar_member,
    string_member,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('{"a":1.00,"b":[]}', ["{", '  "a": 1.00,', '  "b": []', "}"]),
        ("[1,[2]]", ["[", "  1,", "  [", "    2", "  ]", "]"]),
        ('"a{b"', ['"a{b"']),
        ("{}", ["{}"]),
    ],
)
def test_json_is_laid_out_a_member_a_line(text, lines):
    assert list(json_lines(text)) == lines
    assert list(json_lines(text, 2)) == ["  " + line for line in lines]


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "at character 1"), ("[NaN]", "NaN is not in RFC 8259"), ("[" * 100_000, "nested too deeply")],
)
def test_text_that_is_not_json_says_why(text, words):
    with pytest.raises(NotJson, match=words):
        list(json_lines(text))


@given(VALUES)
def test_a_value_is_written_as_it_was_read(value):
    text = json.dumps(value)
    assert json.loads(json_text(parse_json(text))) == value
    assert json.loads("\n".join(lay_out(text))) == value


def test_numbers_stay_as_they_were_written():
    assert json_text(parse_json('{"a":1.00,"b":[1e999]}')) == '{"a":1.00,"b":[1e999]}'


@pytest.mark.parametrize(
    ("text", "name", "string", "scalar"),
    [
        ('{"type": "x","id":5', "type", "x", "x"),
        ('{"type": "x","id":5', "id", None, "5"),
        ('{"a":{"type":"deep"', "type", "deep", "deep"),
        ('{"type":null}', "type", None, "null"),
        ('{"type', "type", None, None),
    ],
)
def test_a_member_is_found_in_how_a_text_begins(text, name, string, scalar):
    assert string_member(text, name) == string
    assert scalar_member(text, name) == scalar
