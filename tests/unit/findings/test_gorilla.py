"""Refusals by Go's gorilla/websocket: each has 'Sec-Websocket-Version: 13', whatever the reason."""

from typing import Any

import pytest

from tests.unit.findings.facts_made import refused, request
from wsinspect.findings.registry import diagnose_connection

#: As version 1.5.0 writes it; `facts_made` puts hyphens for underscores.
SHAPE: dict[str, Any] = {
    "Content_Type": "text/plain; charset=utf-8",
    "Sec_Websocket_Version": "13",
    "X_Content_Type_Options": "nosniff",
}
FOREIGN = request(Origin="https://app.example.com")


def first(facts):
    return diagnose_connection(facts)[0]


@pytest.mark.parametrize("fields", [SHAPE, {name.lower(): value for name, value in SHAPE.items()}])
def test_403_is_check_origin(fields):
    found = first(refused("403 Forbidden", b"Forbidden\n", head=FOREIGN, **fields))
    assert (found.id, found.fault_of) == ("WS-HS-010", "server")
    assert found.title == "403: the server refuses this Origin"
    assert "CheckOrigin" in found.meaning
    assert any("gorilla" in line for line in found.evidence)


def test_500_is_a_wrapped_response_writer():
    found = first(refused("500 Internal Server Error", b"Internal Server Error\n", **SHAPE))
    assert (found.id, found.fault_of) == ("WS-HS-019", "server")
    assert "http.Hijacker" in found.causes[0].cause


def test_426_and_400_are_a_request_that_lost_its_upgrade():
    found = first(refused("426 Upgrade Required", b"Upgrade Required\n", **SHAPE))
    assert found.id == "WS-HS-002"
    found = first(refused("400 Bad Request", b"Bad Request\n", **SHAPE))
    assert (found.id, found.fault_of) == ("WS-HS-002", "hop")
    assert any("gorilla" in line for line in found.evidence)
    wrong = first(refused("400 Bad Request", b"Bad Request\n", head=request(without=("Upgrade",)), **SHAPE))
    assert wrong.id == "WS-HS-001"


@pytest.mark.parametrize(
    ("status", "body", "without"),
    [
        ("403 Forbidden", b"Forbidden\n", "Sec_Websocket_Version"),
        ("403 Forbidden", b"not on the list\n", ""),
        ("403 Forbidden", b"Forbidden\n", "X_Content_Type_Options"),
        ("500 Internal Server Error", b"Internal Server Error\n", "Sec_Websocket_Version"),
        ("500 Internal Server Error", b"no database\n", ""),
    ],
)
def test_other_answers_are_not_gorilla_s(status, body, without):
    fields = {name: value for name, value in SHAPE.items() if name != without}
    found = first(refused(status, body, head=FOREIGN, **fields))
    assert found.id in ("WS-HS-010", "WS-HS-019")
    assert not any("gorilla" in line for line in found.evidence)
    assert "CheckOrigin" not in found.meaning
    assert not any("Hijacker" in one.cause for one in found.causes)


@pytest.mark.parametrize("status", ["400 Bad Request", "403 Forbidden", "500 Error", "501 Not Implemented"])
def test_a_version_that_was_sent_is_not_called_wrong_because_it_is_named(status):
    assert first(refused(status, b"no\n", Sec_WebSocket_Version="13")).id != "WS-HS-018"


def test_words_and_another_version_still_are_about_the_version():
    said = first(refused("400 Bad Request", b"unsupported version", Sec_WebSocket_Version="13"))
    assert (said.id, said.fault_of) == ("WS-HS-018", "hop")
    older = first(refused("426 Upgrade Required", Sec_WebSocket_Version="8"))
    assert (older.id, older.fault_of) == ("WS-HS-018", "server")
    sent = first(refused("400 Bad", head=request(Sec_WebSocket_Version="8"), Sec_WebSocket_Version="13"))
    assert (sent.id, sent.fault_of) == ("WS-HS-018", "client")


@pytest.mark.parametrize("status", ["501 Not Implemented", "500 Internal Server Error"])
def test_an_answer_that_names_the_hijacker_is_about_a_wrapped_writer(status):
    """coder/websocket says it in words."""
    found = first(refused(status, b"http.ResponseWriter does not implement http.Hijacker\n"))
    assert (found.id, found.fault_of) == ("WS-HS-019", "server")
    assert "its answer says so" in found.causes[0].cause


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (
            "403 Forbidden",
            b'request Origin "https://app.example.com" is not authorized for Host "a.b.c:80"\n',
        ),
        ("403 Forbidden", b"<title>Error 403 Origin check failed</title>"),
        ("400 WebSocket connection denied: origin 'https://app.example.com' not allowed", b""),
        ("400 Bad Request", b"origin 'https://app.example.com' not allowed"),
    ],
)
def test_an_origin_that_the_answer_names_is_what_it_refuses(status, body):
    """coder/websocket, Jetty, and Autobahn, which has it in the status line."""
    found = first(refused(status, body, head=FOREIGN))
    assert found.title == f"{status[:3]}: the server refuses this Origin"
    assert "Origin" in found.causes[0].cause


def test_an_origin_in_another_sentence_is_not_what_is_refused():
    found = first(
        refused("400 Bad Request", b"no upgrade from this origin. The token is not valid", head=FOREIGN)
    )
    assert "refuses this Origin" not in found.title
