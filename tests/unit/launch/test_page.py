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
    chosen,
    is_answer_of_socket,
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


@pytest.mark.parametrize(
    ("status", "body", "fields"),
    [
        ("426 Upgrade Required", b"", {}),
        ("426 Upgrade Required", b"Upgrade Required", {"Content_Type": "text/plain"}),  # ws for Node
        ("426 Upgrade Required", b"hello", {"Upgrade": "WebSocket"}),
        ("426 Upgrade Required", b"Failed to open a WebSocket connection: missing Connection header.", {}),
        ("400 Bad Request", b'Can "Upgrade" only to "WebSocket".', {}),
        ("400 Bad Request", b"Bad Request", {"Sec_WebSocket_Version": "13"}),
        ("400 Bad Request", b"No WebSocket UPGRADE hdr: None", {"Content_Type": "text/plain"}),
    ],
)
def test_an_answer_that_wants_an_upgrade_is_of_a_socket(status, body, fields):
    head = http(status, **fields)
    assert is_answer_of_socket(replace(refused(status), raw_response_in=head, body=body))


@pytest.mark.parametrize(
    ("status", "body", "fields"),
    [
        ("200 OK", b"This is a WebSocket server", {}),
        ("404 Not Found", b"Not Found", {}),
        ("400 Bad Request", b"Bad Request", {}),
        ("426 Upgrade Required", b"<p>Use a newer browser", {"Content_Type": "text/html"}),
        ("503 Service Unavailable", b"websockets are off", {}),
        ("400 Bad Request", b'{"error":"Invalid connection header"}', {"Content_Type": "application/json"}),
        ("426 Upgrade Required", b"", {"Upgrade": "TLS/1.0, HTTP/1.1"}),
        ("426 Upgrade Required", b"<html>Your browser is too old", {}),
        ("426 Upgrade Required", b"\n<!DOCTYPE html><p>No websocket here", {}),
        ("426 Upgrade Required", b'{"error":"update the app"}', {}),
    ],
)
def test_any_other_answer_is_a_page(status, body, fields):
    head = http(status, **fields)
    assert not is_answer_of_socket(replace(refused(status), raw_response_in=head, body=body))


def test_a_page_that_is_an_error_says_so():
    opened = replace(page(status=404), visited=Visited(is_loaded=True))
    assert opened.headline.startswith("The page's own answer is 404, and it tried no WebSocket within")
    assert (
        page(status=500, browser=None).headline == "The page's own answer is 500, and it names no WebSocket"
    )
    assert "own answer" not in replace(opened, status=200).headline


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
    assert "tried no WebSocket within" in page(visited=Visited(is_loaded=True)).headline
    assert "still loading" in page().headline
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
    assert len(chosen(list(tried_of(many, CaptureFacts())))) == MAX_EXAMINED
    assert all(one.was_open for one in tried_of(many, CaptureFacts()))


def test_those_that_failed_are_asked_first_and_then_each_path():
    def tried(path: str, *, was_open: bool = True, error: str | None = None) -> Tried:
        return Tried(target=parse_target(f"ws://app.test{path}")[0], was_open=was_open, error=error)

    first, again, other = tried("/a?1"), tried("/a?2"), tried("/b")
    assert chosen([first, again]) == [first, again]
    assert chosen([first, again, other, tried("/c")]) == [first, other, tried("/c")]
    refused_one, broken = tried("/a?9", was_open=False), tried("/d", error="Invalid frame header")
    assert chosen([first, other, again, refused_one, broken]) == [first, refused_one, broken]
    assert "2 more WebSockets of the page: not asked" in list(page(left_out=2).notes())


def test_a_101_that_the_browser_did_not_take_has_not_opened():
    connection = replace(ended(), host="app.test", port=80, path="/ws?token=1")
    url, words = "ws://app.test/ws?token=1", "Sent non-empty 'Sec-WebSocket-Protocol' header but no response"

    def tried(*sockets: Socket) -> Tried:
        [found] = tried_of([connection], CaptureFacts(), sockets)
        return found

    assert (tried().was_open, tried().error) == (True, None)
    refused_there = tried(Socket(url, error=words))
    assert (refused_there.was_open, refused_there.error) == (False, words)
    broken = tried(Socket(url, status=101, error="Invalid frame header"))
    assert (broken.was_open, broken.error) == (True, "Invalid frame header")
    # Neighbours: it came through the second time, the page gave up or went away, another place.
    for others in (
        (Socket(url, error=words), Socket(url, status=101)),
        (Socket(url, status=101, error="Page entered Back-Forward Cache."),),
        (Socket("ws://app.test/other", error=words), Socket("nonsense", error=words)),
    ):
        assert (tried(*others).was_open, tried(*others).error) == (True, None)
    gave_up = tried(Socket(url, error="WebSocket is closed before the connection is established."))
    assert (gave_up.was_open, gave_up.error) == (False, None)


