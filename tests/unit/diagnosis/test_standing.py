"""What stands after looks at more and more: said once, withdrawn, and said again."""

from dataclasses import replace

from tests.unit.findings.facts_made import refused
from wsinspect.diagnosis import standing
from wsinspect.diagnosis.standing import Standing, place_of
from wsinspect.findings.registry import diagnose_connection

(FOUND, *_) = diagnose_connection(refused("500 Internal Server Error"))


def finding(number, rule="WS-A-001", *covers, evidence="it"):
    return replace(FOUND, id=rule, connection=number, covers=covers, evidence=(evidence,))


def stands(one, *places):
    return {place: [found.evidence[0] for found in one.at(place)] for place in places}


def test_a_judgement_takes_the_place_of_the_one_before():
    said = Standing()
    early, late = finding(1), finding(1, "WS-A-002")
    assert said.judge({1}, [early]) == set()
    assert said.take_touched() == {place_of(early)}
    said.judge({1}, [late])
    assert said.take_touched() == {place_of(early), place_of(late)}
    assert said.at(place_of(early)) == []
    assert said.at(place_of(late)) == [late]
    said.judge({1}, [])
    assert said.at(place_of(late)) == []
    assert not said.knows(1)


def test_what_was_explained_comes_back_when_the_explanation_does_not_hold_any_more():
    said = Standing()
    explained = finding(2)
    said.judge({2}, [explained])
    said.judge_capture([finding(1, "WS-A-004", (2, "WS-A-001"), (3, "WS-A-001"))], 0)
    said.take_touched()
    assert said.at((2, "WS-A-001")) == []
    # Judged again meanwhile it stays explained.
    said.judge({2}, [explained])
    assert said.at((2, "WS-A-001")) == []
    said.judge_capture([], 0)
    assert said.at((2, "WS-A-001")) == [explained]
    assert (2, "WS-A-001") in said.take_touched()
    assert said.at((1, "WS-A-004")) == []


def test_connections_that_were_judged_together_are_judged_again_when_they_part():
    said = Standing()
    said.judge({1, 2, 3}, [finding(1), finding(3)])
    assert said.judge({1, 2}, [finding(1)]) == {3}
    assert said.at((3, "WS-A-001")) == []
    assert said.knows(2)
    assert not said.knows(3)


def test_a_look_at_the_newest_says_nothing_of_those_before():
    said = Standing()
    said.judge_capture([finding(1, "WS-A-004"), finding(7, "WS-A-004"), finding(None, "WS-PAGE-001")], 0)
    said.judge_capture([], oldest=5)
    assert [len(said.at(place)) for place in ((1, "WS-A-004"), (7, "WS-A-004"), (None, "WS-PAGE-001"))] == [
        1,
        0,
        1,
    ]


def test_a_series_has_the_name_that_it_has_now():
    said = Standing()
    first, later = finding(2, "WS-RC-001"), finding(1, "WS-RC-001")
    said.judge_capture([first], 0)
    said.judge_capture([later], 0)
    assert said.at((2, "WS-RC-001")) == []
    assert said.at((1, "WS-RC-001")) == [later]


def test_a_series_keeps_its_name_where_its_beginning_is_no_longer_looked_at():
    said = Standing()
    first, later = finding(1, "WS-RC-001"), finding(700, "WS-RC-001")
    said.judge_capture([first], 0)
    said.judge_capture([later], 500)
    assert said.at((1, "WS-RC-001")) == [first]
    assert said.at((700, "WS-RC-001")) == []


def test_a_series_that_grows_hides_no_other_one():
    said = Standing()
    first = finding(5, "WS-RC-001")
    said.judge_capture([first], 0)
    other, grown = finding(2, "WS-RC-001"), replace(first, evidence=(*first.evidence, "more"))
    said.judge_capture([other, grown], 0)
    assert said.at((2, "WS-RC-001")) == [other]
    assert said.at((5, "WS-RC-001")) == [grown]


def test_pages_are_told_apart_by_their_evidence():
    said = Standing()
    pages = [finding(None, "WS-PAGE-001", evidence=page) for page in ("a", "b", "a")]
    said.judge_capture(pages, 0)
    assert [one.evidence for one in said.at((None, "WS-PAGE-001"))] == [("a",), ("b",)]


def test_what_is_forgotten_stays_as_it_was_written(monkeypatch):
    monkeypatch.setattr(standing, "KEPT", 3)
    said = Standing()
    said.judge_capture([finding(1, "WS-A-004")], 0)
    for number in range(1, 9):
        said.judge({number}, [finding(number, "WS-A-001", (number, "WS-A-009"))])
        assert (number, "WS-A-001") in said.take_touched()
    assert not said.knows(1)
    assert said.knows(8)
    assert len(said._judgements) == 3
    assert len(said._by_place) == 3
    assert not said._covered[1, "WS-A-009"]
    assert said.at((1, "WS-A-004"))


def test_two_findings_of_one_rule_about_the_capture_are_judged_again():
    said = Standing()
    hosts = [finding(None, evidence="one host"), finding(None, evidence="another host")]
    for _ in range(3):
        said.judge_capture(hosts, 0)
        assert said.at(place_of(hosts[0])) == hosts
    hosts = [finding(None, evidence="a third host"), *hosts]
    said.judge_capture(hosts, 0)
    assert said.at(place_of(hosts[0])) == hosts, "none takes the place of one that stays"
