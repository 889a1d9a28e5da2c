"""Long-polling on record: bodies of the first requests, then that it continues, and what was not served."""

from __future__ import annotations

from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.test import tflow, tutils

from wsinspect.proxy import polling
from wsinspect.proxy.polling import ALIVE_NS, MAX_REQUESTS, PollLog
from wsinspect.vocabulary.events import Event, Polled

ENGINEIO = "/socket.io/?EIO=4&transport=polling&sid=session-1"
OPENING = "/socket.io/?EIO=4&transport=polling"
SECOND = 10**9


class Recorded:
    """A log, its clock, and its events."""

    def __init__(self) -> None:
        self.now = 0
        self.came = 0
        self.events: list[Polled] = []
        self.log = PollLog(self, lambda: self.now, lambda _: ("app", "127.0.0.1:9", None), self._come)

    def _come(self) -> None:
        self.came += 1

    def event(self, _connection: int, event: Event, _time_ns: int) -> None:
        assert isinstance(event, Polled)
        self.events.append(event)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"nothing else is recorded: {name}")

    def ask(
        self,
        path: str = ENGINEIO,
        method: str = "GET",
        status: int = 200,
        said: bytes = b"",
        answer: bytes = b"2",
        encoding: str = "",
    ) -> None:
        flow = tflow.tflow(req=tutils.treq(method=method.encode(), path=path.encode(), content=b""))
        flow.request.stream = True
        flow.request.headers.pop("content-encoding", None)
        self.log.requestheaders(flow)
        if callable(flow.request.stream):
            flow.request.stream(said)
        flow.response = http.Response.make(status, b"", {"content-encoding": encoding})
        self.log.responseheaders(flow)
        if callable(flow.response.stream):
            assert flow.response.stream(answer) == answer
        self.log.response(flow)


def test_of_a_long_session_the_first_requests_are_whole_and_later_ones_say_that_it_continues():
    one = Recorded()
    for _ in range(MAX_REQUESTS + 60):
        one.now += SECOND // 2
        one.ask()
    whole, later = one.events[:MAX_REQUESTS], one.events[MAX_REQUESTS:]
    assert {(at.response, at.is_cut) for at in whole} == {("2", False)}
    assert {(at.response, at.is_cut, at.status) for at in later} == {("", True, 200)}
    assert len(later) == 60 * SECOND // 2 // ALIVE_NS
    assert one.came == MAX_REQUESTS + 60


@pytest.mark.parametrize("path", [ENGINEIO, "/socket.io/?EIO=4&transport=polling"])
def test_what_is_not_served_is_on_record_after_that_too(monkeypatch, path):
    monkeypatch.setattr(polling, "MAX_REFUSED", 150)
    one = Recorded()
    for _ in range(MAX_REQUESTS * 2):
        one.ask()
    one.events.clear()
    for _ in range(160):
        one.ask(path, status=503)
    assert [at.status for at in one.events] == [503] * 150


@pytest.mark.parametrize(("method", "said"), [("POST", b"1"), ("POST", b"42[1]\x1e1"), ("POST", b"1:1")])
def test_a_farewell_is_always_on_record(method, said):
    one = Recorded()
    for _ in range(MAX_REQUESTS * 2):
        one.ask()
    one.ask(method=method, said=said, answer=b"ok")
    assert one.events[-1].request == said.decode()


def test_a_signalr_client_says_goodbye():
    one = Recorded()
    token = b'{"connectionToken":"token-42","availableTransports":[]}'
    one.ask("/hub/negotiate?negotiateVersion=1", "POST", answer=token)
    assert not one.events
    one.ask("/hub?id=token-42")
    one.ask("/hub?id=token-42", "DELETE", status=202, answer=b"")
    one.ask("/hub?id=token-of-nobody")
    assert [(at.method, at.status, at.sid) for at in one.events] == [
        ("GET", 200, "token-42"),
        ("DELETE", 202, "token-42"),
    ]


@pytest.mark.parametrize(("is_connected", "stream"), [(True, None), (False, "left")])
def test_without_an_answer_it_is_said_who_left(is_connected, stream):
    one = Recorded()
    flow = tflow.tflow(req=tutils.treq(method=b"GET", path=ENGINEIO.encode()))
    flow.client_conn.timestamp_end = None if is_connected else 1.0
    flow.client_conn.state = flow.client_conn.state if is_connected else type(flow.client_conn.state)(0)
    one.log.requestheaders(flow)
    one.log.error(flow)
    assert [(at.status, at.stream) for at in one.events] == [(None, stream)]


def test_the_words_of_what_is_not_served_are_kept_and_no_more_than_their_beginning():
    one = Recorded()
    one.ask(status=400, answer=b'{"code":1,"message":"Session ID unknown"}')
    one.ask(status=502, answer=b"x" * 10_000)
    one.ask(status=400, answer=b"")
    one.ask()
    said = [at.refusal for at in one.events]
    assert said == ['{"code":1,"message":"Session ID unknown"}', "x" * polling.MAX_REFUSAL, None, None]
    assert [at.response for at in one.events] == ["", "", "", "2"]


@pytest.mark.parametrize("encoding", ["br", "zstd"])
def test_an_answer_that_cannot_be_read_is_not_taken_for_another_one(encoding):
    one = Recorded()
    one.ask(OPENING, answer=b"\x0b\x02\x80\x03", encoding=encoding)
    one.ask(OPENING, answer=b"\x0b\x02\x80\x03", encoding=encoding, status=502)
    assert [(at.sid, at.status, at.is_cut, at.refusal) for at in one.events] == [
        (None, 200, True, None),
        (None, 502, True, None),
    ]


@pytest.mark.parametrize(
    "answer",
    [
        b'0{"sid":"abcdef"}',
        b'97:0{"sid": "abcdef"}',
        b'\0\x09\x07\xff0{"sid":"abcdef"}',
        rb'___eio[0]("97:0{\"sid\":\"abcdef\",\"upgrades\":[]}");',
    ],
    ids=["4", "3", "3 in bytes", "JSONP"],
)
def test_a_session_is_known_in_each_way_to_write_it(answer):
    one = Recorded()
    one.ask(OPENING, answer=answer)
    assert [(at.sid, at.refusal) for at in one.events] == [("abcdef", None)]
