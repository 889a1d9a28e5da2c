"""A refused attempt next to accepted ones: what differs, the usual suspects first."""

from dataclasses import replace

import pytest

from tests.unit.findings.facts_made import HELLO, OPEN, SECOND, START, ended, frame, refused, request
from wsinspect.findings.comparison import compared, compared_late
from wsinspect.findings.facts import C2S, S2C, Other
from wsinspect.findings.registry import diagnose_connection


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


# -- a 101 that was taken back


def lived(seconds, by="server", code=None, frames=0, head=None, number=7):
    """Answered with 101, and ended after so long; None lives."""
    end = None if seconds is None else OPEN + int(seconds * SECOND)
    who = None if seconds is None else by
    return Other(
        number,
        "/chat",
        START,
        OPEN,
        closed_ns=end,
        end_ns=end,
        ended_by=who,
        has_close=code is not None,
        request=head or request(Cookie="a=1"),
        server_close_code=code,
        server_frames=frames,
    )


TAKEN_BACK = {
    "a refusing code": lived(0.1, code=1008),
    "a refusing code behind a word": lived(0.1, code=4401, frames=1),
    "a refusing code after the client's first message": lived(8, code=4403),
    "a refusing code that crossed the client's": lived(0.1, by="both", code=1008),
    "a refusing code in a file without its sender": lived(0.1, by="unknown", code=1008),
    "an error at once": lived(0.1, code=1011),
    "a protocol error at once": lived(0.1, code=1002),
    "dead at once": lived(0.1),
    "a handler that returns at once": lived(0.1, code=1000),
    "no time of an end but that all was over": lived(0.1, code=1008)._replace(end_ns=None),
}
KEPT = {
    "open": lived(None),
    "a long life": lived(60),
    "a message before it died": lived(0.1, frames=1),
    "an error after a message": lived(0.1, code=1011, frames=1),
    "an error later": lived(5, code=1011),
    "a session that ran out": lived(600, code=4401),
    "a policy that was broken later": lived(30, code=1008, frames=9),
    "the client left at once": lived(0.1, by="client"),
    "the client closed at once": lived(0.1, by="client", code=1000),
    "the client refused": lived(0.1, by="client", code=1008),
    "a rule of ours": lived(0.1, by="fault", code=1008),
    "our own end": lived(0.1, by="proxy"),
    "a file without its sender": lived(0.1, by="unknown", code=1000),
}


@pytest.mark.parametrize("name", TAKEN_BACK)
def test_who_was_closed_or_cut_at_once_was_not_accepted(name):
    one = TAKEN_BACK[name]
    assert one.is_taken_back
    assert compared(replace(refused("403 Forbidden"), others=(one,))) is None
    accepted = lived(60, number=8, head=request(Cookie="a=1", Origin="https://b"))
    found = compared(replace(refused("403 Forbidden"), others=(one, accepted)))
    assert found is not None
    assert found.other.id == 8, "the nearer one was not accepted"


@pytest.mark.parametrize("name", KEPT)
def test_who_was_served_or_left_was_accepted(name):
    one = KEPT[name]
    assert not one.is_taken_back
    found = compared(replace(refused("403 Forbidden"), others=(one,)))
    assert found is not None
    assert found.other.id == 7


def refused_late(*frames, code=1008, at=0.2, **facts):
    """Closed by the server, whose CLOSE is answered, after these frames."""
    made = ended(*(frames or HELLO), at=at, by="server", code=code)
    if not frames:
        closes = tuple(one for one in made.last_frames if one.is_close)
        made = replace(made, first=(), last=(), last_frames=closes, frames=(1, 1))
    return replace(made, **facts)


HERE = frame(1, C2S, 0.1)
GRAPHQL = request(Sec_WebSocket_Protocol="graphql-transport-ws")


@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        (refused_late(), "WS-CL-008"),
        (refused_late(code=4401), "WS-CL-030"),
        (refused_late(code=3000), "WS-CL-030"),
        (refused_late(code=4003), "WS-CL-030"),
        (refused_late(HERE), "WS-CL-008"),
        (
            refused_late(HERE, code=4403, raw_request_in=GRAPHQL, raw_request_out=GRAPHQL),
            "WS-APP-011",
        ),
    ],
)
def test_a_refusal_after_the_101_is_compared_with_who_stayed_open(facts, rule):
    head = facts.raw_request_in.replace(b"\r\n\r\n", b"\r\nCookie: sid=secret\r\n\r\n")
    stayed = (lived(0.1, code=1008, number=5, head=facts.raw_request_in), lived(60, head=head))
    found = next(one for one in diagnose_connection(replace(facts, others=stayed)) if one.id == rule)
    assert "#7 to the same path stayed open; this one differs in Cookie" in found.evidence
    assert found.title.endswith("; #7 stayed open with Cookie")
    assert found.causes[0].cause == "the Cookie: an attempt that differs there stayed open"
    assert "secret" not in str(found)


@pytest.mark.parametrize(
    ("facts", "other"),
    [
        # Not open for clearly longer, and the server had said no more.
        (refused_late(), lived(0.5, by="client")),
        (refused_late(frame(1, S2C, 0.1)), lived(0.5, by="client", frames=1)),
        (refused_late(at=4), lived(5, by="client")),
        # Refused as well.
        (refused_late(), lived(9, code=1008)),
        # What is said later is about what happened since, and so may be what the client has said.
        (refused_late(at=60), lived(600)),
        (refused_late(HERE, frame(2, C2S, 0.15)), lived(60)),
        # Not a refusal, or not the server's.
        (refused_late(code=1011), lived(60)),
        (refused_late(code=4321), lived(60)),
        (replace(refused_late(), ended_by="client"), lived(60)),
        (refused_late(), lived(60)._replace(path="/other")),
    ],
)
def test_what_shows_nothing_of_a_refusal_after_the_101_is_not_compared(facts, other):
    assert compared_late(replace(facts, others=(other,))) is None
    assert "#7" not in str(diagnose_connection(replace(facts, others=(other,))))


@pytest.mark.parametrize(
    "other",
    [lived(None), lived(60), lived(1.5, by="client"), lived(0.1, by="client", frames=1)],
)
def test_who_lived_clearly_longer_or_was_answered_stayed_open(other):
    if other.end_ns is None:
        assert compared_late(replace(refused_late(), others=(other,))) is None, "opened at the same time"
        other = other._replace(open_ns=OPEN - 5 * SECOND)
    assert compared_late(replace(refused_late(), others=(other,))) is not None


def test_of_equal_requests_the_first_message_is_the_first_suspect():
    same = lived(60, head=request())
    spoken = replace(refused_late(HERE), others=(same,))
    found = next(one for one in diagnose_connection(spoken) if one.id == "WS-CL-008")
    assert found.causes[0].cause == "the client's first message"
    silent_one = replace(refused_late(), others=(same,))
    found = next(one for one in diagnose_connection(silent_one) if one.id == "WS-CL-008")
    assert "something other than the headers" in found.causes[0].cause
