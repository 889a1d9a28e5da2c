"""The board: order, names, phases, and what goes on record."""

from __future__ import annotations

import pytest

from wsinspect.faults.board import Board
from wsinspect.faults.errors import FaultError
from wsinspect.faults.kinds import Scope
from wsinspect.faults.rule import Author, Rule
from wsinspect.faults.scenario import MAX_RULES, load_text
from wsinspect.vocabulary.events import Event, RuleChanged

SCENARIO = """
version: 1
seed: 7341
rules:
  - {name: outage, kind: refuse, status: 503, armed: false}
  - {name: slow, kind: latency, latency: 300ms, armed: false}
phases:
  - {for: 5s}
  - {do: {kind: abort, how: rst}}
  - {for: 8s, rules: [outage]}
  - {for: 20s, rules: [slow]}
"""


def test_phases_arm_and_disarm_on_the_clock() -> None:
    board = Board(time_scale=0.1)
    done: list[str] = []
    board.on_do = lambda rule: done.append(rule.kind)
    board.load(load_text(SCENARIO))
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


def drop(name: str = "drop", **more: object) -> Rule:
    return Rule.parse({"kind": "drop", "name": name, **more})


def test_facts_of_an_entry_are_the_rule_and_what_it_did() -> None:
    board = Board()
    entry = board.add(drop(armed=False))
    assert entry.facts() == {
        **{"name": "drop", "kind": "drop", "armed": False, "scope": "frame"},
        **{"hits": 0, "last_ns": None, "source": ""},
    }
    board.arm("drop")
    board.hit(Author("drop", "drop"), 7)
    board.hit(Author("by-hand", "inject"), 8)
    assert board.entries == [entry]
    assert board.get("drop") is entry
    assert board.get("by-hand") is None
    assert (entry.is_armed, entry.hits, entry.last_ns) == (True, 1, 7)
    assert board.totals == {Author("drop", "drop"): 1, Author("by-hand", "inject"): 1}


def test_known_rules_are_armed_or_not_and_of_the_scopes_asked_for() -> None:
    board = Board(time_scale=0.5)
    board.add(drop(armed=False))
    board.add(Rule.parse({"kind": "refuse", "status": 503}))
    board.add(Rule.parse({"kind": "latency", "latency": "1s"}))
    assert [rule.name for rule in board.known(Scope.FRAME)] == ["drop", "latency"]
    assert [rule.name for rule in board.armed(Scope.FRAME, Scope.HANDSHAKE)] == ["refuse", "latency"]
    assert board.armed(Scope.FRAME)[0].settings()["latency"] == "500ms"  # as it is applied


def test_there_is_a_limit_of_rules() -> None:
    board = Board()
    for number in range(MAX_RULES):
        board.add(drop(f"d{number}", armed=False))
    with pytest.raises(FaultError, match=f"{MAX_RULES} rules already"):
        board.add(drop("one-more"))
    board.remove("d0")
    assert board.add(drop("one-more")).is_armed


def test_a_changed_rule_keeps_its_place_and_counts_and_no_other_ones_name() -> None:
    board = Board()
    board.add(drop("a"))
    board.add(drop("b"))
    board.hit(Author("a", "drop"), 5)
    with pytest.raises(FaultError, match="'b' is taken"):
        board.change("a", drop("b"))
    changed = board.change("a", drop("a", armed=False))
    assert (changed.is_armed, changed.hits, changed.last_ns) == (False, 1, 5)
    assert board.order == ["a", "b"]


def test_only_changes_are_recorded_and_record_puts_all_rules_there() -> None:
    board = Board(seed=3)
    told: list[Event] = []
    board.on_event = told.append

    def rules() -> list[tuple[str | None, bool]]:
        return [(event.rule, event.armed) for event in told if isinstance(event, RuleChanged)]

    board.add(drop("a"))
    board.add(drop("b", armed=False))
    board.arm("a")
    board.disarm("b")
    assert rules() == [("a", True)]
    board.record()
    assert rules() == [("a", True), ("a", True), ("b", False)]


def test_a_preset_extends_what_is_there_under_names_of_its_own() -> None:
    board = Board()
    board.load(load_text("version: 1\nrules:\n  - {name: outage, kind: drop}\n"))
    board.seed = 5
    board.extend(load_text(SCENARIO))
    assert board.order == ["outage", "outage-2", "slow"]
    assert board.seed == 5  # the preset's rules do not change the dice of those that are there
    assert board.scenario is not None
    assert [phase.rules for phase in board.scenario.phases] == [(), (), ("outage-2",), ("slow",)]
    with pytest.raises(FaultError, match="has phases, and so has the scenario"):
        board.extend(load_text(SCENARIO))
    board.extend(load_text("version: 1\nrules:\n  - {kind: drop}\n"))
    assert board.order[-1] == "drop"


def test_a_preset_alone_brings_its_phases_and_one_without_phases_none() -> None:
    board = Board()
    board.extend(load_text("version: 1\nrules:\n  - {kind: drop}\n"))
    before = board.scenario
    assert before is None
    board.extend(load_text(SCENARIO))
    assert board.scenario is not None
    assert len(board.scenario.phases) == 4


def test_phases_begin_once_and_without_phases_nothing_does() -> None:
    board = Board()
    board.start(5)
    assert (board.due, board.phase, board.has_started) == (None, None, False)
    board.load(load_text(SCENARIO))
    board.start(5)
    due = board.due
    board.start(99)
    assert (board.due, board.phase) == (due, 0)


def test_a_rule_that_the_next_phase_needs_too_and_one_armed_from_the_start_stay_armed() -> None:
    board = Board()
    board.load(
        load_text(
            "version: 1\nrules:\n  - {name: a, kind: drop, armed: false}\n  - {name: b, kind: drop}\n"
            "phases:\n  - {for: 1s, rules: [a, b]}\n  - {for: 1s, rules: [a]}\n  - {for: 1s}\n"
        )
    )
    changes: list[tuple[str, bool]] = []
    board.on_change.append(lambda rule, is_armed: changes.append((rule.name, is_armed)))
    board.start(0)
    board.advance(1 * 10**9)
    assert changes == [("a", True)]
    board.advance(2 * 10**9)
    assert changes == [("a", True), ("a", False)]
    entry = board.get("b")
    assert entry is not None
    assert entry.is_armed


def test_a_rule_that_was_taken_away_during_its_phase_is_not_missed() -> None:
    board = Board()
    board.load(load_text(SCENARIO))
    board.start(0)
    board.advance(5 * 10**9)
    board.remove("outage")
    board.advance(13 * 10**9)
    assert board.order == ["slow"]
    assert board.phase == 3


def test_a_seed_of_the_scenario_counts_and_without_one_the_engines_stays() -> None:
    board = Board(seed=9)
    board.load(load_text("version: 1\n"))
    assert board.seed == 9
    board.load(load_text("version: 1\nseed: 4\n"))
    assert board.seed == 4
