"""JSON Schema of a mock script, for editors and as documentation; `script` is what decides."""

from __future__ import annotations

from typing import Any, Final

from wsinspect.faults.texts import HEADERS
from wsinspect.faults.values import SECONDS

Json = dict[str, Any]
_DURATION: Final = SECONDS.schema()
_PAYLOAD: Final = {
    "description": "a text as it is; anything else is sent as JSON. {{seq}}, {{uuid}}, {{now}}, {{ms}}, "
    "{{random 1 6}} and {{$.id}} (of the client's message) are filled in"
}
_CODE: Final = {
    "anyOf": [
        {"enum": ["none", 1000, 1001, 1002, 1003, *range(1007, 1015)]},
        {"type": "integer", "minimum": 3000, "maximum": 4999},
    ]
}
_CONTROL: Final = {"type": ["string", "null"], "maxLength": 125}
_COUNT: Final = {"type": "integer", "minimum": 1, "maximum": 1_000_000}


def _only(properties: Json, **more: Any) -> Json:
    return {"type": "object", "properties": properties, "additionalProperties": False, **more}


def _actions() -> Json:
    return {
        "send": _PAYLOAD,
        "binary": {"type": "string", "description": "hexadecimal digits, such as '00 01 ff'"},
        "ping": _CONTROL,
        "pong": _CONTROL,
        "close": {"anyOf": [_CODE, _only({"code": _CODE, "reason": {"type": "string", "maxLength": 123}})]},
        "abort": {"enum": ["rst", "fin"]},
        "wait": _DURATION,
    }


def schema() -> Json:
    """The schema of a whole file."""
    actions = _actions()
    action = _only(actions, minProperties=1, maxProperties=1)
    trigger = {
        "on": {"type": "string", "description": "open, or a filter for frames of the client"},
        "every": {**_DURATION, "description": "again and again, since the connection opened"},
        "after": {
            "anyOf": [_COUNT, {"type": "string"}],
            "description": "a number of messages, or a duration such as 30s",
        },
    }
    rule = _only(
        {**trigger, "times": _COUNT, "do": {"type": "array", "items": action, "minItems": 1}, **actions},
        allOf=[
            {"oneOf": [{"required": [name]} for name in trigger]},
            {"oneOf": [{"required": [name]} for name in ("do", *actions)]},
        ],
    )
    expect = _only({"expect": {"type": "string", "description": "message, or a filter"}}, required=["expect"])
    refuse = _only(
        {
            "status": {"type": "integer", "minimum": 200, "maximum": 599},
            "headers": HEADERS.schema(),
            "body": {"type": "string"},
            "first": {**_COUNT, "description": "only so many handshakes; all without it"},
        },
        minProperties=1,
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "wsinspect mock script",
        **_only(
            {
                "version": {"const": 1},
                "name": {"type": "string"},
                "path": {"type": "string", "pattern": "^/[^?#]*$"},
                "subprotocols": {
                    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
                },
                "compress": {"type": "boolean"},
                "headers": HEADERS.schema(),
                "delay": _DURATION,
                "refuse": {"anyOf": [{"type": "integer", "minimum": 200, "maximum": 599}, refuse]},
                "answers_pings": {"type": "boolean"},
                "script": {"type": "array", "items": {"anyOf": [action, expect]}, "maxItems": 10_000},
                "rules": {"type": "array", "items": rule, "maxItems": 200},
            },
            required=["version"],
        ),
    }
