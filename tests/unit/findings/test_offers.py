"""Offers of extensions that break their rules, behind a refusal that does not say why."""

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.findings.facts_made import START, refused, request, switching
from wsinspect.findings.facts import Other
from wsinspect.findings.registry import diagnose_connection
from wsinspect.handshake.negotiation import faults_of_offer

WIDE = "permessage-deflate; client_max_window_bits=16"
#: Tomcat's page.
PAGE = (
    "<!doctype html><html lang='en'><head><title>HTTP Status 500 – Internal Server Error</title>"
    "<style>body {font-family:Tahoma}</style></head><body><h1>HTTP Status 500 – Internal Server Error</h1>"
).encode()


def offering(offer: str, status: str = "500 ", body: bytes = PAGE, **facts: Any) -> Any:
    return replace(refused(status, body, head=request(Sec_WebSocket_Extensions=offer)), **facts)


@pytest.mark.parametrize(
    ("offer", "said"),
    [
        (WIDE, "client_max_window_bits=16 is not from 8 to 15"),
        ("permessage-deflate; server_max_window_bits=7", "server_max_window_bits=7 is not from 8 to 15"),
        ("permessage-deflate; server_max_window_bits=09", "server_max_window_bits=09 is not from 8 to 15"),
        ("permessage-deflate; server_max_window_bits", "server_max_window_bits has no value"),
        ("permessage-deflate; client_no_context_takeover=1", "client_no_context_takeover=1 takes no value"),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits", "is there twice"),
        ("permessage-deflate; level=9", "level=9 is unknown"),
        ('permessage-deflate; client_max_window_bits="15', "breaks the syntax"),
        ("permessage deflate", "'permessage deflate' is no name of an extension"),
    ],
)
def test_what_is_wrong_with_an_offer_is_said(offer, said):
    assert said in faults_of_offer([offer.encode()])[0]
    found = diagnose_connection(offering(offer))[0]
    assert (found.id, found.fault_of, found.confidence) == ("WS-HS-049", "client", "medium")
    assert said in found.title
    assert found.causes[0].cause == "the server fails on the invalid offer"


@pytest.mark.parametrize(
    "offer",
    [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        'permessage-deflate; client_max_window_bits="10"; server_max_window_bits=8',
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover, x-webkit-deflate-frame",
        "permessage-deflate; client_max_window_bits=15, permessage-deflate",
        "bbf-usp-protocol; eid=proto",
    ],
)
def test_a_right_offer_is_not_named(offer):
    assert faults_of_offer([offer.encode()]) == ()
    assert diagnose_connection(offering(offer))[0].id != "WS-HS-049"


@pytest.mark.parametrize(
    "facts",
    [
        offering(WIDE, "500 Oops", b"KeyError: 'room'"),
        offering(WIDE, "400 Bad Request", b'{"error":"room is missing"}'),
        offering(WIDE, "401 Unauthorized", b""),
        offering(WIDE, "503 Service Unavailable", b""),
        offering(
            WIDE,
            others=(
                Other(
                    2,
                    "/chat",
                    START,
                    START,
                    request=request(Sec_WebSocket_Extensions=WIDE),
                    response=switching(),
                ),
            ),
        ),
        offering(
            WIDE, others=(Other(2, "/chat", START, 0, request=request(), response=b"HTTP/1.1 500 \r\n\r\n"),)
        ),
    ],
)
def test_an_answer_about_something_else_is_not_of_the_offer(facts):
    assert "WS-HS-049" not in [one.id for one in diagnose_connection(facts)]
