"""What a tap that was blind proves of times and order, and what each rule makes of it."""

from dataclasses import replace

import pytest

from tests.support.journals import need
from tests.unit.findings.facts_made import HELLO, OPEN, SECOND, cut, ended, failed, frame, opened
from tests.unit.findings.pairs_made import HELD, behind, pair, traces
from wsinspect.findings import lag
from wsinspect.findings.facts import C2S, S2C, CaptureFacts, EndFact, PingFact, Summary
from wsinspect.findings.lag import Lag
from wsinspect.findings.registry import diagnose_capture, diagnose_connection, diagnose_pair
from wsinspect.findings.sandwich import compare

MS = 1_000_000
SIDES = (("server", "client"), ("client", "server"))
BLIND = (Lag(1000 * MS, 1400 * MS), Lag(3000 * MS, 3300 * MS))


def at(first, last):
    """A stretch in seconds after the 101."""
    return Lag(OPEN + int(first * SECOND), OPEN + int(last * SECOND))


def test_stretches_that_touch_are_one():
    found = lag.merged([Lag(300, 400), Lag(100, 200), Lag(200, 300), Lag(10**9, 2 * 10**9)])
    assert found == (Lag(100, 400), Lag(10**9, 2 * 10**9))
    assert lag.within(found, 10**9 + 1, 10**9 + 2) == (found[1],)
    assert lag.within(found, 400 + lag.SETTLE_NS, 10**9 - 1) == (found[0],)
    assert lag.within(found, 401 + lag.SETTLE_NS, 10**9 - 1) == ()


@pytest.mark.parametrize(
    ("time", "earliest"),
    [(999, 999), (1000, 1000), (1300, 1000), (1400, 1000), (1450, 1000), (1451, 1451), (2000, 2000)],
)
def test_what_was_read_at_the_end_of_a_stretch_may_have_come_since_its_beginning(time, earliest):
    assert lag.earliest_ns(BLIND, time * MS) == earliest * MS


@pytest.mark.parametrize(
    ("first", "last", "certain", "blur"),
    [
        (0, 500, 500, 0),
        (500, 2000, 1100, 0),  # all of it but the stretch
        (500, 1420, 500, 420),  # read at the end of one: from its beginning on nothing is certain
        (1420, 2000, 580, 420),  # the first of the two may have come earlier: at least so long
        (1420, 3350, 1580, 770),
        (1100, 1300, 0, 400),
    ],
)
def test_what_is_certain_of_the_time_between_two_things(first, last, certain, blur):
    assert lag.certain_ns(BLIND, first * MS, last * MS) == certain * MS
    assert lag.blur_ns(BLIND, first * MS, last * MS) == blur * MS


def test_the_order_of_two_sockets_is_known_unless_both_were_read_after_one_stretch():
    assert lag.is_order_known(BLIND, 900 * MS, 1400 * MS)
    assert not lag.is_order_known(BLIND, 1400 * MS, 1401 * MS)
    assert not lag.is_order_known(BLIND, 1401 * MS, 1400 * MS)
    assert lag.is_order_known(BLIND, 1400 * MS, 3300 * MS)
    assert lag.is_order_known((), 5, 6)


def test_who_owes_an_answer_had_the_time_only_where_the_tap_watched():
    assert lag.has_waited((), 0, 500 * MS, 500 * MS)
    assert not lag.has_waited((), 0, 499 * MS, 500 * MS)
    assert not lag.has_waited(BLIND, 900 * MS, 2500 * MS, 500 * MS)
    assert lag.has_waited(BLIND, 900 * MS, 900 * MS + lag.STARVED_NS + 700 * MS, 500 * MS)
    assert lag.has_waited(BLIND, 1500 * MS, 2500 * MS, 500 * MS)


# -- rules: the same traffic without lag, with it at the end, and with it where it does no harm


def ids(facts):
    return [one.id for one in diagnose_connection(facts)]


