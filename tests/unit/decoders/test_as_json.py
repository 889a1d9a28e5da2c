"""Payloads as JSON says them."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsinspect.decoders.as_json import content, json_members


@given(st.binary(max_size=64))
def test_bytes_come_back_from_what_is_written(data):
    written = json.loads(json.dumps(content(data)))
    [[kind, value]] = written.items()
    assert (value.encode() if kind == "text" else base64.b64decode(value)) == data


@given(st.text(min_size=1, max_size=20), st.integers(0, 80))
def test_text_that_was_cut_stays_text(text, at):
    data = text.encode()[:at]
    [[kind, value]] = content(data, is_cut=True).items()
    assert kind == "text"
    assert text.startswith(value)


def test_bytes_that_are_no_text_stay_bytes_when_they_are_cut():
    assert content(b"\xff\xfe", is_cut=True) == {"base64": "//4="}


@pytest.mark.parametrize("text", ['{"a": 1}', " [1, 2.5, null]", '{"a": "\\u0000"}'])
def test_objects_and_arrays_are_values(text):
    assert json_members(text.encode()) == {"json": json.loads(text)}


@pytest.mark.parametrize(
    "text", ["1", '"text"', "null", "{", '{"a": NaN}', "[1e999]", "[" * 100_000, "", "\xff{"]
)
def test_other_text_has_no_value(text):
    assert json_members(text.encode("latin-1")) == {}


def test_a_value_too_long_to_decode_has_none():
    assert json_members(b"[" + b"1," * 200_000 + b"1]") == {}


@pytest.mark.parametrize(
    ("data", "is_cut", "expected"),
    [
        (b"hi", False, {"text": "hi", "base64": "aGk="}),
        (b"\x00\xff", False, {"base64": "AP8="}),
        (b"", False, {"text": "", "base64": ""}),
        ("aä".encode()[:-1], True, {"text": "a", "base64": "YcM="}),
    ],
)
def test_binary_is_base64_in_any_case(data, is_cut, expected):
    assert content(data, is_cut=is_cut, is_binary=True) == expected
