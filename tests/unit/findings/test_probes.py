"""What probes learned: which answers are the same, and which a browser takes."""

import pytest

from tests.unit.findings.facts_made import failed, opened, refused, request, switching
from wsinspect.findings.probes import Probe, ProbeFacts, is_same_answer, refused_like
from wsinspect.findings.rules.probes import header_decides


def probe(kind, facts):
    return Probe(kind, f"asked {kind}", facts)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (refused("403 Forbidden"), refused("403 Forbidden"), True),
        (refused("403 Forbidden"), refused("404 Not Found"), False),
        (refused("403 Forbidden", b"origin not allowed"), refused("403 Forbidden", b"no session"), False),
        (refused("302 Found", Location="/a"), refused("302 Found", Location="/b"), False),
        (refused("302 Found", Location="/a"), refused("302 Found", Location="/a"), True),
        (failed("connection refused", "connect"), failed("connection refused", "connect"), False),
    ],
)
def test_answers_are_the_same_by_status_words_and_location(one, other, is_same):
    assert is_same_answer(one, other) is is_same
    facts = ProbeFacts(main=probe("handshake", one), others=(probe("get", other),))
    assert (facts.same_as_get is not None) is is_same
    assert (list(refused_like(facts.main, facts.others)) != []) is is_same


def test_probes_are_found_by_kind_with_or_without_what_they_are_about():
    others = (
        probe("without:origin", refused("403 Forbidden")),
        probe("without:cookie", opened()),
        probe("get", refused("404 Not Found")),
    )
    facts = ProbeFacts(main=probe("handshake", refused("403 Forbidden")), others=others)
    assert [one.about for one in facts.of_kind("without")] == ["origin", "cookie"]
    assert facts.first("without:cookie") is others[1]
    assert facts.first("without") is None
    assert facts.accepted("without") is others[1]
    assert facts.accepted("get") is None
    assert facts.same_as_get is None


def test_a_101_that_a_browser_does_not_take_is_not_accepted():
    offered = request(Sec_WebSocket_Protocol="chat")
    assert probe("handshake", opened()).is_accepted
    assert not probe("handshake", opened(head=offered)).is_accepted  # nothing was chosen
    chosen = switching(Sec_WebSocket_Protocol="chat")
    assert probe("handshake", opened(head=offered, answer=chosen)).is_accepted
    assert not probe("handshake", opened(answer=switching(("Sec-WebSocket-Accept",)))).is_accepted


def test_the_outcome_is_the_status_line_or_why_there_is_none():
    assert probe("get", refused("403 Forbidden")).line == "asked get: HTTP/1.1 403 Forbidden"
    assert probe("get", failed("connection refused", "connect")).outcome == "connection refused"
    assert probe("get", failed("", "connect")).outcome == "no answer"


CROSS = b"Cross origin websockets not allowed"


@pytest.mark.parametrize(
    ("main", "fault", "causes"),
    [
        (refused("403 Forbidden", CROSS), "hop", 0),
        (refused("403 Forbidden"), "server", 2),
        (refused("403 Forbidden", CROSS, head=request(Origin="https://other.example")), "server", 0),
    ],
    ids=["its page called foreign", "its page", "a foreign page"],
)
def test_the_origin_of_the_server_s_own_page_is_refused_for_a_list_or_for_a_changed_host(main, fault, causes):
    works = Probe("without:origin", "without Origin", opened())
    facts = ProbeFacts(main=Probe("handshake", "the handshake", main), others=(works,))
    [found] = header_decides(facts)
    assert (found.fault_of, len(found.causes)) == (fault, causes)
