"""Comparing what went into a hop with what came out, and two clocks."""

import pytest

from tests.unit.findings.facts_made import MS_NS, cut, ended, refused
from tests.unit.findings.pairs_made import GOOD, NO_UPGRADE, behind, pair, traces
from wsinspect.findings.registry import diagnose_pair
from wsinspect.findings.sandwich import clock_difference, compare


def test_nothing_is_found_in_a_healthy_sandwich():
    assert diagnose_pair(GOOD) == []


def test_what_one_tap_said_is_covered():
    edge = refused("426 Upgrade Required")
    (one,) = diagnose_pair(pair(edge, behind(edge, NO_UPGRADE)))
    assert (1, "WS-HS-002") in one.covers
    assert (2, "WS-HS-001") in one.covers


def test_lost_and_added_messages_are_counted():
    sent, came = traces(0, 1, 2, 3), traces(0, 1, 2, 3)
    through = compare(sent, [came[0], came[2]._replace(digest=7, id=99), came[3]], 0)
    assert (through.lost_count, through.lost) == (2, (2, 3))
    assert (through.added_count, through.added) == (1, (99,))


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


def test_an_open_connection_was_closed_by_nobody():
    assert pair(ended(), None).closed_by is None
