"""Comparing what went into a hop with what came out, and two clocks."""

from dataclasses import replace

import pytest

from tests.unit.findings.facts_made import (
    MS_NS,
    OPEN,
    SECOND,
    START,
    cut,
    ended,
    opened,
    refused,
    request,
    response,
    switching,
)
from tests.unit.findings.pairs_made import GOOD, NO_UPGRADE, behind, pair, traces
from wsinspect.findings.facts import C2S, S2C, Other
from wsinspect.findings.registry import diagnose_pair
from wsinspect.findings.sandwich import Clocks, Through, change_line, clock_difference, compare


def test_nothing_is_found_in_a_healthy_sandwich():
    assert diagnose_pair(GOOD) == []


def test_what_one_tap_said_is_covered():
    edge = refused("426 Upgrade Required")
    (one,) = diagnose_pair(pair(edge, behind(edge, NO_UPGRADE)))
    assert (1, "WS-HS-002") in one.covers
    assert (2, "WS-HS-001") in one.covers


@pytest.mark.parametrize(("sent", "is_told"), [({"Connection": "keep-alive, Upgrade"}, True), ({}, False)])
def test_a_hop_that_lets_another_connection_field_through_says_so(sent, is_told):
    """Apache with `RewriteCond %{HTTP:Connection} ^Upgrade$`; Firefox sends `keep-alive, Upgrade`."""
    came = Other(9, "/chat", START, START, response=switching(), request=request())
    edge = refused("426 Upgrade Required", head=request(**sent), facts={"others": (came,)})
    (one,) = diagnose_pair(pair(edge, behind(edge, NO_UPGRADE)))
    assert one.id == "WS-HS-101"
    assert ("#9 was accepted with another Connection" in one.title) is is_told


def test_lost_and_added_messages_are_counted():
    sent, came = traces(0, 1, 2, 3), traces(0, 1, 2, 3)
    through = compare(sent, [came[0], came[2]._replace(digest=7, id=99), came[3]], 0)
    assert (through.lost_count, through.lost) == (2, (2, 3))
    assert (through.added_count, through.added) == (1, (99,))


@pytest.mark.parametrize(("before_close", "lost"), [(None, (3, 4)), (4, (3, 4)), (3, (3,)), (2, ()), (0, ())])
def test_what_was_sent_behind_a_close_frame_is_not_lost_in_the_hop(before_close, lost):
    """The hop may have had the other side's CLOSE by then, and ended the connection."""
    sent = traces(0, 1, 2, 3)
    through = compare(sent, traces(0, 1), 0, before_close=before_close)
    assert through.lost == lost
    assert (through.lost_count, through.tail, through.sent) == (len(lost), len(lost), 2 + len(lost))
    through = compare(sent, sent, 0, before_close=before_close)  # or not yet: then all of it comes out
    assert (through.sent, through.arrived, through.lost, through.added) == (4, 4, (), ())


def test_times_in_the_hop_are_on_one_clock():
    through = compare(traces(0, 1), traces(5.010, 6.030), 5 * 10**9)
    assert through.delays_ns is not None
    assert through.delays_ns[0] == 10 * MS_NS
    assert through.delays_ns[3] == 30 * MS_NS


@pytest.mark.parametrize("difference", [0, 7_000_000_000, -3_500_000_000])
def test_the_clocks_difference_is_estimated_within_its_error(difference):
    there = [(True, difference + delay * MS_NS) for delay in (3, 5, 40)]
    back = [(False, difference - delay * MS_NS) for delay in (9, 1, 2)]
    clocks = clock_difference([*there, *back])
    assert abs(clocks.difference_ns - difference) <= clocks.error_ns
    assert clocks.error_ns == 2 * MS_NS
    assert not clocks.is_same_clock


@pytest.mark.parametrize(
    ("edge", "origin", "who"),
    [("server", "client", "hop"), ("server", "server", "server"), ("client", "client", "client")],
)
def test_who_closed_is_seen_from_both_taps(edge, origin, who):
    assert pair(cut(by=edge), behind(cut(by=origin))).closed_by == who


