"""Which requests the proxy puts on record near an attempt, by flows as mitmproxy makes them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from mitmproxy import flow as base
from mitmproxy import http
from mitmproxy.test import tflow

from wsinspect.clients.nearby import MAX_URL
from wsinspect.proxy import attempts
from wsinspect.proxy.nearby import RequestLog
from wsinspect.vocabulary.events import Event, HttpRequest

BROWSER = "Mozilla/5.0 (X11) Chrome/156"


class Sink:
    """Keeps the events."""

    is_full = False

    def __init__(self) -> None:
        self.told: list[tuple[int, HttpRequest]] = []

    def event(self, connection: int, event: Event, time_ns: int) -> None:
        assert isinstance(event, HttpRequest)
        self.told.append((connection, event))

    def data(self, *_: Any, **__: Any) -> None:
        raise AssertionError("no data")

    head = body = data


class Attempt:
    """As much of an attempt as is asked for."""

    def __init__(self, number: int) -> None:
        self.number = number


class Lab:
    """A log, and a client that asks."""

    def __init__(self) -> None:
        self.sink = Sink()
        self.clock: Iterator[int] = count(1_000_000, 1_000_000)
        self.log = RequestLog(self.sink, lambda: next(self.clock))
        self.attempts = 0

    def ask(self, path: str, status: int | None = 200, **fields: str) -> http.HTTPFlow:
        """A request with its answer; without a status there is none."""
        made = flow(path, **fields)
        self.log.requestheaders(made)
        if status is None:
            made.response, made.error = None, base.Error("connection refused")
            self.log.error(made)
        else:
            assert made.response
            made.response.status_code = status
            self.log.responseheaders(made)
            self.log.response(made)
        return made

    def attempt(self, **fields: str) -> list[HttpRequest]:
        """An opening handshake; what goes on record with it."""
        self.attempts += 1
        made = flow("/ws", upgrade="websocket", connection="Upgrade", **fields)
        made.metadata[attempts._METADATA] = Attempt(self.attempts)
        before = len(self.sink.told)
        self.log.requestheaders(made)
        return [event for number, event in self.sink.told[before:] if number == self.attempts]


def flow(path: str, **fields: str) -> http.HTTPFlow:
    made = tflow.tflow(resp=True)
    made.request.host, made.request.port, made.request.path = "app.test", 80, path
    made.request.method = fields.pop("method", "GET")
    made.request.headers.clear()
    made.request.headers["host"] = "app.test"
    for name, value in fields.items():
        made.request.headers[name.replace("_", "-")] = value
    assert made.response
    made.response.headers["content-type"] = "application/json; charset=utf-8"
    made.response.headers["content-length"] = "17"
    return made


@pytest.fixture
def lab() -> Lab:
    return Lab()


def test_a_request_has_its_status_time_and_size(lab: Lab) -> None:
    lab.ask("/token?user=1", 401, method="POST")
    [event] = lab.attempt()
    assert event == HttpRequest(
        number=1,
        method="POST",
        url="http://app.test/token?user=1",
        status=401,
        ms=1.0,
        length=17,
        media_type="application/json",
    )
    assert lab.sink.told == [(1, event)]


def test_a_request_that_failed_says_why(lab: Lab) -> None:
    lab.ask("/token", None)
    [event] = lab.attempt()
    assert (event.status, event.error, event.media_type) == (None, "connection refused", None)


def test_what_a_request_is_for(lab: Lab) -> None:
    lab.ask("/", accept="text/html,*/*")
    lab.ask("/chat", sec_fetch_dest="document", accept="*/*")
    lab.ask("/socket.io/?EIO=4&transport=polling&t=1")
    lab.ask("/hub/negotiate?negotiateVersion=1", method="POST")
    lab.ask("/token", 204, method="OPTIONS", access_control_request_method="POST")
    lab.ask("/token", sec_fetch_dest="empty", accept="text/html")
    assert [event.what for event in lab.attempt()] == [
        *("page", "page", "polling", "negotiation", "preflight"),
        None,
    ]


def test_what_a_page_is_drawn_with_counts_only_where_it_failed(lab: Lab) -> None:
    lab.ask("/logo", sec_fetch_dest="image")
    lab.ask("/app.js", sec_fetch_dest="script")
    lab.ask("/style.css")
    lab.ask("/chunk.js", 404, sec_fetch_dest="script")
    lab.ask("/font.woff2", None)
    lab.ask("/app.js", sec_fetch_dest="empty")  # fetched, not run
    assert [(event.url, event.status) for event in lab.attempt()] == [
        ("http://app.test/chunk.js", 404),
        ("http://app.test/font.woff2", None),
        ("http://app.test/app.js", 200),
    ]


def test_two_browsers_at_one_address_are_two_clients(lab: Lab) -> None:
    lab.ask("/one", user_agent=BROWSER)
    lab.ask("/two", user_agent=BROWSER + " Edge")
    lab.ask("/three", user_agent="python-requests/2.32")
    assert [event.url for event in lab.attempt(user_agent=BROWSER)] == ["http://app.test/one"]
    # A library for HTTP, and another one for WebSockets.
    assert [event.url for event in lab.attempt(user_agent="websockets/15")] == ["http://app.test/three"]


def test_a_request_is_on_record_once_with_each_attempt_and_long_urls_are_cut(lab: Lab) -> None:
    lab.attempt()
    lab.ask("/" + "a" * 5000)
    [(number, event)] = lab.sink.told
    assert (number, len(event.url or "")) == (1, MAX_URL)
    assert lab.attempt() == [event]
    lab.ask("/later")
    assert [number for number, _ in lab.sink.told] == [1, 2, 2]
    assert [event.number for _, event in lab.sink.told] == [1, 1, 2]


def test_an_opening_handshake_is_no_request(lab: Lab) -> None:
    made = flow("/ws", upgrade="websocket")
    lab.log.requestheaders(made)
    lab.log.responseheaders(made)
    assert lab.attempt() == []


@pytest.mark.parametrize("length", ["", "-1", "many", "9" * 40, "٣"])
def test_a_length_that_is_none_is_left_out(lab: Lab, length: str) -> None:
    made = flow("/token")
    assert made.response
    made.response.headers["content-length"] = length
    lab.log.requestheaders(made)
    lab.log.responseheaders(made)
    [event] = lab.attempt()
    assert event.length is None
