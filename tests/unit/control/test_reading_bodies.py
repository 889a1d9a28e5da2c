"""Bodies that the control API refuses before anything is done with them."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import jsonschema_rs
import pytest

from wsinspect.control.api import MAX_BODY, MAX_DEPTH, RequestError, _content
from wsinspect.control.openapi import OPERATIONS, document
from wsinspect.faults.errors import FaultError
from wsinspect.faults.kinds import connections, frames
from wsinspect.faults.rule import Rule

ADD = next(one for one in OPERATIONS if one.id == "add_fault")


def _read(body: bytes) -> object:
    return _content(ADD, body, "application/json")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"kind": "drop", "kind": "close"}', "'kind' is given twice"),
        (b'{"kind": "drop", "when": {"nth": 1, "nth": 2}}', "'nth' is given twice"),
        (b'{"a": ' + b"[" * (MAX_DEPTH + 1), "nested at most"),
        (b"[]", "expected a JSON object"),
        (b'{"a": NaN}', "not JSON"),
        (b"{", "not JSON"),
    ],
)
def test_a_body_is_refused(body, words):
    with pytest.raises(RequestError, match=words):
        _read(body)


def test_a_body_of_brackets_is_refused_at_the_first_that_is_too_deep():
    lines = 0

    def trace(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with pytest.raises(RequestError, match="nested at most"):
            _read(b"[" * MAX_BODY)
    finally:
        sys.settrace(before)
    assert lines < 10 * MAX_DEPTH


def test_brackets_in_texts_and_values_side_by_side_add_no_depth():
    assert _read(b'{"a": "' + b"[{" * 500 + b'\\"", "b": [' + b"[]," * 500 + b"[]]}")


def test_the_document_says_null_and_empty_where_they_are_taken():
    schemas = document()["components"]["schemas"]
    assert {"type": "null"} in schemas["Close"]["properties"]["to"]["anyOf"]
    raw = schemas["Inject"]["properties"]["raw"]["anyOf"][0]["anyOf"]
    assert raw[0]["minLength"] == 1
    assert all(one["not"] == {"required": ["probability", "toxicity"]} for one in schemas["Rule"]["oneOf"])


RULES: list[dict[str, Any]] = [
    {},
    {"probability": 0.5},
    {"toxicity": 0.5},
    {"probability": 0.5, "toxicity": 0.5},
    {"toxicity": 2},
    {"kind": "dorp"},
]
PAYLOADS: list[Any] = [None, "", {"hex": ""}, {"hex": "0"}, []]
#: What a close, an abort, an injected frame and a rule may say, and near ones that they may not.
BODIES: list[tuple[str, Any, dict[str, Any]]] = [
    *(("Close", connections.Close, {"to": to}) for to in (None, "both", "client", "server", "", "all", 1)),
    *(("Close", connections.Close, {"code": code}) for code in (None, 0, 1000, 65535, 65536, -1, "x")),
    *(("Abort", connections.Abort, {"to": to}) for to in (None, "both", "client", "nobody")),
    *(("Abort", connections.Abort, {"how": how}) for how in (None, "fin", "rst", "kill")),
    *(
        ("Inject", frames.Inject, {"raw": raw})
        for raw in (None, "", "hex:", "hex:8100", "x", {"hex": ""}, {"hex": "8100"}, {"base64": ""}, 5)
    ),
    *(("Inject", frames.Inject, {"payload": payload}) for payload in PAYLOADS),
    *(("Rule", Rule, {"kind": "drop", **rule}) for rule in RULES),
]


@pytest.mark.parametrize(("schema", "kind", "body"), BODIES)
def test_the_document_allows_what_the_server_takes_and_nothing_else(schema, kind, body):
    whole = {"$ref": f"#/components/schemas/{schema}", **document()}
    more = {"direction": "c2s"} if schema == "Inject" else {}
    try:
        kind.parse(body)
        is_taken = True
    except FaultError:
        is_taken = False
    assert jsonschema_rs.is_valid(whole, {**more, **body}) is is_taken
