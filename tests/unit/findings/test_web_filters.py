"""Refusals of web filters and challenges: the hop's, and not the application's."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.findings.facts_made import refused
from wsinspect.findings.fixes import FIXES
from wsinspect.findings.registry import diagnose_connection
from wsinspect.findings.web_filters import challenged, filtered

ZSCALER = b"<title>Access Denied</title><p>Your organization has selected Zscaler. Access denied.</p>"
FORTIGATE = b"<h1>FortiGuard Intrusion Prevention - Access Blocked</h1><p>Web Page Blocked!</p>"
HTML: dict[str, Any] = {"Content_Type": "text/html"}


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        (refused("403 Forbidden", b"no", Server="Zscaler/6.2"), "Zscaler"),
        (refused("403 Forbidden", ZSCALER, **HTML), "Zscaler"),
        (refused("403 Forbidden", FORTIGATE, **HTML), "FortiGuard"),
        (refused("200 OK", FORTIGATE, **HTML), "FortiGuard"),
    ],
)
def test_a_web_filter_is_the_hop_that_refused(facts, name):
    found = diagnose_connection(facts)[0]
    assert (found.id[:5], found.fault_of) == ("WS-HS", "hop")
    assert f"{name}, a web filter on the way, refuses this request" in found.title
    assert found.fixes[-1].text == FIXES["web-filter"]["general"]


@pytest.mark.parametrize(
    "facts",
    [
        refused("403 Forbidden", b"<p>Access denied</p>", **HTML),
        refused("403 Forbidden", b"<p>We sell FortiGate firewalls.</p>", **HTML),
        refused("403 Forbidden", b'{"error":"blocked by FortiGate rule"}', Content_Type="application/json"),
        refused("200 OK", b"<p>How to configure Zscaler</p>", **HTML),
    ],
)
def test_other_refusals_and_pages_are_no_filters(facts):
    assert filtered(facts) is None


def test_a_challenge_is_cloudflares():
    page = b"<title>Just a moment...</title>"
    facts = refused("403 Forbidden", page, Server="cloudflare", Cf_Mitigated="challenge", **HTML)
    found = diagnose_connection(facts)[0]
    assert (found.id, found.fault_of, found.confidence) == ("WS-HS-010", "hop", "high")
    assert found.fixes[0].for_ == "cloudflare"
    assert challenged(refused("403 Forbidden", page, Server="cloudflare", Cf_Ray="8a-FRA")) is None


def test_kubernetes_says_that_no_upgrade_arrived():
    body = b'{"kind":"Status","status":"Failure","message":"Upgrade request required","code":400}'
    found = diagnose_connection(refused("400 Bad Request", body, Content_Type="application/json"))[0]
    assert (found.id, found.fault_of) == ("WS-HS-002", "hop")
