"""Every rule: traffic that triggers it, traffic that does not, and what its findings have to say."""

import re
from dataclasses import replace

import pytest

from tests.support.every_case import every_case
from tests.unit.findings.facts_made import cut, ended, frame, opened, silent, switching
from tests.unit.findings.pairs_made import GOOD, PAIRS
from tests.unit.findings.triggers import CASES
from tests.unit.findings.triggers_open import HEALTHY
from wsinspect.findings.evidence import JS_FAILED, js_status
from wsinspect.findings.facts import C2S, CaptureFacts, ConnectionFacts
from wsinspect.findings.fixes import FIXES
from wsinspect.findings.model import FAMILIES, Finding
from wsinspect.findings.probes import ProbeFacts
from wsinspect.findings.registry import (
    all_rules,
    diagnose_capture,
    diagnose_connection,
    diagnose_pair,
    diagnose_probes,
)

ALL = {**CASES, **PAIRS}


def sentences(text):
    """How many; a point inside a name or number is none, and the last one has to have its point."""
    return len(re.findall(r"[.?!](?=\s|$)", text)) if text.endswith((".", "?", "!")) else 0


def judge(facts):
    if isinstance(facts, CaptureFacts):
        return diagnose_capture(facts)
    if isinstance(facts, ProbeFacts):
        return diagnose_probes(facts)
    return diagnose_connection(facts) if isinstance(facts, ConnectionFacts) else diagnose_pair(facts)


@pytest.mark.parametrize("rule", ALL)
def test_a_rule_is_triggered_and_silent(rule):
    triggers, others = ALL[rule]
    with every_case() as case:
        for number, facts in enumerate(triggers):
            with case("trigger", number):
                is_triggered(rule, facts)
        for number, facts in enumerate(others):
            with case("silent", number):
                assert rule not in [one.id for one in judge(facts)]


def test_each_rule_has_a_near_neighbour_that_it_is_silent_about():
    """One that differs from what triggers it, and is not just the healthy connection of all of them."""
    with every_case(200) as case:
        for rule, (_, others) in ALL.items():
            with case(rule):
                assert any(facts not in (HEALTHY, GOOD) for facts in others)


def is_triggered(rule, facts):
    found = [one for one in judge(facts) if one.id == rule]
    assert found, [one.id for one in judge(facts)]
    for one in found:
        assert one.evidence
        assert all(one.evidence), one.evidence
        assert one.js
        assert_console(one.js, facts)
        assert one.fixes
        assert one.fixes[-1].for_ == "general"
        assert one.confidence in ("high", "medium", "low")
        assert sentences(one.meaning) == 2, one.meaning
        assert all(cause.cause and cause.tell_apart for cause in one.causes)
        assert Finding.from_json(one.as_json()) == Finding.from_json(
            Finding.from_json(one.as_json()).as_json()
        )


def assert_console(said, facts):
    """Whatever the finding, the console has the line of the status that the page got."""
    client = getattr(facts, "edge", None) or getattr(getattr(facts, "main", None), "facts", None) or facts
    status = getattr(client, "status", None)
    assert not said.endswith("code: N"), said
    if said == JS_FAILED:
        assert status is None or client.is_accepted, status
    elif status is not None and "Unexpected response code" in said and "100, 102 or 103" not in said:
        assert said == js_status(status)


def test_a_rule_is_whole():
    with every_case(200) as case:
        for rule in all_rules():
            with case(rule.id):
                assert rule.id in ALL, "no traffic in the tests"
                assert rule.family in FAMILIES
                assert sentences(rule.meaning) == 2, rule.meaning
                assert len(rule.js.split()) >= 4, rule.js
                assert rule.topic in FIXES


def test_ids_are_unique():
    ids = [rule.id for rule in all_rules()]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("facts", [ended(), ended(by="server"), ended(code=None), ended(code=1001), opened()])
def test_a_healthy_connection_has_no_finding(facts):
    assert judge(facts) == []


def test_one_failed_attempt_is_one_error():
    for rule, (triggers, _) in CASES.items():
        for facts in triggers:
            if isinstance(facts, ConnectionFacts) and not facts.was_open:
                errors = [one.id for one in judge(facts) if one.severity == "error"]
                assert len(errors) <= 1, (rule, errors)


