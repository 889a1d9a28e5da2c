"""What is asked of a page's WebSockets, and the verdict on the page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.doctor_lab import examine_server, http, is_upgrade, replies, switching
from tests.unit.findings.facts_made import ended, failed, refused
from wsinspect.doctor.target import Extras, page_target, parse_target
from wsinspect.findings.facts import CaptureFacts, EngineEvent
from wsinspect.findings.registry import diagnose_capture
from wsinspect.launch.browser.devtools import ConsoleLine, Socket
from wsinspect.launch.browser.visiting import Visited
from wsinspect.launch.page import (
    MAX_EXAMINED,
    PageExamination,
    Tried,
    named_in,
    page_url_of,
    tried_of,
    with_console,
)

TARGET = parse_target("ws://app.test/ws")[0]


def page(**more: Any) -> PageExamination:
    values: dict[str, Any] = {
        "url": "http://app.test/",
        "browser": "chromium",
        "visited": Visited(),
        "findings": (),
    }
    return PageExamination(**{**values, **more})


@pytest.fixture(scope="module")
def works():
    return examine_server(
        replies(lambda head: switching(head) if is_upgrade(head) else http("404 Not Found")), "/"
    )


@pytest.fixture(scope="module")
def fails():
    return examine_server(replies(lambda head: http("404 Not Found")), "/")


def test_which_urls_are_pages():
    target = page_target("https://app.test:8443/chat?x=1")
    assert target is not None
    assert page_url_of(target) == "https://app.test:8443/chat?x=1"
    assert page_target("HTTP://app.test") == parse_target("ws://app.test/")[0]
    assert page_target("ws://app.test/") is None
    assert page_target("app.test/") is None
    with pytest.raises(ValueError, match="no host"):
        page_target("https://")


def test_the_verdict_is_the_worst(works, fails):
    tried = Tried(target=TARGET, was_open=False)
    assert page(examined=((tried, works),)).verdict == works.judgement.verdict
    both = page(examined=((tried, works), (tried, fails)))
    assert (both.verdict, both.exit_code) == ("failing", 1)
    assert str(fails.target) in both.headline
    assert page().verdict == "degraded"
    assert "no WebSocket" in page().headline
    assert "only a browser" in page(browser=None).headline


def test_a_page_that_could_not_be_opened():
    found = page(visited=Visited(error="its server did not answer"))
    assert found.headline == "The browser could not open the page: its server did not answer"
    assert found.verdict == "degraded"


def test_what_the_page_itself_got_counts_more(fails):
    """A ticket that is good for one time is refused when we ask with it again."""
    found = page(examined=((Tried(target=TARGET, was_open=True), fails),))
    assert (found.verdict, found.exit_code) == ("healthy", 0)
    assert any("one time" in line for line in found.notes())


def test_each_place_is_asked_once():
    tried = [
        replace(refused("403 Forbidden"), id=n, host="app.test", port=80, path=f"/{n % 2}") for n in range(9)
    ]
    found = list(tried_of(tried, CaptureFacts()))
    assert [one.target.path for one in found] == ["/0", "/1"]
    assert not any(one.was_open for one in found)
    many = [replace(ended(), id=n, host="app.test", port=80, path=f"/{n}") for n in range(9)]
    assert len(list(tried_of(many, CaptureFacts()))) == MAX_EXAMINED
    assert all(one.was_open for one in tried_of(many, CaptureFacts()))


def test_what_the_pages_handshake_had_is_sent_again():
    head = (
        b"GET / HTTP/1.1\r\nHost: app.test\r\nOrigin: http://app.test\r\nCookie: a=b\r\n"
        b"Sec-WebSocket-Protocol: one, two\r\n\r\n"
    )
    facts = replace(failed("refused", where="connect"), host="app.test", port=80, raw_request_in=head)
    [found] = tried_of([facts], CaptureFacts())
    assert found.extras == Extras(origin="http://app.test", subprotocols=("one", "two"), cookies=("a=b",))


def test_of_several_attempts_at_a_place_the_one_that_tells_most_is_asked_again():
    """Chromium asks without the URL's user first, and with it where that is refused."""

    def attempt(made, *lines):
        head = "\r\n".join(("GET /auth HTTP/1.1", "Host: app.test", *lines, "", "")).encode()
        return replace(made, host="app.test", port=80, path="/auth", raw_request_in=head)

    plain = attempt(refused("401 Unauthorized"))
    wrong = attempt(refused("401 Unauthorized"), "Authorization: Basic YTpi")
    right = attempt(ended(), "Authorization: Basic dTpw")
    sent = ("Authorization", "Basic dTpw")
    for order in ([plain, right], [right, plain], [plain, wrong, right]):
        [found] = tried_of(order, CaptureFacts())
        assert found.was_open
        assert sent in found.extras.headers
    [found] = tried_of([plain, wrong, plain], CaptureFacts())
    assert not found.was_open
    assert found.extras.headers == (("Authorization", "Basic YTpi"),)
    elsewhere = replace(attempt(refused("403 Forbidden")), path="/other")
    assert [one.target.path for one in tried_of([elsewhere, plain, right], CaptureFacts())] == [
        "/other",
        "/auth",
    ]


def test_a_socket_that_never_left_the_browser_is_in_the_headline():
    sockets = (Socket("ws://app.test:9/ws?token=secret", error="net::ERR_UNSAFE_PORT"),)
    found = page(visited=Visited(sockets=sockets))
    assert "net::ERR_UNSAFE_PORT" in found.headline
    assert "ws://app.test:9/ws" in found.headline
    assert "secret" not in found.headline
    assert (
        "nothing of it left the browser (and 1 more)"
        in page(visited=Visited(sockets=(Socket("ws://a/"),) * 2)).headline
    )


def test_urls_of_the_code_are_asked_where_none_was_tried():
    events = (
        EngineEvent(
            0, "page", {"url": "https://app.test/", "ws_urls": ["wss://a/", "https://b/", "ftp://c"]}
        ),
    )
    found = list(tried_of([], CaptureFacts(events=events)))
    assert [str(one.target) for one in found] == ["wss://a/", "wss://b/"]
    assert all(one.extras.origin == "https://app.test" for one in found)
    assert list(named_in(["ws://\0"], "http://a/")) == []


def test_the_console_joins_what_the_proxy_saw():
    line = ConsoleLine("error", "exception", "TypeError: x")
    said = Visited(lines=(line, ConsoleLine("info", "console", "hello")))
    seen = CaptureFacts(events=(EngineEvent(0, "page", {"url": "u", "interest": "new WebSocket("}),))
    joined = with_console(seen, "u", said, 0, 10**9)
    assert joined.events[0].detail["console"] == ["exception: TypeError: x"]
    assert [one.id for one in diagnose_capture(joined)] == ["WS-PAGE-007"]
    # A page of which the proxy has nothing to say, and one that tried.
    assert len(with_console(CaptureFacts(), "u", said, 0, 10**9).events) == 1
    assert diagnose_capture(with_console(seen, "u", said, 1, 10**9)) == []
