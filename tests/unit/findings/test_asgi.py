"""Refusals by daphne and uvicorn: the likeliest cause comes first, and neighbours are not taken for them."""

from typing import Any

import pytest

from tests.unit.findings.facts_made import failed, refused, request
from tests.unit.findings.triggers_answers import other
from wsinspect.findings.registry import diagnose_connection

PLAIN: dict[str, Any] = {"Content_Type": "text/plain; charset=utf-8"}


def first(facts):
    return diagnose_connection(facts)[0]


@pytest.mark.parametrize(
    ("head", "cause"),
    [
        (request(Origin="https://other.example"), "refuses this Origin"),
        (request(without=("Origin",)), "sends no Origin"),
        (request(), "connect() closed"),
        (request(Origin="http://example.org:3000"), "connect() closed"),  # Django compares no ports
    ],
    ids=["foreign", "none", "same", "another port"],
)
def test_daphne_says_403_for_an_origin_or_for_a_consumer(head, cause):
    found = first(refused("403 Access denied", head=head))
    assert found.id == "WS-HS-010"
    assert any("daphne" in line or "Django Channels" in line for line in found.evidence)
    assert cause in found.causes[0].cause
    # A path without a route is a 500 there.
    assert not any("route" in one.cause for one in found.causes)


def test_daphne_s_500_is_mostly_a_path_that_no_route_fits():
    found = first(refused("500 Internal server error", Server="nginx/1.22.1"))
    assert (found.id, found.fault_of) == ("WS-HS-019", "server")
    assert "no route of URLRouter" in found.causes[0].cause


@pytest.mark.parametrize(
    ("status", "body", "fields"),
    [
        ("403 Access Denied", b"", {}),
        ("403 Access denied", b"no", {}),
        ("403 Access denied", b"", PLAIN),
        ("404 Access denied", b"", {}),
        ("500 Internal Server Error", b"", {}),
    ],
)
def test_other_answers_are_not_daphne_s(status, body, fields):
    found = first(refused(status, body, **fields))
    assert not any("Django Channels" in line for line in found.evidence)
    assert not any("URLRouter" in one.cause or "Validator (or" in one.cause for one in found.causes)


def test_daphne_s_words_by_hand_are_a_cause_and_another_server_s_name_ends_the_matter():
    for status in ("403 Access denied", "500 Internal server error"):
        found = first(refused(status))
        assert "another server" in found.causes[-1].cause
        assert not any("itself wrote" in line for line in found.evidence)
        other = first(refused(status, X_Powered_By="Express"))
        assert not any("Django Channels" in line for line in other.evidence)
        assert not any("URLRouter" in one.cause or "Validator (or" in one.cause for one in other.causes)


@pytest.mark.parametrize("fields", [PLAIN, {**PLAIN, "Server": "uvicorn"}])
def test_uvicorn_s_500_is_an_exception_first(fields):
    found = first(refused("500 Internal Server Error", b"Internal Server Error", **fields))
    assert "raised an exception" in found.causes[0].cause
    assert "URLRouter" in found.causes[1].cause


@pytest.mark.parametrize(
    ("waited", "cause"),
    [
        (4.93, "neither accepts nor refuses"),
        (10.1, "neither accepts nor refuses"),
        (30.2, "neither accepts nor refuses"),
        (0.01, "crashed"),
        (3.4, "crashed"),
        (6.5, "crashed"),
    ],
)
def test_a_server_that_hangs_up_at_a_known_limit_waited_for_its_application(waited, cause):
    found = first(failed("server closed connection", "response", waited=waited))
    assert (found.id, found.fault_of) == ("WS-HS-035", "server")
    assert cause in found.causes[0].cause
    assert any("fits a known limit" in line for line in found.evidence) is ("crashed" not in cause)


@pytest.mark.parametrize("waited", [0.9, 1.02, 1.2])
def test_a_second_without_an_answer_names_socketio_only_where_it_is(waited):
    there = other(path="/socket.io/?EIO=4&transport=websocket")
    named = first(failed("server closed connection", "response", waited=waited, others=(there,)))
    assert "Socket.IO hangs up" in named.causes[0].cause
    assert any("fits a known limit: Engine.IO" in line for line in named.evidence)
    for others in ((), (other(path="/chat"),)):
        plain = first(failed("server closed connection", "response", waited=waited, others=others))
        assert plain.title == "The server closed the connection without an answer"
        assert "crashed" in plain.causes[0].cause
        assert "Socket.IO" not in " ".join((*plain.evidence, *(one.cause for one in plain.causes[:-1])))


@pytest.mark.parametrize(
    ("server", "body", "raised", "path"),
    [
        ("granian", b"", True, True),
        ("hypercorn-h11", b"", False, True),
        ("granian", b"no", False, False),
        ("granite", b"", False, False),
    ],
)
def test_granian_s_403_may_hide_an_exception(server, body, raised, path):
    """What granian 2.8 and hypercorn send where an application closes, or raises, before it accepts."""
    found = first(refused("403 Forbidden", body, head=request(without=("Origin",)), Server=server))
    causes = [one.cause for one in found.causes]
    assert any("raised an exception before it accepted (granian" in one for one in causes) is raised
    assert ("not a WebSocket route" in causes[0]) is path


def test_a_403_before_the_accept_may_be_a_dependency_or_a_parameter():
    """FastAPI: the route is there, and what it declares fails."""

    def causes(path: str = "/chat", **fields: Any) -> list[bool]:
        found = first(refused("403 Forbidden", head=request(path, without=("Origin",)), path=path, **fields))
        return [one.cause.startswith("a dependency refuses") for one in found.causes]

    assert causes(**PLAIN)[:2] == [False, True]
    # With parameters in the URL the route is rather there.
    assert causes("/chat?n=abc", **PLAIN)[0]
    assert not any(causes(Server="nginx"))
    assert not any(causes(Content_Type="text/html"))
