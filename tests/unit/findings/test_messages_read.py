"""Messages and URLs, as rules of application protocols read them."""

from dataclasses import replace

import pytest

from tests.unit.findings.facts_made import frame, opened
from wsinspect.findings.facts import C2S, S2C, MessageFact
from wsinspect.findings.messages_read import is_socketio, messages, query, read_json, shown


def message(data, opcode=1, number=1):
    return MessageFact(number, S2C, 0, opcode, len(data), data)


@pytest.mark.parametrize(
    ("data", "opcode", "value"),
    [
        (b'{"a":1}', 1, {"a": 1}),
        (b"[1]", 1, [1]),
        (b'{"a":1}', 2, None),
        (b'{"a":', 1, None),
        (b'"text"', 1, None),
        (b"", 1, None),
        (b"[" * 100_000, 1, None),
    ],
)
def test_objects_and_arrays_in_text_messages_are_read(data, opcode, value):
    assert read_json(message(data, opcode)) == value


def test_first_and_last_messages_are_each_there_once():
    facts = replace(
        opened(),
        first=(message(b"a", number=1), message(b"b", number=2)),
        last=(message(b"b", number=2), message(b"c", number=9)),
    )
    assert [one.id for one in messages(facts)] == [1, 2, 9]
    assert [one.direction for one in messages(opened(frame(1, C2S, 0.1)))] == [C2S]


def test_the_query_has_the_first_of_each_name():
    assert query(opened(path="/a?x=1&x=2&y=&%7A=%20")) == {"x": "1", "y": "", "z": " "}
    assert query(opened(path="/a")) == {}


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/socket.io/?EIO=4&transport=websocket", True), ("/socket.io/?EIO=4", False), ("/chat", False)],
)
def test_engine_io_is_known_by_its_query(path, expected):
    assert is_socketio(opened(path=path)) is expected


def test_a_message_as_evidence_is_short():
    assert shown(message(b"x" * 1000)) == f"{S2C.arrow} " + "x" * 160
