"""What a browser asks for itself gives no finding; what a page asks for does."""

from __future__ import annotations

import pytest

from tests.unit.findings.facts_made import capture
from wsinspect.findings.browser_services import is_of_browser
from wsinspect.findings.registry import diagnose_capture

OWN = (
    "http://clients2.google.com/time/1/current?cup2key=x",
    "https://update.googleapis.com/service/update2/json",
    "https://accounts.google.com/ListAccounts?gpsia=1",
    "https://optimizationguide-pa.googleapis.com/v1:GetModels",
    "http://detectportal.firefox.com/success.txt?ipv4",
    "https://firefox.settings.services.mozilla.com/v1/",
    "https://incoming.telemetry.mozilla.org/submit/x",
)
OTHERS = (
    "https://accounts.google.com/o/oauth2/v2/auth",  # a page's own log-in
    "https://accounts.google.com/",
    "https://clients2.google.com/",
    "https://oauth2.googleapis.com/token",
    "https://update.googleapis.com.example.org/service/update2",
    "https://example.org/ListAccounts",
    "http://[::1/",
    "",
)


def failed(url: str, where: str = "connect") -> tuple[str, dict[str, str]]:
    host = url.split("/")[2] if url.count("/") > 2 else ""
    error = "certificate verify failed" if where == "tls-server" else "Name or service not known"
    return "request_failed", {"method": "GET", "url": url, "host": host, "where": where, "error": error}


@pytest.mark.parametrize("where", ["connect", "tls-server"])
@pytest.mark.parametrize("url", OWN)
def test_what_a_browser_asks_for_itself_is_nobodys_concern(url, where):
    assert is_of_browser(url)
    assert diagnose_capture(capture(events=(failed(url, where),))) == []


@pytest.mark.parametrize("url", OTHERS)
def test_what_a_page_asks_for_is(url):
    assert not is_of_browser(url)
    (found,) = diagnose_capture(capture(events=(failed(url),)))
    assert found.id == "WS-TOOL-008"


def test_a_page_on_the_same_host_is_told_although_the_browser_asked_it_first():
    events = failed("https://accounts.google.com/ListAccounts"), failed(OTHERS[0])
    (found,) = diagnose_capture(capture(events=events))
    assert OTHERS[0] in found.evidence[0]
    assert "once" in found.evidence[1]


def test_pinned_keys_of_firefox_own_servers_are_no_distrust():
    def refused(sni: str) -> tuple[str, dict[str, str]]:
        detail = {"client": "10.0.0.9:5", "sni": sni, "error": "the client does not trust the certificate"}
        return "tls_failed", detail

    assert diagnose_capture(capture(events=(refused("aus5.mozilla.org"),))) == []
    assert diagnose_capture(capture(events=(refused("app.test"),))) != []
