"""A refused attempt next to accepted ones: what differs, the usual suspects first."""

from dataclasses import replace

import pytest

from tests.unit.findings.facts_made import OPEN, START, refused, request
from wsinspect.findings.comparison import compared
from wsinspect.findings.facts import Other


def other(head, number=7, path="/chat"):
    return Other(number, path, START, OPEN, request=head)


def difference(head, path="/chat", mine=None, my_path="/chat"):
    facts = refused("403 Forbidden", path=my_path, head=mine or request(my_path))
    found = compared(replace(facts, others=(other(head, path=path),)))
    return None if found is None else [one.line for one in found.differences]


@pytest.mark.parametrize(
    ("head", "lines"),
    [
        (request(), []),
        (request(Sec_WebSocket_Key="AAAAAAAAAAAAAAAAAAAAAA==", Accept="*/*"), []),
        (request(Connection="upgrade"), []),
        (request(Origin="https://b"), ["Origin here: http://example.org; there: https://b"]),
        (request(Cookie="sid=secret"), ["Cookie here: none; there: sid (values not shown)"]),
        (request(Authorization="Bearer x"), ["Authorization here: none; there: present (not shown)"]),
        (request(X_Api_Version="2"), ["X-Api-Version: only there"]),
        (request(User_Agent="a"), ["User-Agent here: none; there: a"]),
    ],
)
def test_what_servers_decide_by_is_compared_and_secrets_are_not_shown(head, lines):
    assert difference(head) == lines


def test_a_field_of_ones_own_is_only_here():
    assert difference(request(), mine=request(X_Tenant="a")) == ["X-Tenant: only here"]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/chat/", "path here: /chat; there: /chat/"),
        ("/Chat", "path here: /chat; there: /Chat"),
        ("/chat?token=x", "query parameters that differ: token"),
        ("/other", None),
    ],
)
def test_paths_differ_in_a_slash_in_letters_or_in_their_query(path, line):
    assert difference(request(path), path) == (None if line is None else [line])


def test_the_attempt_with_the_fewest_differences_is_the_one_to_repeat():
    facts = refused("403 Forbidden")
    others = (other(request(Cookie="a=1", Origin="https://b"), 7), other(request(Cookie="a=1"), 8))
    found = compared(replace(facts, others=others))
    assert found is not None
    assert found.other.id == 8
    assert found.lines[0] == "#8 to the same path was accepted; this one differs in Cookie"
    assert found.cause[1] == "repeat this request with the Cookie of #8"


def test_equal_headers_point_to_something_else():
    found = compared(replace(refused("403 Forbidden"), others=(other(request()),)))
    assert found is not None
    assert found.lines == ("#7 sent the same request headers and was accepted",)
    assert "something other than the headers" in found.cause[0]


def test_without_a_request_there_is_nothing_to_compare():
    facts = refused("403 Forbidden")
    assert compared(replace(facts, raw_request_in=None, others=(other(request()),))) is None
    assert compared(replace(facts, others=(Other(7, "/chat", START, OPEN),))) is None
