"""What a client does with a 101 that it must not accept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.findings.facts_made import cut, switching
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.registry import diagnose_connection
from wsinspect.handshake.negotiation import accept_key


def quiet(facts: ConnectionFacts) -> ConnectionFacts:
    """Without a frame."""
    return replace(facts, frames=(0, 0), last_frames=(), first=(), last=())


@pytest.mark.parametrize("without", ["Upgrade", "Sec-WebSocket-Accept"])
def test_a_client_that_resets_it_does_what_it_has_to(without: str) -> None:
    """RFC 6455, 4.1; Envoy does it with a RST."""
    bad = quiet(cut(by="client", how="rst", raw_response_in=switching(without=(without,))))
    found = [one.id for one in diagnose_connection(bad)]
    assert found[0] in ("WS-HS-024", "WS-HS-025")
    assert "WS-DROP-005" not in found


def test_a_client_that_resets_a_good_one_is_said_to() -> None:
    found = [one.id for one in diagnose_connection(quiet(cut(by="client", how="rst")))]
    assert "WS-DROP-005" in found


OTHERS = accept_key(b"AQIDBAUGBwgJCgsMDQ4PEA==").decode()


@pytest.mark.parametrize(
    ("fields", "party", "first"),
    [
        ({"Sec_WebSocket_Accept": OTHERS}, "server", "the server computes it wrongly"),
        (
            {"Sec_WebSocket_Accept": OTHERS, "Server": "nginx/1.22.1"},
            "hop",
            "a hop sends the server a key",
        ),
        ({"without": ("Sec-WebSocket-Accept",)}, "server", "the server's 101 is made by hand"),
        ({"without": ("Sec-WebSocket-Accept",), "Server": "nginx"}, "hop", "a hop removes it"),
    ],
)
def test_at_one_tap_hop_and_server_are_ranked(fields, party, first) -> None:
    """Which key came to the server is seen behind the hop alone."""
    [found] = [
        one
        for one in diagnose_connection(quiet(cut(by="client", raw_response_in=switching(**fields))))
        if one.id == "WS-HS-024"
    ]
    assert (found.fault_of, found.confidence) == (party, "medium" if "Server" in fields else "high")
    assert [cause.cause.startswith(first) for cause in found.causes] == [True, False]
