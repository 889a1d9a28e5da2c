"""The card of an end: what was last seen each way, who ended it, and what else fits; it judges nothing."""

from dataclasses import replace

import pytest

from tests.unit.findings.facts_made import HELLO, OPEN, SECOND, cut, ended, frame, opened, refused, silent
from wsinspect.findings.excuses import ActedFault
from wsinspect.findings.facts import C2S, S2C, OpaqueFact
from wsinspect.findings.provenance import close_card


def card(facts, together=()):
    made = close_card(facts, together)
    assert made is not None
    return made


def lines(facts, together=()):
    return dict(card(facts, together).lines())


@pytest.mark.parametrize("facts", [opened(), refused("403 Forbidden")])
def test_what_has_not_ended_or_never_opened_has_no_card(facts):
    assert close_card(facts) is None


def test_a_proper_close_is_said_with_both_codes_and_fits_no_limit():
    made = card(ended(at=60.2, code=4401, reason="expired")).as_json()
    assert made["client_close"] == {
        **{"code": 4401, "name": "private to the application", "reason": "expired"},
    }
    assert made["js"] == {"code": 4401, "wasClean": True}
    assert (made["ended_by"], made["how"], made["limits"]) == ("client", "close-frame", [])
    assert made["legs"] == [{"side": "server", "how": "fin", "time_ns": OPEN + 60_200_000_500}]


def test_a_close_that_a_timeout_sends_fits_limits_all_the_same():
    facts = ended(*HELLO, at=60.2, by="server", code=1001)
    assert any("60 s" in one for one in card(facts).as_json()["limits"])
    assert card(ended(*HELLO, at=60.2, by="server", code=4000)).as_json()["limits"] == []


def test_silence_and_age_fit_limits_of_their_kinds():
    idle = card(silent(60.1)).as_json()["limits"]
    assert any(one.endswith("(idle)") for one in idle)
    chatty = card(cut(frame(1, C2S, 599.9), frame(2, S2C, 599.9), at=600.1)).as_json()["limits"]
    assert not any(one.endswith("(idle)") for one in chatty)


def test_the_last_bytes_each_way_are_named_with_the_silence_behind_them():
    said = lines(cut(at=1.3))
    (c2s, s2c) = card(cut(at=1.3)).last
    assert (c2s.frame.id, c2s.silence_ns) == (1, 1_200_000_000)
    assert (s2c.frame.id, s2c.silence_ns) == (2, 1_100_000_000)
    assert "TEXT of 5 B, frame 2, then 1.1 s of silence until the end" in said[f"last {S2C.arrow}"]
    assert said["server's leg"].startswith("fin at ")


def test_a_direction_that_never_said_anything_says_so():
    assert lines(silent(5.0))[f"last {C2S.arrow}"] == "nothing ever came"
    assert lines(replace(silent(5.0), ends=()))["legs"] == "neither side was seen to end"


def test_bytes_outside_frames_are_the_last_where_they_came_last():
    rest = OpaqueFact(S2C, OPEN + SECOND, 17, b"HTTP/1.1 400", "not-websocket", 2)
    said = lines(replace(cut(at=1.3), opaque=(rest,), last_ns=(OPEN, OPEN + SECOND // 2)))
    assert said[f"last {S2C.arrow}"] == "17 bytes outside frames, then 300 ms of silence until the end"
    unfinished = rest._replace(reason="unfinished-frame")
    said = lines(replace(cut(at=1.3), opaque=(unfinished,)))
    assert said[f"last {S2C.arrow}"].startswith("TEXT of 5 B, frame 2")
    earlier = rest._replace(time_ns=OPEN)
    assert lines(replace(cut(at=1.3), opaque=(earlier,)))[f"last {S2C.arrow}"].startswith("TEXT")


def test_of_bytes_that_could_not_be_stored_no_silence_is_claimed():
    facts = replace(cut(at=1.3), gaps=frozenset({S2C}))
    said = lines(facts)
    assert said[f"last {S2C.arrow}"] == "TEXT of 5 B, frame 2; what came later was not recorded"
    assert "silence" in said[f"last {C2S.arrow}"]
    nothing = replace(silent(5.0), gaps=frozenset({S2C}))
    assert lines(nothing)[f"last {S2C.arrow}"] == "what came was not recorded"


def test_of_what_an_imported_format_does_not_have_nothing_is_claimed():
    lacks = frozenset(("pings", "end"))
    facts = replace(cut(frame(1, C2S, 0.1), at=60.1), unrecorded=lacks, ends=(), how=None, ended_by="unknown")
    said = lines(facts)
    assert said[f"last {C2S.arrow}"] == "TEXT of 5 B, frame 1"
    assert said[f"last {S2C.arrow}"] == "no message on record"
    assert said["legs"] == "the file's format has no ends of transports"
    made = card(facts).as_json()
    assert made["limits"] == []
    assert made["last"]["c2s"]["silence_ns"] is None


def test_rules_that_acted_and_what_ended_with_it_are_named():
    faults = (ActedFault("mine", "latency"), ActedFault("mine", "drop"), ActedFault("mine", "drop"))
    facts = replace(cut(at=1.3), faults=faults)
    said = lines(facts, range(2, 20))
    assert said["on purpose"].endswith("acted (latency, drop)")
    assert said["with it"].startswith("18 other connections ended within 0.5 s: #2, #3")
    assert said["with it"].endswith("#13")
    assert lines(facts, [2])["with it"] == "1 other connection ended within 0.5 s: #2"
    made = card(facts, [2]).as_json()
    assert (made["rules"], made["ended_together"]) == (["mine"], [2])


def test_an_end_without_any_code_has_none():
    made = card(cut(at=1.3)).as_json()
    assert made["client_close"] is None
    assert made["js"] == {"code": 1006, "wasClean": False}
    empty = card(ended(code=None)).as_json()
    assert empty["client_close"] == {"code": None, "name": None, "reason": ""}
    assert card(replace(cut(at=1.3), js_code=None)).as_json()["js"] is None
