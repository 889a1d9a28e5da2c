"""docs/findings.md is what the rules say, and the catalogue of causes is whole."""

import re
import runpy
from pathlib import Path

import wsinspect.findings.rules as rule_modules
from tests.support.every_case import every_case
from wsinspect.explain.table import situations
from wsinspect.findings.catalogue import LIMITS_OF_ROWS, ROWS, TRAPS, render, rules_of
from wsinspect.findings.data import table
from wsinspect.findings.fixes import FIXES, fixes_for
from wsinspect.findings.registry import all_rules
from wsinspect.findings.software import NAMES

PAGE = Path(__file__).parents[3] / "docs" / "findings.md"


def test_the_page_is_generated_from_the_rules():
    assert PAGE.read_text("utf-8") == render(), "python -m wsinspect.findings > docs/findings.md"


def test_each_row_has_a_finding_or_a_reason():
    assert [row for row in ROWS if not rules_of(row) and row not in LIMITS_OF_ROWS] == []


def test_rules_name_rows_that_exist():
    assert {row for rule in all_rules() for row in rule.rows} <= set(ROWS)


def test_the_page_names_only_findings_that_exist():
    named = set(re.findall(r"WS-[A-Z0-9]+-\d{3}", render()))
    assert named <= {rule.id for rule in all_rules()}
    assert all(instead.endswith(".") for _, instead in TRAPS)


def test_each_topic_has_a_general_fix():
    assert [topic for topic, texts in FIXES.items() if "general" not in texts] == []


PROXIES = (
    *("nginx", "npm", "apache", "caddy", "haproxy", "traefik", "envoy", "iis"),
    *("cloudflare", "aws", "gcp", "azure", "k8s-ingress"),
)
SERVERS = ["node-ws", "socketio", "uvicorn", "channels", "rails", "phoenix", "aspnet"]
#: What each kind of software can be the fix for.
APPLIES = [
    *((name, topic) for name in PROXIES for topic in ("upgrade", "bad-gateway", "timeout", "idle")),
    *((name, topic) for name in SERVERS for topic in ("upgrade", "auth", "origin")),
    *((name, "keepalive") for name in SERVERS),
    *((name, topic) for name in ("vite", "webpack", "next") for topic in ("upgrade", "hmr", "dev-host")),
    *((name, "http10") for name in ("nginx", "npm", "apache", "k8s-ingress")),
    *((name, "reload") for name in ("nginx", "npm", "caddy", "haproxy", "traefik", "envoy", "k8s-ingress")),
    *((name, "lifetime") for name in ("aws", "gcp", "azure")),
    *((name, "sticky") for name in ("nginx", "caddy", "haproxy", "traefik", "apache", "aws", "azure", "gcp")),
    *((name, "size") for name in ("node-ws", "socketio", "uvicorn", "phoenix", "aspnet")),
    *((name, "subprotocol") for name in ("node-ws", "uvicorn", "channels", "phoenix", "aspnet")),
    *((name, "header-size") for name in ("nginx", "npm", "apache", "caddy", "haproxy", "envoy", "node-ws")),
    *((name, "certificate") for name in ("nginx", "npm", "apache", "caddy", "haproxy", "traefik")),
    *(("rails", "route"), ("aspnet", "signalr"), ("socketio", "polling")),
]


def test_software_has_a_snippet_where_it_applies():
    with every_case(len(APPLIES)) as case:
        for software, topic in APPLIES:
            with case(software, topic):
                assert FIXES[topic][software]
                assert fixes_for(topic, (software,))[0].for_ == software


def test_every_topic_is_used_by_a_rule_or_a_line():
    modules = Path(rule_modules.__file__).parents[1].rglob("*.py")  # and what rules share
    source = "".join(path.read_text("utf-8") for path in modules)
    source += "".join(f'"{kind["topic"]}"' for kind in table("close_reasons")["kind"])
    source += "".join(f'"{cause.topic}"' for one in situations().values() for cause in one.causes)
    assert {topic for topic in FIXES if f'"{topic}"' not in source} == set()


def test_software_of_snippets_has_a_name():
    assert {name for texts in FIXES.values() for name in texts} - set(NAMES) == set()


def test_the_package_prints_the_page(capsys):
    runpy.run_module("wsinspect.findings", run_name="__main__")
    assert capsys.readouterr().out == render()
