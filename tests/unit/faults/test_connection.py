"""A connection with faults: how it is ended, what is done by hand, and when the relay can do without it."""

from __future__ import annotations

import pytest

from tests.support.faulted import C2S, MS, S2C, Faulted, text
from wsinspect.faults.connection import PassEnd, Send
from wsinspect.faults.rule import Author, Rule
from wsinspect.wire.boundaries import Boundary

CLOSED = b"\x03\xe8"


def by_hand(book: Faulted, to: str = "both", timeout_ms: int = 1000) -> Faulted:
    book.faults.close_by_hand(to, 1000, "", timeout_ms * MS, book.now)
    return book._take()


# -- closing handshakes of ours


def test_a_close_by_hand_is_answered_by_both_and_is_on_record() -> None:
    book = by_hand(Faulted())
    assert (book.payloads(), book.payloads(C2S)) == ([CLOSED], [CLOSED])
    assert book.acted() == [("by-hand", None)]
    book.c2s(text(CLOSED, C2S, opcode=8)).s2c(text(CLOSED, opcode=8)).end(S2C)
    assert book.ends == [(0, S2C, "fin")]
    assert not book.aborts


def test_a_side_that_has_closed_already_is_sent_nothing_and_not_awaited() -> None:
    book = Faulted()
    book.s2c(text(CLOSED, opcode=8))  # passes: nobody else is closing
    by_hand(book)
    assert book.payloads() == [CLOSED]  # the server's own
    assert book.payloads(C2S) == [CLOSED]
    assert book.at(1000).aborts == [(1000 * MS, "both", "fin")]


def test_a_second_close_changes_nothing() -> None:
    book = by_hand(by_hand(Faulted()))
    assert (book.payloads(), book.payloads(C2S)) == ([CLOSED], [CLOSED])
    assert len(book.ledger) == 2  # both were asked for


def test_nothing_is_closed_after_an_abort() -> None:
    book = Faulted()
    book.faults.abort_by_hand("both", "rst", 0)
    by_hand(book._take())
    assert book.aborts == [(0, "both", "rst")]
    assert not book.sends
    book.faults.abort("both", "fin", 0)
    assert book._take().aborts == [(0, "both", "rst")]


def test_data_after_our_close_is_lost_and_says_so() -> None:
    book = by_hand(Faulted())
    book.s2c(text("late"))
    assert book.payloads() == [CLOSED]
    assert book.ledger[-1]["dropped"]
    assert book.ledger[-1]["detail"]["behind"] == "close"


# -- what comes after the end


def test_after_an_abort_ends_pass_and_bytes_do_not() -> None:
    book = Faulted()
    book.faults.abort_by_hand("both", "rst", 0)
    book._take().s2c(text("late")[:1], text("late")[1:]).end(C2S)
    assert book.ends == [(0, C2S, "fin")]
    assert not book.sends
    assert [(event["frame"], event["dropped"]) for event in book.ledger if "dropped" in event] == [(0, True)]


def test_an_abort_that_nobody_has_on_record_blames_nobody_for_what_comes_later() -> None:
    book = Faulted()
    book.faults.abort("both", "rst", 0)
    book._take().s2c(text("late"))
    assert book.ledger == []


def test_bytes_of_no_frame_after_an_abort_are_not_in_the_ledger() -> None:
    boundary = Boundary()
    boundary.feed(text("hello")[:4])
    book = Faulted(boundaries=(Boundary(), boundary))
    book.faults.abort_by_hand("both", "rst", 0)
    before = len(book._take().ledger)
    assert len(book.s2c(text("hello")[4:]).ledger) == before


def test_the_end_of_an_unfinished_frame_takes_its_bytes_along() -> None:
    book = Faulted({"kind": "drop"})
    book.s2c(text("hello")[:4]).end(S2C, "rst")
    assert bytes(book.got[S2C]) == text("hello")[:4]
    assert book.ends == [(0, S2C, "rst")]


def test_a_close_notify_is_not_yet_the_end_of_the_direction() -> None:
    book = Faulted({"kind": "inject", "opcode": "ping", "direction": "s2c", "when": {"every": "1s"}})
    book.end(S2C, "close_notify").at(1000)
    assert book.ends == [(0, S2C, "close_notify")]
    assert len(book.sends) == 1
    assert len(book.end(S2C, "fin").at(5000).sends) == 1


