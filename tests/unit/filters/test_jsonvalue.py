"""The `json` key: paths, values, and what is equal as JSON."""

from __future__ import annotations

import json

import pytest

from tests.support.filter_facts import AFrame
from wsinspect.filters import FilterError, parse
from wsinspect.filters.jsonvalue import MAX_JSON, path_steps, read_path, write_path


def passes(source: str, document: object) -> bool:
    """Whether a payload with this document, or these bytes, passes the filter."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    flt = parse(source)
    assert parse(str(flt)).root == flt.root
    return flt.frame_predicate()(AFrame(body=body))


@pytest.mark.parametrize(
    ("source", "path", "steps"),
    [
        ("a.b", "$.a.b", ["a", "b"]),
        ("$", "$", []),
        ("$.items[0].id", "$.items[0].id", ["items", 0, "id"]),
        ('$["a b"][*]', '$["a b"][*]', ["a b", None]),
        ('$["plain"]', "$.plain", ["plain"]),
        ('$["\\u00e9"]', '$["\\u00e9"]', ["é"]),
        ("$.é", '$["\\u00e9"]', ["é"]),
    ],
)
def test_a_path_has_one_usual_form(source, path, steps) -> None:
    assert read_path(source, 0) == (path, len(source))
    assert path_steps(path) == steps
    assert write_path(steps) == path


@pytest.mark.parametrize(
    ("source", "column"),
    [("json:$..a", 8), ("json:$.a[x]", 9), ("json:$.a[", 9), ('json:$["\\q"]', 7), ("json:$.", 8)],
)
def test_a_broken_path_is_refused_where_it_breaks(source, column) -> None:
    with pytest.raises(FilterError) as caught:
        parse(source)
    assert caught.value.column == column
    assert caught.value.expected == 'a name, [0], [*] or ["name"]'


@pytest.mark.parametrize(
    ("source", "fits", "does_not"),
    [
        # Equal as JSON: 1 is 1.0, and not true.
        ("json:$.a=1", [{"a": 1}, {"a": 1.0}], [{"a": True}, {"a": "1"}, {"a": 2}]),
        ("json:$.a=true", [{"a": True}], [{"a": 1}, {"a": False}]),
        ('json:$.a="1"', [{"a": "1"}], [{"a": 1}]),
        ("""json:$.a='"b c"'""", [{"a": "b c"}], [{"a": "b"}]),
        ("""json:$.a='{"x":1,"y":[true]}'""", [{"a": {"y": [True], "x": 1.0}}], [{"a": {"x": 1}}]),
        ("""json:$.a='{"x":1}'""", [{"a": {"x": 1}}], [{"a": {"x": True}}, {"a": [1]}, {"a": {"y": 1}}]),
        ("json:$.a='[1,2]'", [{"a": [1, 2]}], [{"a": [1]}, {"a": [2, 1]}, {"a": {"0": 1}}]),
        ("""json:$.a='["b (c"]'""", [{"a": ["b (c"]}], [{"a": ["b"]}]),
        ("json:$.a=null", [{"a": None}], [{}, {"a": 0}]),
        ("json:$.a=NaN", [{"a": "NaN"}], [b'{"a": NaN}']),
        # Any member of a list or an object.
        ("json:$.a[*]=1", [{"a": [0, 1]}, {"a": {"x": 1}}], [{"a": []}, {"a": 1}, {"a": "1"}, {}]),
        ("json:$[*][0]=1", [[[0], [1]], {"a": [1]}], [[[]], [{"0": 1}], [1]]),
        ("json:$[*].id", [[{"id": None}], {"x": {"id": 1}}], [[{}], {"id": 1}, 5]),
        # What is not there, or of another type.
        ("json:$.a[0]=1", [{"a": [1]}], [{"a": {"0": 1}}, {"a": []}, {"a": "1"}]),
        ("json:$.a.b=1", [{"a": {"b": 1}}], [{"a": [1]}, {"a": 1}, []]),
        ("json:$.n>4", [{"n": 5}, {"n": 4.5}], [{"n": "5"}, {"n": True}, {"n": 4}]),
    ],
)
def test_what_is_at_a_place_is_compared(source, fits, does_not) -> None:
    assert [one for one in fits if not passes(source, one)] == []
    assert [one for one in does_not if passes(source, one)] == []


@pytest.mark.parametrize(
    ("source", "column", "words"),
    [
        ("json:$.n>x", 10, "a number to compare with"),
        ("json:$.n>true", 10, "a number to compare with"),
        ('json:$.n:""', 11, "at least one character"),
        ("json:$.a,b", 9, "an operator, a blank or the end"),
        ("json=1", 5, "':' behind json"),
    ],
)
def test_a_wrong_value_is_refused(source, column, words) -> None:
    with pytest.raises(FilterError) as caught:
        parse(source)
    assert caught.value.column == column
    assert words in str(caught.value)


@pytest.mark.parametrize("source", ["json:$.a=1", "json:$.a", "json:$[*]=1"])
def test_a_payload_of_more_than_16_mib_has_no_places(source) -> None:
    fitting = b'{"a": 1}'
    assert passes(source, fitting)
    assert not passes(source, fitting + b" " * MAX_JSON)


@pytest.mark.parametrize("body", [b"[" * 100_000, b"\xff", b"", b"{"])
def test_what_is_not_json_has_no_places(body) -> None:
    assert not any(passes(source, body) for source in ("json:$.a=1", "json:$", "json:$[*]"))
