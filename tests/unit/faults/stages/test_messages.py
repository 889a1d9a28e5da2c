"""Stages that take messages out, change them, add frames: the cases beyond the plain ones of the playbook."""

from __future__ import annotations

from tests.support.faulted import C2S, MS, S2C, Faulted, text
from wsinspect.faults.kinds.frames import Fragment
from wsinspect.wire.boundaries import Boundary
from wsinspect.wire.opcodes import Opcode


def in_the_middle() -> tuple[Boundary, Boundary]:
    """Where three of the seven bytes of `hello`'s frame are still to come from the server."""
    boundary = Boundary()
    boundary.feed(text("hello")[:4])
    return Boundary(), boundary


def test_dropping_by_frames_leaves_the_other_fragments() -> None:
    book = Faulted({"kind": "drop", "unit": "frame", "direction": "s2c", "when": {"nth": 2}})
    book.s2c(text("a", fin=False), text("b", opcode=0, fin=False), text("c", opcode=0))
    assert [(frame.opcode, frame.fin, frame.payload) for frame in book.frames()] == [
        (1, False, b"a"),
        (0, True, b"c"),
    ]
    whole = Faulted({"kind": "drop", "unit": "message", "direction": "s2c", "when": {"nth": 2}})
    whole.s2c(text("a", fin=False), text("b", opcode=0), text("c"))
    assert whole.payloads() == [b"a", b"b"]


def test_bytes_of_a_frame_under_way_are_not_dropped() -> None:
    book = Faulted({"kind": "drop", "unit": "frame"}, boundaries=in_the_middle())
    book.s2c(text("hello")[4:] + text("x"))
    assert bytes(book.got[S2C]) == text("hello")[4:]


def test_an_empty_payload_has_no_bits_to_flip() -> None:
    for where in ("wire", "payload"):
        book = Faulted({"kind": "corrupt", "where": where, "direction": "s2c"})
        book.s2c(text("", opcode=2), text("a", opcode=2))
        assert [len(payload) for payload in book.payloads()] == [0, 1]
        assert book.payloads()[1] != b"a"
        assert [frame for _, frame in book.acted()] == [1]


def test_a_message_of_fragments_is_cut_off_in_its_last_one() -> None:
    rule = {"kind": "truncate", "where": "wire", "to": 1, "how": "fin", "direction": "s2c"}
    book = Faulted(rule).s2c(text("ab", fin=False), text("cd", opcode=0), text("late"))
    assert bytes(book.got[S2C]) == text("ab", fin=False) + text("cd", opcode=0)[:3]
    assert book.aborts == [(0, "both", "fin")]
    assert book.ledger[0]["frame"] == 1


def test_what_was_not_found_is_not_replaced() -> None:
    book = Faulted({"kind": "replace", "find": "cat", "with": "dog", "direction": "s2c"})
    assert book.s2c(text("fox"), text("a cat")).payloads() == [b"fox", b"a dog"]
    assert book.acted() == [("replace_s2c", 1)]


# -- reorder


def test_a_message_that_two_overtake_is_reported_once() -> None:
    book = Faulted({"kind": "reorder", "by": 2, "when": {"nth": 1}, "direction": "s2c"})
    book.s2c(text("a"), text("b"), text("c"), text("d"))
    assert book.payloads() == [b"b", b"c", b"a", b"d"]
    assert book.acted() == [("reorder_s2c", 0)]


def test_control_frames_are_not_reordered() -> None:
    book = Faulted({"kind": "reorder", "direction": "s2c"})
    book.s2c(text("p", opcode=9), text("q", opcode=10))
    assert (book.payloads(), book.ledger) == ([b"p", b"q"], [])


def test_what_waits_leaves_before_an_end_and_counts_as_held_until_then() -> None:
    book = Faulted({"kind": "reorder", "direction": "s2c", "wait": "5s"})
    book.s2c(text("a"))
    assert book.faults.held_bytes == 3
    assert book.faults.lanes[S2C].stages[0].held_cost > 3
    book.end(S2C)
    assert book.payloads() == [b"a"]
    assert [how for _, _, how in book.ends] == ["fin"]
    assert book.faults.held_bytes == 0


def test_bytes_of_a_frame_under_way_pass_what_waits() -> None:
    rule = {"kind": "reorder", "direction": "s2c", "wait": "5s", "when": {"nth": 1}}
    book = Faulted(rule, boundaries=in_the_middle())
    book.s2c(text("hello")[4:] + text("a")).s2c(text("b"))
    assert bytes(book.got[S2C]) == text("hello")[4:] + text("b") + text("a")


