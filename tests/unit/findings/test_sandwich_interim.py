"""A 101 behind another 1xx response that a hop does not take: named as a cause, where there was one."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.findings.facts_made import ended, refused
from tests.unit.findings.pairs_made import behind, pair
from wsinspect.findings.registry import diagnose_pair

HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"


def test_an_interim_response_is_the_first_cause_where_there_was_one():
    origin = behind(replace(ended(), informational=HINTS))
    found = diagnose_pair(pair(refused("502 Bad Gateway"), origin))[0]
    assert (found.id, found.fault_of) == ("WS-HS-107", "hop")
    assert "before its 101 the server sent HTTP/1.1 103 Early Hints" in found.evidence
    assert found.causes[0].cause.startswith("this hop does not take a 101 behind another 1xx")


def test_without_one_the_hop_carries_no_upgrades():
    found = diagnose_pair(pair(refused("502 Bad Gateway"), behind(ended())))[0]
    assert (found.id, found.causes) == ("WS-HS-107", ())
