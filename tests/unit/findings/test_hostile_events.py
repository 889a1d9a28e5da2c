"""Events of somebody else's capture: any JSON may be where the rules expect text, a number or a list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.findings.triggers import CASES
from wsinspect.findings.facts import CaptureFacts
from wsinspect.findings.registry import diagnose_capture

#: Numbers where a list or text is expected, what cannot be a key or be compared, digits that `int` refuses.
HOSTILE: tuple[Any, ...] = (5, -1.5, True, [], [[]], [5], [{}], {}, {"a": []}, "x", "\xb2", "")


def changed(value: Any) -> Iterator[Any]:
    """The value with each part of it in turn replaced."""
    yield from HOSTILE
    if isinstance(value, dict):
        for key, part in value.items():
            yield from (value | {key: other} for other in changed(part))
    if isinstance(value, list):
        for number, part in enumerate(value[:2]):
            yield from ([*value[:number], other, *value[number + 1 :]] for other in changed(part))


def events() -> list[Any]:
    known = {}
    for cases in CASES.values():
        for facts in (*cases[0], *cases[1]):
            for event in facts.events if isinstance(facts, CaptureFacts) else ():
                known[event.kind, *sorted(event.detail)] = (facts, event)
    return [pytest.param(*one, id=" ".join(key)[:60]) for key, one in known.items()]


@pytest.mark.parametrize(("facts", "event"), events())
def test_no_rule_fails(facts, event):
    for key, value in event.detail.items():
        for other in changed(value):
            hostile = event._replace(detail={**event.detail, key: other})
            made = tuple(hostile if one is event else one for one in facts.events)
            diagnose_capture(replace(facts, events=made))
