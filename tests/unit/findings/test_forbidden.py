"""What a 403 is ranked by: the Origin, the credentials and the server that wrote it."""

from typing import Any

import pytest

from tests.unit.findings.facts_made import refused, request
from wsinspect.findings.registry import diagnose_connection

PLAIN: dict[str, Any] = {"Content_Type": "text/plain; charset=utf-8"}


def first(facts):
    return diagnose_connection(facts)[0]


@pytest.mark.parametrize(
    ("path", "fields", "cause", "fix"),
    [
        ("/chat", {}, "not a WebSocket route", "@app.websocket"),
        ("/chat?token=abc", {}, "rejects the credentials", "Send the credentials"),
        ("/chat", {"Origin": "https://other.example"}, "the Origin is not on", "allowed origins"),
    ],
)
def test_uvicorn_s_403_is_about_the_path_the_credentials_or_a_foreign_origin(path, fields, cause, fix):
    without = () if fields else ("Origin",)
    found = first(refused("403 Forbidden", head=request(path, without=without, **fields), path=path, **PLAIN))
    assert cause in found.causes[0].cause
    assert fix in found.fixes[-1].text


def test_a_foreign_origin_s_403_of_uvicorn_is_about_the_path_next():
    head = request(Origin="https://other.example")
    causes = [one.cause for one in first(refused("403 Forbidden", head=head, **PLAIN)).causes]
    assert ["the Origin is not on" in causes[0], "not a WebSocket route" in causes[1]] == [True, True]
    other = [one.cause for one in first(refused("403 Forbidden", b"<html>", head=head)).causes]
    assert "wants credentials" in other[1]


def test_a_client_without_an_origin_is_told_last_that_one_may_be_demanded():
    found = first(refused("403 Forbidden", b"nope", head=request(without=("Origin",))))
    assert "wants credentials" in found.causes[0].cause
    assert "refuses clients without an Origin" in found.causes[-1].cause