def test_nobody_leaves_inside_a_message_that_passes_in_fragments() -> None:
    rule = {
        "kind": "reorder",
        "direction": "s2c",
        "wait": "50ms",
        "match": "op:text,binary",
        "when": {"nth": 1},
    }
    book = Faulted({**rule, "match": "op:binary"})
    book.s2c(text("w", opcode=2), text("a", fin=False)).at(100)
    assert book.payloads() == [b"a"]  # its time is over, and it has to wait for the rest of `a`
    book.s2c(text("b", opcode=0))
    assert book.payloads() == [b"a", b"b", b"w"]


def test_a_rule_that_goes_inside_a_message_postpones_what_waits() -> None:
    book = Faulted({"name": "r", "kind": "reorder", "direction": "s2c", "wait": "5s", "match": "op:binary"})
    book.s2c(text("w", opcode=2), text("a", fin=False)).disarm("r")
    assert book.payloads() == [b"a"]
    book.s2c(text("p", opcode=9), text("b", opcode=0), text("c"))
    assert book.payloads() == [b"a", b"p", b"b", b"w", b"c"]


# -- fragment


def test_a_frame_that_is_small_enough_or_does_not_match_stays_whole() -> None:
    book = Faulted({"kind": "fragment", "size": 2, "direction": "s2c", "match": "op:text"})
    book.s2c(text("ab"), text("abc", opcode=2), text("abc"))
    assert book.payloads() == [b"ab", b"abc", b"ab", b"c"]
    assert book.acted() == [("fragment_s2c", 2)]


def test_a_second_rule_splits_what_the_first_one_made_and_decides_once_a_frame() -> None:
    book = Faulted(
        {"name": "a", "kind": "fragment", "size": 4, "direction": "s2c"},
        {"name": "b", "kind": "fragment", "size": 2, "direction": "s2c", "when": {"nth": 1}},
    )
    book.s2c(text("abcdef"), text("ghijkl"))
    assert book.payloads() == [b"ab", b"cd", b"ef", b"ghij", b"kl"]


def test_a_message_is_split_into_a_bounded_number_of_frames() -> None:
    book = Faulted({"kind": "fragment", "size": 1, "direction": "s2c"})
    book.s2c(text("x" * (Fragment.MAX_PIECES + 1)))
    assert len(book.frames()) <= Fragment.MAX_PIECES


# -- inject


def test_a_frame_comes_before_or_after_the_one_that_matched() -> None:
    for position, expected in (("before", [b"in", b"a"]), ("after", [b"a", b"in"])):
        rule = {"kind": "inject", "payload": "in", "direction": "s2c", "when": {"nth": 1}}
        assert Faulted({**rule, "position": position}).s2c(text("a")).payloads() == expected


def test_a_frame_of_ours_waits_for_the_end_of_the_one_under_way() -> None:
    rule = {"kind": "inject", "payload": "in", "direction": "s2c", "when": {"after": "1s"}}
    book = Faulted(rule, boundaries=in_the_middle()).at(1000)
    assert not book.sends
    book.s2c(text("hello")[4:5])
    assert bytes(book.got[S2C]) == text("hello")[4:5]
    book.s2c(text("hello")[5:])
    assert bytes(book.got[S2C]) == text("hello")[4:] + text("in")


def test_a_message_of_ours_waits_for_the_end_of_the_message_under_way_and_a_ping_does_not() -> None:
    rule = {"kind": "inject", "payload": "in", "direction": "s2c", "when": {"after": "1s"}}
    for opcode, expected in (("text", [b"a", b"b", b"in"]), ("ping", [b"a", b"in", b"b"])):
        book = Faulted({**rule, "opcode": opcode})
        book.s2c(text("a", fin=False)).at(1000).s2c(text("b", opcode=0))
        assert book.payloads() == expected


def test_nothing_is_added_outside_of_its_span_or_behind_an_end() -> None:
    rule = {"kind": "inject", "opcode": "ping", "direction": "s2c"}
    book = Faulted({**rule, "when": {"every": "1s", "between": ["2s", "4s"]}}).at(20_000)
    assert [time // MS for time, _, _ in book.sends] == [2000, 3000]
    assert book.faults.due is None
    ended = Faulted({**rule, "when": {"every": "1s"}}).at(1500).end(S2C).at(9000)
    assert [time // MS for time, _, _ in ended.sends] == [1000]


def test_nothing_is_added_where_the_receiver_takes_nothing() -> None:
    book = Faulted({"kind": "inject", "opcode": "ping", "direction": "c2s", "when": {"every": "1s"}})
    book.faults.unsent_bytes = lambda direction: 1 << 30
    assert not book.at(3500).sends
    book.faults.unsent_bytes = lambda direction: 0
    assert [frame.opcode for frame in book.at(4000).frames(C2S)] == [Opcode.PING]