def test_what_fails_in_the_browser_alone_is_not_healthy(works, fails):
    """The page's own attempt failed, and asked again it works: nobody is blamed, and it is said."""
    for was_open, words in ((False, "attempt failed (odd words)"), (True, "had opened and then failed (odd")):
        tried = Tried(target=TARGET, was_open=was_open, error="odd words")
        found = page(examined=((tried, works),))
        assert (found.verdict, found.exit_code) == ("degraded", 0)
        assert words in found.headline
        assert any(words in line for line in found.notes())
    # What the examination itself finds stays what is said.
    found = page(examined=((Tried(target=TARGET, was_open=False, error="odd words"), fails),))
    assert (found.verdict, found.exit_code) == ("failing", 1)
    assert "odd words" not in found.headline


def test_what_breaks_after_the_101_is_no_ticket():
    """The page's handshake was accepted, ours too, and both break: that is not for once."""

    def broken(head):
        return switching(head) + b"\xc1\x01a" if is_upgrade(head) else http("404 Not Found")

    found = page(examined=((Tried(target=TARGET, was_open=True), examine_server(replies(broken), "/")),))
    assert (found.verdict, found.exit_code) == ("failing", 1)
    assert list(found.notes()) == []


def test_a_page_of_another_site_has_no_cookie_to_send():
    refuses = examine_server(replies(lambda head: http("401 Unauthorized")), "/")
    elsewhere, own = Extras(origin="http://localhost:3000"), Extras(origin="http://127.0.0.1:3000")

    def notes(extras: Extras) -> str:
        return " ".join(
            page(examined=((Tried(target=TARGET, extras=extras, was_open=False), refuses),)).notes()
        )

    assert "another site than the page's" in notes(elsewhere)
    assert notes(own) == notes(elsewhere._replace(cookies=("a=b",))) == notes(Extras(origin="null")) == ""


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


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ({"interest": "new WebSocket("}, "WS-PAGE-001"),
        ({"polling": 3, "polling_path": "/socket.io/"}, "WS-PAGE-004"),
        ({"failed_scripts": ["/app.js answered 404"]}, "WS-PAGE-005"),
        ({"interest": "new WebSocket(", "console": ["exception: TypeError: x"]}, "WS-PAGE-007"),
    ],
)
def test_a_page_whose_socket_never_came_to_the_proxy_is_not_said_to_have_tried_none(more, rule):
    """As on a busy machine: the browser had begun it, and it failed or was ended before it went anywhere."""
    lines = tuple(ConsoleLine("error", *one.split(": ", 1)) for one in more.get("console", ()))
    seen = CaptureFacts(events=(EngineEvent(0, "page", {"url": "http://app.test/", **more}),))

    def ids(*sockets: Socket) -> list[str]:
        visited = Visited(lines=lines, sockets=sockets, is_loaded=True)
        return [one.id for one in diagnose_capture(with_console(seen, "http://app.test/", visited, 0, 10**9))]

    assert ids() == [rule]
    assert ids(Socket("ws://app.test/ws", error="net::ERR_TIMED_OUT")) == []
    assert ids(Socket("ws://app.test/ws")) == []


def test_a_socket_that_never_came_to_the_proxy_is_asked_once():
    events = (EngineEvent(0, "page", {"url": "https://app.test/", "ws_urls": ["wss://code/"]}),)
    sockets = (
        Socket("wss://app.test/ws?a=1"),
        Socket("wss://app.test/ws?a=1"),
        Socket("wss://b/", error="x"),
    )
    found = list(tried_of([], CaptureFacts(events=events), sockets))
    assert [str(one.target) for one in found] == ["wss://app.test/ws?a=1", "wss://b/"]
    assert [(one.was_open, one.error) for one in found] == [(False, None), (False, "x")]
    assert {one.extras.origin for one in found} == {"https://app.test"}


def test_a_page_that_is_still_loading_is_not_blamed_for_its_code():
    seen = CaptureFacts(events=(EngineEvent(0, "page", {"url": "u", "interest": "new WebSocket("}),))

    def titles(*, is_loaded: bool) -> list[str]:
        facts = with_console(seen, "u", Visited(is_loaded=is_loaded), 0, 8 * 10**9)
        return [one.title for one in diagnose_capture(facts)]

    assert titles(is_loaded=False) == ["The page was still loading, and had made no WebSocket attempt"]
    assert titles(is_loaded=True) == ["The page made no WebSocket attempt at all"]
