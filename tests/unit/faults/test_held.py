"""Decisions as they are read, and what is said of what is held."""

from __future__ import annotations

import jsonschema_rs
import pytest

from wsinspect.faults.errors import FaultError
from wsinspect.faults.held import Decision, Held, schema

VALIDATOR = jsonschema_rs.validator_for(schema())


@pytest.mark.parametrize(
    ("raw", "decision"),
    [
        ({"action": "pass"}, Decision()),
        ({"action": "drop"}, Decision(action="drop")),
        ({"action": "edit", "payload": "new"}, Decision(action="edit", payload=b"new")),
        ({"action": "edit", "payload": {"hex": "00ff"}}, Decision(action="edit", payload=b"\0\xff")),
        ({"action": "edit", "payload": ""}, Decision(action="edit", payload=b"")),
        ({"action": "edit", "head": "GET / HTTP/1.1"}, Decision(action="edit", head="GET / HTTP/1.1")),
        (
            {"action": "answer", "opcode": "binary", "payload": {"base64": "AA=="}},
            Decision(action="answer", opcode="binary", payload=b"\0"),
        ),
        (
            {"action": "answer", "status": 429, "headers": {"Retry-After": 5}, "body": "later"},
            Decision(action="answer", status=429, headers=(("Retry-After", "5"),), body="later"),
        ),
    ],
)
def test_decisions(raw, decision):
    assert Decision.parse(raw) == decision
    VALIDATOR.validate(raw)


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ({"action": "let"}, "action"),
        ({"action": "edit"}, "payload"),
        ({"action": "pass", "nothing": 1}, "nothing"),
        ({"action": "answer", "status": 99}, "status"),
        ({"action": "edit", "payload": 5}, "payload"),
        ({"action": "edit", "head": 5}, "head"),
        ({"action": "answer", "opcode": "cont"}, "opcode"),
        ({"action": "answer", "opcode": "ping", "payload": "x" * 126}, "payload"),
        ({"action": "answer", "headers": {"a b": "c"}}, "headers"),
    ],
)
def test_a_mistake_names_its_field(raw, field):
    with pytest.raises(FaultError) as caught:
        Decision.parse(raw)
    assert caught.value.field == field


def test_what_is_held_is_cut_in_a_list_and_whole_by_itself():
    held = Held(
        name="m1-c2s-0", rule="break", connection=1, what="message", direction="c2s", since_ns=10**9,
        until_ns=4 * 10**9, opcode=1, data=b"x" * 5000, client_heard_ns=2 * 10**9, behind=2,
    )  # fmt: skip
    found = held.as_json(3 * 10**9)
    assert (found["held_ms"], found["left_ms"], found["behind"]) == (2000, 1000, 2)
    assert found["silent_ms"] == {"client": 1000, "server": None}
    assert (found["op"], found["length"], found["cut"]) == ("TEXT", 5000, True)
    assert len(found["payload"]["text"]) == 1024
    assert held.as_json(0, whole=True)["payload"] == {"text": "x" * 5000}
