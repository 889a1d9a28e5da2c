"""An answer behind another 1xx response that a hop does not take: named as a cause, where there was one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.findings.facts_made import ended, failed, refused
from tests.unit.findings.pairs_made import behind, pair
from wsinspect.findings.registry import diagnose_connection, diagnose_pair
from wsinspect.findings.together import link_of, together

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


def both_taps(edge, status, body=b"", informational=HINTS):
    origin = behind(replace(refused(status, body), informational=informational))
    around = pair(edge, origin)
    own = [*diagnose_connection(around.edge), *diagnose_connection(origin)]
    return together(diagnose_pair(around), own, [link_of(around)])


@pytest.mark.parametrize(
    "status", ["403 Forbidden", "404 Not Found", "401 Unauthorized", "503 Service Unavailable"]
)
@pytest.mark.parametrize("edge", [failed("gone", "client", waited=3), refused("502 Bad Gateway")])
def test_a_refusal_that_a_hop_keeps_is_the_hop_s_doing_first_and_the_server_s_next(edge, status):
    (found,) = both_taps(edge, status, b"no such room")
    assert (found.id, found.fault_of) == ("WS-HS-107", "hop")
    assert found.title.startswith(f"The server answered {status[:3]} after an interim response")
    assert [one.cause.partition(" ")[0] for one in found.causes] == ["this", "the"]
    assert "the server refuses this attempt" in found.causes[1].cause
    assert any("no such room" in line for line in found.evidence)


@pytest.mark.parametrize(
    ("edge", "informational"),
    [
        (refused("404 Not Found"), HINTS),  # it did pass it on
        (failed("gone", "client", waited=0.3), HINTS),  # it may have been on its way still
        (failed("gone", "client", waited=3), b""),  # kept, and nothing says why
        (refused("502 Bad Gateway"), b""),
    ],
)
def test_a_refusal_that_came_through_or_without_an_interim_response_is_the_server_s(edge, informational):
    assert "WS-HS-107" not in [one.id for one in both_taps(edge, "404 Not Found", b"", informational)]
