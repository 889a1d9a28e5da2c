"""Which insecure WebSockets an https page may not open: those to public names, and others by browser."""

from __future__ import annotations

import time

import pytest

from tests.unit.findings.facts_made import START
from wsinspect.findings.facts import CaptureFacts, EngineEvent
from wsinspect.findings.registry import diagnose_capture

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) {} Safari/537.36"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0"
SAFARI = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Version/18.4 Safari/605.1.15"
)
NEW, OLD = CHROME.format("Chrome/156.0.0.0"), CHROME.format("Chrome/145.0.0.0")
HEADLESS = CHROME.format("HeadlessChrome/156.0.0.0")


def found(url: str, agent: str | None, page: str = "https://app.example.org/") -> list[str]:
    seen = {"url": page, "user_agent": agent, "attempts": 0, "ws_urls": [url], "interest": "new WebSocket("}
    return [one.id for one in diagnose_capture(CaptureFacts(events=(EngineEvent(START, "page", seen),)))]


@pytest.mark.parametrize("agent", [None, NEW, OLD, HEADLESS, FIREFOX, SAFARI])
@pytest.mark.parametrize("url", ["ws://public.example.net/ws", "http://public.example.net/ws"])
def test_a_public_name_is_refused_by_all(url, agent):
    assert found(url, agent) == ["WS-PAGE-003"]


@pytest.mark.parametrize("url", ["ws://192.168.7.7/ws", "http://10.0.0.1/ws", "ws://printer.local/ws"])
def test_the_local_network_is_refused_by_some(url):
    for agent in (FIREFOX, SAFARI, OLD):
        assert found(url, agent) == ["WS-PAGE-003"], agent
    for other in (None, NEW, HEADLESS):
        assert "WS-PAGE-003" not in found(url, other), other


@pytest.mark.parametrize("agent", [None, NEW, FIREFOX])
def test_loopback_and_secure_ones_and_pages_over_http_are_not(agent):
    for url in ("ws://127.0.0.1:3000/ws", "http://localhost:3000/ws", "wss://192.168.7.7/ws"):
        assert "WS-PAGE-003" not in found(url, agent), url
    assert "WS-PAGE-003" not in found("ws://192.168.7.7/ws", agent, "http://app.example.org/")


def test_a_long_user_agent_or_line_of_the_console_costs_no_time():
    """All patterns look at the beginning alone, where they are not linear."""
    began = time.process_time()
    found("ws://192.168.7.7/ws", "Version/1 " * 8000)
    lines = ["connect to ws://" * 2000, "WebSocket connection to " * 2000, "Mixed Content" * 4000]
    seen = {"url": "https://app.example.org/", "console": lines}
    diagnose_capture(CaptureFacts(events=(EngineEvent(START, "page", seen),)))
    assert time.process_time() - began < 0.25


@pytest.mark.parametrize(
    ("count", "words"), [(1, "1 other attempt reached"), (2, "2 other attempts reached")]
)
def test_other_attempts_are_not_said_to_have_been_accepted(count, words):
    console = ["network: WebSocket connection to 'ws://h:6000/' failed: net::ERR_UNSAFE_PORT"]
    seen = {"url": "http://app.example.org/", "attempts": count, "console": console}
    (one,) = diagnose_capture(CaptureFacts(events=(EngineEvent(START, "page", seen),)))
    assert any(words in line for line in one.evidence)
