"""Engine.IO and Socket.IO: what its document says, cut payloads, and payloads that were made to harm."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.decoding import (
    EIO,
    binary,
    for_each,
    is_bounded,
    lines,
    read,
    reads,
    reads_cuts,
    text,
)
from wsinspect.decoders.engineio import is_polling_path

CASES = [
    ("open", text('0{"sid":"x","pingInterval":25000}'), "socket.io",
     ["Engine.IO   0 open", "{", '  "sid": "x",', '  "pingInterval": 25000', "}"], "open"),
    ("probe", text("2probe", path=EIO), "socket.io",
     ["Engine.IO   2 ping", "data        probe"], "ping probe"),
    ("connect", text("40/admin,", path=EIO), "socket.io",
     ["Engine.IO   4 message", "Socket.IO   0 CONNECT", "namespace   /admin"], "CONNECT /admin"),
    ("connect of old", text("40/admin?t=1", path=EIO), "socket.io",
     ["Engine.IO   4 message", "Socket.IO   0 CONNECT", "namespace   /admin?t=1"], "CONNECT /admin?t=1"),
    ("event", text('42/chat,12["say",{"n":1.0},"b"]'), "socket.io",
     ["Engine.IO   4 message", "Socket.IO   2 EVENT", "namespace   /chat",
      "ack         12, is wanted", "event       say", "argument 1", "  {", '    "n": 1.0', "  }",
      "argument 2", '  "b"'], "EVENT /chat say ack 12"),
    ("ack", text("4312[true]"), "socket.io",
     ["Engine.IO   4 message", "Socket.IO   3 ACK", "namespace   /",
      "ack         12, answers the event of that number", "data", "  [", "    true", "  ]"], "ACK ack 12"),
    ("binary event", text('451-["up",{"_placeholder":true,"num":0}]', path=EIO), "socket.io", None,
     "BINARY_EVENT up +1 binary"),
    ("attachment", binary(b"\xde\xff", path=EIO), "socket.io",
     ["Engine.IO   binary message",
      "Socket.IO   an attachment of the BINARY_EVENT or BINARY_ACK before it",
      "length      2 bytes", "data        de ff"], "attachment"),
    ("attachment of 3", binary(b"\x04\xde", path="/socket.io/?EIO=3&transport=websocket"), "socket.io",
     None, "attachment"),
]  # fmt: skip


@for_each(CASES)
def test_what_its_document_says(case):
    reads(case)


@for_each(CASES)
def test_every_cut_is_read_as_far_as_it_goes(case):
    reads_cuts(case)


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (text("x", path=EIO), "not an Engine.IO packet"),
        (text("49", path=EIO), "not a Socket.IO packet"),
        (text("42{}", path=EIO), "an array that begins with its name"),
        (text('42["a"', path=EIO), "Expecting ',' delimiter at character 4"),
        (text('421-["a"]', path=EIO), "EVENT has no attachments"),
        (binary(b"\x05", path="?EIO=3&transport=websocket"), "begin with byte 4"),
    ],
)
def test_a_problem_says_what_is_wrong(payload, problem):
    assert problem in (read("socket.io", payload).problem or "")


@pytest.mark.parametrize(
    "payload",
    [
        text("42" + "[" * 100_000, path=EIO),
        text('42["a",' + "[" * 500 + "]" * 500 + "]", path=EIO),
        text("4" + "2" * 200_000, path=EIO),
        text('42["a",' + "9" * 100_000 + "]", path=EIO),
    ],
)
def test_hostile_payloads_are_bounded(payload):
    is_bounded(payload, "socket.io")


def test_what_was_read_before_an_error_is_kept():
    decoded = read("socket.io", text("42/a,[", path=EIO))
    assert decoded.lines == ("Engine.IO   4 message", "Socket.IO   2 EVENT", "namespace   /a")
    assert decoded.problem


@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
)
def test_any_event_is_read_back(value):
    body = json.dumps(["name", value])
    decoded = lines("socket.io", text("42" + body, path=EIO))
    begin = decoded.index("argument 1")
    assert json.loads("\n".join(decoded[begin + 1 :])) == value


@pytest.mark.parametrize(
    ("path", "is_polling"),
    [
        ("/socket.io/?EIO=4&transport=polling", True),
        ("/socket.io/?transport=polling&sid=x&EIO=3", True),
        ("/socket.io/?EIO=4&transport=websocket", False),
        ("/socket.io/?EIO=4&transport=pollings", False),
        ("/socket.io/?NEIO=4&transport=polling", False),
        ("/talk?transport=polling", False),
        ("/EIO=4&transport=polling", False),
    ],
)
def test_engine_io_s_long_polling_is_recognised_by_its_query(path, is_polling):
    assert is_polling_path(path) is is_polling
