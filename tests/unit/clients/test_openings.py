"""What SignalR, SockJS and Socket.IO ask for before a WebSocket: which requests these are, and which answers
lead to none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.every_case import every_case
from wsinspect.clients.openings import (
    MAX_ALIKE,
    MAX_REPORTED,
    Opening,
    Openings,
    opening_of,
    page_of,
    trouble,
)
from wsinspect.vocabulary.events import LibraryAsked

PAGE = "https://page.test"
#: Method, path, and what it is; the paths are those of public bug reports.
REQUESTS = [
    ("POST", "/chat/negotiate?negotiateVersion=1", ("signalr", "/chat", "begin")),
    ("POST", "/negotiate?hub=chat&negotiateVersion=1", ("signalr", "/", "begin")),
    ("OPTIONS", "/chat/negotiate?negotiateVersion=1", ("signalr", "/chat", "preflight")),
    ("GET", "/signalr/negotiate?clientProtocol=1.5&_=1", ("signalr", "/signalr", "begin")),
    ("GET", "/stomp/info?t=1589556727552", ("sockjs", "/stomp", "begin")),
    ("POST", "/ws/123/kjk_jkjk/xhr_streaming?t=2", ("sockjs", "/ws", "session")),
    ("GET", "/ws/209/abcdefgh/eventsource", ("sockjs", "/ws", "session")),
    ("POST", "/message/123/kjkjkjkj/xhr_send?t=3", ("sockjs", "/message", "send")),
    (
        "POST",
        "/__sockjs__/n=OGM/t=78/w=1/s=0/287/nxxvgpik/xhr",
        ("sockjs", "/__sockjs__/n=OGM/t=78/w=1/s=0", "session"),
    ),
    ("GET", "/socket.io/?EIO=4&transport=polling&t=a", ("socketio", "/socket.io/", "begin")),
    ("POST", "/socket.io/?EIO=4&transport=polling&sid=AAA", ("socketio", "/socket.io/", "session")),
]
OTHERS = [
    ("GET", "/chat/negotiate"),
    ("GET", "/negotiate?price=7"),
    # an application's own
    ("POST", "/offers/negotiate"),
    ("POST", "/webrtc/negotiate?room=7"),
    ("OPTIONS", "/offers/negotiate"),
    ("GET", "/api/info?t=1589556727552"),
    ("GET", "/news/info?t=1589556727552"),
    ("GET", "/ws/info?t=1589556727552&name=x"),
    ("GET", "/ws/info?t=7"),
    ("HEAD", "/ws/info?t=1589556727552"),
    ("GET", "/healthz"),
    ("GET", "/socket.io/"),
    ("HEAD", "/socket.io/?EIO=4&transport=polling"),
    ("GET", "/info"),
    ("GET", "/info?type=7"),
    ("GET", "/info?at=7"),
    ("POST", "/info?t=1"),
    ("GET", "/images/123/kjkjkjkj/photo.jpg"),
    ("GET", "/ws/12/kjkjkjkj/xhr"),
    ("GET", "/ws/123/abcdefgh/websocket"),
    ("GET", "/socket.io/socket.io.js"),
    ("GET", "/socket.io/?EIO=4&transport=websocket"),
    ("OPTIONS", "/stomp/info/more?t=1"),
]
NEGOTIATED = b'{"negotiateVersion":1,"connectionToken":"t","availableTransports":[%s]}'
WEBSOCKETS = b'{"transport":"WebSockets","transferFormats":["Text"]}'
POLLING = b'{"transport":"LongPolling","transferFormats":["Text"]}'
SIGNALR = Opening("signalr", "/chat", "begin")
SOCKJS = Opening("sockjs", "/ws", "begin")
SOCKETIO = Opening("socketio", "/socket.io/", "begin")
SEND = Opening("sockjs", "/ws", "send")
POLL = Opening("socketio", "/socket.io/", "session")
#: Request, status, fields and body of its answer, and what is wrong.
ANSWERS: list[tuple[Opening, int | None, dict[str, str], bytes, str | None]] = [
    (SIGNALR, 200, {}, NEGOTIATED % WEBSOCKETS, None),
    (SIGNALR, 200, {}, NEGOTIATED % POLLING, "no_websocket"),
    (SIGNALR, 200, {}, NEGOTIATED % (POLLING + b"," + WEBSOCKETS), None),
    (
        SIGNALR,
        200,
        {},
        b'{"url":"https://x.service.signalr.net/client/?hub=chat","availableTransports":[]}',
        None,
    ),
    (SIGNALR, 200, {}, b'{"Url":"/signalr","TryWebSockets":false}', "no_websocket"),
    (SIGNALR, 200, {}, b'{"Url":"/signalr","TryWebSockets":true}', None),
    (SIGNALR, 200, {"content-type": "text/html; charset=utf-8"}, b"<!doctype html>", "page"),
    (SIGNALR, 302, {"location": "/login"}, b"", "redirected"),
    (SIGNALR, 307, {"location": "/other/negotiate"}, b"", None),
    (SIGNALR, 404, {}, b"", "failed"),
    (SIGNALR, None, {}, b"", "unanswered"),
    (SOCKJS, 200, {}, b'{"websocket":true,"origins":["*:*"]}', None),
    (SOCKJS, 200, {}, b'{"websocket":false,"origins":["*:*"]}', "no_websocket"),
    (SOCKJS, 302, {"location": "/x"}, b"", None),
    (SOCKJS, 200, {}, b"[" * 100_000, None),
    (SEND, 204, {}, b"", None),
    (SEND, 404, {}, b"", "lost"),
    (SEND, 500, {}, b"", "failed"),
    (Opening("sockjs", "/ws", "session"), 200, {"content-type": "text/html"}, b"<script>", None),  # htmlfile
    (SOCKETIO, 200, {}, b'97:0{"sid":"AAA","upgrades":["websocket"]}', None),
    (SOCKETIO, 200, {}, b'0{"sid":"AAA","upgrades":[]}', "no_websocket"),
    (SOCKETIO, 200, {}, b'{"status":"ok"}', "page"),
    (SOCKETIO, 200, {}, b'___eio[0]("0{\\"sid\\":\\"AAA\\",\\"upgrades\\":[\\"websocket\\"]}");', None),
    (SOCKJS, 200, {}, b'{"websocket":false}', None),  # an application's own
    (POLL, 400, {}, b'{"code":1,"message":"Session ID unknown"}', None),
    (POLL, 413, {}, b"", "failed"),
    (POLL, 200, {}, b"6", None),
]
#: Of a page at PAGE and a server elsewhere: Access-Control-Allow-Origin, and whether the page may read.
ALLOWED = [(None, False), ("https://other.test", False), (PAGE, True), ("*", True), ("", False)]


def header(fields: Mapping[str, str]) -> Any:
    return {name.lower(): value for name, value in fields.items()}.get


def test_requests_are_known_by_library() -> None:
    asks = header({"access-control-request-method": "POST"})
    with every_case() as case:
        for method, path, expected in REQUESTS:
            with case(path):
                assert opening_of(method, path, asks if method == "OPTIONS" else header({})) == expected
        for method, path in OTHERS:
            with case(path):
                assert opening_of(method, path, asks if method == "OPTIONS" else header({})) is None


def test_answers_are_judged() -> None:
    with every_case() as case:
        for number, (asked, status, fields, body, expected) in enumerate(ANSWERS):
            with case(number):
                assert trouble(asked, None, status, header(fields), body) == expected


def test_a_client_of_signalr_is_known_by_its_fields_as_well() -> None:
    mine = header({"X-SignalR-User-Agent": "Microsoft SignalR/10.0"})
    assert opening_of("POST", "/chat/negotiate", mine) == SIGNALR
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "x-signalr-user-agent"}
    assert opening_of("OPTIONS", "/chat/negotiate", header(asks)) == SIGNALR._replace(part="preflight")


@pytest.mark.parametrize(("allowed", "may"), ALLOWED)
def test_an_answer_that_the_page_may_not_read(allowed: str | None, may: bool) -> None:
    fields = header({} if allowed is None else {"access-control-allow-origin": allowed})
    found = trouble(SIGNALR, PAGE, 200, fields, NEGOTIATED % WEBSOCKETS)
    assert found == (None if may else "cors")


BROWSER = {"origin": PAGE, "user-agent": "Mozilla/5.0"}
URL = "https://app.test/chat/negotiate"
#: Method, fields of the request, whether the URL is the browser's own, and whether the page needs CORS.
PAGES: list[tuple[str, dict[str, str], bool, bool]] = [
    ("POST", {**BROWSER, "sec-fetch-site": "cross-site"}, False, True),
    ("POST", {**BROWSER, "sec-fetch-site": "same-site"}, False, True),
    ("GET", BROWSER, False, True),
    ("POST", {"origin": PAGE}, True, True),
    # a hop before this one may have changed host and scheme: the page may be of the same origin
    ("POST", BROWSER, False, False),
    ("POST", {**BROWSER, "sec-fetch-site": "same-origin"}, False, False),
    # a hop before this one may add to the answer
    ("GET", {**BROWSER, "x-forwarded-for": "192.0.2.1"}, False, False),
    ("POST", {**BROWSER, "sec-fetch-site": "cross-site", "via": "1.1 caddy"}, False, False),
    # no browser
    ("GET", {"origin": PAGE, "user-agent": "python-socketio"}, False, False),
    *(
        ("GET", {"user-agent": "Mozilla/5.0", "origin": origin}, True, False)
        for origin in (
            "null",
            "https://app.test",
            "https://app.test:443",
            "https://[",
            "chrome-extension://x",
            "",
        )
    ),
]


def test_a_page_that_needs_cors_is_one_that_surely_does() -> None:
    with every_case() as case:
        for number, (method, fields, is_seen, needs) in enumerate(PAGES):
            with case(number):
                found = page_of(method, URL, header(fields), is_seen_by_browser=is_seen)
                assert found == (PAGE if needs else None)


def report(log: Openings, base: str = "/chat", status: int = 404, body: bytes = b"no") -> LibraryAsked | None:
    url = f"https://app.test{base}/negotiate?access_token=secret"
    asked = Opening("signalr", base, "begin")
    return log.report(asked, "POST", url, header({}), status, header({"Server": "nginx"}), body)


def test_what_is_reported_has_no_query_and_few_are_alike() -> None:
    log = Openings()
    first = report(log)
    assert first is not None
    assert (first.url, first.host, first.status, first.problem, first.server, first.refusal) == (
        *("https://app.test/chat/negotiate", "app.test", 404, "failed", "nginx", "no"),
    )
    assert [report(log) is not None for _ in range(MAX_ALIKE)] == [True] * (MAX_ALIKE - 1) + [False]
    assert report(log, status=502) is not None
    assert (
        sum(report(log, f"/{number}") is not None for number in range(2 * MAX_REPORTED))
        == MAX_REPORTED - MAX_ALIKE - 1
    )


def test_an_answer_that_is_well_is_reported_after_one_that_was_not() -> None:
    log, good = Openings(), NEGOTIATED % WEBSOCKETS
    assert report(log, status=200, body=good) is None
    report(log, status=401)
    served = [report(log, status=200, body=good) for _ in range(2)]
    assert [one and one.problem for one in served] == ["served", None]


def test_what_a_browser_gave_up_itself_is_no_failure() -> None:
    for error, is_said in [
        ("net::ERR_ABORTED", False),
        ("NS_BINDING_ABORTED", False),
        ("net::ERR_FAILED", True),
    ]:
        said = Openings().report(SIGNALR, "POST", URL, header({}), None, header({}), None, error=error)
        assert (said is not None) == is_said, error


def test_a_first_poll_that_is_recorded_itself_is_not_reported_twice() -> None:
    url = "https://app.test/socket.io/?EIO=4&transport=polling"
    for has_polls in (True, False):
        log = Openings(has_polls=has_polls)
        said = log.report(SOCKETIO, "GET", url, header({}), 404, header({}), b"no")
        assert (said is None) == has_polls
        assert log.report(POLL, "POST", url, header({}), 413, header({}), b"no") is not None


def test_behind_a_hop_nothing_is_said_of_cors() -> None:
    asks, body = header({**BROWSER, "sec-fetch-site": "cross-site"}), NEGOTIATED % WEBSOCKETS
    for tap, problem in [("edge", "cors"), ("main", "cors"), ("origin", None), ("origin-1", None)]:
        said = Openings().report(SIGNALR, "POST", URL, asks, 200, header({}), body, tap=tap)
        assert (said and said.problem) == problem


def test_no_more_of_a_body_is_kept_than_its_beginning() -> None:
    said = report(Openings(), body=b"x" * 10**6)
    assert said is not None
    assert len(said.refusal or "") == 300
