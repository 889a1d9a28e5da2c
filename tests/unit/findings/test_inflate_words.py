"""A side that closes because it cannot inflate: by its words, and whose it is at the last tap."""

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.findings.facts_made import ended, frame, request, switching
from tests.unit.findings.pairs_made import pair
from wsinspect.findings.facts import C2S, ConnectionFacts
from wsinspect.findings.registry import diagnose_connection, diagnose_pair
from wsinspect.findings.together import link_of, together


def compressed(reason: str, code: int = 1002, by: str = "server", **facts: Any) -> ConnectionFacts:
    head = request(Sec_WebSocket_Extensions="permessage-deflate")
    answer = switching(Sec_WebSocket_Extensions="permessage-deflate")
    said = frame(1, C2S, 0.1, 1, b"hi", header=bytes((0xC1, 2)))
    return replace(
        ended(said, by=by, code=code, reason=reason),
        raw_request_in=head,
        raw_request_out=head,
        raw_response_in=answer,
        raw_response_out=answer,
        **facts,
    )


@pytest.mark.parametrize(
    ("code", "reason", "is_about_it"),
    [
        (1002, "zlib: invalid distance too far back", True),
        (1002, "incorrect header check", True),
        (1007, "inflate error", True),
        (1002, "invalid opcode 3", False),
        (1002, "incorrect token check", False),
        (1007, "invalid room", False),
    ],
)
def test_zlib_s_words_are_about_compression(code, reason, is_about_it):
    found = diagnose_connection(compressed(reason, code))[0]
    assert found.id == f"WS-CL-00{code - 1000}"
    assert ("compressed frames for broken" in found.title) is is_about_it


def test_behind_the_last_tap_the_server_s_library_comes_before_a_hop():
    edge, origin = (
        compressed("inflate error", 1007, id=number, tap=tap) for number, tap in ((1, "edge"), (2, "origin"))
    )
    own = [one for facts in (edge, origin) for one in diagnose_connection(facts)]
    both = pair(edge, origin)
    (found,) = [one for one in together(diagnose_pair(both), own, [link_of(both)]) if one.id == "WS-CL-007"]
    assert (found.connection, found.fault_of) == (2, "server")
    assert found.causes[0].cause.startswith("the server's library")


def test_with_one_tap_a_hop_behind_it_comes_first():
    found = diagnose_connection(compressed("inflate error", 1007))[0]
    assert (found.id, found.fault_of) == ("WS-CL-007", "hop")
    assert found.causes[0].cause.startswith("a hop between this tap and the server")
