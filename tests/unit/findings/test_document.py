"""docs/findings.md is what the rules say, and the catalogue of causes is whole."""

from pathlib import Path

import pytest

from wsinspect.findings.catalogue import LIMITS_OF_ROWS, ROWS, render, rules_of
from wsinspect.findings.fixes import FIXES
from wsinspect.findings.registry import all_rules

PAGE = Path(__file__).parents[3] / "docs" / "findings.md"


def test_the_page_is_generated_from_the_rules():
    assert PAGE.read_text("utf-8") == render(), "python -m wsinspect.findings > docs/findings.md"


@pytest.mark.parametrize("row", ROWS)
def test_each_row_has_a_finding_or_a_reason(row):
    assert rules_of(row) or row in LIMITS_OF_ROWS


def test_rules_name_rows_that_exist():
    assert {row for rule in all_rules() for row in rule.rows} <= set(ROWS)


@pytest.mark.parametrize("topic", FIXES)
def test_each_topic_has_a_general_fix(topic):
    assert "general" in FIXES[topic]


def test_every_software_of_the_list_has_a_snippet():
    named = {software for texts in FIXES.values() for software in texts}
    wanted = "nginx npm apache caddy haproxy traefik envoy iis cloudflare aws gcp azure k8s-ingress vite"
    wanted += " webpack next node-ws socketio uvicorn channels rails phoenix aspnet general"
    assert set(wanted.split()) <= named
