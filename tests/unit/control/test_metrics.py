"""The metrics are text that Prometheus reads, and say what is there."""

from __future__ import annotations

import pytest

from tests.support.prometheus import read_metrics
from wsinspect.control.metrics import metrics_text
from wsinspect.faults.board import Board
from wsinspect.faults.rule import Author, Rule

TOTALS = {
    "connections": [("open", 2, 10, 20, 100, 200), ("refused", 1, None, None, None, None)],
    "findings": [("error", 3), ("note", 1)],
    "lag_bytes": 40,
}


def text(board: Board) -> str:
    return metrics_text(TOTALS, {"connections_open": 2}, board, 2)


def test_everything_is_counted() -> None:
    board = Board()
    board.add(Rule.parse({"kind": "drop", "name": "lost"}))
    board.add(Rule.parse({"kind": "latency", "latency": "1s", "armed": False}))
    board.hit(Author("lost", "drop"), 1)
    board.hit(Author("phase-abort", "abort"), 2)
    found = {
        (name, tuple(sorted(labels))): value for (name, labels), value in read_metrics(text(board)).items()
    }
    prefix = "wsinspect_"
    assert {(name.removeprefix(prefix), labels): value for (name, labels), value in found.items()} == {
        ("connections_open", ()): 2,
        ("connections_total", ()): 3,
        ("connections", (("state", "open"),)): 2,
        ("connections", (("state", "refused"),)): 1,
        ("frames_total", (("direction", "c2s"),)): 10,
        ("frames_total", (("direction", "s2c"),)): 20,
        ("bytes_total", (("direction", "c2s"),)): 100,
        ("bytes_total", (("direction", "s2c"),)): 200,
        ("faults_total", (("kind", "drop"), ("rule", "lost"))): 1,
        ("faults_total", (("kind", "latency"), ("rule", "latency"))): 0,
        ("faults_total", (("kind", "abort"), ("rule", "phase-abort"))): 1,
        ("faults_armed", ()): 1,
        ("findings_total", (("severity", "error"),)): 3,
        ("findings_total", (("severity", "note"),)): 1,
        ("recorder_lag_bytes", ()): 42,
    }


def test_a_counter_does_not_go_back_when_its_rule_is_taken_away() -> None:
    board = Board()
    board.add(Rule.parse({"kind": "drop"}))
    board.hit(Author("drop", "drop"), 1)
    board.reset()
    key = ("wsinspect_faults_total", frozenset({("rule", "drop"), ("kind", "drop")}))
    assert read_metrics(text(board))[key] == 1


@pytest.mark.parametrize("line", ["a b", 'a{x="1} 2', "a{x=1} 2", "a 1 2 3", ""])
def test_the_reader_of_this_test_is_strict(line: str) -> None:
    with pytest.raises(AssertionError):
        read_metrics(f"# HELP a x\n# TYPE a gauge\n{line}\n")
