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
        ("414 URI Too Long", 4100, "WS-HS-015", "IIS: requestLimits maxUrl, 4,096 characters"),
        ("403 Forbidden", 4100, "WS-HS-010", "IIS: requestLimits maxUrl, 4,096 characters"),
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
    assert (f"limits of this size: {limit}" in found.evidence) is (limit is not None)
    assert (f"the URL has {length:,} characters" in found.evidence) is (
        limit is not None or id_ == "WS-HS-015"
    )
    assert (found.title == "The URL is too long") is (id_ == "WS-HS-015")


@pytest.mark.parametrize(
    ("host", "fields", "is_named"),
    [
        ("abc.execute-api.eu-west-1.amazonaws.com", {}, True),
        ("chat.test", {"Apigw_Requestid": "x"}, True),
        ("chat.test", {}, False),
        ("amazonaws.com.chat.test", {}, False),
    ],
)
def test_a_service_is_named_by_a_mark_of_it_and_never_by_a_size_alone(host, fields, is_named):
    path = "/ws?token=".ljust(4100 - len(f"ws://{host}"), "x")
    found = first(replace(refused("414 URI Too Long", path=path, **fields), host=host, scheme="ws"))
    named = (
        "just above a limit of recognised software: AWS API Gateway: URL of a WebSocket API, 4,096 characters"
    )
    assert (named in found.evidence) is is_named
    assert ("AWS" in str(found.evidence)) is is_named
