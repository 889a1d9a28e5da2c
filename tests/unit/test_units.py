"""Quantities: each place that reads one takes the same spellings, and they are printed alike."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.every_case import every_case
from wsinspect.cli import options
from wsinspect.faults.errors import FaultError
from wsinspect.faults.rule import Rule
from wsinspect.faults.scenario import load_text
from wsinspect.faults.spec import parse_spec
from wsinspect.filters import FilterError, parse
from wsinspect.units import (
    DAY,
    DURATION,
    HOUR,
    MINUTE,
    MS,
    SECOND,
    SIZE,
    US,
    QuantityError,
    format_duration,
    format_rate,
    format_size,
    parse_duration,
    parse_rate,
    parse_size,
    rate_schema,
    whole_number,
)

KIB, MIB = 1 << 10, 1 << 20


def _filter(key: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        found = parse(f"op:text {key}>{text}")
        assert "body" not in found.keys, f"{found} looks for a word in payloads"
        return int(_value(found, key))

    return read


def _value(found: Any, key: str) -> Any:
    return next(test.value for test in found.root.operands if test.field.name == key)


def _scenario(kind: str, field: str, extra: str = "") -> Callable[[str], int]:
    def read(text: str) -> int:
        file = f"version: 1\nrules:\n  - {{kind: {kind}, {field}: {json.dumps(text)}{extra}}}\n"
        return int(getattr(load_text(file).rules[0].fault, field))

    return read


def _plain_yaml(kind: str, field: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        file = f"version: 1\nrules:\n  - kind: {kind}\n    {field}: {text}\n"
        return int(getattr(load_text(file).rules[0].fault, field))

    return read


def _field(rule: Rule, name: str) -> int:
    return int(getattr(rule.fault, name))


def _between(text: str) -> int:
    when = Rule.parse({"kind": "drop", "when": {"between": [text, "3650d"]}}).when
    assert when.between is not None
    return when.between[0]


SIZE_PLACES: dict[str, Callable[[str], int]] = {
    "option": lambda text: options.SIZE.convert(text, None, None),
    "filter len": _filter("len"),
    "filter wire": _filter("wire"),
    "filter quoted": lambda text: int(_value(parse(f'op:text len>"{text}"'), "len")),
    "API": lambda text: _field(Rule.parse({"kind": "max_message_size", "size": text}), "size"),
    "--fault": lambda text: _field(parse_spec(f"max_message_size,size={text}"), "size"),
    "scenario": _scenario("limit_data", "bytes"),
    "scenario, plain": _plain_yaml("max_message_size", "size"),
}
DURATION_PLACES: dict[str, Callable[[str], int]] = {
    "option": lambda text: options.DURATION.convert(text, None, None),
    "filter gap": _filter("gap"),
    "filter t": _filter("t"),
    "filter quoted": lambda text: int(_value(parse(f'op:text gap>"{text}"'), "gap")),
    "API": lambda text: _field(Rule.parse({"kind": "lifetime", "after": text}), "after"),
    "--fault": lambda text: _field(parse_spec(f"lifetime,after={text}"), "after"),
    "scenario": _scenario("idle_timeout", "after"),
    "scenario, plain": _plain_yaml("idle_timeout", "after"),
    "phase": lambda text: load_text(f"version: 1\nphases: [{{for: {json.dumps(text)}}}]").phases[0].for_ns,
    "between": lambda text: _between(text),
}
MILLISECOND_PLACES: dict[str, Callable[[str], int]] = {
    "filter rtt": _filter("rtt"),
    "API": lambda text: _field(Rule.parse({"kind": "latency", "latency": text}), "latency"),
    "--fault": lambda text: _field(parse_spec(f"delay,delay={text}"), "delay"),
    "scenario": _plain_yaml("latency", "latency"),
    "Toxiproxy": lambda text: _field(
        Rule.parse({"type": "timeout", "attributes": {"timeout": text}}), "for_"
    ),
}
SIZES = [
    *(("64KiB", 64 * KIB), ("64 KiB", 64 * KIB), ("64 kib", 64 * KIB), ("64KIB", 64 * KIB)),
    *(("64 KB", 64_000), ("1.5 MB", 1_500_000), (".5 MiB", MIB // 2), ("1TiB", 1 << 40), ("1 TB", 10**12)),
    *(("4096", 4096), ("4096 B", 4096), ("4096b", 4096), ("2 GiB", 2 << 30), ("2gb", 2 * 10**9)),
]
DURATIONS = [
    *(("250ms", 250 * MS), ("250 ms", 250 * MS), ("250 MS", 250 * MS), ("7us", 7 * US), ("9 ns", 9)),
    *(("5s", 5 * SECOND), ("5 S", 5 * SECOND), ("1.5 s", 1500 * MS), ("1min", MINUTE), ("1 Min", MINUTE)),
    *(("2m", 2 * MINUTE), ("2 h", 2 * HOUR), ("1d", DAY), ("1 D", DAY)),
]
NOT_SIZES = ["64 KiQ", "64 KiloBytes", "64K", "64 k", "1.5 B", "5 s", "1001 TiB", "1e3", "-1B", "0x10"]
NOT_DURATIONS = ["5 sec", "5 seconds", "5x", "5 KiB", "0.5 ns", "3651 d", "1e3", "-1s", "1h30m", "1:30"]
NUMBERS_OF_YAML = ("1e3", "0x10")
#: Where a text is not quoted.
YAML_PLACES = ("scenario, plain", "scenario, ms")
ALL_DURATION_PLACES = DURATION_PLACES | {f"{name}, ms": read for name, read in MILLISECOND_PLACES.items()}
REFUSALS = (click.BadParameter, FilterError, FaultError)


def read_alike(places, spellings):
    with every_case(len(places) * len(spellings)) as case:
        for place, read in places.items():
            for text, value in spellings:
                with case(place, repr(text)):
                    assert read(text) == value


def test_size_is_read_alike_everywhere():
    read_alike(SIZE_PLACES, SIZES)


def refusals(places, texts):
    """Each place with each text that it has to refuse.

    Not with a number of YAML's in a scenario file, nor with KiQ in a filter: nobody takes that word for a
    unit, so it is looked for in payloads.
    """
    return [
        (place, text)
        for place in places
        for text in texts
        if not (text in NUMBERS_OF_YAML and place in YAML_PLACES)
        and not (text == "64 KiQ" and place in ("filter len", "filter wire"))
    ]


def refused(places, texts):
    with every_case(len(places)) as case:
        for place, text in refusals(places, texts):
            with case(place, repr(text)), pytest.raises(REFUSALS, match=r"column|expected"):
                places[place](text)


def test_an_invalid_size_is_refused_everywhere():
    refused(SIZE_PLACES, NOT_SIZES)


def test_duration_is_read_alike_everywhere():
    read_alike(DURATION_PLACES, [*DURATIONS, ("90", 90 * SECOND), ("1.5", 1500 * MS)])


def test_keys_in_milliseconds_differ_in_bare_numbers_alone():
    read_alike(MILLISECOND_PLACES, [*DURATIONS, ("90", 90 * MS), ("1.5", 1500 * US)])


def test_an_invalid_duration_is_refused_everywhere():
    refused(ALL_DURATION_PLACES, NOT_DURATIONS)


@pytest.mark.parametrize("raw", [90, 90.0, "90"])
def test_numbers_of_yaml_and_json_are_bare_numbers(raw):
    assert _field(Rule.parse({"kind": "lifetime", "after": raw}), "after") == 90 * SECOND
    assert _field(Rule.parse({"kind": "latency", "latency": raw}), "latency") == 90 * MS
    assert _field(Rule.parse({"kind": "limit_data", "bytes": raw}), "bytes") == 90


@pytest.mark.parametrize("raw", [True, None, [], float("inf"), float("nan"), 1e300, -1])
def test_other_values_are_not_quantities(raw):
    with pytest.raises(QuantityError):
        parse_size(raw)
    with pytest.raises(QuantityError):
        parse_duration(raw)


def test_a_zero_needs_no_unit_and_other_bare_numbers_one_where_no_unit_is_agreed():
    assert parse_duration("0", "") == 0
    with pytest.raises(QuantityError, match="a unit"):
        parse_duration("5", "")


@pytest.mark.parametrize(
    ("text", "offset"),
    [("64 KiQ", 3), ("64KiQ", 2), ("x", 0), ("  5 sec", 4), ("5 s 6", 4), ("", 0), (" -1", 1)],
)
def test_the_caret_stands_below_the_mistake(text, offset):
    with pytest.raises(QuantityError) as caught:
        parse_duration(text)
    assert caught.value.offset == offset
    assert caught.value.caret() == " " * offset + "^"
    assert f"(column {offset + 1})" in str(caught.value)


@pytest.mark.parametrize(
    ("source", "column"),
    [
        *(("len>64 KiQQ op:text", None), ("gap>5 sec", 7), ("len>64 kilobytes", 8), ("gap>5 KiB", 7)),
        *(("len>64K", 7), ("rtt>5min3", 9), ("len:1 KiB,2 x", None), ("len:1 KiB,2 sec", 13)),
    ],
)
def test_a_filter_takes_a_unit_for_no_word_and_a_word_for_no_unit(source, column):
    if column is None:
        assert "body" in parse(source).keys
        return
    with pytest.raises(FilterError) as caught:
        parse(source)
    assert caught.value.column == column
    assert caught.value.excerpt == (source, " " * (column - 1) + "^")


def test_units_behind_a_blank_end_where_words_do():
    assert str(parse("len>64 KiB&gap>5 s")) == str(parse("len>64KiB gap>5s"))
    assert str(parse("(len>64 KiB) | !gap>5 min")) == str(parse("(len>64KiB) | !gap>5min"))
    assert str(parse("len:1 KiB,2 KiB")) == str(parse("len:1KiB,2KiB"))
    assert str(parse('len>64 "KiB"')) == "len>64B body:KiB"
    assert parse("len>64 hello").keys == {"len", "body"}


def test_a_rule_says_the_field_and_shows_the_place():
    with pytest.raises(
        FaultError, match=r"rules\[0\].latency: expected one of the units .*column 3"
    ) as caught:
        load_text("version: 1\nrules:\n  - {kind: latency, latency: 5 sec}\n", "slow.yaml")
    assert (caught.value.line, caught.value.excerpt) == (3, ("5 sec", "  ^"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("64KiB/s", 65536),
        ("64 kib / S", 65536),
        ("1 Mbit/s", 125_000),
        ("8bit/s", 1),
        ("1.5 MB/s", 1_500_000),
    ],
)
def test_rate_is_read(text, value):
    assert parse_rate(text) == value
    assert re.search(rate_schema()["pattern"], text)


@pytest.mark.parametrize(
    "raw", ["64KiB", "1000", "0B/s", "7bit/s", "5x/s", "-1B/s", "1001TiB/s", "", 5, None]
)
def test_wrong_rate_is_refused(raw):
    with pytest.raises(QuantityError, match="expected"):
        parse_rate(raw)


@pytest.mark.parametrize(
    ("text", "value"), [*SIZES, *DURATIONS, ("0", 0), ("90", 90), ("5 sec", None), ("-1s", None)]
)
def test_the_schema_takes_what_is_taken(text, value):
    size, duration = SIZE.schema("B")["anyOf"][0], DURATION.schema("s")["anyOf"][0]
    is_taken = any(re.search(one["pattern"], text) for one in (size, duration))
    assert is_taken is (value is not None)


@given(st.integers(0, 1 << 49))
def test_what_is_written_into_rules_and_filters_is_read_again(value):
    assert parse_size(SIZE.exact(value)) == value
    assert parse_duration(DURATION.exact(value)) == value


@pytest.mark.parametrize(
    ("count", "text"),
    [
        *((0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (8400, "8.2 KiB"), (100 << 10, "100 KiB")),
        *((MIB - 1, "1.0 MiB"), (100 * MIB, "100 MiB"), ((1 << 30) - 1, "1.0 GiB"), (5 << 40, "5.0 TiB")),
        (1 << 50, "1024 TiB"),
    ],
)
def test_size_is_printed(count, text):
    assert format_size(count) == text
    assert format_rate(count) == f"{text}/s"


@given(st.integers(0, 1 << 45))
def test_no_size_is_printed_as_1024_of_a_smaller_unit(count):
    assert not re.match(r"1024(\.0)? (B|KiB|MiB|GiB)", format_size(count))


@pytest.mark.parametrize(
    ("interval_ns", "text"),
    [
        *((0, "0 s"), (7, "7 ns"), (250 * US, "250 us"), (999_600, "1 ms"), (3_120_000, "3.12 ms")),
        *((999_700 * US, "1 s"), (2310 * MS, "2.31 s"), (60 * SECOND, "60 s"), (119_600 * MS, "2 min")),
        *(
            (200 * SECOND, "3 min 20 s"),
            (HOUR - 1, "1 h"),
            (7500 * SECOND, "2 h 05 min"),
            (-250 * MS, "-250 ms"),
        ),
        *((DAY - 1, "1 d"), (26 * HOUR, "1 d 02 h")),
    ],
)
def test_duration_is_printed(interval_ns, text):
    assert format_duration(interval_ns) == text


@pytest.mark.parametrize(
    ("interval_ns", "text"),
    [
        *(
            (0, "0 us"),
            (250 * US, "250 us"),
            (4 * MS, "4.0 ms"),
            (999_960 * US, "1.000 s"),
            (2310 * MS, "2.310 s"),
        ),
        *(
            (MINUTE, "1 min 00 s"),
            (200 * SECOND, "3 min 20 s"),
            (7500 * SECOND, "2 h 05 min"),
            (DAY, "1 d 00 h"),
        ),
    ],
)
def test_duration_is_printed_steadily_where_it_changes_while_somebody_looks(interval_ns, text):
    assert format_duration(interval_ns, is_steady=True) == text


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("0", 0), ("007", 7), ("123456789", 123456789), (b"404", 404)),
        *(("", None), ("-1", None), ("1.5", None), (" 1", None), ("1_0", None), (b"\xb2", None)),
        # Digits for `str.isdigit`: `int` refuses the first, and reads the second.
        *(("\u00b2", None), ("\u0664\u0660\u0663", None), ("1234567890", None), ("9" * 5000, None)),
    ],
)
def test_a_whole_number_has_ascii_digits_and_not_many(text, number):
    assert whole_number(text) == number
