"""Messages as documents: what is compared, what is ignored, what changes by itself."""

from __future__ import annotations

import json

import pytest

from wsinspect.errors import UsageError
from wsinspect.replay.common.values import Document, Place, canonical, diff, is_similar, is_subset, volatile


@pytest.mark.parametrize(
    ("place", "before", "after"),
    [
        ("json:$.id", {"id": 1, "a": 2}, {"a": 2}),
        ("json:$.a.b", {"a": {"b": [1]}}, {"a": {}}),
        ("json:$.items[*].id", {"items": [{"id": 1}, {"x": 2}]}, {"items": [{}, {"x": 2}]}),
        ("json:$.items[1]", {"items": [1, 2]}, {"items": [1, "…"]}),
        (
            "json:$..id",
            {"id": 1, "a": [{"id": 2, "b": {"id": 3}}]},
            {"a": [{"b": {}}]},
        ),
        ("json:$.id", [1], [1]),
        ("json:$.a[0]", {"a": {"0": 1}}, {"a": {"0": 1}}),
        ("json:id", {"id": 1}, {}),
    ],
)
def test_places_are_hidden(place, before, after):
    found = Place.parse(place).hide(json.loads(json.dumps(before)))
    assert found == after


@pytest.mark.parametrize(
    "text", ["$.id", "json:", "json:$", "json:$.", "json:$.a b", "text:x", "json:$[", "json:$..", "id"]
)
def test_invalid_places_are_refused(text):
    with pytest.raises(UsageError):
        Place.parse(text)


@pytest.mark.parametrize("text", ["json:$.id", "json:$..id", "json:$.items[*].id", 'json:$["a b"][0]'])
def test_a_place_is_written_as_it_is_read(text):
    assert str(Place.parse(text)) == text


@pytest.mark.parametrize(
    ("data", "prefix"),
    [
        (b'{"a":1}', b""),
        (b'42["news",{}]', b"42"),
        (b'4217["news"]', b"4217"),
        (b'42/chat,["news"]', b"42/chat,"),
        (b'0{"sid":"x"}', b"0"),
        (b'451-["file",{"_placeholder":true}]', b"451-"),
    ],
)
def test_json_behind_a_packet_type(data, prefix):
    document = Document(data)
    assert (document.is_json, document.prefix) == (True, prefix)


@pytest.mark.parametrize("data", [b"", b"hello", b"2probe", b"{", b"[" * 100_000, b"42", b"\xff[]", b"1 [1]"])
def test_messages_that_are_not_json_are_compared_as_bytes(data):
    assert not Document(data).is_json
    assert canonical(data, (Place.parse("json:$.id"),)) == data


def test_white_space_and_order_of_keys_do_not_count():
    assert canonical(b'{"b": 1, "a": 2}') == canonical(b'{"a":2,"b":1}')
    assert canonical(b'{"a":1}') != canonical(b'{"a":2}')


@pytest.mark.parametrize(
    ("wanted", "found", "fits"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {"b": 2}, False),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, True),
        ([1, 2], [1, 2, 3], True),
        ([1, 2], [1], False),
        (1, True, False),
        (True, True, True),
        ({"id": "…"}, {"id": 7}, True),
    ],
)
def test_subsets(wanted, found, fits):
    assert is_subset(wanted, found) is fits


@pytest.mark.parametrize(
    ("wanted", "found", "fits"),
    [
        (b'{"type":"a","id":1}', b'{"type":"a","id":2}', True),
        (b'{"type":"a","id":1}', b'{"type":"b","id":1}', False),
        (b'{"a":1}', b'{"b":1}', False),
        (b'42["join",1]', b'42["join",2]', True),
        (b'42["join",1]', b'42["leave",1]', False),
        (b'42["join",1]', b'43["join",1]', False),
        (b'421["join",1]', b'427["join",1]', True),
        (b"hello", b"world", True),
        (b"hello", b"", False),
        (b"hello", b"{}", False),
    ],
)
def test_messages_of_one_kind(wanted, found, fits):
    assert is_similar(wanted, found) is fits


def test_what_differs_in_two_recordings_is_volatile():
    first = b'{"type":"a","id":1,"items":[{"at":1,"n":1},{"at":2,"n":2}],"same":{}}'
    second = b'{"type":"a","id":2,"items":[{"at":8,"n":1},{"at":9,"n":2}],"same":{}}'
    assert {str(place) for place in volatile(first, second)} == {"json:$.id", "json:$.items[*].at"}
    assert list(volatile(b"a", b"b")) == []
    assert list(volatile(b"1", b"2")) == []


def test_a_diff_is_of_laid_out_json_and_bounded():
    assert diff(b'{"a":1,"b":2}', b'{"a":1,"b":3}')[1:] == ['   "a": 1,', '-  "b": 2', '+  "b": 3', " }"]
    assert diff(b"\xff\x00", b"\xff\x01")[1:] == ["-ff 00", "+ff 01"]
    assert len(diff(json.dumps(list(range(9999))).encode(), b"[]")) < 100
    assert len(diff(b"x" * 10_000_000, b"y")) < 10
