"""Messages held at a breakpoint, without sockets and on a virtual clock."""

from __future__ import annotations

import pytest

from tests.support.faulted import C2S, KEY, MS, S2C, Faulted, text
from wsinspect.faults.deflater import Deflater
from wsinspect.faults.held import Decision
from wsinspect.wire.deflate import DeflateParams
from wsinspect.wire.frame import serialize_frame

RULE = {"kind": "break", "match": "body:hold"}


def names(book: Faulted) -> list[str]:
    return [one.name for one in book.faults.held_messages()]


def decide(book: Faulted, name: str, **decision: object) -> None:
    assert book.faults.decide(name, Decision.parse(decision), book.now)
    book.do()


def test_a_held_message_and_what_is_behind_it_wait_for_a_decision() -> None:
    book = Faulted(RULE).s2c(text("first"), text("hold me"), text("behind"), serialize_frame(9, b"p"))
    assert book.payloads() == [b"first"]
    [held] = book.faults.held_messages()
    assert (held.name, held.direction, held.data, held.behind) == ("m1-s2c-1", "s2c", b"hold me", 2)
    book.at(60_000)
    assert book.payloads() == [b"first"]
    decide(book, held.name, action="pass")
    assert book.payloads() == [b"first", b"hold me", b"behind", b"p"]
    assert not names(book)
    [entry] = book.ledger
    assert (entry["kind"], entry["frame"], entry["detail"]["did"]) == ("break", 1, "pass")
    assert entry["detail"]["held_ms"] == 60_000
    assert [what for _, what, _ in book.deliveries] == ["held"] * 3 + ["sent"] * 3


@pytest.mark.parametrize(
    ("decision", "expected"),
    [
        ({"action": "edit", "payload": "edited"}, [b"a", b"edited", b"b"]),
        ({"action": "edit", "payload": ""}, [b"a", b"", b"b"]),
        ({"action": "drop"}, [b"a", b"b"]),
        ({"action": "answer", "payload": "no"}, [b"a", b"b"]),
    ],
)
@pytest.mark.parametrize("direction", [C2S, S2C])
@pytest.mark.parametrize("fragments", [1, 3])
def test_edited_dropped_and_answered(decision, expected, direction, fragments) -> None:
    key = KEY if direction is C2S else None
    book = Faulted(RULE)
    parts = [b"hold this message"] if fragments == 1 else [b"hold ", b"this ", b"message"]
    last = len(parts) - 1
    raws = [serialize_frame(0 if at else 1, part, fin=at == last, key=key) for at, part in enumerate(parts)]
    book.feed(direction, text("a", direction), *raws, text("b", direction))
    [name] = names(book)
    decide(book, name, **decision)
    frames, messages = book.decoded(direction)
    assert b"".join(frame.payload for frame in frames) == b"".join(expected)
    assert {frame.violation for frame in frames} == {None}
    assert len(messages) == len(expected)
    answers = [frame.payload for frame in book.decoded(direction.other)[0]]
    assert answers == ([b"no"] if decision["action"] == "answer" else [])


@pytest.mark.parametrize("takeover", [False, True])
def test_compression_is_right_whatever_is_decided(takeover) -> None:
    params = DeflateParams(server_no_context_takeover=not takeover)
    deflater = Deflater(params, S2C)
    said = [b"the quick brown fox hold %d" % number for number in range(6)]
    raws = [serialize_frame(1, deflater.piece(one, first=True, fin=True), rsv=4) for one in said]
    book = Faulted(RULE, deflate=params).s2c(*raws)
    held = names(book)
    assert len(held) == 6
    decide(book, held[3], action="edit", payload="the quick brown cat")
    assert book.payloads() == []
    decide(book, held[1], action="drop")
    decide(book, held[0], action="pass")
    decide(book, held[2], action="pass")
    book.faults.pass_all(book.now)
    book.do()
    _, messages = book.decoded(S2C, params)
    assert [one.data for one in messages] == [said[0], said[2], b"the quick brown cat", said[4], said[5]]


def test_one_further_back_can_be_decided_first_and_order_stays() -> None:
    book = Faulted(RULE).s2c(text("hold 1"), text("x"), text("hold 2"), text("y"))
    first, second = names(book)
    decide(book, second, action="edit", payload="edited 2")
    assert book.payloads() == []
    assert names(book) == [first]
    decide(book, first, action="pass")
    assert book.payloads() == [b"hold 1", b"x", b"edited 2", b"y"]


def test_a_timeout_passes_it_and_disarming_passes_all() -> None:
    book = Faulted({**RULE, "timeout": "2s"}).s2c(text("hold 1")).at(1000).s2c(text("hold 2"))
    assert [one.until_ns for one in book.faults.held_messages()] == [2000 * MS, 3000 * MS]
    book.at(2500)
    assert book.payloads() == [b"hold 1"]
    book.faults.disarm("break", book.now)
    book.do()
    assert book.payloads() == [b"hold 1", b"hold 2"]


def test_a_timeout_holds_while_a_message_behind_is_gathered() -> None:
    book = Faulted({**RULE, "timeout": "2s"}).s2c(text("hold 1"), serialize_frame(1, b"a", fin=False))
    book.s2c(serialize_frame(0, b"b"))
    book.at(2500)
    assert [frame.payload for frame in book.decoded(S2C)[0]] == [b"hold 1", b"a", b"b"]


def test_an_end_waits_behind_it_and_a_reset_receiver_loses_it() -> None:
    book = Faulted(RULE).s2c(text("hold 1"))
    book.end(S2C, "fin")
    assert book.ends == []
    decide(book, names(book)[0], action="drop")
    assert [how for _, _, how in book.ends] == ["fin"]


def test_what_is_held_when_both_sides_have_gone_passes_so_that_the_connection_ends() -> None:
    book = Faulted(RULE).c2s(text("hold 1", C2S), text("behind", C2S))
    book.end(C2S, "fin")
    assert names(book), "one side alone may be waited for: the message can still arrive"
    assert book.ends == []
    book.end(S2C, "fin")
    assert not names(book)
    assert book.payloads(C2S) == [b"hold 1", b"behind"]
    assert len(book.ends) == 2
    assert [one["detail"]["did"] for one in book.ledger] == ["pass"]


def test_a_name_that_is_not_held_is_refused() -> None:
    book = Faulted(RULE).s2c(text("hold 1"))
    assert not book.faults.decide("m1-c2s-0", Decision(), book.now)
    assert not book.faults.decide("m1-s2c-9", Decision(), book.now)


def test_each_sides_silence_is_known() -> None:
    book = Faulted(RULE).s2c(text("x")).at(500).c2s(text("hold", C2S))
    [held] = book.faults.held_messages()
    assert held.client_heard_ns == 0
    assert held.server_heard_ns is None
