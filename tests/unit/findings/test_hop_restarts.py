"""A hop that restarts sends CLOSE 1001 to both sides, to the server unmasked: what is said, and of whom."""

from dataclasses import replace

from tests.unit.findings.facts_made import HELLO, SECOND, capture, dropped, ended, frame
from tests.unit.findings.pairs_made import behind, pair
from wsinspect.findings.facts import C2S, S2C
from wsinspect.findings.registry import diagnose_capture, diagnose_connection, diagnose_pair, ranked
from wsinspect.findings.sandwich import Clocks
from wsinspect.wire.violations import MASK_MISSING

#: As the client's tap saw it of Caddy 2.6.2: the server's 1002 came before the hop's 1001.
ANSWERED = ended(by="server", code=1002, reason="incorrect masking", at=2)
LATER = frame(9, S2C, 2, 8, (1001).to_bytes(2, "big"))
ANSWERED = replace(ANSWERED, id=4, last_frames=(*ANSWERED.last_frames[:-1], LATER, ANSWERED.last_frames[-1]))


def going(count, code=1001):
    """Connections of different ages that ended together, 20 s after the first one began."""
    codes = dict(how="close-frame" if code else "fin", server_close_code=code, client_close_code=code)
    return [dropped(n, n, 20 - n, **codes) for n in range(1, count + 1)]


def with_1002(number=4, lived=16.1, **facts):
    codes = dict(how="close-frame", server_close_code=1002, client_close_code=1002)
    return dropped(number, 4, lived, **{**codes, **facts})


def judged(*connections):
    """The finding of them together, and what is left of what the 1002 alone is."""
    own = diagnose_connection(ANSWERED)
    assert [one.id for one in own] == ["WS-CL-002"]
    return ranked([*diagnose_capture(capture(*connections)), *own])


def test_the_server_s_answer_to_the_hop_is_part_of_the_reload():
    (one,) = judged(*going(3), with_1002())
    assert (one.id, one.severity, one.fault_of) == ("WS-DROP-004", "warning", "hop")
    assert one.evidence[0] == "4 connections within 100 ms: #1, #2, #3, #4"
    assert one.evidence[2:] == (
        "ended with 1001, 1002",
        "1 of them with 1002, a server's answer to an unmasked CLOSE from the hop",
    )
    (before,) = judged(*going(3), with_1002(lived=15.9))
    assert before.connection == 4


def test_a_1002_that_no_reload_explains_stays():
    def ids(*connections):
        return [one.id for one in judged(*connections)]

    both = ["WS-CL-002", "WS-DROP-004"]
    assert sorted(ids(*going(3), with_1002(lived=17))) == both
    assert sorted(ids(*going(3), with_1002(lived=15))) == both
    assert sorted(ids(*going(3), with_1002(tap="other"))) == both
    assert sorted(ids(*going(3), with_1002(host="other.example"))) == both
    assert sorted(ids(*going(3), with_1002(ended_by="client"))) == both
    assert sorted(ids(*going(3, code=None), with_1002())) == both
    # A hop that restarts sends its 1001 to all of them: of several causes at one moment none explains it.
    assert sorted(ids(*going(2), *going(3, code=None)[2:], with_1002())) == both
    assert ids(*going(2), with_1002()) == ["WS-CL-002"]


UNMASKED = frame(3, C2S, 2, 8, (1001).to_bytes(2, "big"), violation=MASK_MISSING)


def behind_hop(first=UNMASKED):
    """At the server's tap: the hop's CLOSE that is not masked, and 1002 for it."""
    made = ended(*HELLO, first, at=2, code=1001, violations=((first, 1),))
    return behind(made, server_close_code=1002, server_close_reason="incorrect masking")


def test_the_hop_s_own_unmasked_close_does_not_blame_the_client():
    (one,) = diagnose_pair(pair(ended(by="server", code=1001, at=2), behind_hop()))
    assert (one.id, one.severity, one.fault_of) == ("WS-CL-101", "warning", "hop")
    assert any("not masked" in line for line in one.evidence)
    assert one.fixes[-1].text.startswith("Reload less often")
    assert (2, "WS-FR-001") in one.covers
    assert (1, "WS-FR-001") not in one.covers


def test_the_server_s_answer_is_distinguished_from_the_hop_s_own_code():
    (one,) = diagnose_pair(pair(ANSWERED, behind_hop()))
    assert (one.id, one.severity) == ("WS-CL-101", "warning")
    assert any(line.startswith("the 1002 is the server's answer") for line in one.evidence)
    assert one.fixes[-1].text.startswith("Reload less often")
    (own,) = diagnose_pair(pair(ended(by="server", code=1011, at=2), behind_hop()))
    assert (own.severity, own.fixes[-1].text[:9]) == ("error", "Send 1000")


def test_a_client_s_own_unmasked_frame_still_blames_the_client():
    message = frame(3, C2S, 1.9, violation=MASK_MISSING)
    (one,) = diagnose_pair(pair(ended(by="server", code=1001, at=2), behind_hop(message)))
    assert not any(rule == "WS-FR-001" for _, rule in one.covers)
    assert not any("not masked" in line for line in one.evidence)


def test_of_two_captures_the_other_one_s_findings_are_left_alone():
    clocks = Clocks(SECOND, 0, False)
    (one,) = diagnose_pair(pair(ended(by="server", code=1001, at=2), behind_hop(), clocks=clocks))
    assert not any(rule == "WS-FR-001" for _, rule in one.covers)
