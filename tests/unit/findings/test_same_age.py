"""Connections that end at one age: whose limit it is cannot be seen with one tap, and both are ranked."""

import pytest

from tests.unit.findings.facts_made import dropped, summary
from wsinspect.findings.facts import CaptureFacts
from wsinspect.findings.registry import diagnose_capture


def test_a_cut_at_one_age_may_be_the_servers_or_a_hops():
    (one,) = diagnose_capture(CaptureFacts(connections=tuple(dropped(n, n * 7, 4) for n in (1, 2, 3))))
    assert (one.id, one.severity, one.fault_of, one.confidence) == ("WS-DROP-008", "error", "hop", "medium")
    assert ["a hop's" in one.causes[0].cause, "server's own" in one.causes[1].cause] == [True, True]


@pytest.mark.parametrize("by", ["server", "client"])
def test_1000_at_one_age_is_nothing(by):
    """A server whose work takes as long each time, or a test that lets each client live as long."""
    ones = tuple(summary(n, 7 * n, 4, ended_by=by) for n in (1, 2, 3))
    assert diagnose_capture(CaptureFacts(connections=ones)) == []
