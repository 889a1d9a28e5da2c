"""What did not come out of a hop: kept for too long, sent elsewhere, or still on its way."""

from dataclasses import replace

import pytest

from tests.unit.findings.facts_made import SECOND, START, cut, failed, left_at, refused, response
from tests.unit.findings.pairs_made import behind, pair
from wsinspect.findings.facts import Other
from wsinspect.findings.lag import Lag
from wsinspect.findings.rules.kept import elsewhere, kept, kept_ns
from wsinspect.findings.sandwich import Clocks

SENT = START + 1_000_000


def gone(waited):
    return failed("Client disconnected.", "client", waited=waited)


def at_origin(asked, answered=None):
    """The same attempt behind the hop: asked and answered so many seconds after it went into the hop."""
    times = {"request_in_ns": SENT + int(asked * SECOND), "response_in_ns": None}
    if answered is None:
        return behind(gone(9), times=times)
    answer = {"response_in_ns": SENT + int(answered * SECOND)}
    return behind(refused("403 Forbidden"), times={**times, **answer})


@pytest.mark.parametrize(
    ("waited", "origin", "expected"),
    [
        (0.4, None, None),
        (1.5, None, "request"),
        (1.5, at_origin(2.0), "request"),
        (1.5, at_origin(0.01), None),
        (3.0, at_origin(0.01, 0.02), "answer"),
        (3.0, at_origin(0.01, 2.5), None),
        (3.0, at_origin(0.01, 3.5), None),
    ],
)
def test_what_a_hop_had_when_the_client_left(waited, origin, expected):
    assert kept(pair(gone(waited), origin)) == expected


def test_a_101_that_comes_when_the_client_has_left_was_kept_as_a_request():
    edge = cut(at=5, by="client", **left_at(1.5))
    assert kept(pair(edge, at_origin(2.0, 2.9))) == "request"
    assert kept(pair(edge, at_origin(0.01, 2.9))) is None


def test_an_answer_that_was_passed_on_was_not_kept():
    assert kept(pair(refused("403 Forbidden"), at_origin(0.01, 0.02))) is None
    assert kept(pair(failed("connection refused", "connect"), None)) is None


def test_another_clock_is_taken_off_and_its_error_is_no_time():
    late = at_origin(100.01, 100.02)
    assert kept(pair(gone(3), late, clocks=Clocks(100 * SECOND, 0, False))) == "answer"
    assert kept(pair(gone(3), late, clocks=Clocks(100 * SECOND, 3 * SECOND, False))) is None


def test_what_a_blind_tap_did_not_pass_on_was_not_kept_by_the_hop():
    lags = (Lag(SENT + SECOND // 10, SENT + 2 * SECOND),)
    edge = replace(gone(2.5), lags=lags)
    assert kept_ns(pair(edge, None)) == 0
    assert kept(pair(edge, None)) is None


def test_an_answer_of_an_application_that_was_not_asked_here_came_from_another_one():
    others = (Other(7, "/chat?room=1", START, START),)
    app = replace(refused("404 Not Found", Server="uvicorn"), others=others)
    assert elsewhere(app) == "Server: uvicorn"
    assert elsewhere(replace(app, others=())) is None
    assert elsewhere(replace(app, others=(Other(7, "/other", START, START),))) is None
    assert elsewhere(replace(app, raw_response_in=response("404 Not Found", Server="nginx/1.22.1"))) is None
