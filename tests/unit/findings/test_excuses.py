"""A fault excuses what its kind can cause where it acted, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.findings.triggers import CASES
from wsinspect.faults.kinds import KINDS
from wsinspect.findings.excuses import CAUSES, LEAST_DELAY_NS, ActedFault, excused, may_cause
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.model import FaultOf, Finding
from wsinspect.findings.registry import diagnose_connection


def _finding(family: str, fault_of: FaultOf = "server", connection: int = 1) -> Finding:
    case = next(
        one
        for triggers, _ in CASES.values()
        for facts in triggers
        if isinstance(facts, ConnectionFacts)
        for one in diagnose_connection(facts)
    )
    return replace(case, id=f"WS-{family}-001", fault_of=fault_of, severity="error", connection=connection)


def _acted(
    kind: str, direction: str | None = None, connection: int = 1, delay_ns: int | None = None
) -> ActedFault:
    return ActedFault("mine", kind, direction, connection, delay_ns)


def test_every_kind_says_what_it_can_cause():
    assert set(CAUSES) == set(KINDS)


@pytest.mark.parametrize(
    ("kind", "family", "expected"),
    [
        *(("abort", "DROP", True), ("abort", "HS", False), ("abort", "FR", False)),
        *(("refuse", "HS", True), ("refuse", "RC", False), ("refuse", "FR", False), ("refuse", "TLS", False)),
        *(("hold", "KA", True), ("hold", "CL", True), ("hold", "FR", False), ("hold", "MS", False)),
        *(("drop", "KA", True), ("drop", "HS", False), ("corrupt", "CL", True), ("tls_error", "TLS", True)),
        *(("strip_headers", "FR", True), ("strip_headers", "HS", True)),
    ],
)
def test_a_kind_excuses_families(kind, family, expected):
    found = _finding(family)
    assert may_cause(_acted(kind), found) is expected
    (one,) = excused([found], [_acted(kind)])
    assert (one.severity == "note" and one.fault_of == "tool") is expected


def test_a_short_delay_lets_no_timeout_expire():
    for family in ("KA", "DROP", "CL"):
        assert not may_cause(_acted("latency", "s2c", delay_ns=5_000_000), _finding(family))
        assert may_cause(_acted("latency", "s2c", delay_ns=LEAST_DELAY_NS), _finding(family))
    for family in ("FR", "MS"):
        assert not may_cause(_acted("latency", "s2c", delay_ns=10**12), _finding(family))


def test_changed_frames_are_seen_behind_the_tap_that_changed_them_and_in_their_direction():
    masked = _finding("FR", "server", connection=2)
    assert not may_cause(_acted("corrupt", "s2c", connection=2), masked)
    assert may_cause(_acted("corrupt", "s2c", connection=1), masked)
    assert not may_cause(_acted("corrupt", "c2s", connection=1), masked)


def test_what_is_excused_names_the_rules_that_explain_it_alone():
    (one,) = excused([_finding("DROP")], [_acted("latency", delay_ns=1), ActedFault("cut", "abort")])
    assert one.evidence[0] == "done on purpose on this connection: your rule `cut`"
    assert (one.fixes, one.causes) == ((), ())


def test_findings_about_the_tool_stay_as_they_are():
    found = replace(_finding("DROP", "tool"), severity="warning")
    assert excused([found], [_acted("abort")]) == [found]
    # An error is excused like any other.
    assert excused([replace(found, severity="error")], [_acted("abort")])[0].severity == "note"


@pytest.mark.parametrize("code", ["002", "003", "007", "009", "010"])
def test_what_a_peer_says_of_frames_is_not_excused_by_when_they_came(code):
    found = replace(_finding("CL", "client"), id=f"WS-CL-{code}")
    for kind in ("latency", "bandwidth", "loss", "hold", "slicer"):
        assert not may_cause(_acted(kind, "c2s", delay_ns=10**12), found), kind
    assert may_cause(_acted("replace", "c2s"), found)
    assert not may_cause(_acted("replace", "s2c"), found)
    # With a hop between, nobody knows whose frames were changed; a handshake's fault has no direction.
    assert may_cause(_acted("replace", "s2c"), replace(found, fault_of="hop"))
    assert may_cause(_acted("strip_headers"), found)


@pytest.mark.parametrize("kind", ["drop", "duplicate", "reorder", "truncate", "fragment"])
def test_a_message_that_is_too_big_was_not_made_so_by_what_makes_none_larger(kind):
    found = replace(_finding("CL", "client"), id="WS-CL-009")
    assert not may_cause(_acted(kind, "c2s"), found)
    assert may_cause(_acted(kind, "c2s"), replace(found, id="WS-CL-007"))
    assert may_cause(_acted("inject", "c2s"), found)


def test_timeouts_that_a_delay_lets_expire_are_still_excused():
    for code in ("008", "011", "030", "031"):
        found = replace(_finding("CL"), id=f"WS-CL-{code}")
        assert may_cause(_acted("latency", "s2c", delay_ns=LEAST_DELAY_NS), found)