def first(facts):
    return diagnose_connection(facts)[0]


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_round_silence_whose_end_was_read_late_is_no_idle_timeout(how):
    facts = cut(*HELLO, at=10.2, how=how)
    assert ids(facts) == ["WS-DROP-002"]
    late = replace(facts, lags=(at(9.7, 10.2),))
    found = first(late)
    assert found.id == ("WS-DROP-005" if how == "rst" else "WS-DROP-006")
    assert any("got no CPU for up to 500 ms" in line for line in found.evidence)
    if how == "fin":
        assert any("an idle timeout" in one.cause for one in found.causes)
    # Long before, or by less than any limit is measured with, it does no harm.
    for harmless in (at(4, 5), at(10.1, 10.25), at(10.4, 11)):
        assert ids(replace(facts, lags=(harmless,))) == ["WS-DROP-002"]


def test_a_lifetime_of_which_the_end_was_read_late_is_no_known_limit():
    talk = [frame(n, S2C, n * 0.9 + n % 2 * 0.3, 1, b"x" * 300) for n in range(1, 33)]
    facts = cut(*talk, at=30.1)
    assert ids(facts) == ["WS-DROP-003"]
    assert ids(replace(facts, lags=(at(29.5, 30.1),))) == ["WS-DROP-006"]
    assert ids(replace(facts, lags=(at(20, 21),))) == ["WS-DROP-003"]


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_an_end_that_was_read_late_is_blamed_on_the_server_with_less_confidence(how):
    """Equal ages of which nobody knows that they are equal: a limit at a hop is as likely as a crash."""
    facts = cut(*HELLO, at=2.57, how=how)
    assert (first(facts).fault_of, first(facts).confidence) == ("server", "high")
    for late in (at(1.2, 2.57), at(2.1, 2.57)):
        found = first(replace(facts, lags=(late,)))
        assert found.id == ("WS-DROP-005" if how == "rst" else "WS-DROP-006")
        assert found.confidence == "medium"
        assert any("a limit" in one.cause or "an idle timeout" in one.cause for one in found.causes)
        assert any("got no CPU" in line for line in found.evidence)
    # Long before the end, or for less than counts.
    for harmless in (at(0.5, 1.2), at(2.4, 2.57)):
        assert first(replace(facts, lags=(harmless,))).confidence == "high"


def test_a_heartbeat_and_an_end_that_was_read_late_are_no_race():
    beats = [frame(n, C2S, n, 1, b"ping") for n in range(1, 11)]
    facts = cut(*beats, at=11.1)
    assert first(facts).id == "WS-KA-002"
    assert first(replace(facts, lags=(at(10.7, 11.1),))).id != "WS-KA-002"
    assert first(replace(facts, lags=(at(7.2, 7.6),))).id == "WS-KA-002"


def one_sided(*lags, wait=0.8):
    close = frame(3, C2S, 1, 8, b"\x03\xe8")
    return cut(
        *HELLO,
        close,
        at=1 + wait,
        by="client",
        how="close-frame",
        ends=(EndFact("client", "fin", OPEN + int((1 + wait) * SECOND)),),
        client_close_code=1000,
        client_close_reason="",
        lags=lags,
    )


def test_a_close_without_an_answer_is_nobody_s_fault_while_the_tap_was_blind():
    assert "WS-CL-031" in ids(one_sided())
    assert "WS-CL-031" not in ids(one_sided(at(1.1, 1.4)))
    assert "WS-CL-031" not in ids(one_sided(at(1.5, 1.8)))
    # Before the CLOSE, or where the wait was long enough for a starved machine.
    assert "WS-CL-031" in ids(one_sided(at(0.2, 0.6)))
    assert "WS-CL-031" in ids(one_sided(at(1.1, 1.4), wait=8))


def unanswered(*lags):
    ping = PingFact(3, S2C, OPEN + SECOND, None, None)
    facts = cut(*HELLO, frame(3, S2C, 1, 9, b""), at=2.4, pings=(ping,))
    return replace(facts, lags=lags)


