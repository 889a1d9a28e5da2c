"""What a replay found, in words and as JSON."""

from __future__ import annotations

import pytest

from wsinspect.replay.common.matching import MAX_KEPT, Matcher, Message
from wsinspect.replay.common.report import ConnectionReport, describe, nobody, summary


def played(recorded: list[str], live: list[str]) -> tuple[ConnectionReport, list[str]]:
    """A report of these messages, and the lines that were said meanwhile."""
    report, said = ConnectionReport(3, "ws://a/b", sent=2), list[str]()
    matcher = Matcher(())
    for one in recorded:
        matcher.expect(Message(1, one.encode(), frame=7))
    found = [divergence for one in live for divergence in matcher.take(Message(1, one.encode()))]
    report.keep([*found, *matcher.finish()], lambda one, what: said.extend(describe(one, what)))
    report.close(matcher)
    return report, said


def test_what_went_as_recorded_says_so():
    report, said = played(["a", "b"], ["a", "b"])
    assert (report.is_equal, said) == (True, [])
    assert summary(report) == "connection 3 ws://a/b: as recorded; 2 sent, 2 equal"
    assert report.as_json()["equal"] is True


@pytest.mark.parametrize(
    ("live", "line", "count"),
    [
        (["a"], "connection 3: a recorded message did not come (frame 7)", "1 missing"),
        (["a", "b", "c"], "connection 3: a message came that was not recorded", "1 extra"),
        (["a", "x"], "connection 3: a message differs from the recorded one (frame 7)", "1 different"),
    ],
)
def test_a_divergence_is_said_with_its_frame(live, line, count):
    report, said = played(["a", "b"], live)
    assert said[0] == line
    assert all(one.startswith("    ") for one in said[1:])
    assert not report.is_equal
    assert summary(report).startswith("connection 3 ws://a/b: diverged; ")
    assert count in summary(report)
    assert len(report.as_json()["divergences"]) == 1


def test_a_problem_is_said_and_no_connection_is_equal_with_one():
    report, said = ConnectionReport(3, "/b"), list[str]()
    report.problem("status 403", lambda one, what: said.extend(describe(one, what)))
    assert said == ["connection 3: status 403"]
    assert summary(report) == "connection 3 /b: diverged; 0 sent, no messages"
    assert report.as_json()["problems"] == ["status 403"]


@pytest.mark.parametrize(
    ("live", "words"), [(["a"], "interrupted, as recorded so far"), (["x"], "interrupted, diverged")]
)
def test_what_was_interrupted_is_not_equal_and_says_how_far_it_was(live, words):
    report, _ = played(["a"], live)
    report.is_interrupted = True
    assert not report.is_equal
    assert words in summary(report)


def test_only_the_first_divergences_are_kept_and_all_are_reported():
    report, said = ConnectionReport(3, "/b"), []
    matcher = Matcher(())
    found = [one for n in range(MAX_KEPT + 5) for one in matcher.take(Message(1, b"%d" % n))]
    found += matcher.finish()
    report.keep(found, lambda one, what: said.append(what))
    assert (len(report.divergences), len(said)) == (MAX_KEPT, MAX_KEPT + 5)
    report.keep(found, nobody)
    assert len(report.divergences) == MAX_KEPT
