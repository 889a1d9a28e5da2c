"""What every finding about a refusal has in common."""

from dataclasses import replace

import pytest

from tests.unit.findings.facts_made import refused
from wsinspect.findings.registry import diagnose_connection


def first(facts):
    return diagnose_connection(facts)[0]


@pytest.mark.parametrize(
    ("status", "length", "id_", "limit"),
    [
        ("414 URI Too Long", 4100, "WS-HS-015", "AWS API Gateway: URL of a WebSocket API, 4,096 characters"),
        ("403 Forbidden", 4100, "WS-HS-010", "AWS API Gateway: URL of a WebSocket API, 4,096 characters"),
        ("414 URI Too Long", 8200, "WS-HS-015", "CloudFront: URL, 8,192 characters"),
        ("414 URI Too Long", 4000, "WS-HS-015", None),
        ("403 Forbidden", 4000, "WS-HS-010", None),
        ("414 URI Too Long", 7000, "WS-HS-015", None),
    ],
)
def test_a_url_that_is_just_above_a_known_limit_is_said_to_be(status, length, id_, limit):
    path = "/ws?token="
    facts = refused(status, path=path.ljust(length - len("ws://chat.test:8000"), "x"))
    found = first(replace(facts, host="chat.test", port=8000, scheme="ws"))
    assert found.id == id_
    assert (f"just above a known limit: {limit}" in found.evidence) is (limit is not None)
    assert (f"the URL has {length:,} characters" in found.evidence) is (
        limit is not None or id_ == "WS-HS-015"
    )
    assert (found.title == "The URL is too long") is (id_ == "WS-HS-015")
