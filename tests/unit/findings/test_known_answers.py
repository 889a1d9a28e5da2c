"""Refusals that are known by their words, and others that look nearly the same."""

from typing import Any

import pytest

from tests.unit.findings.facts_made import refused, request
from wsinspect.findings.registry import diagnose_connection


def first(facts):
    return diagnose_connection(facts)[0]


CROSS = b"Cross origin websockets not allowed"


GO = b'request Origin "http://example.org" is not authorized for Host "app:3000"'


@pytest.mark.parametrize("body", [CROSS, GO])
def test_a_page_s_own_origin_called_foreign_is_a_changed_host(body):
    found = first(refused("403 Forbidden", body, Server="nginx"))
    assert (found.id, found.fault_of, found.confidence) == ("WS-HS-010", "hop", "medium")
    assert "a hop changes Host" in found.title
    assert found.fixes[0].text.startswith("proxy_set_header Host $http_host;")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (CROSS, {"Origin": "https://other.example"}),
        (CROSS, {"Host": "example.org:8080"}),
        (b"Invalid Origin header: http://example.org", {}),
        (b"Forbidden", {}),
    ],
    ids=["a foreign page", "another port", "a list", "mute"],
)
def test_what_a_server_may_refuse_for_itself_is_no_changed_host(body, fields):
    found = first(refused("403 Forbidden", body, head=request(**fields), Server="nginx"))
    assert (found.id, found.fault_of) == ("WS-HS-010", "server")


@pytest.mark.parametrize(
    ("body", "fields", "is_said"),
    [
        (b"Failed to open a WebSocket connection: invalid Origin header: http://example.org.", {}, True),
        (b"", {"X_WebSocket_Reject_Reason": "origin not allowed"}, True),
        (b"origin not allowed", {}, True),
        (b"<p>The original file is not here</p>", {}, False),
        (b"", {}, False),
        (b"", {"X_WebSocket_Reject_Reason": "no such room"}, False),
    ],
)
def test_an_origin_that_the_answer_names_is_in_the_title(body, fields, is_said):
    facts = refused("403 Forbidden", body, **fields)
    found = first(facts)
    assert found.title == (
        "403: the server refuses this Origin"
        if is_said
        else "403: the server refuses this client, origin or path"
    )
    for reason in fields.values():
        assert f"the answer says: {reason}" in found.evidence


def test_an_origin_that_was_not_sent_is_not_called_refused():
    """Who has a client that is no browser is told what to send, and nothing of hops that change Host."""
    body = b"Origin not allowed"
    found = first(refused("403 Forbidden", body, head=request(without=("Origin",))))
    assert found.title == "403: the server demands an Origin that it knows, and none was sent"
    assert [one.cause for one in found.causes] == ["the server accepts only an Origin on its list"]


def by_ws(body=b"Bad Request", **fields):
    own = {"Connection": "close", "Content_Type": "text/html", "Content_Length": str(len(body))}
    return first(refused("400 Bad Request", body, **(own | fields)))


def test_a_400_that_ws_itself_wrote_is_about_the_path():
    found = by_ws()
    assert (found.id, found.fault_of) == ("WS-HS-012", "server")
    assert found.title == "400: the server's WebSocket library refuses this path"
    assert not any("Upgrade" in one.cause for one in found.causes)


@pytest.mark.parametrize(
    "fields",
    [
        {"Date": "Mon, 30 Nov 2026 10:00:00 GMT"},
        {"Server": "nginx"},
        {"Content_Type": "text/plain"},
        {"body": b"Missing or invalid Sec-WebSocket-Key header"},
    ],
)
def test_another_400_may_be_a_lost_upgrade(fields):
    assert by_ws(**fields).title != "400: the server's WebSocket library refuses this path"


def test_the_greeting_of_sockjs_names_the_path_of_its_websocket():
    plain: Any = {"Content_Type": "text/plain; charset=UTF-8"}
    found = first(refused("200 OK", b"Welcome to SockJS!\n", path="/echo/?a=b", **plain))
    assert (found.id, found.fault_of, found.confidence) == ("WS-HS-004", "client", "high")
    assert [one.text for one in found.fixes] == [
        "Connect to /echo/websocket, or give this URL to a SockJS client (as http, not ws)."
    ]
    other = first(refused("200 OK", b"Welcome to nginx!", path="/echo", **plain))
    assert (other.id, other.fault_of) == ("WS-HS-004", "server")


def test_envoy_s_own_404_is_about_its_routes():
    found = first(refused("404 Not Found", Server="envoy"))
    assert (found.id, found.fault_of, found.confidence) == ("WS-HS-011", "hop", "medium")
    assert found.title == "404: Envoy itself has no route for this request"
    assert "domains" in found.causes[0].cause


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"", {"Server": "envoy", "X_Envoy_Upstream_Service_Time": "3"}),
        (b"Not Found", {"Server": "envoy"}),
        (b"", {"Server": "envoy", "X_Powered_By": "Express"}),
        (b"", {"Server": "gunicorn"}),
    ],
)
def test_a_404_that_envoy_passed_on_is_the_server_s(body, fields):
    found = first(refused("404 Not Found", body, **fields))
    assert (found.id, found.fault_of) == ("WS-HS-011", "server")


def test_an_empty_200_of_caddy_is_caddy_s():
    found = first(refused("200 OK", Server="Caddy"))
    assert (found.id, found.fault_of) == ("WS-HS-004", "hop")
    page = first(refused("200 OK", b"<p>hello", Server="Caddy", Content_Type="text/html"))
    assert (page.id, page.fault_of) == ("WS-HS-004", "server")


def test_a_proxy_header_in_the_place_of_a_request_is_the_hop_s():
    quoted = b"<p>Bad HTTP request line: b&#x27;PROXY TCP4 127.0.0.1 127.0.0.1 5 6&#x27;</p>"
    found = first(refused("400 Bad Request", quoted))
    assert (found.id, found.fault_of, found.confidence) == ("WS-HS-012", "hop", "high")
    assert "PROXY header" in found.title
    assert "send-proxy" in found.fixes[0].text
    for body in (b"Bad HTTP request line: b'SSH-2.0'", b"our proxy tcp4 pool is empty"):
        assert first(refused("400 Bad Request", body)).fault_of == "server"


#: What each parser of HTTP writes for a PROXY header in front of the request; a handler's answer has a Date.
_GO: dict[str, Any] = {"Content_Type": "text/plain; charset=utf-8", "Connection": "close"}


@pytest.mark.parametrize(("body", "fields"), [(b"", {"Connection": "close"}), (b"400 Bad Request", _GO)])
def test_a_400_of_a_parser_is_about_what_came_before_the_request(body, fields):
    found = diagnose_connection(refused("400 Bad Request", body, **fields))[0]
    assert (found.id, found.fault_of, found.confidence) == ("WS-HS-012", "hop", "medium")
    assert "PROXY header" in found.causes[0].cause
    assert "PROXY protocol off" in found.fixes[-1].text


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"", {"Connection": "close", "Date": "Tue, 01 Dec 2026 10:00:00 GMT"}),
        (b"", {"Connection": "keep-alive"}),
        (b"", {"Connection": "close", "Content_Length": "0"}),
        (b"missing token", {"Connection": "close"}),
        (b"400 Bad Request", {**_GO, "Date": "Tue, 01 Dec 2026 10:00:00 GMT"}),
        (b"400 Bad Request: missing required Host header", _GO),
    ],
)
def test_other_400s_are_not_a_parsers(body, fields):
    found = diagnose_connection(refused("400 Bad Request", body, **fields))[0]
    assert "not an HTTP request" not in found.title
