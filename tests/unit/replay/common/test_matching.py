"""Comparing while messages come: one more or less is one divergence."""

from __future__ import annotations

import difflib

from hypothesis import given
from hypothesis import strategies as st

from wsinspect.replay.common.matching import WINDOW, Matcher, Message, Verdict
from wsinspect.replay.common.values import Place

ID = (Place.parse("json:$.id"),)


def text(data, **facts):
    return Message(1, data.encode(), **facts)


def compared(recorded, live, places=()):
    matcher = Matcher(places)
    found = []
    for one in recorded:
        matcher.expect(text(one))
    for one in live:
        found += matcher.take(text(one))
    found += matcher.finish()
    return matcher, [
        (str(one.verdict), one.recorded and one.recorded.data.decode(), one.found and one.found.data.decode())
        for one in found
    ]


def test_as_recorded():
    matcher, found = compared("abc", "abc")
    assert found == []
    assert matcher.tally.counts[Verdict.EQUAL] == 3


def test_one_missing_is_one_divergence():
    assert compared("abcd", "acd")[1] == [("missing", "b", None)]


def test_one_extra_is_one_divergence():
    assert compared("abc", "abxc")[1] == [("extra", None, "x")]


def test_one_different_is_one_divergence():
    assert compared("abc", "axc")[1] == [("different", "b", "x")]


def test_the_last_ones():
    assert compared("ab", "ax")[1] == [("different", "b", "x")]
    assert compared("ab", "a")[1] == [("missing", "b", None)]
    assert compared("a", "ab")[1] == [("extra", None, "b")]


def test_ignored_fields():
    matcher, found = compared(['{"id":1,"a":1}', '{"id":2}'], ['{"id":9,"a":1}', '{"id": 2}'], ID)
    assert found == []
    assert (matcher.tally.counts[Verdict.IGNORED], matcher.tally.counts[Verdict.EQUAL]) == (1, 1)


def test_a_cut_recording_is_compared_as_far_as_it_goes():
    matcher = Matcher()
    matcher.expect(text("hel", is_cut=True))
    assert matcher.take(text("hello")) == []
    assert matcher.tally.counts[Verdict.IGNORED] == 1


def test_nothing_is_held_back_forever():
    matcher = Matcher()
    matcher.expect(text("a"))
    found = []
    for number in range(WINDOW * 3):
        found += matcher.take(text(f"x{number}"))
    assert len(found) >= WINDOW


@given(
    recorded=st.lists(st.sampled_from("abc"), max_size=12), live=st.lists(st.sampled_from("abc"), max_size=12)
)
def test_every_message_gets_one_verdict(recorded, live):
    matcher, found = compared(recorded, live)
    counts = matcher.tally.counts
    assert counts[Verdict.EQUAL] + counts[Verdict.DIFFERENT] + counts[Verdict.MISSING] == len(recorded)
    assert counts[Verdict.EQUAL] + counts[Verdict.DIFFERENT] + counts[Verdict.EXTRA] == len(live)
    assert len(found) == matcher.tally.diverged
    if recorded == live:
        assert found == []
    same = sum(block.size for block in difflib.SequenceMatcher(None, recorded, live).get_matching_blocks())
    assert bool(found) == (recorded != live) or same == len(recorded)