LEFT_OPEN = [
    ("the proxy was stopped right after", dict(by="proxy", at=2.001), {}),
    ("the server gave up later", dict(by="server", at=9), {}),
    ("a rule of ours ended it later", dict(by="fault", at=3), {}),
    ("two clocks", dict(by="proxy", at=3), dict(clocks=Clocks(0, SECOND // 2, False))),
]


@pytest.mark.parametrize(
    ("origin", "more"), [one[1:] for one in LEFT_OPEN], ids=[one[0] for one in LEFT_OPEN]
)
def test_what_ended_before_the_hop_while_nothing_had_ended_behind_it_is_the_hop_s(origin, more):
    """A tap passes an end on after it has read it: one from behind would be on record before."""
    one = pair(cut(at=2), behind(cut(**origin)), **more)
    assert one.closed_by == "hop"
    (found,) = diagnose_pair(one)
    assert (found.id, found.fault_of) == ("WS-DROP-101", "hop")
    assert any(line.startswith("behind it: nothing had ended the connection") for line in found.evidence)


@pytest.mark.parametrize(
    ("edge_at", "origin_at", "title"),
    [
        # Envoy ends the client's side a second after the server's: what it counted ended with the first.
        (3.2, 2.2, "The hop closed the connection after 2 s without data from the server"),
        (2.2, 3.2, "The hop closed the connection after 2 s without data from the server"),
        (1.7, 0.7, "The hop closed the connection"),
        (2.25, 2.2, "The hop closed the connection after 2.05 s without data from the server"),
    ],
)
def test_the_silence_that_a_hop_counted_ended_with_the_side_that_it_ended_first(edge_at, origin_at, title):
    one = pair(cut(at=edge_at), behind(cut(at=origin_at, by="client")))
    [found] = [one for one in diagnose_pair(one) if one.severity == "error"]
    assert (found.id, found.title) == ("WS-DROP-101", title)
    apart = any("before the other" in line for line in found.evidence)
    assert apart is (abs(edge_at - origin_at) > 0.5)


def test_a_hop_that_left_the_server_s_side_open_closed_the_client_s():
    one = pair(cut(at=2), behind(opened()), now_ns=OPEN + 5 * SECOND)
    assert [found.id for found in diagnose_pair(one)] == ["WS-DROP-101"]
    assert "after 1.8 s" in diagnose_pair(one)[0].title  # the silence before that end, not what came after it


CLOCKS = dict(clocks=Clocks(0, SECOND // 2, False))
NOT_THE_HOP = [
    ("the server a moment before", cut(at=2), cut(at=1.999), {}),
    ("the server at the same moment", cut(at=2), cut(at=2.02), {}),
    ("the proxy was stopped before", cut(at=2), cut(at=1.999, by="proxy"), {}),
    ("the client", cut(at=2, by="client"), cut(at=3, by="proxy"), {}),
    ("the hop's machine is gone", cut(at=2, how="timeout"), cut(at=3, by="proxy"), {}),
    ("two clocks that are not known so well", cut(at=2), cut(at=2.4, by="proxy"), CLOCKS),
    ("the rest is not on record", cut(at=2), cut(at=3, by="proxy", has_lost_records=True), {}),
    ("the engine died", cut(at=2), replace(opened(), state="lost"), {}),
]


@pytest.mark.parametrize(
    ("edge", "origin", "more"), [one[1:] for one in NOT_THE_HOP], ids=[one[0] for one in NOT_THE_HOP]
)
def test_no_hop_is_blamed_for_an_end_that_may_be_another_s(edge, origin, more):
    one = pair(edge, behind(origin), **more)
    assert one.closed_by != "hop"
    assert "hop" not in [found.fault_of for found in diagnose_pair(one) if found.severity == "error"]


def test_an_open_connection_was_closed_by_nobody():
    assert pair(ended(), None).closed_by is None


def test_the_object_has_what_the_hop_changed_and_what_became_of_messages():
    edge = refused("403 Forbidden")
    came = request(X_Via="proxy", without=("Upgrade",)).replace(b"Host: ", b"host: ")
    through = compare(traces(0, 1), traces(0.5, 1.5), 0)
    made = pair(edge, behind(edge, came), c2s=through, clocks=Clocks(5, 1, False)).as_json()
    assert made["clock"] == {"difference_ns": 5, "error_ns": 1, "same_clock": False}
    assert made["http_version"] == {"into": "HTTP/1.1", "out": "HTTP/1.1"}
    assert [(one["kind"], one["before"], one["after"]) for one in made["request_changes"]] == [
        ("removed", "Upgrade: websocket", None),
        ("added", None, "X-Via: proxy"),
    ]  # another letter case of a name is none
    assert (made["answered_by"], made["joined_by"], made["s2c"]) == ("origin", "key", None)
    assert (made["c2s"]["sent"], made["c2s"]["lost"], made["c2s"]["controls"]) == (
        *(2, []),
        {"sent": 0, "arrived": 0},
    )
    assert made["c2s"]["delays_ns"]["min_ns"] == 500_000_000
    assert "tail_ns" not in made["c2s"]
    assert Through().as_json()["delays_ns"] is None


def test_where_nothing_arrived_the_hop_answered():
    made = pair(refused("502 Bad Gateway"), None).as_json()
    assert (made["answered_by"], made["origin"], made["request_changes"]) == ("hop", None, [])
    assert made["http_version"]["out"] is None
    assert not pair(refused("502 Bad Gateway"), None).is_answered_early


def test_a_response_is_compared_with_what_the_origins_tap_sent_on():
    edge = refused("403 Forbidden", Server="nginx")
    origin = replace(
        behind(edge), raw_response_in=response("403 Forbidden", Server="app"), raw_response_out=None
    )
    (change,) = pair(edge, origin).response_changes
    assert change_line(change) == "changed  Server: app  ->  Server: nginx"
    added, removed = (
        pair(edge, replace(origin, raw_response_in=head)).response_changes
        for head in (response("403 Forbidden"), response("403 Forbidden", Server="nginx", X_A="1"))
    )
    assert [change_line(one) for one in (*added, *removed)] == ["added    Server: nginx", "removed  X-A: 1"]


def test_an_answer_is_early_by_the_clock_of_the_edge():
    edge = refused("502 Bad Gateway", facts={"times": {"response_in_ns": 1_000}})
    late = replace(behind(edge), times={"response_in_ns": 2_000})
    assert pair(edge, late).is_answered_early
    assert not pair(edge, late, clocks=Clocks(1_500, 0, False)).is_answered_early
    assert not pair(edge, replace(late, times={})).is_answered_early


def test_how_long_the_other_side_lived_is_known_only_where_there_is_one():
    sent = OPEN + SECOND
    open_pair = pair(opened(), behind(opened()), now_ns=OPEN + 5 * SECOND)
    assert open_pair.lived_after_ns(C2S, sent) == 4 * SECOND
    assert pair(cut(at=3.0), behind(cut(at=3.0))).lived_after_ns(S2C, sent) == 2 * SECOND
    assert pair(opened(), behind(opened())).lived_after_ns(C2S, sent) == 0
    assert pair(opened(), None).lived_after_ns(C2S, sent) == 0


def test_samples_of_one_way_alone_give_no_bound():
    assert clock_difference([(True, 7), (True, 9)]) == Clocks(7, 7, False)
    assert clock_difference([(False, -7), (False, -9)]) == Clocks(-7, 7, False)
    assert clock_difference([]) == Clocks(0, 0, False)


@pytest.mark.parametrize(
    ("changed", "name"),
    [({}, "the hop between edge and origin"), ({"origin": None}, "the hop behind edge"),
     ({"origin": None, "behind": "app"}, "the hop between edge and app")],
)  # fmt: skip
def test_a_hop_is_named_by_the_taps_around_it(changed, name):
    assert replace(GOOD, **changed).name == name
