"""Scenario files: what is read, what is refused with its line, what is a warning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wsinspect.faults.documents import MAX_BYTES, MAX_VALUES
from wsinspect.faults.errors import FaultError
from wsinspect.faults.scenario import (
    MAX_PHASES,
    MAX_RULES,
    load_file,
    load_object,
    load_text,
)

DESIGN = """
version: 1
seed: 7341
rules:
  - {name: lose-pongs, kind: drop, match: 'op:pong', probability: 0.5, when: {after: 5s, attempt: 1}}
  - {name: outage, kind: refuse, status: 503, armed: false}
  - {name: slow, kind: latency, direction: s2c, latency: 300ms, jitter: 50ms, armed: false}
phases:
  - {for: 5s}
  - {do: {kind: abort, how: rst}}
  - {for: 8s, rules: [outage]}
  - {for: 20s, rules: [slow]}
expect:
  - {reconnects_within: 10s}
  - {grade_at_least: B}
"""


def test_the_scenario_of_the_design_is_read() -> None:
    scenario = load_text(DESIGN)
    assert [rule.name for rule in scenario.rules] == ["lose-pongs", "outage", "slow"]
    assert [phase.for_ns // 10**9 for phase in scenario.phases] == [5, 0, 8, 20]
    assert scenario.expect == ({"reconnects_within": "10s"}, {"grade_at_least": "B"})
    assert scenario.warnings == ()


@pytest.mark.parametrize(
    ("find", "put", "line", "field"),
    [
        ("300ms", "-300ms", 7, "rules[2].latency"),
        ("kind: drop", "kind: dorp", 5, "rules[0].kind"),
        ("version: 1", "version: 2", 2, "version"),
        ("seed: 7341", "sede: 7341", 3, "sede"),
        ("rules: [slow]", "rules: [fast]", 12, "phases[3].rules"),
        ("{for: 8s,", "{for: 8 sec,", 11, "phases[2].for"),
        ("kind: abort, how: rst", "kind: latency, latency: 1s", 10, "phases[1].do.kind"),
        ("name: slow", "name: outage", 7, "rules[2].name"),
        ("probability: 0.5", "probability: [", 5, ""),
        ("probability: 0.5", "probability: .nan", 5, "rules[0].probability"),
        ("status: 503", "body: .inf", 6, "rules[1].body"),
        ("latency: 300ms", "latency: 1e999", 7, "rules[2].latency"),
        ("{for: 20s", "{for: .inf", 12, "phases[3].for"),
        ("seed: 7341", "seed: .inf", 3, "seed"),
        ("within: 10s", "within: .inf", 14, "expect[0]"),
        ("at_least: B", "at_least: {[1]: B}", 15, "expect[1]"),
    ],
)
def test_a_mistake_in_a_file_names_its_line(find: str, put: str, line: int, field: str) -> None:
    with pytest.raises(FaultError) as caught:
        load_text(DESIGN.replace(find, put), "s.yaml")
    assert (caught.value.line, caught.value.field) == (line, field)
    assert str(caught.value).startswith(f"s.yaml:{line}:")


def test_a_scenario_of_a_newer_version_is_refused_in_words() -> None:
    with pytest.raises(FaultError, match="newer than this wsinspect"):
        load_text("version: 99")


def test_odd_files_are_refused_in_one_line(tmp_path: Path) -> None:
    for content in (b"\xff\xfe", b"[]", b"a: b: c", b"version: 1\nrules: 5", b"&a [*a]", b"version: true"):
        path = tmp_path / "s.yaml"
        path.write_bytes(content)
        with pytest.raises(FaultError) as caught:
            load_file(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(FaultError, match="cannot read"):
        load_file(tmp_path / "none.yaml")
    with pytest.raises(FaultError, match="version"):
        load_object({})


def test_a_rule_that_phases_arm_and_that_is_armed_from_the_start_is_a_warning() -> None:
    text = "version: 1\nrules:\n  - {name: a, kind: drop}\nphases:\n  - {for: 5s, rules: [a]}\n"
    (remark,) = load_text(text).warnings
    assert (remark.field, remark.line) == ("rules[0]", 3)
    assert "armed: false" in remark.text
    assert not load_text(text.replace("drop}", "drop, armed: false}")).warnings


def test_a_file_that_nobody_wrote_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    for act in (lambda: load_file(path), lambda: load_text("#" * (MAX_BYTES + 1))):
        with pytest.raises(FaultError, match="at most 256 KiB"):
            act()
    path.write_bytes(b"version: 1\n".ljust(MAX_BYTES, b"#"))
    assert load_file(path).rules == ()


@pytest.mark.parametrize(
    ("raw", "field", "words"),
    [
        (
            {"rules": [{"kind": "drop"}] * (MAX_RULES + 1)},
            "rules",
            f"at most {MAX_RULES}, found",
        ),
        ({"phases": [{"for": 1}] * (MAX_PHASES + 1)}, "phases", f"at most {MAX_PHASES}"),
        ({"expect": [{"a": [1] * MAX_VALUES}]}, "", f"at most {MAX_VALUES} values"),
        ({"phases": [{"for": None}]}, "phases[0].for", "has no value"),
        ({"phases": [{}]}, "phases[0]", "expected a mapping with for, rules or do"),
        ({"phases": [{"fro": 1}]}, "phases[0].fro", "unknown: expected for, rules or do"),
        ({"phases": [{"do": {"kind": "abort", "when": {"nth": 1}}}]}, "phases[0].do.when", "expected none"),
        ({"phases": [{"do": {"kind": "abort", "match": "op:text"}}]}, "phases[0].do.match", "expected none"),
        ({"phases": [{"do": [5]}]}, "phases[0].do", "expected a mapping"),
        ({"name": 5}, "name", "expected a text, found 5"),
        ({"start": "later"}, "start", "first-attempt or now"),
        ({"expect": [{}]}, "expect[0]", "a mapping with one expectation"),
        ({"seed": -1}, "seed", "a whole number from 0"),
        ({"seed": True}, "seed", "a whole number from 0"),
    ],
)
def test_a_mistake_in_json_names_its_field(raw: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(FaultError) as caught:
        load_object({"version": 1, **raw})
    assert caught.value.field == field
    assert words in str(caught.value)


def test_what_may_be_left_out_is_left_out() -> None:
    scenario = load_object({"version": 1, "start": None, "seed": None, "rules": None, "name": None})
    assert (scenario.start, scenario.seed, scenario.rules, scenario.name) == ("first-attempt", None, (), "")
    assert load_object({"version": 1, "start": "now"}).start == "now"


def test_a_phase_does_one_thing_or_several() -> None:
    scenario = load_object(
        {"version": 1, "phases": [{"do": {"kind": "abort"}}, {"do": [{"kind": "close"}] * 2}]}
    )
    assert [[rule.name for rule in phase.do] for phase in scenario.phases] == [
        ["phase-abort"],
        ["phase-close", "phase-close"],
    ]
