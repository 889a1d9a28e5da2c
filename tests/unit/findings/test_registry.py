"""Running the rules: groups, order, and what is left out where something is not known."""

from dataclasses import replace

import pytest

from tests.unit.findings.facts_made import SECOND, ended, refused, silent, stopped
from tests.unit.findings.pairs_made import PAIRS
from tests.unit.findings.triggers import CASES
from wsinspect.findings.facts import S2C, ConnectionFacts
from wsinspect.findings.model import Found
from wsinspect.findings.registry import (
    Rules,
    all_rules,
    diagnose_connection,
    diagnose_pair,
    ids_of_group,
    run,
)


def ids(facts):
    return [one.id for one in diagnose_connection(facts)]


def trigger(rule):
    return next(one for one in CASES[rule][0] if isinstance(one, ConnectionFacts) and rule in ids(one))


def test_of_a_group_only_the_first_rule_that_applies_says_something():
    rules = Rules()
    for number, (group, applies) in enumerate([("a", False), ("a", True), ("a", True), ("", True)], 1):

        def check(facts, applies=applies):
            if applies:
                yield Found(evidence=("e",))

        rules(f"WS-HS-9{number:02}", "error", "server", "t", meaning="m", js="j", group=group)(check)
    assert [one.id for one in run(rules.all, None, 1)] == ["WS-HS-902", "WS-HS-904"]


def test_errors_come_first_and_the_surer_ones_before_the_others():
    for triggers, _ in CASES.values():
        for facts in triggers:
            if isinstance(facts, ConnectionFacts):
                found = diagnose_connection(facts)
                ranks = [("error", "warning", "note").index(one.severity) for one in found]
                assert ranks == sorted(ranks)


@pytest.mark.parametrize("rule", ["WS-DROP-002", "WS-KA-001"])
def test_what_an_imported_format_does_not_have_proves_nothing(rule):
    facts = trigger(rule)
    missing = {"WS-DROP-002": "end", "WS-KA-001": "pings"}[rule]
    assert rule in ids(facts)
    assert rule not in ids(replace(facts, unrecorded=frozenset({missing})))
    # A ping may have broken a silence; what a file lacks of the end says nothing of its pings.
    assert (rule in ids(replace(facts, unrecorded=frozenset({"pings"})))) is False
    assert (rule in ids(replace(facts, unrecorded=frozenset({"end"})))) is (rule == "WS-KA-001")


def test_a_refusal_is_a_refusal_whatever_else_a_format_has_not():
    facts = refused("426 Upgrade Required")
    assert ids(replace(facts, unrecorded=frozenset({"end", "pings"}))) == ids(facts) != []


def test_where_bytes_are_missing_only_what_is_there_proves_something():
    facts = silent(60.0)
    assert ids(facts) == ["WS-DROP-002"]
    assert ids(replace(facts, gaps=frozenset({S2C}))) == []
    (rule,) = (one for one in CASES if one == "WS-FR-001")
    broken = trigger(rule)
    assert rule in ids(replace(broken, gaps=frozenset({S2C})))


def test_a_pair_with_missing_bytes_says_only_what_its_handshake_shows():
    (pair, *_), _ = PAIRS["WS-HS-101"]
    assert [one.id for one in diagnose_pair(pair)] == ["WS-HS-101"]
    gap = replace(pair, edge=replace(pair.edge, gaps=frozenset({S2C})))
    assert [one.id for one in diagnose_pair(gap)] == ["WS-HS-101"]
    drops = next(
        one
        for rule, (triggers, _) in PAIRS.items()
        if "-DROP-" in rule
        for one in triggers
        if one.origin is not None and one.edge.was_open
    )
    assert any("-DROP-" in one.id for one in diagnose_pair(drops))
    for side in ("edge", "origin"):
        half = replace(drops, **{side: replace(getattr(drops, side), gaps=frozenset({S2C}))})
        assert not any("-DROP-" in one.id for one in diagnose_pair(half))


def test_groups_name_rules_of_their_scope():
    known = {rule.id: rule for rule in all_rules()}
    for group, scope in (("attempt", "connection"), ("end", "pair")):
        found = ids_of_group(group, scope)
        assert found
        assert {known[one].scope for one in found} == {scope}
    assert ids(ended()) == []


@pytest.mark.parametrize("after_s", [0, 3, 61, 3600])
@pytest.mark.parametrize("how", ["fin", "rst"])
def test_nobody_is_blamed_for_an_end_that_is_the_proxys(how, after_s):
    """What was seen before it may still be wrong; that it ended, and when, says nothing."""
    said = set()
    for triggers, silent_ones in CASES.values():
        for facts in (*triggers, *silent_ones):
            if isinstance(facts, ConnectionFacts) and facts.was_open:
                said |= set(ids(stopped(facts, how, after_s * SECOND)))
    assert {one for one in said if one.split("-")[1] in ("DROP", "KA")} == {"WS-KA-006", "WS-KA-007"}
    assert "WS-APP-050" not in said
    assert said >= {"WS-FR-001", "WS-MS-001", "WS-HS-029"}
