"""Gates of a played server: what a client has to say before the recording goes on."""

from __future__ import annotations

import pytest

from wsinspect.errors import UsageError
from wsinspect.replay.as_server.gates import Gates, parse_gate
from wsinspect.replay.common.matching import Message, Verdict
from wsinspect.replay.common.values import Place

ID = (Place.parse("json:$.id"),)


def text(data, **facts):
    return Message(1, data.encode(), **facts)


def gated(match="similar", **options):
    return Gates(options.pop("places", ()), match, options.pop("tests", {}), **options)


def test_a_gate_opens_with_its_message():
    gates = gated()
    gates.expect(text('{"op":"a","n":1}', frame=3))
    assert not gates.is_open
    assert gates.take(text('{"op":"a","n":1}')) == []
    assert gates.is_open


def test_a_similar_message_opens_it_and_is_reported():
    gates = gated()
    gates.expect(text('{"op":"a","n":1}', frame=3))
    (found,) = gates.take(text('{"op":"a","n":2}'))
    assert (found.verdict, gates.is_open) == (Verdict.DIFFERENT, True)


def test_another_kind_of_message_is_extra_and_the_gate_stays_shut():
    gates = gated()
    gates.expect(text('{"op":"a"}'))
    (found,) = gates.take(text('{"op":"b"}'))
    assert (found.verdict, gates.is_open) == (Verdict.EXTRA, False)


def test_exact_gates_take_nothing_else():
    gates = gated("exact")
    gates.expect(text('{"op":"a","n":1}'))
    assert [one.verdict for one in gates.take(text('{"op":"a","n":2}'))] == [Verdict.EXTRA]
    assert gates.take(text('{"n":1,"op":"a"}')) == []
    assert gates.is_open


def test_subset_gates_allow_more():
    gates = gated("subset")
    gates.expect(text('42["join",{"room":1}]'))
    assert gates.take(text('42["join",{"room":1,"at":5}]')) == []
    assert gates.is_open


def test_regular_expressions_in_the_recording_or_on_the_command_line():
    gates = gated("regex")
    gates.expect(text('^\\{"op":"(a|b)"'))
    assert gates.take(text('{"op":"b","n":1}')) == []
    assert gates.is_open


def test_any_order():
    gates = gated(any_order=True)
    gates.expect(text("a"))
    gates.expect(text("b"))
    assert gates.take(text("b")) == []
    assert not gates.is_open
    assert gates.take(text("a")) == []
    assert gates.is_open


def test_in_order_what_was_left_out_is_missing():
    gates = gated("exact")
    gates.expect(text("a"))
    gates.expect(text("b"))
    assert [(one.verdict, one.recorded.data) for one in gates.take(text("b"))] == [(Verdict.MISSING, b"a")]
    assert gates.is_open


def test_what_comes_early_waits_for_its_turn():
    gates = gated()
    assert gates.take(text("a")) == []
    assert gates.expect(text("a")) == []
    assert gates.is_open


def test_what_never_came_and_what_was_never_asked_for():
    gates = gated()
    gates.take(text("early"))
    gates.expect(text('{"op":"a"}'))
    assert {one.verdict for one in gates.finish()} <= {Verdict.MISSING, Verdict.EXTRA}
    assert gates.tally.diverged == 2


@pytest.mark.parametrize("number", ["", "x", "\u00b2", "-1", "9" * 5000])
def test_a_gate_has_a_frames_number(number):
    assert parse_gate("12=any:")[0] == 12
    with pytest.raises(UsageError, match="invalid gate"):
        parse_gate(f"{number}=any:")
