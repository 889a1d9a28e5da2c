"""From the proxy's events to sides that did not read, also from a stranger's capture."""

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.findings.facts_made import HELLO, OPEN, SECOND, cut
from tests.unit.findings.pairs_made import behind, pair
from tests.unit.findings.triggers_backpressure import FULL, GAVE_UP, GOODBYE, stall, stalled
from wsinspect.findings.provenance import close_card
from wsinspect.findings.registry import diagnose_connection, diagnose_pair
from wsinspect.findings.stalls import acknowledged_line, stall_lines, stalls_in


def full(at: float, lasts: float, size: int = 4096, acked: float | None = None, side: str = "client"):
    """`stalled`, `at` seconds after the 101."""
    detail = {"event": "stalled", "side": side, "bytes": size, "for_ns": int(lasts * SECOND)}
    if acked is not None:
        detail["acked_ns"] = int(acked * SECOND)
    return "stalled", detail, OPEN + int(at * SECOND)


def drained(at: float, side: str = "client"):
    return "drained", {"event": "drained", "side": side, "for_ns": SECOND}, OPEN + int(at * SECOND)


def test_a_stall_lasts_until_it_drains_or_the_end_begins():
    first, other, last = stalls_in(
        [full(2, 1), drained(5), full(4, 1, side="server"), full(8, 1, 900), full(12, 5, 100)]
    )
    assert (first.side, first.lasted_ns, first.has_drained) == ("client", 4 * SECOND, True)
    assert (other.side, other.has_drained) == ("server", False)
    assert (last.lasted_ns, last.size, last.left, last.has_drained) == (5 * SECOND, 900, 100, False)


@pytest.mark.parametrize(
    ("acked", "acknowledges", "words"),
    [(0.2, True, "was there"), (3.0, False, "acknowledged nothing"), (None, None, "")],
)
def test_what_its_tcp_acknowledged_says_whether_the_machine_was_there(acked, acknowledges, words):
    (stall,) = stalls_in([full(3, 2, acked=acked)])
    assert stall.acknowledges is acknowledges
    assert words in acknowledged_line(stall)
    assert bool(words) == bool(acknowledged_line(stall))


@pytest.mark.parametrize(
    ("acked", "fault_of", "confidence"),
    [(0.2, "client", "medium"), (3.0, "network", "medium"), (None, "client", "low")],
)
def test_who_acknowledges_nothing_is_not_blamed_for_not_reading(acked, fault_of, confidence):
    facts = replace(cut(*HELLO, at=5.1), stalls=stalls_in([full(5, 2.5, acked=acked)]))
    (found,) = [one for one in diagnose_connection(facts) if one.id == "WS-DROP-015"]
    assert (found.fault_of, found.confidence) == (fault_of, confidence)
    assert len(found.causes) >= 3
    # No other finding of the same end blames anybody.
    assert {one.id for one in diagnose_connection(facts)} <= {"WS-DROP-015"}


def test_who_reads_slowly_is_not_said_to_read_nothing():
    slow = stall(1, 21)._replace(still_ns=SECOND)
    for facts, rule in ((GAVE_UP, "WS-DROP-015"), (GOODBYE, "WS-DROP-016")):
        known = slow if rule == "WS-DROP-015" else slow._replace(has_drained=True)
        for one, words in (
            (known, "read more slowly than was sent"),
            (known._replace(still_ns=None), "did not read"),
        ):
            (found,) = [each for each in diagnose_connection(stalled(facts, one)) if each.id == rule]
            assert words in found.title
            assert (found.confidence == "low") is one.is_steady
            assert ("carries less than is sent" in found.causes[0].cause) is one.is_steady


@pytest.mark.parametrize(
    ("before", "mine", "fault_of", "confidence"),
    [
        (FULL, (), "hop", "high"),
        (FULL, (FULL,), "client", "medium"),
        # The receiver stood still for a small part of it, or in pauses that are none for a tap.
        (FULL, (stall(2, 4, drained=True),), "hop", "low"),
        (FULL._replace(still_ns=SECOND), (), "hop", "low"),
        # Many shorter ones are as good as a long one.
        (FULL, tuple(stall(at, at + 3, drained=True) for at in (2, 6, 10, 14)), "client", "medium"),
    ],
)
def test_a_receiver_explains_no_more_of_a_hops_stall_than_its_own(before, mine, fault_of, confidence):
    both = pair(stalled(GAVE_UP, *mine), stalled(behind(GAVE_UP), before))
    (found,) = [one for one in diagnose_pair(both) if one.id == "WS-DROP-103"]
    assert (found.fault_of, found.confidence) == (fault_of, confidence)
    assert (found.severity == "error") is (confidence != "low")


def test_a_capture_of_a_stranger_makes_no_stalls_of_nonsense():
    nonsense: list[tuple[str, dict[str, Any], int]] = [
        ("stalled", {"side": "hop", "bytes": 1, "for_ns": 1}, OPEN),
        ("stalled", {"side": ["client"], "bytes": 1, "for_ns": 1}, OPEN),
        ("stalled", {"side": "client", "bytes": 1, "for_ns": -5}, OPEN),
        ("stalled", {"side": "client", "bytes": 1}, OPEN),
        ("drained", {"side": "client"}, OPEN),
        ("drained", {}, OPEN),
    ]
    assert stalls_in(nonsense) == ()
    (stall,) = stalls_in([("stalled", {"side": "client", "bytes": -7, "for_ns": SECOND}, OPEN)])
    assert stall.size == 0


def test_the_card_and_show_say_it():
    facts = replace(cut(*HELLO, at=9), stalls=stalls_in([full(2, 1), drained(3), full(8, 3, 2048)]))
    card = close_card(facts)
    assert card is not None
    lines = dict(card.lines())
    assert lines["to the client"] == (
        "its buffer was full for 3 s, until the end; 2.0 KiB waited for it (the longest of 2 times)"
    )
    assert [one["side"] for one in card.as_json()["stalls"]] == ["client", "client"]
    assert list(stall_lines(replace(facts, stalls=()))) == []