# -- rest


def test_it_is_at_rest_while_rules_are_armed_that_hold_nothing_and_wait_for_nothing() -> None:
    book = Faulted({"name": "drop", "kind": "drop", "match": "op:ping"})
    rests = [book.faults.is_at_rest, book.s2c(text("a")).faults.is_at_rest]
    book.arm({"name": "hold", "kind": "hold", "count": 5}).s2c(text("b"))
    rests.append(book.faults.is_at_rest)
    assert book.faults.holds
    rests.append(book.disarm("hold").faults.is_at_rest)
    book.arm({"name": "old", "kind": "lifetime", "after": "1h"})  # it waits for a moment
    assert [*rests, book.faults.is_at_rest] == [True, True, False, True, False]


def test_it_is_never_at_rest_while_it_closes_or_without_rules() -> None:
    assert not Faulted().faults.is_at_rest
    assert not by_hand(Faulted({"kind": "drop"})).faults.is_at_rest
    book = Faulted({"kind": "drop"})
    book.faults.abort_by_hand("both", "rst", 0)
    assert not book.faults.is_at_rest


def test_an_idle_connection_gives_up_what_it_has_of_a_frame() -> None:
    book = Faulted({"name": "drop", "kind": "drop", "match": "op:ping"})
    book.s2c(text("a") + text("hello")[:4]).c2s(text("b", C2S)).disarm("drop")
    assert book.faults.is_idle
    sends, (client, server) = book.faults.give_up()
    assert sends == [Send(S2C, text("hello")[:4])]
    assert client.is_at_frame
    assert (server.skip, server.frames) == (3, 2)


def test_ends_are_passed_in_the_order_of_actions() -> None:
    book = Faulted()
    book.faults.end(S2C, "fin", 0)
    assert book.faults.take() == [PassEnd(S2C, "fin")]
    assert book.faults.take() == []


# -- what is done once


def test_what_is_over_at_once_does_not_stay_armed_and_what_lasts_does() -> None:
    book = Faulted()
    book.faults.act_once(Rule.parse({"name": "now", "kind": "inject", "opcode": "ping"}), [], 0)
    book._take()
    assert (book.faults.armed, book.faults.lasting) == ([], [])
    assert [frame.opcode for frame in book.frames()] == [9]
    book.faults.act_once(Rule.parse({"name": "hole", "kind": "blackhole", "for": "1s"}), [], 0)
    assert (book.faults.armed, book.faults.lasting) == (["hole"], ["hole"])
    book.s2c(text("a")).at(1000)
    assert (book.faults.armed, book.faults.lasting) == ([], [])
    assert book.payloads() == [b"", b"a"]


def test_what_does_not_concern_a_connection_is_not_done_to_it() -> None:
    book = Faulted()
    book.faults.act_once(Rule.parse({"kind": "abort", "tap": "elsewhere"}), [], 0)
    book.faults.act_once(Rule.parse({"kind": "abort", "match": "path:/elsewhere"}), [], 0)
    assert book._take().aborts == []
    book.faults.act_once(Rule.parse({"kind": "abort", "match": "path:/chat"}), [], 0)
    assert book._take().aborts == [(0, "both", "rst")]


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_only_a_reset_loses_what_is_held_for_its_sender(how: str) -> None:
    book = Faulted({"name": "slow", "kind": "latency", "direction": "s2c", "latency": "1s"})
    book.s2c(text("a")).end(C2S, how).at(5000)
    assert book.payloads() == ([b"a"] if how == "fin" else [])
    assert [event["detail"].get("lost") for event in book.ledger if event.get("dropped")] == (
        [] if how == "fin" else ["its receiver had reset the connection"]
    )


def test_every_hit_names_its_author() -> None:
    book = Faulted({"name": "gone", "kind": "drop", "direction": "s2c"})
    hits: list[Author] = []
    book.faults.on_hit = hits.append
    book.s2c(text("a"))
    book.faults.inject(S2C, text("p", opcode=9), 0)
    assert hits == [Author("gone", "drop"), Author("by-hand", "inject")]
