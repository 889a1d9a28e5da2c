"""Every kind: its examples, and what it says of itself."""

from __future__ import annotations

from typing import Any

import pytest
from ruamel.yaml import YAML

from wsinspect.faults.errors import FaultError
from wsinspect.faults.kinds import KINDS
from wsinspect.faults.rule import Rule

EXAMPLES = [(kind.name, example) for kind in KINDS.values() for example in kind.examples]


@pytest.mark.parametrize(
    ("kind", "example"), EXAMPLES, ids=[f"{kind}-{i}" for i, (kind, _) in enumerate(EXAMPLES)]
)
def test_every_example_is_a_rule_of_its_kind_and_survives_the_way_through_json(
    kind: str, example: str
) -> None:
    rule = Rule.parse(YAML(typ="safe").load(example))
    assert rule.kind == kind
    assert Rule.parse(rule.settings()) == rule


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_every_kind_says_what_it_does_and_what_its_fields_mean(kind: Any) -> None:
    assert kind.summary.endswith(".")
    assert kind.examples
    assert all(spec.help and spec.type.expected for spec in kind.fields())


@pytest.mark.parametrize(
    ("raw", "field", "words"),
    [
        ({"kind": "blackhole", "then": "rst"}, "then", "expected `for` too"),
        ({"kind": "fragment", "size": 0}, "size", "at least 1 byte"),
        ({"kind": "slicer", "size": 3, "variation": 3}, "variation", "less than `size`, which is 3"),
        ({"kind": "tls_error", "sni": ""}, "sni", "expected a host name"),
        ({"kind": "inject", "raw": ""}, "raw", "one byte at least"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(raw: Any, field: str, words: str) -> None:
    with pytest.raises(FaultError) as caught:
        Rule.parse(raw)
    assert caught.value.field == field
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "raw",
    [
        {"kind": "blackhole", "then": "rst", "for": "1s"},
        {"kind": "fragment", "size": "1B"},
        {"kind": "slicer", "size": "3B", "variation": "2B"},
        {"kind": "tls_error", "sni": "*"},
        {"kind": "inject", "raw": "x"},
    ],
)
def test_settings_that_just_go_together_are_taken(raw: dict[str, Any]) -> None:
    rule = Rule.parse(raw)
    assert {key: rule.settings()[key] for key in raw} == raw