#: The same bytes, several causes: each of these findings has to rank them and say what tells them apart.
AMBIGUOUS = ("WS-HS-002", "WS-HS-004", "WS-HS-010", "WS-HS-011", "WS-HS-012", "WS-HS-020")


@pytest.mark.parametrize("rule", AMBIGUOUS)
def test_causes_with_the_same_bytes_are_ranked(rule):
    (found,) = [one for one in judge(CASES[rule][0][0]) if one.id == rule]
    assert len(found.causes) >= 2


@pytest.mark.parametrize("number", [3, 4])
def test_who_leaves_at_an_interim_response_may_have_left_for_any_reason(number):
    (found,) = judge(CASES["WS-HS-038"][0][number])
    assert (found.id, found.severity, found.confidence) == ("WS-HS-038", "warning", "low")
    assert "takes 103 Early Hints for the answer" in found.causes[0].cause
    assert "or the user left it" in found.causes[1].cause


def test_http2_without_tls_is_a_hops_only_behind_one():
    direct, behind = (judge(one)[0] for one in CASES["WS-H2-015"][0])
    assert (direct.severity, direct.fault_of, direct.confidence) == ("warning", "client", "medium")
    assert [("hop" in one.cause, "curl" in one.cause) for one in direct.causes] == [
        (True, False),
        (False, True),
    ]
    assert (behind.severity, behind.fault_of, behind.confidence) == ("error", "hop", "high")


def test_a_number_of_seconds_names_no_vendor():
    (found,) = judge(silent(60.0))
    assert found.id == "WS-DROP-002"
    assert found.hop is None
    assert [fix.for_ for fix in found.fixes] == ["general"]
    assert sum(line.startswith("known limit: ") for line in found.evidence) >= 3


def test_an_end_right_after_the_101_names_the_server_first_where_the_client_had_spoken():
    """One tap cannot tell a crash from a firewall: both are said, and the likelier is first."""
    spoken, unspoken = cut(frame(1, C2S, 0.01), at=0.2, how="rst"), silent(0.2)
    for facts, fault, first in ((spoken, "server", "application crashed"), (unspoken, "hop", "a firewall")):
        [found] = [one for one in diagnose_connection(facts) if one.id == "WS-DROP-001"]
        assert (found.fault_of, found.confidence, len(found.causes)) == (fault, "medium", 2)
        assert first in found.causes[0].cause


@pytest.mark.parametrize(("server", "fault"), [("uvicorn", "server"), ("nginx", "hop")])
def test_an_end_right_after_the_101_of_a_named_application_is_the_applications(server, fault):
    facts = silent(0.2, raw_response_in=switching(Server=server))
    [found] = [one for one in diagnose_connection(facts) if one.id == "WS-DROP-001"]
    assert (found.fault_of, "application crashed" in found.causes[0].cause) == (fault, fault == "server")


@pytest.mark.parametrize(
    ("host", "permission"),
    [
        *((host, "loopback-network") for host in ("127.0.0.1", "[::1]", "localhost")),
        *((host, "local-network") for host in ("192.168.1.9", "10.1.2.3", "[fe80::1]", "printer.local")),
    ],
)
def test_a_local_server_behind_a_public_page_needs_the_permission_of_its_address(host, permission):
    (found,) = judge(replace(CASES["WS-TOOL-009"][0][0], host=host))
    assert f"the permission that a browser asks for: {permission}" in found.evidence
    assert f'in an iframe: allow="{permission}"' in found.evidence
    assert "proxy" in found.title


@pytest.mark.parametrize(
    ("software", "words"),
    [
        ("haproxy", "h2-workaround-bogus-websocket-clients"),
        ("cloudflare", "--protocol http2"),
        ("nginx", "no RFC 8441"),
    ],
)
def test_what_breaks_a_websocket_over_http2_today_has_its_own_fix(software, words):
    assert words in FIXES["h2"][software]


@pytest.mark.parametrize("facts", CASES["WS-TOOL-005"][0])
def test_the_tap_s_own_part_in_a_failure_comes_first(facts):
    assert judge(facts)[0].id == "WS-TOOL-005"


def test_a_certificate_that_we_refused_says_both_ways_to_take_it():
    (found,) = judge(CASES["WS-TOOL-007"][0][0])
    assert found.fault_of == "tool"
    assert "--ca FILE" in found.fixes[-1].text
    assert "--insecure" in found.fixes[-1].text
