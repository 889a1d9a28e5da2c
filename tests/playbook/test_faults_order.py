"""Order, legality and bounds of faults that meet each other, on a virtual clock."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.faulted import C2S, KEY, S2C, Faulted, text
from wsinspect.faults.deflater import Deflater
from wsinspect.faults.frames import ITEM_BYTES
from wsinspect.faults.lane import FULL_BYTES
from wsinspect.faults.rule import Rule
from wsinspect.faults.splitter import MAX_FRAME
from wsinspect.faults.stages.messages import Overtaken, ReorderStage
from wsinspect.wire.boundaries import Boundary
from wsinspect.wire.deflate import DeflateParams
from wsinspect.wire.frame import serialize_frame


def keys(book: Faulted) -> list[bytes | None]:
    return [frame.mask_key for frame in book.frames(C2S)]


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "duplicate", "copies": 3},
        {"kind": "fragment", "size": 2},
        {"kind": "replace", "with": "other"},
        {"kind": "inject", "opcode": "ping", "when": {"nth": 1}},
    ],
    ids=lambda rule: rule["kind"],
)
def test_each_masked_frame_that_we_make_has_a_key_of_its_own(rule: dict) -> None:
    book = Faulted({**rule, "direction": "c2s"}).c2s(text("message", C2S))
    found = keys(book)
    assert len(set(found)) == len(found)
    assert None not in found
    assert found[0] == (KEY if rule["kind"] != "replace" else found[0])


def test_reordered_messages_never_get_into_one_that_passes_in_fragments() -> None:
    book = Faulted({"kind": "reorder", "wait": "1500ms", "when": {"nth": 1}})
    book.s2c(text("first")).at(100).s2c(text("a", fin=False)).at(3000)
    assert book.payloads() == [b"a"]
    book.s2c(text("b", opcode=0, fin=False)).s2c(text("c", opcode=0))
    assert book.payloads() == [b"a", b"b", b"c", b"first"]


def test_a_reordered_message_that_is_let_go_inside_another_one_waits_for_its_end() -> None:
    book = Faulted({"kind": "reorder", "name": "one", "wait": "9s", "when": {"nth": 1}})
    book.s2c(text("first")).s2c(text("a", fin=False)).at(1500).disarm("one")
    assert book.payloads() == [b"a"]
    assert book.s2c(text("b", opcode=0)).payloads() == [b"a", b"b", b"first"]


def test_the_end_comes_behind_what_waits_to_be_overtaken() -> None:
    book = Faulted({"kind": "reorder", "wait": "9s", "when": {"nth": 1}})
    book.s2c(text("first")).s2c(text("a", fin=False)).end(S2C)
    assert book.payloads() == [b"first", b"a"]
    assert len(book.ends) == 1


def test_a_frame_injected_by_hand_is_never_inside_a_message_and_a_control_frame_may_be() -> None:
    book = Faulted({"kind": "drop", "match": "op:pong"})
    book.s2c(text("a", fin=False))
    book.faults.inject(S2C, text("mine"), 0, is_message=True)
    book.faults.inject(S2C, text("p", opcode=9), 0)
    assert book.s2c(text("b", opcode=0)).payloads() == [b"a", b"p", b"b", b"mine"]


@pytest.mark.parametrize(
    "chunks", [[b"\x01\x01a"], [b"\x81\x01x\x01\x01", b"a"], [b"\x01\x7e\x01\x00" + bytes(256)]]
)
def test_a_rule_armed_inside_a_message_injects_behind_it(chunks: list[bytes]) -> None:
    boundary = Boundary()
    for chunk in chunks:
        boundary.feed(chunk)
    rule = {"kind": "inject", "payload": "mine", "direction": "s2c", "when": {"after": "0s"}}
    book = Faulted(rule, boundaries=(Boundary(), boundary))
    book.faults.inject(S2C, text("by hand"), 0, is_message=True)
    assert bytes(book.at(100).got[S2C]) == b""
    book.s2c(text("p", opcode=9), text("b", opcode=0))
    found = [frame.payload for frame in book.frames()]
    assert found[:2] == [b"p", b"b"]
    assert sorted(found[2:]) == [b"by hand", b"mine"]


def test_a_close_comes_behind_what_is_held_and_what_follows_is_on_record_as_lost() -> None:
    book = Faulted(
        {"kind": "latency", "latency": "300ms", "direction": "s2c"},
        {"kind": "close", "code": 4000, "when": {"after": "100ms"}},
    )
    book.s2c(text("held")).at(100).s2c(text("late"))
    book.at(1000)
    assert book.payloads() == [b"held", b"\x0f\xa0"]
    lost = [event for event in book.ledger if event.get("dropped")]
    assert [(event["rule"], event["frame"]) for event in lost] == [("close", 1)]


def test_a_cut_frame_comes_behind_what_is_held() -> None:
    book = Faulted(
        {"kind": "truncate", "to": 1, "where": "wire", "match": "cut"},
        {"kind": "latency", "latency": "300ms"},
        {"kind": "bandwidth", "rate": "1KB/s"},
    )
    book.s2c(text("held"), text("cut"))
    assert bytes(book.got[S2C]) == text("held") + b"\x81\x03c"


def test_a_closing_rule_between_two_that_hold_sends_nothing_twice() -> None:
    book = Faulted(
        {"kind": "latency", "name": "one", "latency": "100ms"},
        {"kind": "close", "match": "b", "to": "client"},
        {"kind": "latency", "name": "two", "latency": "100ms"},
    )
    book.s2c(text("a"), text("b"), text("c")).at(5000)
    assert book.payloads() == [b"a", b"b", b"c", b"\x03\xe9"]


def test_rules_on_bytes_decide_once_for_a_frame_however_it_is_cut() -> None:
    book = Faulted(
        {"kind": "fragment", "size": 4},
        {"kind": "bandwidth", "rate": "100KB/s"},
        {"kind": "slicer", "size": 2, "when": {"nth": 2}},
    )
    book.s2c(text("01234567"), text("abcdefgh")).at(1000)
    assert b"".join(frame.payload for frame in book.frames()) == b"01234567abcdefgh"
    sizes = [len(data) for _, direction, data in book.sends if direction is S2C]
    assert set(sizes[2:]) == {2}
    assert sizes[:2] == [6, 6]


def test_limited_data_counts_the_frames_of_its_filter_behind_a_slow_line() -> None:
    book = Faulted(
        {"kind": "bandwidth", "rate": "1KB/s"},
        {"kind": "limit_data", "bytes": 9, "match": "op:bin", "direction": "s2c"},
    )
    book.s2c(text("x" * 50), text("12345", opcode=2), text("67890", opcode=2)).at(1000)
    assert bytes(book.got[S2C]) == text("x" * 50) + text("12345", opcode=2) + b"\x82\x05"


def test_after_so_many_frames_means_behind_them() -> None:
    dropped = Faulted({"kind": "drop", "when": {"after": "2frames"}})
    assert dropped.s2c(*(text(str(n)) for n in range(4))).payloads() == [b"0", b"1"]
    closed = Faulted({"kind": "abort", "when": {"after": "2frames"}})
    assert closed.s2c(*(text(str(n)) for n in range(4))).payloads() == [b"0", b"1"]
    by_size = Faulted({"kind": "drop", "when": {"after": "6B"}})
    assert by_size.s2c(*(text(str(n)) for n in range(4))).payloads() == [b"0", b"1"]


@pytest.mark.parametrize(
    ("when", "left"),
    [
        ({"nth": 2}, "0234"),
        ({"nth": [1, "4-"]}, "12"),
        ({"every": 2}, "024"),
        ({"after": "250ms"}, "012"),
        ({"between": ["100ms", "300ms"]}, "034"),
        ({"after": "100ms", "nth": "2-3"}, "034"),
        ({"attempt": 2}, "01234"),
        ({"attempt": 1, "connection": "1-"}, ""),
        ({"connection": 2}, "01234"),
    ],
    ids=str,
)
def test_when_says_at_which_frames_a_rule_acts(when: dict, left: str) -> None:
    book = Faulted({"kind": "drop", "when": when})
    for number in range(5):
        book.at(number * 100).s2c(text(str(number)))
    assert b"".join(book.payloads()).decode() == left


def test_a_filter_on_the_connection_decides_for_the_whole_of_it() -> None:
    for rule in (
        {"kind": "lifetime", "after": "1s"},
        {"kind": "idle_timeout", "after": "1s"},
        {"kind": "abort", "when": {"after": "1s"}},
    ):
        assert Faulted({**rule, "match": "path:/chat"}).at(2000).aborts
        other = Faulted({**rule, "match": "path:/other"})
        assert other.faults.armed == []
        assert not other.at(2000).aborts


def test_a_blackhole_that_is_done_once_lasts_for_its_time() -> None:
    book = Faulted()
    rule = Rule.parse({"kind": "blackhole", "for": "2s", "name": "phase-blackhole"})
    book.faults.act_once(rule, [], 0)
    book.s2c(text("a")).at(1999)
    assert book.payloads() == []
    assert book.faults.lasting == ["phase-blackhole"]
    assert book.at(2000).s2c(text("b")).payloads() == [b"a", b"b"]
    assert book.faults.lasting == []
    assert book.faults.is_idle
    book.faults.act_once(Rule.parse({"kind": "blackhole"}), [], book.now)
    assert book.s2c(text("c")).payloads() == [b"a", b"b"]
    assert book.disarm("blackhole").payloads() == [b"a", b"b", b"c"]


def test_a_message_too_large_to_be_held_is_too_large_for_max_message_size() -> None:
    book = Faulted({"kind": "max_message_size", "size": "1MiB", "direction": "s2c"})
    head = serialize_frame(2, bytes(MAX_FRAME + 1))[:4096]
    book.s2c(text("fine"), head, bytes(4096))
    assert book.payloads() == [b"fine", b"\x03\xf1"]


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "latency", "latency": "9s"},
        {"kind": "blackhole"},
        {"kind": "bandwidth", "rate": "1B/s"},
        {"kind": "reorder", "by": 1000, "wait": "9s"},
    ],
    ids=lambda rule: rule["kind"],
)
@pytest.mark.parametrize("payload", [b"", b"x" * 10_000], ids=["empty", "10 kB"])
def test_a_sender_is_not_read_when_much_is_held(rule: dict, payload: bytes) -> None:
    book = Faulted({**rule, "direction": "s2c"})
    frame = serialize_frame(2, payload)
    lane = book.faults.lanes[S2C]
    count = 0
    while not lane.is_full and count < FULL_BYTES:
        book.s2c(frame)
        count += 1
        if rule["kind"] == "reorder" and count == 999:
            return  # it lets the first one go before there is much
    assert count <= FULL_BYTES // (len(frame) + ITEM_BYTES) + 2
    assert not book.faults.lanes[C2S].is_full


def test_a_full_buffer_is_sent_on() -> None:
    book = Faulted({"kind": "hold", "count": 1_000_000, "direction": "s2c"})
    frame = serialize_frame(2, bytes(100_000))
    for _ in range(60):
        book.s2c(frame)
        assert not book.faults.lanes[S2C].is_full
    assert len(book.frames()) > 30


def test_copies_of_a_large_message_are_bounded() -> None:
    book = Faulted({"kind": "duplicate", "copies": 1000, "direction": "s2c"})
    book.s2c(serialize_frame(2, bytes(10 * 1024 * 1024)))
    assert len(book.frames()) == 7
    assert book.ledger[0]["detail"]["copies"] == 6


@pytest.mark.parametrize("fault", ["drop", "duplicate", "replace", "reorder"])
def test_fragments_of_compressed_messages_stay_readable(fault: str) -> None:
    params = DeflateParams()
    rule = {"drop": {}, "duplicate": {}, "reorder": {}, "replace": {"find": "fox", "with": "cat"}}[fault]
    book = Faulted({"kind": fault, **rule, "match": "op:text", "when": {"nth": 2}}, deflate=params)
    deflater = Deflater(params, S2C)
    plain = [b"the quick brown fox number %d" % number for number in range(5)]
    for message in plain:
        parts = [message[:9], message[9:20], message[20:]]
        for place, part in enumerate(parts):
            data = deflater.piece(part, first=not place, fin=place == 2)
            book.s2c(serialize_frame(0 if place else 1, data, fin=place == 2, rsv=0 if place else 4))
    frames, messages = book.decoded(S2C, params)
    assert {frame.violation for frame in frames} == {None}
    expected = {
        "drop": [plain[0], *plain[2:]],
        "duplicate": [*plain[:2], plain[1], *plain[2:]],
        "replace": [plain[0], plain[1].replace(b"fox", b"cat"), *plain[2:]],
        "reorder": [plain[0], plain[2], plain[1], *plain[3:]],
    }
    assert [message.data for message in messages] == expected[fault]


def test_reordering_many_messages_looks_at_each_of_them_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many wait: a message that passes does nothing for those behind the first."""
    asked = 0
    leave = ReorderStage._leave

    def counted(stage: ReorderStage, now: int, is_due: Callable[[Overtaken], bool]) -> None:
        def ask(one: Overtaken) -> bool:
            nonlocal asked
            asked += 1
            return is_due(one)

        leave(stage, now, ask)

    monkeypatch.setattr(ReorderStage, "_leave", counted)
    count = 3000
    book = Faulted({"kind": "reorder", "direction": "s2c", "by": 1000, "wait": "9s"})
    for number in range(count):
        book.s2c(text(str(number)))
    book.at(20_000)
    assert sorted(map(int, book.payloads())) == list(range(count))
    assert asked < 6 * count
