"""`--fault SPEC`: a rule in one line, `KIND[:DIRECTION][,key=value]...`.

Keys are those of a rule in a file; those of `when` may be written with or without `when.` in front. A value
with a comma in it is put in double quotes.
"""

from __future__ import annotations

import re
from typing import Any, Final

from wsinspect.faults.errors import FaultError
from wsinspect.faults.kinds import ALIASES, KINDS
from wsinspect.faults.rule import RULE_KEYS, Rule
from wsinspect.faults.when import WHEN_FIELDS

_HEAD: Final = re.compile(r"\s*(?P<kind>[A-Za-z0-9_]+)(?::(?P<direction>[^,=]+))?\s*(?:,|$)")
_PAIR: Final = re.compile(r"\s*(?P<key>[A-Za-z_.]+)\s*=\s*(?P<value>\"(?:[^\"\\]|\\.)*\"|[^,]*)\s*(?:,|$)")


def parse_spec(spec: str, source: str = "--fault") -> Rule:
    """The rule of a command line.

    Args:
        spec: the line.
        source: what the user wrote it behind, for errors.

    Raises:
        FaultError: with what was expected.
    """
    try:
        return Rule.parse(_mapping(spec))
    except FaultError as error:
        raise FaultError(
            error.field, error.problem, source=f"{source} {spec}", excerpt=error.excerpt
        ) from None


def _mapping(spec: str) -> dict[str, Any]:
    head = _HEAD.match(spec)
    if head is None:
        raise FaultError("", "expected KIND[:DIRECTION],key=value,... as in latency:s2c,latency=300ms")
    values: dict[str, Any] = {"kind": head["kind"]}
    if head["direction"] is not None:
        values["direction"] = head["direction"].strip()
    kind = KINDS.get(ALIASES.get(head["kind"], (head["kind"], {}))[0])
    own = {*RULE_KEYS, "toxicity", "timeout", *((field.name for field in kind.fields()) if kind else ())}
    position = head.end()
    while position < len(spec):
        pair = _PAIR.match(spec, position)
        if pair is None:
            raise FaultError("", f"expected key=value at column {position + 1}, found {spec[position:]!r}")
        key, value = pair["key"], _unquote(pair["value"])
        if key.startswith("when.") or (key in WHEN_FIELDS and key not in own):
            values.setdefault("when", {})[key.removeprefix("when.")] = value
        else:
            values[key] = value
        position = pair.end()
    return values


def _unquote(value: str) -> str:
    if value.startswith('"'):
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value.strip()
