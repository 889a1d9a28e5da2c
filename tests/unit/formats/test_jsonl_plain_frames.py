"""The short way of a frame into the capture makes the row that the careful way makes, or none."""

from __future__ import annotations

import itertools
import json
import sqlite3

import pytest

from wsinspect.capture import schema
from wsinspect.capture.making import RowLoader
from wsinspect.errors import CaptureError
from wsinspect.formats import jsonl_reader
from wsinspect.formats.jsonl_tables import FRAME

LINE = {
    "type": "frame",
    "id": 7,
    "connection_id": 1,
    "direction": "c2s",
    "op": "TEXT",
    "time_ns": 1_700_000_000_000_000_000,
    "span_ns": 3,
    "sent_after_ns": 5,
    "header": "818261626364",
    "wire_length": 8,
    "payload": {"text": "é"},
    "message_id": 7,
    "violation": None,
    "fault_event_id": None,
}
LEFT_OUT = object()
VALUES: tuple[object, ...] = (
    *(LEFT_OUT, None, True, False, 0, 1, -1, 1.5, (1 << 63) - 1, 1 << 63, -(1 << 63), "", "s2c", "8", "8180"),
    *("81 80", "zz", "81" * 14, "81" * 15, "\ud800", "fast", [], ["c2s"], {}, {"text": "x", "bytes": 1}),
    *({"text": ""}, {"text": 1}, {"text": None}, {"text": "\ud800"}, {"base64": "AAE="}, {"base64": "A"}),
    *({"base64": "é"}, {"base64": 5}, {"base64": None}, {"base64": ["AAE="]}, {"bytes": 4}, {"hex": "AAE="}),
)


@pytest.fixture
def reader():
    database = sqlite3.connect(":memory:")
    database.executescript(schema.TABLES)
    yield jsonl_reader._Reader(RowLoader(database), 100, "x")
    database.close()


def carefully(reader, line):
    found = json.loads(line)
    try:
        reader._complete_frame(found)
        return reader._row(FRAME, found)
    except CaptureError:
        return None


def typed(row):
    return [(type(value), value) for value in row]


def test_it_makes_the_same_row_or_none(reader):
    taken = 0
    for key, value in itertools.product(LINE, VALUES):
        line = json.dumps({name: one for name, one in (LINE | {key: value}).items() if one is not LEFT_OUT})
        plain = jsonl_reader._plain_frame(json.loads(line))
        if plain is not None:
            taken += 1
            assert typed(plain) == typed(carefully(reader, line) or ()), line
    assert taken > 50


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"direction": "s2c", "header": "8102", "wire_length": 4},
        {"payload": {"base64": "AAE="}, "op": "BINARY", "header": "828261626364"},
        {"message_id": None, "header": "898261626364", "op": "PING"},
    ],
)
def test_what_is_exported_most_takes_it(change):
    row = jsonl_reader._plain_frame(LINE | change)
    assert row is not None
    assert len(row) == len(FRAME.columns)
