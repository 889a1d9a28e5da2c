"""JSON Schema of rules and scenario files, for editors and for the control API; made from the kinds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from wsinspect.faults.kinds import ALIASES, KINDS, FaultKind, Scope
from wsinspect.faults.rule import DIRECTIONS, NAME
from wsinspect.faults.scenario import DOABLE, MAX_PHASES, MAX_RULES, MAX_SEED, STARTS, VERSION
from wsinspect.faults.values import MILLISECONDS, PROBABILITY, SECONDS
from wsinspect.faults.when import WHEN_FIELDS

Json = dict[str, Any]
#: The same setting under two names.
_TWICE: Final = {"required": ["probability", "toxicity"]}
NAME_PATTERN: Final = f"^{NAME.pattern}$"


def fault_schema(
    kind: type[FaultKind], only: tuple[str, ...] | None = None, *, takes_null: bool = False
) -> Json:
    """The settings of a kind, without what every rule has.

    Args:
        only: these of them.
        takes_null: a setting may be null, which is its default.
    """
    properties: Json = {}
    required: list[str] = []
    for spec in kind.fields():
        if only is not None and spec.name not in only:
            continue
        own = spec.type.schema()
        if takes_null and not spec.is_required:
            own = {"anyOf": [own, {"type": "null"}]}
        properties[spec.name] = {**own, "description": spec.help}
        if spec.is_required:
            required.append(spec.name)
    found: Json = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**found, "required": required} if required else found


def when_schema() -> Json:
    """The schema of a rule's `when`, which every kind takes."""
    properties = {name: {**kind.schema(), "description": text} for name, (kind, text) in WHEN_FIELDS.items()}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _common(kind: type[FaultKind]) -> Json:
    found: Json = {
        "name": {"type": "string", "pattern": NAME_PATTERN},
        "kind": {"const": kind.name},
        "match": {"type": "string", "description": "a filter (docs/filters.md)"},
        "probability": PROBABILITY.schema(),
        "toxicity": PROBABILITY.schema(),
        "when": when_schema(),
        "armed": {"type": "boolean"},
        "tap": {"type": "string"},
    }
    if kind.scope in (Scope.FRAME, Scope.CONNECTION):
        found["direction"] = {"enum": [*DIRECTIONS, "upstream", "downstream"]}
    return found


def _rules() -> Iterator[Json]:
    for kind in KINDS.values():
        own = fault_schema(kind)
        yield {
            "type": "object",
            "title": kind.name,
            "description": kind.summary,
            "properties": {**_common(kind), **own["properties"]},
            "required": ["kind", *own.get("required", ())],
            "not": _TWICE,
            "additionalProperties": False,
        }
    for alias, (name, _) in ALIASES.items():
        kind = KINDS[name]
        own = {**_common(kind), **fault_schema(kind)["properties"], "timeout": MILLISECONDS.schema()}
        yield {
            "type": "object",
            "title": alias,
            "description": f"Toxiproxy's name of {name}.",
            "properties": {**own, "kind": {"const": alias}},
            "required": ["kind"],
            "not": _TWICE,
            "additionalProperties": False,
        }


def rule_schema() -> Json:
    """The schema of one rule: any of the kinds."""
    return {"oneOf": list(_rules())}


def change_schema() -> Json:
    """Some settings of a rule; null takes one back to its default."""
    return {"type": "object", "properties": {"armed": {"type": ["boolean", "null"]}}}


def scenario_schema(*, with_header: bool = True) -> Json:
    """The schema of a whole scenario file; `with_header` adds `$schema` and a title."""
    doable = [rule for rule in _rules() if rule["title"] in {kind.name for kind in DOABLE}]
    name = {"type": "string", "pattern": NAME_PATTERN}
    phase = {
        "type": "object",
        "minProperties": 1,
        "properties": {
            "for": SECONDS.schema(),
            "rules": {"anyOf": [name, {"type": "array", "items": name}]},
            "do": {"anyOf": [*doable, {"type": "array", "items": {"anyOf": doable}}]},
        },
        "additionalProperties": False,
    }
    found: Json = {
        "type": "object",
        "properties": {
            "version": {"const": VERSION},
            "name": {"type": "string"},
            "source": {"type": "string"},
            "seed": {"type": "integer", "minimum": 0, "maximum": MAX_SEED},
            "start": {"enum": list(STARTS)},
            "rules": {"type": "array", "items": rule_schema(), "maxItems": MAX_RULES},
            "phases": {"type": "array", "items": phase, "maxItems": MAX_PHASES},
            "expect": {"type": "array", "items": {"type": "object", "minProperties": 1}},
        },
        "required": ["version"],
        "additionalProperties": False,
    }
    # A key without a value is a key that is not there.
    for key, kind in found["properties"].items():
        if key != "version":
            found["properties"][key] = {"anyOf": [kind, {"type": "null"}]}
    if with_header:
        head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "wsinspect scenario"}
        return {**head, **found}
    return found
