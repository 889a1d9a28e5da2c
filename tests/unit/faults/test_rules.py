"""Rules, their values, `when`, one-line specs, scenario files and presets: what is read, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from wsinspect.faults.board import Board
from wsinspect.faults.errors import FaultError
from wsinspect.faults.kinds import KINDS
from wsinspect.faults.presets import load_preset, preset_names
from wsinspect.faults.rule import Rule
from wsinspect.faults.scenario import load_file, load_object, load_text
from wsinspect.faults.schema import scenario_schema
from wsinspect.faults.spec import parse_spec

EXAMPLES = [(kind.name, example) for kind in KINDS.values() for example in kind.examples]
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
        ({"kind": "latenzy"}, "kind", "did you mean latency?"),
        ({}, "kind", "is missing"),
        ({"kind": "latency"}, "", "needs `latency`"),
        ({"kind": "latency", "latency": "-5s"}, "latency", "not a negative one"),
        ({"kind": "latency", "latency": True}, "latency", "bare numbers are ms"),
        ({"kind": "latency", "latency": "5s", "jiter": "1s"}, "jiter", "did you mean jitter?"),
        ({"kind": "drop", "match": "op:"}, "match", "column"),
        ({"kind": "drop", "match": "rtt>5"}, "match", "not known yet"),
        ({"kind": "refuse", "match": "op:text"}, "match", "acts on the handshake"),
        ({"kind": "reset_on_accept", "match": "host:x"}, "match", "before there is a request"),
        ({"kind": "refuse", "direction": "s2c"}, "direction", "no direction"),
        ({"kind": "drop", "direction": "up"}, "direction", "c2s, s2c or both"),
        ({"kind": "drop", "probability": 2}, "probability", "from 0 to 1"),
        ({"kind": "drop", "when": {"nth": 0}}, "when.nth", "from 1"),
        ({"kind": "drop", "when": {"after": "5"}}, "when.after", "5 s, 100 frames or 64 KiB"),
        ({"kind": "drop", "when": {"every": "5s"}}, "when.every", "inject alone"),
        ({"kind": "drop", "when": {"between": ["5s", "1s"]}}, "when.between", "the second one longer"),
        ({"kind": "drop", "when": {"nht": 1}}, "when.nht", "unknown"),
        ({"kind": "drop", "name": "a b"}, "name", "letters"),
        ({"kind": "drop", "name": ""}, "name", "1 to 64 letters"),
        ({"kind": "hold"}, "", "one at least"),
        ({"kind": "bandwidth", "rate": "5"}, "rate", "64 KiB/s"),
        ({"kind": "close", "code": 70000}, "code", "65535"),
        ({"kind": "set_headers", "headers": {"X": "a\nb"}}, "headers", "Name: value"),
        ({"kind": "slicer", "size": 0}, "size", "at least 1"),
        ({"kind": "inject", "opcode": "ping", "payload": "x" * 126}, "payload", "125"),
        ("drop", "", "expected a mapping"),
        ({"kind": "refuse", "body": float("inf")}, "body", "expected a text of at most"),
        ({"kind": "close", "reason": float("nan")}, "reason", "expected a text of at most"),
        ({"kind": "refuse", "status": float("inf")}, "status", "a whole number"),
        ({"kind": "drop", "probability": float("nan")}, "probability", "from 0 to 1"),
        ({"kind": "latency", "latency": float("inf")}, "latency", "bare numbers are ms"),
        ({"kind": "latency", "latency": "5s", "jitter": float("nan")}, "jitter", "bare numbers are ms"),
        ({"kind": "max_message_size", "size": float("inf")}, "size", "64 KiB"),
        ({"kind": "drop", "when": {"nth": float("inf")}}, "when.nth", "a number from 1"),
        ({"kind": "drop", "when": {"after": float("nan")}}, "when.after", "5 s, 100 frames or 64 KiB"),
    ],
)
def test_a_mistake_names_the_field_and_what_was_expected(raw: Any, field: str, words: str) -> None:
    with pytest.raises(FaultError) as caught:
        Rule.parse(raw)
    assert caught.value.field == field
    assert words in str(caught.value)


def test_numbers_are_texts_too_however_large() -> None:
    assert Rule.parse({"kind": "refuse", "body": 1.5}).settings()["body"] == "1.5"
    assert Rule.parse({"kind": "refuse", "body": 10**400}).settings()["body"] == "1" + "0" * 400


def test_toxiproxy_words_are_aliases() -> None:
    reset = Rule.parse({"type": "reset_peer", "stream": "downstream", "toxicity": 0.5})
    assert (reset.kind, reset.direction, reset.probability) == ("abort", "s2c", 0.5)
    timeout = Rule.parse({"kind": "timeout", "attributes": {"timeout": "5s"}, "stream": "upstream"})
    assert timeout.settings()["for"] == "5s"
    assert timeout.settings()["then"] == "fin"


def test_a_spec_is_a_rule_in_one_line() -> None:
    rule = parse_spec('replace:s2c,with="a, b",match=op:text,nth=1,when.after=5s,name=x')
    assert rule.settings() == {
        "name": "x",
        "kind": "replace",
        "direction": "s2c",
        "match": "op:text",
        "when": {"nth": 1, "after": "5s"},
        "armed": True,
        "with": "a, b",
    }
    assert parse_spec("idle_timeout,after=60s").settings()["after"] == "1min"
    assert parse_spec("latency:c>s,latency=250ms").direction == "c2s"
    for wrong in ("", "latency:s2c,300ms", "latency,latency=x"):
        with pytest.raises(FaultError, match="expected"):
            parse_spec(wrong)


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


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("{kind: drop, probability: 0}", "probability is 0"),
        ("{kind: drop, armed: false}", "no phase arms it"),
        ("{kind: drop, match: 'op:text op:ping'}", "no frame has all"),
        ("{kind: drop, direction: s2c, match: 'dir:c2s'}", "exclude each other"),
        ("{kind: fragment, size: 4, match: 'op:ping'}", "data frames"),
        ("{kind: drop, when: {after: 9s, between: [1s, 5s]}}", "over before"),
        ("{kind: drop, when: {nth: 2, every: 5}}", "over before"),
    ],
)
def test_a_rule_that_can_never_act_is_a_warning(rule: str, reason: str) -> None:
    scenario = load_text(f"version: 1\nrules:\n  - {rule}\n")
    assert [reason in str(remark) and "line 3" in str(remark) for remark in scenario.warnings] == [True]


def test_phases_arm_and_disarm_on_the_clock() -> None:
    board = Board(time_scale=0.1)
    done: list[str] = []
    board.on_do = lambda rule: done.append(rule.kind)
    board.load(load_text(DESIGN))
    seen: list[tuple[int, str, bool]] = []
    now = 0
    board.on_change.append(lambda rule, is_armed: seen.append((now, rule.name, is_armed)))
    board.start(0)
    while board.due is not None:
        now = board.due
        board.advance(now)
    ms = 10**6
    assert done == ["abort"]
    assert seen == [
        (500 * ms, "outage", True),
        (1300 * ms, "outage", False),
        (1300 * ms, "slow", True),
        (3300 * ms, "slow", False),
    ]
    assert board.seed == 7341


def test_the_board_keeps_order_and_names_apart() -> None:
    board = Board()
    rule = Rule.parse({"kind": "drop"})
    board.add(rule)
    board.add(board.unique(rule))
    assert board.order == ["drop", "drop-2"]
    with pytest.raises(FaultError, match="taken"):
        board.add(rule)
    board.move("drop-2", 0)
    assert board.order == ["drop-2", "drop"]
    board.change("drop", Rule.parse({"kind": "latency", "latency": "1s", "name": "slow"}))
    assert board.order == ["drop-2", "slow"]
    board.reset()
    assert board.order == []


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_says_its_source_and_can_act(name: str) -> None:
    preset = load_preset(name)
    assert preset.source
    assert preset.name
    assert preset.rules
    assert preset.warnings == ()


def test_the_presets_of_the_issue_are_there() -> None:
    hops = (
        "nginx-default nginx-no-upgrade cloudflare aws-alb gcp-lb azure-lb heroku ingress-reload coraza-waf"
    )
    networks = "offline flaky-wifi train-tunnel mobile-3g satellite server-deploy"
    assert set(preset_names()) == {*hops.split(), *networks.split()}
    with pytest.raises(FaultError, match="did you mean heroku"):
        load_preset("heroko")


def test_the_schema_knows_every_kind() -> None:
    rules = scenario_schema()["properties"]["rules"]["anyOf"][0]["items"]["oneOf"]
    assert {*KINDS} <= {rule["title"] for rule in rules}


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
