"""Empty lines before a request line: the client's, where they may explain the refusal."""

from __future__ import annotations

import pytest

from tests.unit.findings.facts_made import START, failed, refused, request
from wsinspect.findings.facts import Other
from wsinspect.findings.registry import diagnose_connection


def first(facts):
    return diagnose_connection(facts)[0]


def other(head: bytes, path: str = "/chat") -> Other:
    """An attempt that was accepted."""
    return Other(7, path, START, START, request=head)


CLOSED = "the server closed the connection"


@pytest.mark.parametrize("lines", [b"\r\n", b"\r\n\r\n", b"\n"])
def test_a_server_that_hangs_up_behind_empty_lines(lines):
    found = first(failed(CLOSED, "response", head=lines + request("/chat")))
    assert (found.id, found.fault_of, found.confidence) == ("WS-HS-035", "client", "medium")
    assert "behind empty lines" in found.title
    assert found.causes[0].cause.startswith("the client sends empty lines")
    assert any("before the request line (RFC 9112, 2.2)" in line for line in found.evidence)
    assert "forbids empty lines" in found.fixes[0].text


def test_the_same_place_tells_whether_they_are_why():
    head = b"\r\n" + request("/chat")
    proven = first(failed(CLOSED, "response", head=head, others=(other(request("/chat")),)))
    assert (proven.fault_of, proven.confidence, proven.causes) == ("client", "high", ())
    skipped = first(failed(CLOSED, "response", head=head, others=(other(head),)))
    assert (skipped.fault_of, skipped.confidence) == ("server", "medium")
    elsewhere = first(failed(CLOSED, "response", head=head, others=(other(request("/feed"), "/feed"),)))
    assert (elsewhere.fault_of, elsewhere.confidence) == ("client", "medium")


def test_without_them_the_server_is_asked():
    found = first(failed(CLOSED, "response"))
    assert (found.id, found.fault_of) == ("WS-HS-035", "server")


def test_a_400_behind_empty_lines():
    head = b"\r\n" + request("/chat")
    found = first(refused("400 Bad Request", b"400 Bad Request: malformed request", head=head))
    assert (found.id, found.fault_of) == ("WS-HS-012", "client")
    assert found.title == "400: the request came behind empty lines"


@pytest.mark.parametrize("body", [b"Invalid Origin", b"missing Host header", b"unknown token"])
def test_a_400_that_names_another_reason_has_that(body):
    found = first(refused("400 Bad Request", body, head=b"\r\n" + request("/chat")))
    assert found.title != "400: the request came behind empty lines"
    assert first(refused("400 Bad Request", b"malformed request")).fault_of == "server"
