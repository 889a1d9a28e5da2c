"""What the ledger says of frames that are kept back: when they left in truth, and which ones never did."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.faulted import C2S, MS, S2C, Faulted, text
from wsinspect.faults.connection import Send

BOTH_HELD = [(0, "held", 0), (0, "held", 1)]


def _times(book: Faulted) -> list[tuple[float, str, int]]:
    return [(now / MS, event, frame) for now, event, frame in book.deliveries]


def test_what_passes_at_once_is_neither_held_nor_sent_later():
    book = Faulted({"kind": "latency", "direction": "s2c", "latency": "50ms", "match": "op:ping"})
    book.s2c(text("a"), text("b") + text("c"))
    assert book.deliveries == []


@pytest.mark.parametrize(
    ("rule", "times"),
    [
        (
            {"kind": "latency", "latency": "50ms"},
            [(0, "held", 0), (0, "held", 1), (50, "sent", 0), (50, "sent", 1)],
        ),
        (
            {"kind": "hold", "time": "70ms"},
            [(0, "held", 0), (0, "held", 1), (70, "sent", 0), (70, "sent", 1)],
        ),
        ({"kind": "hold", "count": 2}, [(0, "held", 0), (0, "sent", 0)]),
        (
            {"kind": "blackhole", "for": "30ms"},
            [(0, "held", 0), (0, "held", 1), (30, "sent", 0), (30, "sent", 1)],
        ),
    ],
)
def test_a_held_frame_is_sent_when_its_bytes_are_written(rule, times):
    book = Faulted({**rule, "direction": "s2c"}).at(0)
    book.s2c(text("a")).s2c(text("b")).at(500)
    assert _times(book) == times


def test_bandwidth_counts_the_bytes_of_the_frames_alone():
    book = Faulted({"kind": "bandwidth", "direction": "s2c", "rate": "10KB/s"})
    frames = [text("x" * 196) for _ in range(5)]  # 200 bytes each: 20 ms on the line
    book.s2c(*frames).at(1000)
    planned = [event["planned_ns"] / MS for event in book.ledger]
    sent = [now for now, event, _ in _times(book) if event == "sent"]
    assert len(planned) == 5
    assert all(abs(plan - 20 * number) <= 20 for number, plan in enumerate(planned, 1))
    assert max(sent) <= 100


@pytest.mark.parametrize("how", ["abort", "rst", "over"])
def test_what_is_held_when_the_connection_ends_is_lost_and_says_so(how):
    book = Faulted({"name": "slow", "kind": "latency", "direction": "s2c", "latency": "5s"})
    book.s2c(text("a"), text("b"))
    if how == "abort":
        book.faults.abort_by_hand("both", "rst", book.now)
    elif how == "rst":
        book.end(C2S, "rst")
    else:
        book.faults.lose_held()
    book._take()
    lost = [event for event in book.ledger if event.get("dropped")]
    assert [(event["rule"], event["frame"]) for event in lost] == [("slow", 0), ("slow", 1)]
    assert all(event["detail"]["lost"] for event in lost)
    assert [event for _, event, _ in book.deliveries] == ["held", "held"]
    assert not book.got[S2C]


def test_bytes_that_the_socket_no_longer_takes_are_lost():
    book = Faulted({"name": "slow", "kind": "latency", "direction": "c2s", "latency": "5s"})
    book.c2s(text("a", C2S))
    (event,) = book.faults.unwritten(Send(C2S, b"", (0,)))
    assert (event.rule, event.frame, event.dropped) == ("slow", 0, True)


def test_dropped_and_joined_frames_are_not_lost_as_well():
    book = Faulted(
        {"kind": "drop", "direction": "s2c", "match": "op:ping"},
        {"kind": "replace", "direction": "s2c", "match": "op:text", "with": "new"},
    )
    book.s2c(text("p", opcode=9), text("a", fin=False), text("b", opcode=0), text("c"))
    book.faults.lose_held()
    book.at(10)
    assert [event["detail"] for event in book.ledger if "lost" in event["detail"]] == []


def test_a_dropped_message_of_fragments_is_one_hit():
    hits: list[str] = []
    book = Faulted({"name": "gone", "kind": "drop", "direction": "s2c"})
    book.faults.on_hit = lambda author: hits.append(author.rule)
    book.s2c(text("a", fin=False), text("b", opcode=0, fin=False), text("c", opcode=0), text("d"))
    assert hits == ["gone", "gone"]
    assert len(book.ledger) == 4


def test_reorder_acts_where_something_overtakes():
    book = Faulted({"kind": "reorder", "direction": "s2c", "when": {"nth": 1}, "wait": "50ms"})
    book.s2c(text("a")).at(100)
    assert book.payloads() == [b"a"]
    assert book.ledger == []
    book = Faulted({"kind": "reorder", "direction": "s2c", "when": {"nth": 1}, "wait": "50ms"})
    book.s2c(text("a")).s2c(text("b")).at(100)
    assert book.payloads() == [b"b", b"a"]
    assert [event["frame"] for event in book.ledger] == [0]


def test_a_copy_that_is_cut_off_is_told_from_its_frame():
    """The frame itself has left: what the limit ended was its copy."""
    rules: tuple[dict[str, Any], ...] = (
        {"kind": "duplicate"},
        {"kind": "truncate", "to": 1, "where": "wire", "when": {"nth": 2}},
    )
    for more in ((), ({"kind": "latency", "latency": "50ms"},)):
        book = Faulted(*rules, *more).s2c(text("secret")).at(100)
        [cut] = [one for one in book.ledger if one["kind"] == "truncate"]
        assert cut["detail"]["copy"]
        assert bytes(book.got[S2C]).startswith(text("secret"))
    [cut] = [
        one
        for one in Faulted({"kind": "truncate", "to": 1, "where": "wire"}).s2c(text("secret")).ledger
        if one["kind"] == "truncate"
    ]
    assert "copy" not in cut["detail"]
