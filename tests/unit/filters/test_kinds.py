"""Kinds of values: what each of them refuses, and where."""

from __future__ import annotations

import pytest

from tests.support.filter_facts import AConnection, AFrame
from wsinspect.filters import FIELDS, FilterError, parse


@pytest.mark.parametrize(
    ("source", "column", "words"),
    [
        ("msg:x", 5, "a number"),
        ("msg:1,x", 7, "a number"),
        ("msg>1,2", 5, "a number"),
        ("msg:0xfffffffffffffff", 5, "a number up to 1000000000000000000"),
        ("fin:2", 5, "1 or 0"),
        ("code>x", 6, "a number"),
        ("op:16", 4, "a number up to 15"),
        ("close>rst", 7, "a number to compare with"),
        ("sev>worse", 5, "one of"),
        ('host:""', 7, "at least one character"),
        ('rtt>"5 parsecs"', 8, "one of the units"),
    ],
)
def test_a_wrong_value_is_refused_at_its_place(source: str, column: int, words: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(source)
    assert words in str(caught.value)
    assert caught.value.column == column


@pytest.mark.parametrize(
    ("source", "written"),
    [
        ("msg:1,2,1", "msg:1,2"),
        ("msg:0x10", "msg:16"),
        ("len:1KiB,2KiB", "len:1KiB,2KiB"),
        ("len:1KiB,2", "len:1KiB,2B"),  # a bare number counts bytes
        ("len:1 KiB,2 KiB", "len:1KiB,2KiB"),
        ("rtt:5ms,1s", "rtt:5ms,1s"),
        ("op:1,0xb", "op:text,0xb"),
        ("fin=yes", "fin:1"),
        ("host='a b'", 'host="a b"'),
    ],
)
def test_a_value_is_written_in_one_way(source: str, written: str) -> None:
    assert str(parse(source)) == written
    assert parse(written).root == parse(source).root


def test_each_kind_has_a_name() -> None:
    keys = ("msg", "len", "rtt", "fin", "op", "host", "body", "json")
    assert [FIELDS[key].type for key in keys] == [
        *("number", "size", "duration", "bit", "choice", "text", "payload", "JSON"),
    ]


@pytest.mark.parametrize(
    ("source", "fits", "does_not"),
    [
        ("len:1KiB,2KiB", [1024, 2048], [1025, 0]),
        ("len<=1KiB", [0, 1024], [1025]),
    ],
)
def test_sizes_are_one_of_a_list_or_compared(source, fits, does_not) -> None:
    passes = parse(source).frame_predicate()
    assert [passes(AFrame(length=size)) for size in (*fits, *does_not)] == [True] * len(fits) + [False] * len(
        does_not
    )


def test_a_payload_is_the_whole_of_a_value_with_an_equals_sign() -> None:
    passes = parse('body="\\xff\\0"').frame_predicate()
    assert passes(AFrame(body=b"\xff\x00"))
    assert not passes(AFrame(body=b"\xff\x00\x00"))
    assert parse('body=""').frame_predicate()(AFrame(body=b""))


def test_a_comparison_of_codes_passes_over_words_and_bits() -> None:
    passes = parse("close>=1000").connection_predicate()
    assert passes(AConnection())
    silent = AConnection(client_close_code=None, js_code=None)
    assert not passes(silent)
    assert parse("close:rst").connection_predicate()(silent)
