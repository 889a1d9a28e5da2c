"""Plain requests as rows and lines: what failed stands out, nothing of a peer's is left as it came."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wsinspect.capture.records import Connection, Event
from wsinspect.present.cells import text_of, width_of
from wsinspect.present.clock import UTC, Clock
from wsinspect.present.requests import Asked, asked_lines, asked_words, format_asked, once
from wsinspect.present.rows import Caps
from wsinspect.vocabulary.events import HttpRequest

SECOND = 10**9
TOKEN = HttpRequest(
    number=3,
    method="POST",
    url="http://app.test/token",
    status=401,
    ms=12.5,
    length=2048,
    media_type="application/json",
)
ASKED = Asked(9, 2, 3 * SECOND, TOKEN)


def connection(**facts: object) -> Connection:
    known = dict.fromkeys(Connection._fields) | {"id": 2, "state": "open"} | facts
    return Connection(**known)  # type: ignore[arg-type]


def of(**facts: object) -> Asked:
    return Asked(9, 2, 3 * SECOND, HttpRequest.read(facts))


def test_a_row_has_its_time_where_frames_have_theirs() -> None:
    line = text_of(format_asked(ASKED, Caps(120)))
    assert line.split() == [
        *("3.000", "HTTP", "POST", "http://app.test/token", "→", "401", "in", "12.5", "ms"),
        *("application/json,", "2.0", "KiB"),
    ]
    assert line.index("3.000") + 5 == 1 + 5 + 1 + 10  # the number, and the time at the right of its cells
    assert "00:00:03.000" in text_of(format_asked(ASKED, Caps(120, clock=Clock(UTC))))


@pytest.mark.parametrize(
    ("facts", "style"),
    [({"status": 200}, "muted"), ({"status": 302}, "muted"), ({"status": 404}, "warn"), ({}, "warn")],
)
def test_what_failed_is_not_dim(facts: dict[str, object], style: str) -> None:
    line = asked_words(of(method="GET", url="/", **facts), "->")
    assert line[1][1] == style
    assert {other for _, other in [line[0], *line[2:]]} == {"muted"}


def test_what_a_request_was_for_and_why_it_failed() -> None:
    assert text_of(asked_words(of(method="GET", url="/", what="page", status=200), "->")).endswith("the page")
    assert "Socket.IO polling" in text_of(asked_words(of(what="polling", status=200), "->"))
    assert text_of(asked_words(of(method="GET", url="/", error="refused"), "->")) == "GET / -> refused"
    assert text_of(asked_words(of(), "->")) == "- - -> no answer"


@pytest.mark.parametrize(
    ("url", "host", "port", "shown"),
    [
        ("http://app.test/token?a=1", "app.test", 80, "/token?a=1"),
        ("http://App.test:8080/", "app.test", 8080, "/"),
        ("https://[::1]:8443/x", "::1", 8443, "/x"),
        ("http://other.test/token", "app.test", 80, "http://other.test/token"),
        ("http://app.test:81/token", "app.test", 80, "http://app.test:81/token"),
        ("http://app.test", "app.test", 80, "http://app.test"),
        ("nonsense", "app.test", 80, "nonsense"),
        (None, "app.test", 80, "-"),
    ],
)
def test_the_host_of_the_connection_itself_is_left_out(
    url: str | None, host: str, port: int, shown: str
) -> None:
    near = connection(host=host, port=port)
    assert text_of(asked_words(of(method="GET", url=url, status=200), "->", near)) == f"GET {shown} -> 200"


def test_all_of_it_in_lines() -> None:
    lines = [text_of(line).split() for line in asked_lines(ASKED)]
    assert lines[:4] == [
        ["POST", "http://app.test/token"],
        ["answer", "401"],
        ["after", "12.5", "ms"],
        ["body", "application/json,", "2.0", "KiB"],
    ]
    assert lines[-2][:3] == ["near", "connection", "2,"]


def test_one_request_near_two_attempts_is_one() -> None:
    again = ASKED._replace(id=11, connection=3)
    other = Asked(12, 3, SECOND, HttpRequest(number=2))
    assert [(one.facts.number, one.connection) for one in once([ASKED, again, other])] == [(2, 3), (3, 2)]


def test_an_event_is_read_whatever_it_holds() -> None:
    event = Event(
        5, 7, None, "http", {"number": "x", "status": [], "ms": "soon", "url": {"a": 1}, "length": 2.5}
    )
    one = Asked.of(event)
    assert (one.connection, one.facts.number, one.facts.status, one.facts.ms) == (0, 0, None, None)
    assert text_of(format_asked(one, Caps(80)))


@example({"ms": 1.7e302}, 80)
@given(
    st.dictionaries(
        st.sampled_from(("method", "url", "status", "ms", "length", "media_type", "what", "error")),
        st.text() | st.integers() | st.floats() | st.none(),
    ),
    st.integers(0, 300),
)
def test_any_facts_fit_and_control_a_terminal_never(facts: dict[str, object], width: int) -> None:
    one = Asked.of(Event(1, 1, 1, "http", facts))
    for line in [format_asked(one, Caps(width)), *asked_lines(one)]:
        assert not any(char in text_of(line) for char in "\x1b\r\n\x07\x9b")
    assert width_of(format_asked(one, Caps(width))) <= width
