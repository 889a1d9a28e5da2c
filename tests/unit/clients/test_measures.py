"""Outages, and what is measured of each: the facts that grades and expectations stand on."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.clients.made import (
    S2C,
    digest,
    facts_of,
    judged,
    lost,
    ns,
    refused,
    said,
    stalled,
    tried,
    with_delays,
)
from wsinspect.clients.facts import Attempt, Block, Stall, Transport
from wsinspect.clients.joining import join
from wsinspect.clients.measures import OutageMeasures, SessionMeasures
from wsinspect.clients.outages import Cause, Ending
from wsinspect.present.cells import text_of
from wsinspect.present.clients import story_of


def measured(*attempts: Attempt, **options) -> SessionMeasures:
    return judged(attempts, **options).measures


def outage(*attempts: Attempt, **options) -> OutageMeasures:
    [one] = measured(*attempts, **options).outages
    return one


def test_lost_tried_again_and_resumed():
    one = outage(lost(0, 5), refused(6), tried(8), until=20).outage
    assert (one.cause, one.rule, one.ending) == (Cause.FAULT, "cut", Ending.RESUMED)
    assert [round(delay / 1e9, 3) for delay in one.delays] == [1.0, 1.995]
    assert one.notice_ns == 0
    assert one.resumed is not None
    assert one.reconnect_ns == ns(8.01) - ns(6.005)


@pytest.mark.parametrize(
    ("by", "cause"),
    [
        ("server", Cause.SERVER),
        ("fault", Cause.FAULT),
        ("proxy", Cause.PROXY),
        ("client", Cause.CLIENT),
        ("unknown", Cause.UNKNOWN),
        ("both", Cause.SERVER),
        (None, Cause.UNKNOWN),
    ],
)
def test_by_whom(by, cause):
    assert outage(lost(0, 5, by), tried(7)).outage.cause == cause


def test_a_client_that_closes_and_stays_away_has_left():
    for code in (1000, 1001, None):
        assert not measured(lost(0, 5, "client", client_code=code)).outages
    assert not measured(lost(0, 5, "client", client_code=1000), tried(7)).outages
    assert not measured(lost(0, 5, "client", how="close-frame"), tried(7)).outages
    assert measured(lost(0, 5, "client", client_code=4000, how="close-frame"), tried(7)).outages


@pytest.mark.parametrize(("code", "is_outage"), [(1000, False), (None, False), (1001, True), (1012, True)])
def test_a_server_that_is_done_is_no_outage_and_one_that_goes_away_is(code, is_outage):
    codes: dict[str, Any] = {"client_code": code, "server_code": code, "how": "close-frame"}
    assert bool(measured(lost(0, 5, "server", **codes), tried(7)).outages) is is_outage


def test_a_first_attempt_that_fails_is_an_outage_from_the_start():
    one = outage(refused(0, by="server"), refused(1, by="server"), tried(3)).outage
    assert one.cause == Cause.START
    assert one.lost is None
    assert [round(delay / 1e9, 3) for delay in one.delays] == [0.995, 1.995]


def test_opened_and_ended_at_once_is_a_failed_try():
    early = lost(6, 6.2, "server", server_code=4401)
    one = outage(lost(0, 5), early, tried(8)).outage
    assert one.failures == [early]
    assert early.answer == "101, then 4401"


def test_half_open_and_noticed_by_its_own_close():
    found = outage(stalled(0, 5, noticed=12, id=901), tried(14), pings={901: [1, 3, 5]})
    assert found.outage.is_half_open
    assert found.outage.notice_ns == ns(12) - ns(5)
    assert found.heartbeat_ns == 2_000_000_000
    assert [round(delay / 1e9) for delay in found.outage.delays] == [2]


def test_half_open_and_noticed_by_another_attempt():
    one = outage(stalled(0, 5, noticed=None), tried(14)).outage
    assert one.notice_ns == ns(14) - ns(5)
    assert one.ending == Ending.RESUMED


def test_half_open_and_never_noticed():
    one = outage(stalled(0, 5, noticed=None), until=90).outage
    assert one.ending == Ending.UNNOTICED
    assert one.silent_ns == ns(90) - ns(5)


def test_a_stall_that_was_sat_out_is_kept_and_no_outage():
    found = measured(stalled(0, 5, noticed=None, until=9), until=90)
    assert not found.outages
    assert [stall.rule for _, stall in found.unnoticed] == ["hole"]
    assert found.is_disturbed


@pytest.mark.parametrize(("until", "ending"), [(16, Ending.TRYING), (60, Ending.GAVE_UP)])
def test_giving_up_needs_a_long_silence(until, ending):
    assert outage(lost(0, 5), refused(6), until=until).outage.ending == ending


@pytest.mark.parametrize(
    ("attempts", "until", "words"),
    [
        ((refused(6),), 6.005, ""),
        ((refused(6),), 6.9, ""),
        ((refused(6),), 18.005, "no try in the last 12 s"),
        ((tried(6, open_ns=None, end_ns=None, state="connecting"),), 18, ""),
    ],
    ids=["just ended", "a moment ago", "silent", "under way"],
)
def test_a_silence_is_named_only_where_there_is_one(attempts, until, words):
    client = judged((lost(0, 5), *attempts), until=until)
    [found] = client.measures.outages
    assert found.outage.silence_words == words
    told = [text_of(one.line) for one in story_of(client, 8)]
    assert told[-1].endswith(words or "still trying")


def test_after_long_delays_a_longer_silence():
    attempts = (lost(0, 5), refused(25), refused(65))
    assert outage(*attempts, until=100).outage.ending == Ending.TRYING
    assert outage(*attempts, until=190).outage.ending == Ending.GAVE_UP


def test_an_outage_is_over_when_the_rule_that_kept_clients_out_is_disarmed():
    blocks = [Block(ns(5), ns(9), "outage")]
    one = outage(lost(0, 5), refused(6), tried(12), blocks=blocks).outage
    assert one.over_ns == ns(9)
    assert one.reconnect_ns == ns(12.01) - ns(9)


def test_an_attempt_that_was_held_succeeds_when_the_outage_is_over():
    """`hang` answers nothing until its rule is gone, and then at once."""
    one = outage(lost(0, 5), tried(6, open_ns=ns(11.2)), blocks=[Block(ns(5), ns(11), "mute")]).outage
    assert one.over_ns == ns(11)
    assert one.reconnect_ns == ns(11.2) - ns(11)


def test_a_rule_that_does_not_keep_this_client_out_does_not_count():
    one = outage(lost(0, 5), tried(6), blocks=[Block(ns(4), ns(50), "others")]).outage
    assert one.over_ns == ns(5)


def test_two_outages_are_two():
    found = measured(lost(0, 5), refused(6), lost(7, 20), tried(21))
    assert [len(one.outage.tries) for one in found.outages] == [2, 1]


def test_a_try_that_overlaps_waits_from_the_beginning_of_the_one_before():
    hung: dict[str, Any] = {"open_ns": None, "end_ns": ns(30), "closed_ns": ns(30), "state": "failed"}
    one = outage(lost(0, 5), tried(6, **hung), tried(9, **hung), tried(12)).outage
    assert [round(delay / 1e9) for delay in one.delays] == [1, 3, 3]


def test_what_is_sent_again():
    talk = {
        911: [said(0.1, '{"type":"hello","n":1}'), said(0.2, '{"type":"join","room":7}'), said(1, "hi", S2C)],
        912: [said(8.1, '{"type":"hello","n":2}'), said(8.5, "hi", S2C)],
    }
    found = outage(lost(0, 5, id=911), tried(8, id=912), talk=talk)
    assert found.resumption is not None
    assert len(found.resumption.setup) == 2
    assert [one.data for one in found.resumption.repeated] == [talk[911][0].data]
    assert not found.resumption.has_token
    assert found.outage.works_ns == ns(8.5)
    assert found.bytes_until_works == len(talk[912][0].data) + 2


@pytest.mark.parametrize("where", ["message", "url"])
def test_a_token_that_is_handed_back(where):
    talk = {921: [said(0.1, '{"session":"s-12345678"}', S2C)], 922: []}
    tokens = frozenset({digest("s-12345678")}) if where == "url" else frozenset()
    if where == "message":
        talk[922] = [said(8.1, '{"op":"resume","session":"s-12345678"}')]
    found = outage(lost(0, 5, id=921), tried(8, id=922, tokens=tokens), talk=talk)
    assert found.resumption is not None
    assert found.resumption.has_token


def test_messages_lost_and_sent_again():
    talk = {
        931: [said(4, '{"id":"a","text":"1"}', delivered=False), said(4.5, '{"id":"b"}', delivered=False)],
        932: [said(8.1, '{"id":"a","text":"1"}')],
    }
    found = outage(lost(0, 5, id=931), tried(8, id=932), talk=talk)
    gap = found.gaps[0]
    assert [one.data for one in gap.undelivered] == [one.data for one in talk[931]]
    assert [one.data for one in gap.lost] == [b'{"id":"b"}']
    assert not gap.doubled


def test_a_delivered_message_that_is_sent_again_is_doubled_where_an_id_shows_it():
    talk = {
        941: [said(3, '{"id":"a","text":"1"}'), said(3.5, "plain")],
        942: [said(8.1, '{"id":"a","text":"1"}'), said(8.2, "plain")],
    }
    gap = outage(lost(0, 5, id=941), tried(8, id=942), talk=talk).gaps[0]
    assert [one.data for one in gap.doubled] == [b'{"id":"a","text":"1"}']


def test_what_the_server_says_after_its_client_has_gone_is_not_delivered():
    talk = {951: [said(13, '{"id":"late"}', S2C)], 952: []}
    found = outage(stalled(0, 5, noticed=12, id=951), tried(14, id=952), talk=talk)
    assert [one.data for one in found.gaps[1].lost] == [b'{"id":"late"}']


def test_tries_in_vain_and_too_early():
    wait: dict[str, Any] = {"retry_after_ns": 3_000_000_000}
    found = outage(lost(0, 5), refused(6, 401), refused(7, 503, **wait), tried(9))
    assert [(before.answer, one.answer) for before, one in found.in_vain] == [("401", "503")]
    assert [round(early / 1e9, 3) for _, early in found.hurried] == [1.005]
    assert not outage(lost(0, 5), refused(7, 503, **wait), tried(10.01)).hurried


def test_two_sockets_at_once():
    found = measured(lost(0, 5, id=961), tried(6, id=962), tried(6.2, id=963), until=30)
    assert [(a.id, b.id) for a, b in found.overlaps] == [(962, 963)]


def test_one_that_goes_while_the_other_comes_is_no_second_socket():
    assert not measured(lost(0, 5), lost(6, 6.9, "client"), tried(6.2), until=30).overlaps


def test_the_worst_minute():
    found = measured(*with_delays([0.5] * 20), until=60)
    assert found.worst.tries == 20
    assert found.worst.per_minute == pytest.approx(119, abs=2)
    assert measured(*with_delays([10] * 5), until=90).worst.per_minute == 5


def test_reset_after_success():
    again = [lost(0, 5), refused(6), refused(8), lost(12.01, 40)]
    assert measured(*again, refused(41), tried(43)).resets is True
    assert measured(*again, refused(48), tried(56)).resets is False
    assert measured(lost(0, 5), tried(6)).resets is None


def test_transport_at_the_end():
    polled = tried(8, id=-3, transport=Transport.POLLING)
    assert measured(lost(0, 5, sid=digest("x")), polled).transport == Transport.POLLING
    assert measured(lost(0, 5), tried(8)).transport == Transport.WEBSOCKET


def test_equal_delays_in_two_outages_have_no_jitter():
    def made(first: float, second: float) -> list[Attempt]:
        return [lost(0, 5), refused(6), lost(8, 30), refused(30 + first), tried(30.005 + first + second)]

    assert measured(*made(1, 1.995)).has_jitter is False
    assert measured(*made(0.7, 2.4)).has_jitter is None  # two are too few to say that they vary


def test_a_few_late_delays_in_two_outages_are_no_jitter():
    """As a machine with ten busy processes had them: 500 ms, 1 s, 2 s, 4 s without jitter."""

    def made(*rows: Sequence[float]) -> list[Attempt]:
        attempts, at = [lost(0, 5)], 5.0
        for row in rows:
            for delay in row[:-1]:
                at += delay
                attempts.append(refused(at))
                at += 0.005
            at += row[-1]
            attempts.append(lost(at, at + 20) if row is not rows[-1] else tried(at))
            at += 20
        return attempts

    assert measured(*made((0.557, 1.1, 2.03, 4.01), (0.52, 1.01, 2.01))).has_jitter is not True
    assert measured(*made((0.557, 0.8, 2.63, 3.01), (0.32, 1.31, 1.71))).has_jitter is True


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_thousands_of_clients_in_a_simulated_clock(count):
    """A server restarts; those with jitter come back spread out, those without all at once."""
    chance = random.Random(5)
    peaks = {}
    for has_jitter in (False, True):
        made = []
        for number in range(count):
            key: dict[str, Any] = {"parts": {"cookie sid": digest(str(number))}}
            made.append(lost(number / count, 30, "server", how="fin", **key))
            at, delay = 30.0, 1.0
            while at < 36:  # the server is back then
                at += delay * (chance.uniform(0.5, 1.5) if has_jitter else 1)
                made.append(refused(at, by="server", **key) if at < 36 else tried(at, **key))
                delay *= 2
        facts = facts_of(made, until=80)
        sessions = join(facts.attempts)
        assert len(sessions) == count
        assert {len(one.connections) for one in sessions} == {2}
        backs = [one.connections[-1].attempt_ns for one in sessions]
        peaks[has_jitter] = max(Counter(back // 10**8 for back in backs).values())
    assert peaks[False] == count
    assert peaks[True] < count / 10


def test_opened_and_half_open_from_the_beginning_is_a_failed_try():
    still = stalled(14, 14.02, noticed=16)
    one = outage(stalled(0, 5, noticed=12), still, tried(18)).outage
    assert one.failures == [still]
    assert still.answer == "101, then silence"
    assert [round(delay / 1e9) for delay in one.delays] == [2, 2]


@pytest.mark.parametrize("by", ["proxy", "unknown"])
def test_the_end_of_the_recording_is_no_outage(by):
    assert not measured(lost(0, 5, by)).outages


def points(made: Sequence[Attempt], key: str, **options: Any) -> float | None:
    return next(one.points for one in judged(made, **options).grade.reasons if one.key == key)


seconds = st.floats(0.001, 400).map(lambda value: round(value, 3))


@given(begun=st.floats(0.5, 500), took=seconds, closes=st.booleans(), beat=st.floats(0.2, 30))
def test_who_acts_on_a_half_open_connection_has_noticed_it_then(begun, took, closes, beat):
    """By its own CLOSE, or by another attempt beside the dead one; the sooner the better."""
    at = round(begun + took, 3)
    beats = [begun - 4 * beat + beat * nth for nth in range(4)]
    made = [stalled(0, begun, noticed=at if closes else None, id=981), tried(at + (0.5 if closes else 0))]
    options: dict[str, Any] = {"until": at + 5, "pings": {981: [one for one in beats if one > 0]}}
    one = outage(*made, **options)
    assert one.outage.cause == Cause.STALL
    assert one.outage.notice_ns == ns(at) - ns(begun)
    assert one.outage.ending == Ending.RESUMED
    expected = 15 if took <= 59.9 else 7.5 if 60.1 <= took <= 299.9 else 0 if took >= 300.1 else None
    if expected is not None:
        assert points(made, "notices", **options) == expected


@given(
    took=st.floats(0.05, 20),
    stillborn=st.lists(st.tuples(st.floats(0.1, 8), st.floats(0.05, 20)), max_size=5),
    late=st.floats(0, 0.09),
    ends=st.booleans(),
)
def test_tries_into_the_hole_are_one_outage_and_each_is_noticed(took, stillborn, late, ends):
    """A perfect client before a network that is gone: connections open, say nothing, and are given up."""
    over = 5 + took + sum(delay + 0.2 + patience for delay, patience in stillborn) + 0.5 if ends else None
    made = [stalled(0, 5, noticed=5 + took, until=over)]
    at = 5 + took
    for delay, patience in stillborn:
        at += delay
        open_ns = ns(at) + 10_000_000
        hole = Stall(open_ns + int(late * 1e9), None if over is None else ns(over), "hole")
        gone = {"close_ns": ns(at + 0.2 + patience), "end_ns": ns(at + 0.2 + patience), "ended_by": "client"}
        made.append(tried(at, open_ns=open_ns, stalls=(hole,), client_code=1011, how="close-frame", **gone))
        at += 0.2 + patience
    made.append(tried(at + 1))
    found = outage(*made, until=at + 20)
    assert len(found.outage.failures) == len(stillborn)
    assert found.outage.ending == Ending.RESUMED
    assert found.outage.resumed is made[-1]
    assert not measured(*made, until=at + 20).unnoticed
    assert points(made, "notices", until=at + 20) == 15
    assert points(made, "returns", until=at + 20) == 25
    assert points(made, "one-socket", until=at + 20) == 10


@given(begun=st.floats(1, 100), sat=st.floats(0.01, 55), later=st.floats(0.001, 100))
def test_a_hole_that_is_over_before_anybody_could_notice_blames_nobody(begun, sat, later):
    made = [stalled(0, begun, noticed=None, until=begun + sat)]
    found = measured(*made, until=begun + sat + later)
    assert not found.outages
    assert points(made, "notices", until=begun + sat + later) is None


@given(begun=st.floats(1, 100), took=st.floats(0.01, 50))
def test_the_end_of_the_transport_is_not_the_clients_own_notice(begun, took):
    """The other side, or a fault, ended the half-open connection: every client sees that."""
    ends: dict[str, Any] = {
        "end_ns": ns(begun + took),
        "closed_ns": ns(begun + took),
        "ended_by": "server",
        "how": "rst",
    }
    made = [stalled(0, begun, noticed=None, **ends), tried(begun + took + 1)]
    assert outage(*made, until=200).outage.notice_ns == ns(begun + took) - ns(begun)
    assert points(made, "notices", until=200) is None
