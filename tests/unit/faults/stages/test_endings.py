"""Stages that end a connection: what triggers them, and what comes close and must not."""

from __future__ import annotations

import pytest

from tests.support.faulted import C2S, MS, S2C, Faulted, text
from wsinspect.faults.splitter import MAX_FRAME
from wsinspect.wire.boundaries import Boundary

#: The header of a frame too large to hold, and the beginning of its payload.
HUGE = b"\x82\x7f" + (MAX_FRAME + 1).to_bytes(8, "big") + b"begins"


def test_a_rule_that_the_draw_does_not_choose_ends_nothing() -> None:
    for rule in ({"kind": "lifetime"}, {"kind": "idle_timeout"}, {"kind": "idle_timeout", "how": "silent"}):
        book = Faulted({**rule, "after": "1s", "probability": 0})
        book.at(5000).s2c(text("x"))
        assert (book.aborts, book.ledger, book.payloads()) == ([], [], [b"x"])


@pytest.mark.parametrize(
    ("when", "moment"),
    [
        ({}, 1000),
        ({"after": "5s"}, 5000),  # quiet long enough before, but it acts only from then on
        ({"between": ["3s", "9s"]}, 3000),
        ({"between": ["100ms", "900ms"]}, None),  # over before it was quiet long enough
    ],
)
def test_silence_ends_a_connection_within_the_time_of_the_rule(when: dict, moment: int | None) -> None:
    book = Faulted({"kind": "idle_timeout", "after": "1s", "when": when}).at(20_000)
    assert book.aborts == ([] if moment is None else [(moment * MS, "both", "fin")])


def test_only_frames_that_match_break_the_silence() -> None:
    book = Faulted({"kind": "idle_timeout", "direction": "s2c", "after": "1s", "match": "!op:ping"})
    book.at(900).s2c(text("p", opcode=9)).at(999)
    assert not book.aborts
    assert book.at(1000).aborts == [(1000 * MS, "both", "fin")]
    book = Faulted({"kind": "idle_timeout", "direction": "s2c", "after": "1s", "match": "!op:ping"})
    assert book.at(900).s2c(text("x")).at(1899).aborts == []


def test_bytes_of_an_unfinished_frame_break_the_silence_and_an_end_does_not() -> None:
    boundary = Boundary()
    boundary.feed(text("hello")[:4])
    rule = {"kind": "idle_timeout", "direction": "s2c", "after": "1s"}
    book = Faulted(rule, boundaries=(Boundary(), boundary))
    book.at(900).s2c(text("hello")[4:6]).at(1899)
    assert not book.aborts
    assert book.end(S2C).at(1900).aborts == [(1900 * MS, "both", "fin")]
    assert book.ends == [(1899 * MS, S2C, "fin")]


def test_after_a_silent_timeout_an_end_passes_and_a_packet_is_answered_with_rst_once() -> None:
    book = Faulted({"kind": "idle_timeout", "after": "1s", "how": "silent"}).at(2000)
    assert book.end(S2C).ends == [(2000 * MS, S2C, "fin")]
    assert not book.aborts
    book.c2s(text("x", C2S) + text("y", C2S))
    assert book.aborts == [(2000 * MS, "both", "rst")]
    assert [event["detail"] for event in book.ledger if event.get("ends")] == [
        {"forgotten": True, "how": "rst"}
    ]


def test_a_lifetime_outside_of_its_span_ends_nothing() -> None:
    late = Faulted({"kind": "lifetime", "after": "30s", "when": {"between": ["1s", "5s"]}}).at(60_000)
    assert (late.aborts, late.faults.due) == ([], None)
    inside = Faulted({"kind": "lifetime", "after": "3s", "when": {"between": ["1s", "5s"]}}).at(60_000)
    assert inside.aborts == [(3000 * MS, "both", "fin")]


def test_a_message_too_large_to_be_held_is_refused_by_its_header() -> None:
    book = Faulted({"kind": "max_message_size", "size": 10, "direction": "s2c", "how": "rst"})
    book.s2c(HUGE)
    assert book.aborts == [(0, "both", "rst")]
    assert book.ledger[0]["detail"]["size"] == MAX_FRAME + 1


def test_a_filter_cannot_judge_a_message_too_large_to_be_held() -> None:
    rule = {"kind": "max_message_size", "size": 10, "direction": "s2c", "match": "op:binary"}
    book = Faulted(rule).s2c(HUGE)
    assert not book.aborts
    assert bytes(book.got[S2C]) == HUGE


def test_a_large_message_that_the_rule_does_not_match_passes() -> None:
    rule = {"kind": "max_message_size", "size": 3, "direction": "s2c", "how": "fin", "match": "op:binary"}
    book = Faulted(rule).s2c(text("large"), text("bin", opcode=2))
    assert (book.payloads(), book.aborts) == ([b"large", b"bin"], [])
    book.s2c(text("large", opcode=2))
    assert book.aborts == [(0, "both", "fin")]


def test_fragments_are_refused_where_their_sum_is_too_large_and_judged_once() -> None:
    rule = {"kind": "max_message_size", "size": 3, "direction": "s2c", "how": "fin", "when": {"nth": 2}}
    book = Faulted(rule)
    book.s2c(text("ab", fin=False), text("cd", opcode=0, fin=False), text("ef", opcode=0))
    assert not book.aborts
    book.s2c(text("abcd"))
    assert book.aborts == [(0, "both", "fin")]


def test_a_limit_counts_raw_bytes_too_and_lets_an_end_pass() -> None:
    boundary = Boundary()
    boundary.feed(text("hello")[:4])
    rule = {"kind": "limit_data", "bytes": 10, "direction": "s2c"}
    book = Faulted(rule, boundaries=(Boundary(), boundary))
    book.s2c(text("hello")[4:]).s2c(text("abc"))
    assert not book.aborts
    assert book.end(S2C).ends == [(0, S2C, "fin")]
    cut = Faulted(rule, boundaries=(Boundary(), boundary)).s2c(
        text("hello")[4:] + text("abcdefgh") + text("x")
    )
    assert bytes(cut.got[S2C]) == text("hello")[4:] + text("abcdefgh")[:7]
    assert cut.aborts == [(0, "both", "fin")]


def test_a_limit_counts_only_what_matches() -> None:
    book = Faulted({"kind": "limit_data", "bytes": 4, "direction": "s2c", "match": "op:binary"})
    book.s2c(text("does not count"), text("ab", opcode=2))
    assert not book.aborts
    assert book.payloads() == [b"does not count", b"ab"]
    assert book.s2c(text("c", opcode=2)).aborts == [(0, "both", "fin")]


@pytest.mark.parametrize(("code", "body"), [(0, b""), (1005, b""), (1000, b"\x03\xe8")])
def test_codes_that_stand_for_none_make_an_empty_close(code: int, body: bytes) -> None:
    book = Faulted({"kind": "close", "code": code, "to": "client"})
    assert book.payloads() == [body]
