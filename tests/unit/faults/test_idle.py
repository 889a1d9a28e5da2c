"""Rules that can never act."""

from __future__ import annotations

import pytest

from wsinspect.faults.scenario import load_text


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("{kind: drop, probability: 0}", "probability is 0"),
        ("{kind: drop, armed: false}", "no phase arms it"),
        ("{kind: drop, match: 'op:text op:ping'}", "no frame has all"),
        ("{kind: drop, direction: s2c, match: 'dir:c2s'}", "contradicts the filter"),
        ("{kind: fragment, size: 4, match: 'op:ping'}", "data frames"),
        ("{kind: drop, when: {after: 9s, between: [1s, 5s]}}", "ends before"),
        ("{kind: drop, when: {nth: 2, every: 5}}", "ends before"),
    ],
)
def test_a_rule_that_can_never_act_is_a_warning(rule: str, reason: str) -> None:
    scenario = load_text(f"version: 1\nrules:\n  - {rule}\n")
    assert [reason in str(remark) and "line 3" in str(remark) for remark in scenario.warnings] == [True]


@pytest.mark.parametrize(
    "rule",
    [
        "{kind: reset_on_accept}",
        "{kind: drop, when: {nth: '2-', every: 5}}",
        "{kind: drop, when: {nth: [2, 5], every: 5}}",
        "{kind: drop, match: 'op:* op:ping'}",
        "{kind: drop, match: 'op:ctl op:ping'}",
        "{kind: drop, match: 'op:text | op:ping'}",
        "{kind: drop, direction: s2c, match: 'dir:s2c len>5'}",
        "{kind: fragment, size: 4, match: 'op:text,ping'}",
        "{kind: drop, when: {after: 4s, between: [1s, 5s]}}",
    ],
)
def test_a_rule_that_can_act_has_no_warning(rule: str) -> None:
    assert load_text(f"version: 1\nrules:\n  - {rule}\n").warnings == ()
