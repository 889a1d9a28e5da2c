"""Rules as lines: judged, completed, and made of what an engine says."""

from __future__ import annotations

import pytest
from ruamel.yaml import YAML

from wsinspect.faults.kinds import KINDS
from wsinspect.faults.presets import load_preset, preset_names
from wsinspect.faults.rule import Rule
from wsinspect.faults.spec import parse_spec
from wsinspect.tui.engine.rule_language import complete, judge, spec_of

EXAMPLES = [
    *(YAML(typ="safe", pure=True).load(example) for kind in KINDS.values() for example in kind.examples),
    *(rule.settings() for name in preset_names() for rule in load_preset(name).rules),
]


def facts(rule: Rule) -> dict[str, object]:
    """As `GET /v1/faults` has it."""
    return {**rule.settings(), "scope": "frame", "hits": 3, "last_ns": 1}


@pytest.mark.parametrize("settings", EXAMPLES, ids=lambda settings: str(settings.get("kind")))
def test_every_example_and_preset_is_a_line_that_means_the_same(settings):
    rule = Rule.parse(settings)
    line = spec_of(facts(rule))
    assert line is not None
    assert parse_spec(line) == rule
    judged = judge(line)
    assert judged.error == ""
    assert judged.rules == (rule,)


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "replace", "with": 'a, "b" \\ c', "find": " x "},
        {"kind": "inject", "payload": {"hex": "00ff"}, "when": {"nth": [1, "3-4"], "between": ["1s", "2s"]}},
        {"kind": "idle_timeout", "after": "60s", "when": {"after": "5s", "connection": 2}},
        {"kind": "drop", "name": "x", "match": 'op:text "a b", len>3', "tap": "edge", "armed": False},
        {"kind": "inject", "payload": "hex:12"},
    ],
)
def test_what_needs_quotes_gets_them(settings):
    rule = Rule.parse(settings)
    line = spec_of(facts(rule))
    assert line is not None
    assert parse_spec(line) == rule


@pytest.mark.parametrize(
    "settings",
    [{"kind": "refuse", "headers": {"A": "1", "B": "2"}}, {"kind": "refuse", "body": "two\nlines"}],
)
def test_a_rule_that_needs_more_than_a_line_has_none(settings):
    assert spec_of(facts(Rule.parse(settings))) is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "expected KIND[:DIRECTION],key=value"),
        ("lat", "kind: unknown kind 'lat'; did you mean latency?"),
        ("latency", "latency needs `latency`: expected a duration"),
        ("latency:s2c,latency=soon", "expected a duration such as 250 ms or 5 s"),
        ("latency:up,latency=3s", "direction: expected c2s, s2c or both"),
        ("drop:s2c,match=op:nonsense", "match: "),
        ("drop,nope=1", "nope: drop has no such field"),
        ("drop,", ""),
        ("like nothing", "there is no preset 'nothing'"),
    ],
)
def test_mistakes_are_put_into_words(line, words):
    assert words in judge(line).error
    assert len(judge(line).error) < 300  # the names of all presets, on lines of a dialog


def test_a_rule_that_can_never_act_is_a_warning():
    judged = judge("drop:s2c,probability=0")
    assert (judged.error, judged.warning) == ("", "it can never act: its probability is 0")


def test_presets_are_their_rules_or_a_scenario_where_they_have_phases():
    assert judge("like aws-alb").rules == load_preset("aws-alb").rules
    assert judge("--like aws-alb").preset == ""
    judged = judge("like server-deploy")
    assert judged.preset == "server-deploy"
    assert "replaces all rules" in judged.warning


def test_a_pasted_option_is_understood():
    assert judge("--fault 'latency:s2c,latency=1s'").rules == (parse_spec("latency:s2c,latency=1s"),)


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("", "drop"),
        ("lat", "latency"),
        ("latency", ",latency="),
        ("drop", ":s2c"),
        ("latency:", "s2c"),
        ("latency:s", "s2c"),
        ("latency:s2c", ",latency="),
        ("latency:s2c,", "latency="),
        ("latency:s2c,latency=300ms", ",jitter="),
        ("latency:s2c,latency=300ms,d", "distribution="),
        ("latency,latency=1s,distribution=n", "normal"),
        ("drop:s2c,match=op:p", "ping"),
        ('drop:s2c,match="op:text,p', "ping"),
        ("like ", preset_names()[0]),
        ("li", "lifetime"),
        ("aws", "like aws-alb"),
        ("refuse", ",status="),
        ("timeout", ":s2c"),
    ],
)
def test_the_first_candidate(line, first):
    assert complete(line, len(line))[0].text == first


def test_taking_first_candidates_leads_to_a_rule():
    line = "ban"
    for _ in range(2):
        candidate = complete(line, len(line))[0]
        line = line[: candidate.start] + candidate.text
    assert line == "bandwidth,rate="
    assert judge(f"{line}100KiB/s").error == ""


def test_used_keys_are_offered_no_more_and_before_the_cursor_counts():
    line = "latency:s2c,latency=1s,jitter=1ms,"
    texts = [candidate.text for candidate in complete(line, len(line))]
    assert "latency=" not in texts
    assert "jitter=" not in texts
    assert complete(line, 3)[0].text == "latency"


def test_presets_say_what_they_imitate():
    assert {c.text: c.help for c in complete("like ", 5)} == {
        name: load_preset(name).name for name in preset_names()
    }
