"""The table of points names findings and tests that exist, and cells allow no second opinion."""

import re
from pathlib import Path

from tests.support.beside import beside
from tests.support.points import NONE, POINTS, WAYS, page
from wsinspect.findings.registry import all_rules

TESTS = Path(__file__).resolve().parents[2]


def test_the_points_name_findings_and_tests_that_exist():
    known = {rule.id for rule in all_rules()}
    assert [one.number for one in POINTS] == list(range(1, len(POINTS) + 1))
    assert {name for one in POINTS for name in one.ids.split()} - known == set()
    missing = []
    for one in POINTS:
        assert one.tests
        assert len(one.by_way) == len(WAYS)
        for test in (*one.tests, *(way for way in one.by_way if not way.startswith(NONE))):
            file, _, name = test.partition("::")
            text = (TESTS / file).read_text("utf-8")
            if not re.search(rf"^(async )?def {name}\(", text, re.M):
                missing.append(test)
    assert missing == []
    assert len(page().splitlines()) == len(POINTS) + 2


def test_few_points_cannot_be_seen_in_each_way_and_say_why():
    reasons = [way for one in POINTS for way in one.by_way if way.startswith(NONE)]
    assert all(len(reason) > len(NONE) + 10 for reason in reasons)
    assert len(reasons) <= 5
    assert not [one.number for one in POINTS if one.by_way[0].startswith(NONE)]


def test_rows_of_the_table_have_known_points():
    rows = (TESTS / "integration" / "test_findings_three_ways.py").read_text("utf-8")
    numbers = {int(one) for one in re.findall(r"_(?:row|known)\(\s*(\d+),", rows)}
    held = {
        one.number for one in POINTS if any("three_ways.py::test_the_first" in test for test in one.tests)
    }
    assert numbers == held


def test_a_second_opinion_fails():
    first, hop, server = ("WS-HS-009", "client"), ("WS-HS-105", "hop"), ("WS-HS-010", "server")
    assert list(beside([])) == []
    assert list(beside([first])) == []
    assert list(beside([first, hop], [hop])) == []
    assert list(beside([first, hop])) == ["also WS-HS-105 of: hop"]
    assert list(beside([first, hop, server], [hop])) == ["also WS-HS-010 of: server"]
    assert list(beside([first, first], [first])) == ["WS-HS-009 2 times"]
