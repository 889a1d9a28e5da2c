"""Ends right after the largest message, at the size of somebody's default limit: ranked, never certain."""

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.findings.facts_made import HELLO, cut, frame, request
from wsinspect.findings.facts import C2S, S2C
from wsinspect.findings.registry import diagnose_connection

APPLE = "MyApp/1 CFNetwork/1410.0.3 Darwin/22.6.0"


def sized(number: int, direction: Any, at: float, size: int) -> Any:
    return replace_length(frame(number, direction, at), size)


def replace_length(one: Any, size: int) -> Any:
    return one._replace(length=size)


def first(facts: Any) -> Any:
    return diagnose_connection(facts)[0]


@pytest.mark.parametrize(
    ("by", "size", "how", "limit"),
    [
        ("client", 1_300_000, "rst", "max_size"),
        ("client", 1_300_000, "fin", "max_size"),
        ("server", 33_000, "rst", "SetReadLimit"),
        ("server", 70_000, "fin", "Netty"),
        ("server", 110_000_000, "rst", "maxPayload"),
    ],
)
def test_an_end_right_after_the_largest_message_ranks_a_limit_first(by, size, how, limit):
    sender = S2C if by == "client" else C2S
    found = first(cut(*HELLO, sized(3, sender, 0.9, size), at=1.0, by=by, how=how))
    assert (found.id, found.fault_of, found.confidence) == ("WS-CL-009", by, "low")
    assert f"{size:,} bytes" in found.title
    assert limit in str(found.evidence)
    assert len(found.causes) == 2


def test_apples_client_is_named_where_it_says_who_it_is():
    facts = cut(*HELLO, sized(3, S2C, 0.9, 1_300_000), at=1.0, by="client", how="rst")
    found = first(replace(facts, raw_request_in=request(User_Agent=APPLE)))
    assert (found.confidence, found.severity) == ("medium", "warning")
    assert "URLSession" in found.causes[0].cause


@pytest.mark.parametrize(
    "facts",
    [
        cut(*HELLO, sized(3, S2C, 0.9, 900_000), at=1.0, by="client"),  # below each limit near to it
        cut(*HELLO, sized(3, S2C, 0.9, 2_000_000), at=1.0, by="client"),  # far above
        cut(*HELLO, sized(3, C2S, 0.9, 9_000), at=1.0),  # nobody's large message
        cut(*HELLO, sized(3, S2C, 0.9, 1_300_000), at=4.0, by="client"),  # long before
        cut(*HELLO, sized(3, S2C, 0.9, 1_300_000), at=1.0, by="server"),  # the sender's own end
        cut(*HELLO, sized(3, S2C, 0.5, 1_400_000), sized(4, S2C, 0.9, 1_300_000), at=1.0, by="client"),
        cut(*HELLO, sized(3, S2C, 0.8, 1_300_000), frame(4, C2S, 0.9), at=1.0, by="client"),  # answered
    ],
)
def test_other_ends_are_not_about_a_size(facts):
    assert "WS-CL-009" not in [one.id for one in diagnose_connection(facts)]


@pytest.mark.parametrize(
    ("host", "cause"),
    [
        ("abc.execute-api.eu-west-1.amazonaws.com", "AWS API Gateway: WebSocket frame size"),
        ("chat.test", "SignalR: MaximumReceiveMessageSize"),
    ],
)
def test_a_service_that_left_no_mark_is_no_cause(host, cause):
    facts = replace(cut(*HELLO, sized(3, C2S, 0.9, 33_000), at=1.0), host=host)
    found = first(facts)
    assert cause in found.causes[0].cause
    assert ("AWS" in str(found)) is ("AWS" in cause)


def test_a_size_that_only_services_refuse_is_nobody_s():
    cut_off = cut(*HELLO, sized(3, C2S, 0.9, 140_000), at=1.0)
    assert "WS-CL-009" not in [one.id for one in diagnose_connection(cut_off)]
