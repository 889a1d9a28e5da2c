"""Grades tell clients apart for the right reasons; docs/grades.md says what the rubric does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.clients.made import S2C, judged, lost, refused, said, stalled, tried, with_delays
from wsinspect.clients.facts import FATAL_CODES, FATAL_STATUSES, Attempt, Transport
from wsinspect.clients.grading import GRADES, LEAST_TESTED, RUBRIC, Client, Reason

JITTERED = [0.8, 2.3, 3.1, 9.4, 14.2]


def reason(client: Client, key: str) -> Reason:
    return next(one for one in client.grade.reasons if one.key == key)


def test_a_perfect_client():
    talk = {
        801: [
            said(0.1, '{"type":"join"}'),
            said(0.2, '{"ok":1}', S2C),
            said(4.9, '{"id":1}', delivered=False),
        ],
        806: [said(40, '{"type":"join"}'), said(40.1, '{"ok":1}', S2C), said(40.2, '{"id":1}')],
    }
    attempts = with_delays(JITTERED)
    attempts = [lost(0, 5, id=801), *attempts[1:-1], tried(35, id=806)]
    client = judged(attempts, talk=talk)
    assert client.grade.letter == "A"
    assert client.grade.points == client.grade.tested >= 90
    assert not [one for one in client.grade.reasons if one.change]


def test_one_that_storms():
    client = judged(with_delays([0.02] * 60))
    assert client.grade.letter in ("D", "E", "F")
    assert reason(client, "pause").points == 0
    assert reason(client, "backoff").points == 0
    assert reason(client, "jitter").points == 0
    assert reason(client, "pause").attempts


def test_a_naive_timer():
    client = judged(with_delays([2.0] * 8))
    assert client.grade.letter in ("B", "C")
    assert reason(client, "backoff").points == pytest.approx(4.5)
    assert "fixed without jitter" in reason(client, "backoff").seen
    assert reason(client, "returns").points == 25


def test_one_that_gives_up():
    client = judged([lost(0, 5), refused(6), refused(8)], until=100)
    assert client.grade.letter in ("D", "E", "F")
    assert reason(client, "returns").points == 0
    assert "2 tries" in reason(client, "returns").seen


def test_one_that_gives_up_after_a_lasting_answer_is_right():
    client = judged([lost(0, 5), refused(6, 401)], until=100)
    assert reason(client, "returns").points is None
    assert reason(client, "final").points == 10


def test_one_that_is_deaf():
    client = judged([stalled(0, 5, noticed=None, until=80)], until=100)
    assert reason(client, "notices").points == 0
    client = judged([stalled(0, 5, noticed=None)], until=100)
    assert reason(client, "notices").points == 0


def test_a_short_stall_that_nobody_notices_tests_nothing():
    client = judged([stalled(0, 5, noticed=None, until=9)], until=100)
    assert reason(client, "notices").points is None
    assert client.grade.letter is None


def test_a_heartbeat_that_does_not_notice_is_judged_sooner():
    attempts = [stalled(0, 5, noticed=None, id=851, end_ns=tried(17).attempt_ns, ended_by="fault"), tried(18)]
    client = judged(attempts, pings={851: [1, 2, 3, 4]})
    assert reason(client, "notices").points == 0
    assert "although its heartbeat comes every 1 s" in reason(client, "notices").seen


@pytest.mark.parametrize(("noticed", "points"), [(20, 15), (100, 7.5), (400, 0)])
def test_noticing_late(noticed, points):
    assert (
        reason(judged([stalled(0, 5, noticed=noticed), tried(noticed + 1)], until=900), "notices").points
        == points
    )


@pytest.mark.parametrize("status", [401, 403, 404])
def test_trying_in_vain(status):
    client = judged(with_delays([1, 2, 4, 8, 16], status=status))
    assert reason(client, "final").points == 0
    assert reason(judged(with_delays([1, 2, 4, 8, 16])), "final").points is None


@pytest.mark.parametrize("code", [1008, 4401, 4403])
def test_trying_in_vain_after_close_codes(code):
    early = [lost(at, at + 0.2, "server", server_code=code) for at in (6, 8, 10)]
    assert reason(judged([lost(0, 5), *early, tried(12)]), "final").points == 0


def test_retry_after():
    wait: dict[str, Any] = {"retry_after_ns": 3_000_000_000}
    good = judged([lost(0, 5), refused(6, 503, **wait), tried(9.5)])
    assert reason(good, "retry-after").points == 10
    bad = judged([lost(0, 5), refused(6, 503, **wait), tried(7)])
    assert reason(bad, "retry-after").points == 0
    last = judged([lost(0, 5), refused(6, 503, **wait)], until=7)
    assert reason(last, "retry-after").points is None


def test_two_sockets():
    client = judged([lost(0, 5), tried(6), tried(6.2)], until=30)
    assert reason(client, "one-socket").points == 0


@pytest.mark.parametrize("is_answered", [True, False])
def test_subscriptions_that_are_not_sent_again(is_answered):
    talk = {
        861: [said(0.1, '{"type":"join"}'), said(1, '{"n":1}', S2C)],
        862: [said(9, '{"n":2}', S2C)] if is_answered else [],
    }
    client = judged([lost(0, 5, id=861), tried(8, id=862)], talk=talk, until=60)
    assert reason(client, "resumes").points == (None if is_answered else 0)


def test_lost_and_doubled_messages():
    talk = {871: [said(4, '{"id":1}', delivered=False)], 872: []}
    assert reason(judged([lost(0, 5, id=871), tried(8, id=872)], talk=talk), "messages").points == 0
    again = [said(8.1, '{"id":1}')]
    talk = {873: [said(4, '{"id":1}'), said(4.1, '{"ack":true,"id":1}', S2C)], 874: again}
    assert reason(judged([lost(0, 5, id=873), tried(8, id=874)], talk=talk), "messages").points == 5
    # Nobody had told it that the message had arrived: to send it again is right.
    talk = {875: [said(4, '{"id":1}')], 876: again}
    unknown = reason(judged([lost(0, 5, id=875), tried(8, id=876)], talk=talk), "messages")
    assert (unknown.points, unknown.seen) == (None, "1 message sent again that no answer had acknowledged")


@pytest.mark.parametrize("delays", [[0.2, 0.2], [0.2, 0.46], [0.2, 0.2, 0.2, 0.2, 0.2], [1, 2, 4, 8, 16]])
def test_giving_up_is_e_at_best_whatever_a_busy_machine_hides(delays):
    """With delays that are late nothing is said of backoff and jitter; the grade is the same."""
    assert judged(with_delays([*delays, 1])[:-1], until=200).grade.letter == "E"


def test_giving_up_is_enough_for_a_grade_and_never_trying_is_not():
    assert judged([lost(0, 5), refused(6)], until=60).grade.letter == "F"
    assert judged([lost(0, 5)], until=60).grade.letter is None


def test_staying_on_polling_has_not_recovered():
    polled: list[Attempt] = [lost(0, 5), tried(8, id=-4, transport=Transport.POLLING)]
    assert reason(judged(polled), "transport").points == 0


def test_long_delays_and_no_reset():
    assert reason(judged(with_delays([1, 10, 100]), until=200), "cap").points == 2.5
    again = [lost(0, 5), refused(6), refused(8), lost(12.01, 40), refused(48), tried(56)]
    assert "does not reset" in reason(judged(again), "cap").seen


def test_an_undisturbed_client_has_no_grade():
    client = judged([tried(0)])
    assert client.grade.letter is None
    assert not client.measures.is_disturbed


def test_still_trying_is_not_judged():
    assert reason(judged([lost(0, 5), refused(6)], until=8), "returns").points is None


def test_each_reason_that_lost_points_says_what_would_earn_them():
    for attempts in (with_delays([0.02] * 60), with_delays([2.0] * 8), [lost(0, 5), refused(6)]):
        for one in judged(attempts).grade.reasons:
            assert bool(one.change) == (one.points is not None and one.points < one.most)
            assert one.seen


def test_the_page_says_what_the_rubric_does():
    page = (Path(__file__).resolve().parents[3] / "docs" / "grades.md").read_text()
    rows = re.findall(r"^\| `([a-z-]+)` \| ([^|]+) \| (\d+) \|", page, re.M)
    assert [(key, title.strip(), int(points)) for key, title, points in rows] == [
        (one.key, one.title, one.most) for one in RUBRIC
    ]
    for letter, least in GRADES:
        assert f"| {letter} | {least * 100:.0f} |" in page
    assert f"{LEAST_TESTED} points" in page
    [final] = [line for line in page.splitlines() if line.startswith("| `final`")]
    assert {int(one) for one in re.findall(r"\b\d{3,4}\b", final)} == FATAL_STATUSES | FATAL_CODES
