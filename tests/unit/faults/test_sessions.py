"""Client sessions: which attempts are of one client."""

from __future__ import annotations

import pytest

from wsinspect.faults.sessions import MAX_SESSIONS, SessionBy, SessionKey, Sessions, credentials_of

KEY = SessionKey("edge", "10.0.0.1", "a:80", "/ws", "agent", "https://a")


def test_attempts_of_one_key_are_one_session_and_others_are_not():
    sessions = Sessions()
    first = sessions.attempt(KEY, 1, 100)
    assert sessions.attempt(KEY, 2, 200) is first
    assert (first.number, first.first_ns, first.attempts) == (1, 100, 2)
    assert sessions.attempt(KEY._replace(credentials="token"), 3, 300) is not first


def test_long_parts_are_hashed_and_still_distinguish_sessions():
    sessions = Sessions()
    first = sessions.attempt(KEY._replace(user_agent="x" * 1000), 1, 0)
    assert sessions.attempt(KEY._replace(user_agent="x" * 1000), 2, 0) is first
    assert sessions.attempt(KEY._replace(user_agent="x" * 999), 3, 0) is not first


def test_the_session_that_was_quiet_longest_is_forgotten_first():
    sessions = Sessions()
    first = sessions.attempt(KEY, 1, 0)
    for number in range(MAX_SESSIONS):
        sessions.attempt(KEY._replace(path=f"/{number}"), number + 2, 0)
    assert sessions.attempt(KEY, 1, 0) is not first


def test_matches_are_counted_by_rule():
    session = Sessions().attempt(KEY, 1, 0)
    assert [session.count("a"), session.count("a"), session.count("b")] == [1, 2, 1]


def test_credentials_distinguish_clients_and_stay_when_one_reconnects():
    assert credentials_of("sid=1", "", "x=1") == credentials_of("sid=1", "", "x=2")
    assert credentials_of("sid=1", "", "") != credentials_of("sid=2", "", "")
    assert credentials_of("", "Bearer a", "") != credentials_of("", "Bearer b", "")
    assert credentials_of("", "", "token=a&EIO=4&sid=1&t=2") == credentials_of("", "", "token=a&EIO=4&sid=3")
    assert credentials_of("", "", "token=a") != credentials_of("", "", "token=b")
    assert credentials_of("", "", "") == ""


@pytest.mark.parametrize("text", ["header:X-User", "cookie:sid", "query:user"])
def test_a_session_key_is_read_and_written(text):
    assert str(SessionBy.parse(text)) == text


@pytest.mark.parametrize("text", ["", "header", "header:", "path:x", "header:a b", "X-User"])
def test_an_invalid_session_key_is_refused(text):
    with pytest.raises(ValueError, match="header:NAME"):
        SessionBy.parse(text)