def test_a_ping_without_a_pong_is_nobody_s_fault_while_the_tap_was_blind():
    assert "WS-KA-001" in ids(unanswered())
    assert "WS-KA-001" not in ids(unanswered(at(1.2, 1.6)))
    assert "WS-KA-001" in ids(unanswered(at(0.2, 0.6)))


def test_a_client_that_gave_up_while_the_tap_was_blind_did_not_wait_for_the_server():
    facts = failed("Client disconnected.", "client", waited=6)
    waits = Lag(facts.attempt_ns + SECOND, need(facts.closed_ns) - SECOND // 2)
    assert (first(facts).id, first(facts).fault_of, first(facts).severity) == ("WS-HS-036", "server", "error")
    (starved,) = diagnose_connection(replace(facts, lags=(waits,)))
    assert (starved.id, starved.fault_of, starved.severity) == ("WS-HS-036", "tool", "warning")
    assert any("this proxy got no CPU for 4.5 s of that" in line for line in starved.evidence)
    # It watched for long enough; or the client would not have waited anyway.
    short = Lag(facts.attempt_ns + SECOND, facts.attempt_ns + 2 * SECOND)
    assert first(replace(facts, lags=(short,))).fault_of == "server"
    left = failed("Client disconnected.", "client", waited=1)
    assert first(replace(left, lags=(Lag(left.attempt_ns, need(left.closed_ns)),))).fault_of == "client"


def test_both_ends_read_at_once_leave_open_who_was_first():
    def ended(*lags):
        ends = tuple(
            EndFact(side, "fin", OPEN + 3200 * MS + n) for n, side in enumerate(("server", "client"))
        )
        return cut(*HELLO, at=3.2, ends=ends, lags=lags)

    sure, unsure = first(ended()), first(ended(at(2.9, 3.2)))
    assert (sure.severity, sure.confidence) == ("error", "low")  # 3 s is round
    assert (unsure.severity, unsure.confidence) == ("warning", "low")
    assert {"the server's side ended it first", "the client's side ended it first"} <= {
        one.cause for one in unsure.causes
    }
    assert first(ended(at(1, 2))) == sure


def summary(number, opened, closed):
    return Summary(
        *(number, "main", "127.0.0.1:5", "ws", "a.test", 80, "/ws", None, OPEN),
        *(OPEN + int(opened * SECOND), OPEN + int(closed * SECOND), "closed", 101, None, "server", "fin"),
        *(None, None, None, 3, 3, 99, False),
    )


def test_ends_that_were_read_at_once_after_a_stretch_are_no_cluster():
    group = tuple(summary(n, n, 20 + n / 100) for n in (1, 2, 3))
    assert [one.id for one in diagnose_capture(CaptureFacts(connections=group))] == ["WS-DROP-004"]
    for lags, expected in (
        ((at(18, 20.0),), []),
        ((at(19.7, 20.02),), []),
        ((at(10, 12),), ["WS-DROP-004"]),
        ((at(20.2, 22),), ["WS-DROP-004"]),
    ):
        found = diagnose_capture(CaptureFacts(connections=group, lags=lags))
        assert [one.id for one in found] == expected


def test_ages_that_are_not_known_well_are_no_common_lifetime():
    group = tuple(summary(n, 7 * n, 7 * n + 10) for n in (1, 2, 3))
    assert [one.id for one in diagnose_capture(CaptureFacts(connections=group))] == ["WS-DROP-008"]
    late = CaptureFacts(connections=group, lags=(at(16.5, 17),))
    assert diagnose_capture(late) == []
    harmless = CaptureFacts(connections=group, lags=(at(12, 12.5),))
    assert [one.id for one in diagnose_capture(harmless)] == ["WS-DROP-008"]


def test_a_hop_is_blamed_less_where_both_sides_may_have_ended_first():
    def closed(*lags):
        ends = [
            tuple(EndFact(side, "fin", OPEN + 3200 * MS + n) for n, side in enumerate(sides))
            for sides in SIDES
        ]
        edge = cut(*HELLO, at=3.2, by="server", ends=ends[0], lags=lags)
        origin = cut(*HELLO, at=3.2, by="client", ends=ends[1], lags=lags)
        return diagnose_pair(pair(edge, behind(origin)))[0]

    sure, unsure = closed(), closed(at(2.9, 3.3))
    assert (sure.id, sure.severity, sure.confidence) == ("WS-DROP-101", "error", "high")
    assert (unsure.id, unsure.severity, unsure.confidence) == ("WS-DROP-101", "warning", "low")
    assert len(unsure.causes) == 3
    assert closed(at(1, 2)) == sure


def test_messages_that_a_blind_tap_gathered_were_not_held_by_the_hop():
    def through(*lags):
        edge = ended(lags=lags)
        return [one.id for one in diagnose_pair(pair(edge, behind(ended()), c2s=HELD))]

    assert through() == ["WS-MS-101"]
    assert through(at(0.1, 1.0)) == []
    assert through(at(2, 3)) == ["WS-MS-101"]


def test_what_went_into_the_hop_while_a_tap_was_blind_is_not_overdue():
    lost = compare(traces(0.1, 0.2), traces(0.1), 0)

    def lives(*lags):
        edge = opened(lags=lags)
        facts = pair(edge, behind(opened()), c2s=lost, now_ns=OPEN + 3 * SECOND)
        return [one.id for one in diagnose_pair(facts)]

    assert lives() == ["WS-MS-102"]
    assert lives(at(0.5, 2.5)) == []


def test_a_close_that_went_into_the_hop_while_a_tap_was_blind_is_not_swallowed():
    """WS-CL-101: that the other side lived on proves nothing for the time in which the tap read nothing."""
    close = frame(3, C2S, 1, 8, b"\x03\xe8")

    def lives(*lags):
        edge = opened(*HELLO, close, client_close_code=1000, client_close_reason="", lags=lags)
        facts = pair(edge, behind(opened(*HELLO)), now_ns=OPEN + 7 * SECOND)
        return [one.id for one in diagnose_pair(facts)]

    assert lives() == ["WS-CL-101"]
    assert lives(at(1.2, 6.5)) == []
    assert lives(at(0.2, 0.6)) == ["WS-CL-101"]


def test_closes_that_two_blind_taps_read_in_any_order_are_not_the_hops_own():
    """Each CLOSE was stamped at the tap next to its sender before it could come to the other one, so no order
    of reading makes the hop the sender."""
    for first_at_edge in ("client", "server"):
        for first_at_origin in ("client", "server"):
            if (first_at_edge, first_at_origin) == ("server", "client"):
                continue  # each CLOSE would have been read before it was sent
            both = {
                "client_close_code": 1000,
                "client_close_reason": "",
                "server_close_code": 1000,
                "server_close_reason": "",
                "lags": (at(0.9, 1.4),),
            }
            edge = cut(*HELLO, at=1.3, by=first_at_edge, how="close-frame", **both)
            origin = cut(*HELLO, at=1.3, by=first_at_origin, how="close-frame", **both)
            assert diagnose_pair(pair(edge, behind(origin))) == []


def test_a_tap_that_was_blind_at_the_beginning_or_the_end_still_saw_a_connection_die_at_once():
    """WS-DROP-001: blind or not, this is the longest that it can have lived."""
    asked = [frame(1, C2S, 0.1, 1, b"hi")]
    sure = first(cut(*asked, at=0.4, frames=(1, 0), sizes=(8, 0)))
    late = first(cut(*asked, at=0.4, frames=(1, 0), sizes=(8, 0), lags=(at(0.2, 0.4),)))
    assert sure.id == late.id == "WS-DROP-001"
    assert sure.confidence == late.confidence == "medium"


def test_a_client_of_which_both_ends_were_read_at_once_is_not_said_to_have_left_for_sure():
    """WS-DROP-007."""

    def left(*lags):
        ends = tuple(
            EndFact(side, "fin", OPEN + 3700 * MS + n) for n, side in enumerate(("client", "server"))
        )
        return first(cut(*HELLO, at=3.7, by="client", ends=ends, lags=lags))

    sure, unsure = left(), left(at(3.4, 3.7))
    assert (sure.id, sure.causes) == ("WS-DROP-007", ())
    assert (unsure.id, unsure.confidence) == ("WS-DROP-007", "low")
    assert "the server's side ended it first" in {one.cause for one in unsure.causes}
    assert left(at(1, 2)) == sure


def test_pings_that_a_blind_tap_kept_back_make_nobody_half_open_or_mute():
    """WS-KA-005 and WS-KA-006."""

    def lost(*lags):
        pings = tuple(PingFact(n, S2C, OPEN + n * SECOND, None, None) for n in (3, 4, 5))
        frames = [frame(n, S2C, n, 9, b"") for n in (3, 4, 5)]
        return ids(opened(*HELLO, *frames, pings=pings, lags=lags))

    assert "WS-KA-005" in lost()
    assert not {"WS-KA-005", "WS-KA-006"} & set(lost(at(1, 4.9)))
    assert "WS-KA-005" in lost(at(5.2, 5.6))

    def mute(*lags):
        ping = PingFact(3, C2S, OPEN + SECOND, None, None)
        return ids(ended(*HELLO, frame(5, S2C, 4.0), at=5, pings=(ping,), lags=lags))

    assert "WS-KA-006" in mute()
    assert "WS-KA-006" not in mute(at(1.1, 3.9))


def test_heartbeats_of_a_busy_machine_are_heartbeats():
    """WS-KA-002: timers of 1.8 s that were late by 0.3 s, before a limit of 2 s; other messages are none."""

    def beats(*times, end):
        return ids(cut(*(frame(n, S2C, at_, 1, b"beat") for n, at_ in enumerate(times, 1)), at=end))

    assert beats(0, 1.8, 3.6, 5.4, end=7.4) == ["WS-KA-002"]
    assert beats(0, 1.8, 3.9, 5.7, end=7.7) == ["WS-KA-002"]
    assert beats(0, 1.8, 4.5, 5.4, end=7.4) != ["WS-KA-002"]
    assert beats(0, 0.3, 0.75, 1.0, end=1.4) != ["WS-KA-002"]


def test_a_close_without_an_answer_is_the_servers_also_where_the_proxy_is_stopped_after_it():
    left = one_sided()
    stopped = EndFact("proxy", "fin", OPEN + 3 * SECOND)
    assert "WS-CL-031" in ids(replace(left, ends=(*left.ends, stopped)))
    # Stopped while the client still waited, or just when it left: nobody knows what would have come.
    early = EndFact("proxy", "fin", OPEN + SECOND + 300_000_000)
    assert "WS-CL-031" not in ids(replace(left, ends=(early, *left.ends)))


@pytest.mark.parametrize(
    ("at", "more", "confidence", "is_ranked"),
    [
        # Two pings and a kill half a second later: heartbeats wait longer.
        (2.0, {}, "low", True),
        (8.0, {}, "medium", False),
        (2.0, {"how": "rst"}, "low", True),
    ],
)
def test_an_end_soon_after_pings_is_a_guess(at, more, confidence, is_ranked):
    pings = tuple(
        PingFact(number, S2C, OPEN + when, None, None) for number, when in ((3, SECOND), (4, SECOND * 3 // 2))
    )
    facts = cut(*HELLO, frame(3, S2C, 1, 9, b""), frame(4, S2C, 1.5, 9, b""), at=at, pings=pings, **more)
    (found,) = [one for one in diagnose_connection(facts) if one.id == "WS-KA-001"]
    assert (found.confidence, bool(found.causes)) == (confidence, is_ranked)
    if is_ranked:
        assert "ended it for another reason" in found.causes[1].cause
