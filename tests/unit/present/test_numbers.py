"""Bytes as numbers, and numbers that are times."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsinspect.present.numbers import is_time_name, time_words, value_words


def test_bytes_as_numbers_of_every_width_both_ways_round():
    words = value_words(struct.pack("<d", 1.5))
    assert words[:3] == ["u8 0", "i8 0", "bits 00000000"]
    assert any(one.startswith("f64 le 1.5 be") for one in words)
    assert value_words(b"\xff\x01")[3:] == ["u16 le 511 be 65281", "i16 le 511 be -255"]
    assert value_words(b"") == []


def test_bytes_that_are_a_time():
    assert "time s le 2025-11-29 17:49:50.000 UTC" in value_words((1764438590).to_bytes(4, "little"))
    assert "time ms be 2025-11-29 17:49:50.123 UTC" in value_words((1764438590123).to_bytes(8))


@pytest.mark.parametrize(
    ("number", "name", "words"),
    [
        ("1764438590123", "x", "2025-11-29 17:49:50.123 UTC"),
        ("1764438590", "createdAt", "2025-11-29 17:49:50.000 UTC"),
        ("1764438590", "exp", "2025-11-29 17:49:50.000 UTC"),
        ("1764438590.25", "ts", "2025-11-29 17:49:50.250 UTC"),
        ("1764438590123456", "x", "2025-11-29 17:49:50.123 UTC"),
        ("1764438590123456789", "x", "2025-11-29 17:49:50.123 UTC"),
        ("1764438590", "id", ""),
        ("9764438590123", "x", ""),
        ("-1764438590123", "x", ""),
        ("17644385901", "time", ""),
        ("1764438590123.5", "time", ""),
        ("", "time", ""),
    ],
)
def test_numbers_that_are_times(number, name, words):
    assert time_words(number, name) == words


def test_names_of_times():
    assert all(map(is_time_name, ("t", "created_at", "lastSeen", "expires", "TIMESTAMP", "start-time")))
    assert not any(map(is_time_name, ("id", "total", "status", "category", "format", "count")))


@given(st.binary(max_size=12))
def test_any_bytes_have_values(data):
    assert bool(value_words(data)) == bool(data)
