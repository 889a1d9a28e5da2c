"""The JSON Schemas of docs/schemas/, and what they say of an output."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import jsonschema_rs

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "schemas"
#: Command and its schema; what is not one object has a schema of its own.
COMMANDS = {
    "ca": "ca",
    "check": "check",
    "connect": "connect",
    "diagnose": "diagnose",
    "doctor": "doctor",
    "explain": "explain",
    "faults list": "faults",
    "faults validate": "faults",
    "ls": "ls",
    "mock": "mock",
    "ps": "ps",
    "replay": "replay",
    "run": "run",
    "serve": "serve",
    "show": "show",
    "stop": "stop",
}


@functools.cache
def schema(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.schema.json").read_text("utf-8"))


@functools.cache
def _validator(name: str) -> Any:
    return jsonschema_rs.validator_for(schema(name))


def problems(name: str, value: Any) -> list[str]:
    """What a schema does not allow in an output; empty where it fits."""
    return [
        f"{one.message[:300]} at {list(one.instance_path)}" for one in _validator(name).iter_errors(value)
    ]


def fits(name: str, text: str) -> list[Any]:
    """The objects of an output, one a line, each of which fits."""
    found = [json.loads(line) for line in text.splitlines() if line]
    for one in found:
        assert problems(name, one) == [], one
        assert one["schema"] == 1
    return found
