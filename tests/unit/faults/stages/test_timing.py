"""Stages that hold bytes back: what is let go when, and by what."""

from __future__ import annotations

import pytest

from tests.support.faulted import C2S, MS, S2C, Faulted, text
from wsinspect.faults.lane import FULL_BYTES
from wsinspect.wire.boundaries import Boundary
from wsinspect.wire.frame import serialize_frame


def times(book: Faulted) -> list[tuple[int, bytes]]:
    return [(time // MS, data) for time, _, data in book.sends]


def test_jitter_that_makes_a_delay_negative_delays_nothing() -> None:
    rule = {"kind": "latency", "latency": "0ms", "jitter": "100ms", "direction": "s2c"}
    books = [Faulted(rule, attempt=number).s2c(text("x")) for number in range(1, 30)]
    at_once = [book for book in books if book.sends]
    assert 0 < len(at_once) < len(books)
    assert all(book.ledger == [] for book in at_once)


def test_a_hold_lets_go_before_an_end() -> None:
    book = Faulted({"kind": "hold", "count": 5, "direction": "s2c"})
    book.s2c(text("a"), text("b")).end(S2C)
    assert book.payloads() == [b"a", b"b"]
    assert [how for _, _, how in book.ends] == ["fin"]


def test_a_hold_keeps_the_order_with_what_it_does_not_match() -> None:
    book = Faulted({"kind": "hold", "time": "1s", "direction": "s2c", "match": "op:text"})
    book.s2c(text("p", opcode=9)).at(100).s2c(text("a")).at(200).s2c(text("q", opcode=9)).at(1099)
    assert book.payloads() == [b"p"]
    assert book.at(1100).payloads() == [b"p", b"a", b"q"]


def test_a_hold_that_would_never_be_full_lets_go_before_its_sender_is_stopped() -> None:
    book = Faulted({"kind": "hold", "count": 1_000_000, "direction": "s2c"})
    frame = serialize_frame(2, bytes(FULL_BYTES // 2))
    book.s2c(frame)
    assert not book.sends
    assert not book.faults.lanes[S2C].is_full
    book.s2c(frame)
    assert bytes(book.got[S2C]) == frame * 2


def test_what_does_not_match_waits_behind_a_slow_frame_and_takes_no_time_itself() -> None:
    book = Faulted({"kind": "bandwidth", "rate": "1KB/s", "direction": "s2c", "match": "op:binary"})
    book.s2c(text("first")).s2c(serialize_frame(2, bytes(96))).s2c(text("behind"), text("p", opcode=9))
    assert book.got[S2C].startswith(text("first"))
    assert book.faults.held_bytes > 0
    assert book.faults.lanes[S2C].is_full is False
    book.at(99)
    assert len(book.frames()) == 4
    assert [frame.opcode for frame in book.frames()] == [1, 2, 1, 9]
    assert [event["frame"] for event in book.ledger] == [1]


def test_an_end_waits_behind_a_slow_frame() -> None:
    book = Faulted({"kind": "bandwidth", "rate": "1KB/s", "direction": "s2c"})
    book.s2c(serialize_frame(2, bytes(96))).end(S2C).at(50)
    assert not book.ends
    book.at(200)
    assert book.ends
    assert len(book.got[S2C]) == 98


def test_a_slow_line_that_goes_lets_the_rest_of_its_frame_go_with_it() -> None:
    book = Faulted({"name": "slow", "kind": "bandwidth", "rate": "1KB/s", "direction": "s2c"})
    frame = serialize_frame(2, bytes(range(200)))
    book.s2c(frame).at(50)
    sent = len(book.got[S2C])
    assert 0 < sent < len(frame)
    assert book.faults.held_bytes == len(frame) - sent
    book.end(S2C).disarm("slow")
    assert bytes(book.got[S2C]) == frame
    assert len(book.ends) == 1


def test_segments_vary_in_size_within_bounds() -> None:
    book = Faulted({"kind": "slicer", "size": 10, "variation": 4, "direction": "s2c"})
    frame = serialize_frame(2, bytes(996))
    book.s2c(frame).at(100)
    sizes = [len(data) for _, _, data in book.sends]
    assert b"".join(data for _, _, data in book.sends) == frame
    assert 6 <= min(sizes[:-1]) < max(sizes[:-1]) <= 14


# -- blackhole


def test_a_frame_begins_a_silence_of_both_directions() -> None:
    book = Faulted({"kind": "blackhole", "for": "1s", "when": {"nth": 2}})
    book.at(100).s2c(text("a"), text("b"), text("c")).c2s(text("d", C2S)).at(1099)
    assert (book.payloads(), book.payloads(C2S)) == ([b"a", b"b"], [])
    book.at(1100)
    assert (book.payloads(), book.payloads(C2S)) == ([b"a", b"b", b"c"], [b"d"])
    assert [event["detail"] for event in book.ledger] == [{"match": 2, "for_ms": 1000}]
    assert book.s2c(text("e")).payloads()[-1] == b"e"  # once


def test_a_frame_that_does_not_match_begins_none() -> None:
    book = Faulted({"kind": "blackhole", "match": "op:ping", "direction": "s2c"})
    book.s2c(text("a"), text("p", opcode=9), text("b")).c2s(text("c", C2S)).at(10**6)
    assert (book.payloads(), book.payloads(C2S)) == ([b"a", b"p"], [b"c"])
    assert book.faults.held_bytes == len(text("b"))


def test_bytes_of_a_frame_under_way_begin_no_silence() -> None:
    boundary = Boundary()
    boundary.feed(text("hello")[:4])
    book = Faulted({"kind": "blackhole", "when": {"nth": 1}}, boundaries=(Boundary(), boundary))
    book.s2c(text("hello")[4:] + text("a") + text("b"))
    assert bytes(book.got[S2C]) == text("hello")[4:] + text("a")


@pytest.mark.parametrize("probability", [0, 1])
def test_a_timed_silence_asks_the_dice(probability: int) -> None:
    book = Faulted({"kind": "blackhole", "probability": probability, "when": {"after": "1s"}}).at(2000)
    assert book.s2c(text("a")).payloads() == ([] if probability else [b"a"])


def test_a_silence_that_ends_with_an_end_ends_both_sides_once() -> None:
    book = Faulted({"kind": "blackhole", "for": "1s", "then": "fin"}).at(2000)
    assert book.aborts == [(1000 * MS, "both", "fin")]
    assert [event["detail"] for event in book.ledger if event.get("ends")] == [{"then": "fin", "how": "fin"}]


def test_a_silence_without_end_keeps_all_and_goes_with_its_rule() -> None:
    book = Faulted({"name": "hole", "kind": "blackhole"}).s2c(text("a")).end(S2C)
    assert book.at(10**7).payloads() == []
    assert book.faults.due is None
    book.disarm("hole")
    assert (book.payloads(), len(book.ends)) == ([b"a"], 1)


# -- loss


def lossy(**more: object) -> Faulted:
    return Faulted({"kind": "loss", "direction": "s2c", "loss": "40%", "segment": 100, **more}, seed=5)


def test_lost_segments_come_late_and_nothing_is_missing_or_out_of_order() -> None:
    book = lossy(correlation="50%")
    frames = [serialize_frame(2, bytes([number]) * 350) for number in range(40)]
    for number, frame in enumerate(frames):
        book.at(number * 20).s2c(frame)
    book.at(10**6)
    assert bytes(book.got[S2C]) == b"".join(frames)
    assert book.faults.held_bytes == 0
    lost = [event["detail"]["lost"] for event in book.ledger]
    assert all(event["detail"]["segments"] == 4 for event in book.ledger)
    assert 0.2 < sum(lost) / 160 < 0.6
    assert max(time for time, _, _ in book.sends) > 800 * MS  # the last was sent at 780


def test_what_arrives_before_a_lost_segment_of_a_frame_leaves_at_once() -> None:
    books = [Faulted({"kind": "loss", "loss": 0.3, "segment": 100}, attempt=n) for n in range(1, 40)]
    frame = serialize_frame(2, bytes(range(250)) * 4)
    for book in books:
        book.s2c(frame)
    sizes = {len(book.got[S2C]) for book in books}
    assert all(size in (len(frame), *range(0, len(frame), 100)) for size in sizes)
    assert len(sizes) > 4
    assert all(book.at(10**6).got[S2C] == frame for book in books)


def test_the_same_seed_loses_the_same_segments_and_another_one_others() -> None:
    def times_of(seed: int) -> list[int]:
        book = Faulted({"kind": "loss", "loss": 0.3, "direction": "s2c"}, seed=seed)
        for number in range(60):
            book.at(number * 10).s2c(text("x"))
        return [time for time, _, _ in book.at(10**6).sends]

    assert times_of(1) == times_of(1)
    assert times_of(1) != times_of(2)


def test_what_no_rule_is_about_waits_behind_a_lost_one_and_an_end_too() -> None:
    book = Faulted({"kind": "loss", "loss": 0.99, "direction": "s2c", "match": "op:binary"})
    book.s2c(text("a"), serialize_frame(2, b"b"), text("c")).end(S2C)
    assert book.payloads() == [b"a"]
    assert not book.ends
    book.at(10**9)
    assert book.payloads() == [b"a", b"b", b"c"]
    assert len(book.ends) == 1


def test_a_lossy_line_that_goes_lets_everything_go() -> None:
    book = Faulted({"name": "bad", "kind": "loss", "loss": 0.99, "direction": "s2c"})
    book.s2c(text("a"), text("b")).end(S2C).disarm("bad")
    assert book.payloads() == [b"a", b"b"]
    assert len(book.ends) == 1
    assert book.faults.due is None
