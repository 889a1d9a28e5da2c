"""The DevTools protocol: messages in any pieces, and what a hostile page makes of its console."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsinspect.errors import LocalError
from wsinspect.launch.browser.devtools import (
    MAX_LINES,
    MAX_SOCKETS,
    ConsoleLine,
    PageLog,
    Pipe,
    Socket,
    split,
)


def event(method: str, **params: Any) -> dict[str, Any]:
    return {"method": method, "params": params}


def log_of(*events: dict[str, Any]) -> PageLog:
    log = PageLog()
    for one in events:
        log.take(one)
    return log


def test_messages_in_any_pieces():
    data = b'{"id": 1}\0{"method": "a"}\0{"id'
    assert split(data) == ([{"id": 1}, {"method": "a"}], b'{"id')
    found, rest = [], b""
    for at in range(len(data)):
        new, rest = split(rest + data[at : at + 1])
        found += new
    assert (found, rest) == ([{"id": 1}, {"method": "a"}], b'{"id')


def test_what_is_no_message_is_passed_over():
    assert split(b"nonsense\0[1]\0\xff\0{}\0") == ([{}], b"")


def test_the_console():
    log = log_of(
        event("Runtime.consoleAPICalled", type="warning", args=[{"value": "a"}, {"description": "Object"}]),
        event(
            "Runtime.exceptionThrown",
            exceptionDetails={
                "url": "http://a/x.js",
                "lineNumber": 3,
                "exception": {"description": "TypeError: x is null\n  at y"},
            },
        ),
        event(
            "Log.entryAdded", entry={"level": "error", "source": "security", "text": "refused", "url": "u"}
        ),
        event("Page.loadEventFired"),
    )
    assert log.lines == (
        ConsoleLine("warning", "console", "a Object"),
        ConsoleLine("error", "exception", "TypeError: x is null (http://a/x.js:4)"),
        ConsoleLine("error", "security", "refused (u)"),
    )
    assert log.is_loaded


def test_a_socket_connects_until_it_opens_fails_or_is_closed():
    made = [event("Network.webSocketCreated", requestId=str(n), url=f"ws://a/{n}") for n in range(3)]
    log = log_of(*made)
    ends = (
        event("Network.webSocketHandshakeResponseReceived", requestId="0", response={"status": 101}),
        event("Network.webSocketFrameError", requestId="1", errorMessage="refused"),
        event("Network.webSocketClosed", requestId="2"),
    )
    for one in ends:
        assert log.is_connecting
        log.take(one)
    assert not log.is_connecting
    assert log.made == 3


def test_of_very_many_sockets_those_that_failed_are_kept():
    count = MAX_SOCKETS * 5
    log = log_of(
        *(event("Network.webSocketCreated", requestId=str(n), url=f"ws://a/{n}") for n in range(count))
    )
    log.take(event("Network.webSocketFrameError", requestId=str(count - 1), errorMessage="refused"))
    assert len(log.sockets) == MAX_SOCKETS
    assert log.sockets[-1] == Socket(f"ws://a/{count - 1}", error="refused")
    assert log.sockets[0] == Socket("ws://a/0")


def test_sockets():
    log = log_of(
        event("Network.webSocketCreated", requestId="1", url="ws://a/"),
        event("Network.webSocketHandshakeResponseReceived", requestId="1", response={"status": 101}),
        event("Network.webSocketCreated", requestId="2", url="ws://b/"),
        event("Network.webSocketFrameError", requestId="2", errorMessage="refused"),
        event("Network.webSocketClosed", requestId="3"),
    )
    assert log.sockets == (Socket("ws://a/", 101), Socket("ws://b/", None, "refused"))


def test_a_page_cannot_fill_our_memory():
    log = log_of(
        *(event("Log.entryAdded", entry={"level": "error", "text": f"{n}" + "x" * 9999}) for n in range(999)),
        *(event("Network.webSocketCreated", requestId=str(n), url="ws://a/" * 999) for n in range(999)),
    )
    assert len(log.lines) == MAX_LINES
    assert max(len(one.text) for one in log.lines) <= 500
    assert len(log.sockets) == MAX_SOCKETS


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(
    (
        *("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Page.loadEventFired"),
        *("Network.webSocketCreated", "Network.webSocketFrameError", "Other"),
        "Network.webSocketHandshakeResponseReceived",
    )
)
keys = st.sampled_from(("type", "args", "exceptionDetails", "entry", "requestId", "url", "response", "x"))


@given(st.lists(st.tuples(names, st.dictionaries(keys, anything) | anything), max_size=6))
def test_whatever_comes_is_no_error(events):
    log_of(*({"method": name, "params": params} for name, params in events))


def test_the_pipe_asks_and_gives_the_events_meanwhile():
    pipe = Pipe()
    theirs_in, theirs_out = pipe.inherited
    os.write(theirs_out, b'{"method":"Some.event"}\0{"id":1,"result":{"a":2}}\0')
    seen: list[Any] = []
    assert pipe.ask("Some.method", "session", take=seen.append, b=3) == {"a": 2}
    assert seen == [{"method": "Some.event"}]
    asked = json.loads(os.read(theirs_in, 999).rstrip(b"\0"))
    assert asked == {"id": 1, "method": "Some.method", "params": {"b": 3}, "sessionId": "session"}
    pipe.close_inherited()
    with pytest.raises(LocalError, match="has ended"):
        list(pipe.messages(time.monotonic() + 5))
    with pytest.raises(LocalError, match="has ended"):
        pipe.send("Another.method")
    pipe.close()


def test_what_comes_in_one_piece_behind_a_result_is_not_lost():
    pipe = Pipe()
    os.write(pipe.inherited[1], b'{"id":1,"result":{}}\0{"method":"Behind.it"}\0{"method":"Behind.that"}\0')
    assert pipe.ask("Some.method") == {}
    found = pipe.messages(time.monotonic() + 0.01)
    assert [one["method"] for one in found] == ["Behind.it", "Behind.that"]
    pipe.close_inherited()
    pipe.close()


def test_no_answer_in_time():
    pipe = Pipe()
    with pytest.raises(LocalError, match="does not answer"):
        pipe.ask("Some.method", seconds=0.01)
    pipe.close_inherited()
    pipe.close()
