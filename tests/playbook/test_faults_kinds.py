"""Every kind of fault on the bytes of a connection, on a virtual clock."""

from __future__ import annotations

import pytest

from tests.support.faulted import C2S, KEY, MS, S2C, Faulted, text
from wsinspect.faults.deflater import Deflater
from wsinspect.wire.deflate import DeflateParams
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.opcodes import Opcode

DEFLATES = {
    "takeover": DeflateParams(),
    "no takeover": DeflateParams(server_no_context_takeover=True, client_no_context_takeover=True),
    "small windows": DeflateParams(server_max_window_bits=9, client_max_window_bits=9),
    "window of 256 bytes": DeflateParams(server_max_window_bits=8, client_max_window_bits=8),
}
WORDS = [b"the quick brown fox %d jumps over the lazy dog, again and again and again" % n for n in range(8)]


def compressed(messages: list[bytes], params: DeflateParams, *, key: bytes | None = None) -> list[bytes]:
    """Frames of a sender with permessage-deflate."""
    deflater = Deflater(params, C2S if key else S2C)
    return [
        serialize_frame(1, deflater.piece(message, first=True, fin=True), rsv=4, key=key)
        for message in messages
    ]


@pytest.mark.parametrize("deflate", DEFLATES.values(), ids=DEFLATES.keys())
@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"kind": "drop", "when": {"nth": [2, 5]}}, [0, 2, 3, 5, 6, 7]),
        ({"kind": "duplicate", "when": {"nth": 3}}, [0, 1, 2, 2, 3, 4, 5, 6, 7]),
        ({"kind": "reorder", "when": {"nth": 2}}, [0, 2, 1, 3, 4, 5, 6, 7]),
        ({"kind": "hold", "count": 4}, [0, 1, 2, 3, 4, 5, 6, 7]),
        ({"kind": "fragment", "size": 5}, [0, 1, 2, 3, 4, 5, 6, 7]),
        ({"kind": "latency", "latency": "10ms"}, [0, 1, 2, 3, 4, 5, 6, 7]),
        ({"kind": "slicer", "size": 3}, [0, 1, 2, 3, 4, 5, 6, 7]),
        ({"kind": "bandwidth", "rate": "10KiB/s"}, [0, 1, 2, 3, 4, 5, 6, 7]),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_receivers_inflate_what_is_left_when_messages_are_dropped_doubled_or_moved(
    rule: dict, expected: list[int], deflate: DeflateParams
) -> None:
    for direction, key in ((S2C, None), (C2S, KEY)):
        book = Faulted({**rule, "direction": direction.short}, deflate=deflate)
        book.feed(direction, *compressed(WORDS, deflate, key=key)).at(60_000)
        frames, messages = book.decoded(direction, deflate)
        assert [message.data for message in messages] == [WORDS[index] for index in expected]
        assert {frame.violation for frame in frames} == {None}
        assert all(frame.masked == (direction is C2S) for frame in frames)
        assert book.ledger


@pytest.mark.parametrize("deflate", DEFLATES.values(), ids=DEFLATES.keys())
def test_changed_content_is_compressed_again(deflate: DeflateParams) -> None:
    book = Faulted({"kind": "replace", "find": "fox", "with": "cat", "when": {"nth": 2}}, deflate=deflate)
    book.s2c(*compressed(WORDS, deflate))
    _, messages = book.decoded(S2C, deflate)
    assert [message.data for message in messages] == [
        word.replace(b"fox", b"cat") if index == 1 else word for index, word in enumerate(WORDS)
    ]


def test_bytes_are_the_same_where_no_rule_acts() -> None:
    book = Faulted({"kind": "drop", "match": "op:ping"}, deflate=DeflateParams())
    data = b"".join(
        [*compressed(WORDS, DeflateParams()), b"\x83\x00", b"\x81\x7e\x00\x01a", b"\x01\x01a\x80\x01b"]
    )
    for start in range(0, len(data), 7):
        book.s2c(data[start : start + 7])
    assert bytes(book.got[S2C]) == data
    assert not book.ledger


def test_drop_takes_whole_messages_and_leaves_control_frames_between() -> None:
    book = Faulted({"kind": "drop", "match": "op:text"})
    book.s2c(text("a", fin=False), text("p", opcode=9), text("b", opcode=0), text("bin", opcode=2))
    assert book.payloads() == [b"p", b"bin"]


def test_drop_swallows_pongs_alone() -> None:
    book = Faulted({"kind": "drop", "match": "op:pong"})
    book.s2c(text("x", opcode=10), text("y"), text("z", opcode=9))
    assert book.payloads() == [b"y", b"z"]
    assert book.acted() == [("drop", 0)]


def test_a_filter_on_the_body_sees_all_fragments() -> None:
    book = Faulted({"kind": "drop", "match": "secret"})
    book.s2c(text("se", fin=False), text("cret", opcode=0), text("other", fin=False), text("s", opcode=0))
    assert book.payloads() == [b"other", b"s"]


def test_fragments_wait_no_longer_than_a_second_for_their_message() -> None:
    book = Faulted({"kind": "drop", "match": "secret"})
    book.s2c(text("se", fin=False)).at(999)
    assert not book.sends
    book.at(1001).s2c(text("cret", opcode=0))
    assert book.payloads() == [b"se", b"cret"]


def test_latency_delays_what_follows_and_never_the_other_direction() -> None:
    book = Faulted({"kind": "latency", "direction": "s2c", "latency": "300ms", "match": "op:text"})
    book.s2c(text("slow"), text("p", opcode=9)).c2s(text("back", C2S)).at(100).s2c(text("q", opcode=9)).at(
        1000
    )
    assert [(time // MS, direction) for time, direction, _ in book.sends] == [(0, C2S), (300, S2C)]
    assert book.payloads() == [b"slow", b"p", b"q"]


@pytest.mark.parametrize("distribution", ["uniform", "normal", "exponential"])
def test_jitter_is_of_its_distribution(distribution: str) -> None:
    rule = {"kind": "latency", "latency": "100ms", "jitter": "20ms", "distribution": distribution}
    delays = []
    for number in range(200):
        book = Faulted({**rule, "direction": "s2c"}, attempt=number + 1)
        book.s2c(text("x")).at(2000)
        delays.append(book.sends[0][0] / MS)
    mean = sum(delays) / len(delays)
    assert abs(mean - (120 if distribution == "exponential" else 100)) < 6
    assert len(set(delays)) > 150
    if distribution == "uniform":
        assert 80 <= min(delays) <= max(delays) <= 120


def test_the_end_waits_behind_what_is_held() -> None:
    book = Faulted({"kind": "latency", "latency": "300ms"})
    book.s2c(text("x")).end(S2C, "rst").at(299)
    assert not book.ends
    book.at(300)
    assert (book.ends, book.payloads()) == ([(300 * MS, S2C, "rst")], [b"x"])


def test_bandwidth_takes_the_time_of_the_line() -> None:
    book = Faulted({"kind": "bandwidth", "rate": "10KB/s", "direction": "s2c"})
    book.s2c(serialize_frame(2, b"x" * 9996)).at(950)
    assert 9000 <= len(book.got[S2C]) <= 9700
    book.at(1010)
    assert len(book.got[S2C]) == 10_000


def test_a_burst_passes_at_once() -> None:
    book = Faulted({"kind": "bandwidth", "rate": "1KB/s", "burst": 5000, "direction": "s2c"})
    book.at(10_000).s2c(serialize_frame(2, b"x" * 4000)).at(10_000)
    assert len(book.got[S2C]) == 4004


@pytest.mark.parametrize(
    ("limit", "moment"),
    [({"count": 3}, 0), ({"bytes": 12}, 0), ({"time": "2s"}, 2000)],
    ids=["count", "bytes", "time"],
)
def test_hold_lets_go_of_all_at_once(limit: dict, moment: int) -> None:
    book = Faulted({"kind": "hold", "direction": "s2c", **limit})
    book.s2c(text("a1"), text("b2"))
    assert not book.sends
    book.s2c(text("c3")).at(5000)
    assert [time // MS for time, _, _ in book.sends] == [moment]
    assert book.payloads() == [b"a1", b"b2", b"c3"]


def test_reorder_gives_up_when_nothing_follows() -> None:
    book = Faulted({"kind": "reorder", "wait": "500ms"})
    book.s2c(text("a")).at(499)
    assert not book.sends
    assert book.at(500).payloads() == [b"a"]


def test_corrupt_changes_the_payload_or_the_wire() -> None:
    book = Faulted({"kind": "corrupt", "count": 2, "direction": "s2c"})
    (payload,) = book.s2c(serialize_frame(2, bytes(100))).payloads()
    assert 1 <= sum(byte != 0 for byte in payload) <= 2
    wire = Faulted({"kind": "corrupt", "where": "wire"}, deflate=DeflateParams())
    frame = compressed(WORDS[:1], DeflateParams())[0]
    wire.s2c(frame)
    assert len(wire.got[S2C]) == len(frame)
    assert wire.got[S2C] != frame
    assert wire.got[S2C][:2] == frame[:2]


def test_truncate_makes_a_shorter_frame_or_cuts_the_wire() -> None:
    book = Faulted({"kind": "truncate", "to": 3})
    assert book.s2c(text("hello"), text("ab")).payloads() == [b"hel", b"ab"]
    wire = Faulted({"kind": "truncate", "to": 3, "where": "wire", "how": "rst"})
    wire.s2c(text("hello"), text("more"))
    assert bytes(wire.got[S2C]) == b"\x81\x05hel"
    assert wire.aborts == [(0, "both", "rst")]
    assert wire.ledger[0]["ends"]


def test_inject_by_frame_by_time_and_never_inside_a_message() -> None:
    book = Faulted({"kind": "inject", "payload": "in", "direction": "s2c", "when": {"nth": 1}})
    assert book.s2c(text("a", fin=False), text("b", opcode=0)).payloads() == [b"a", b"b", b"in"]
    timed = Faulted({"kind": "inject", "opcode": "ping", "direction": "c2s", "when": {"every": "10s"}})
    timed.at(35_000)
    assert [(time // MS) for time, _, _ in timed.sends] == [10_000, 20_000, 30_000]
    assert all(frame.masked and frame.opcode == Opcode.PING for frame in timed.frames(C2S))
    raw = Faulted({"kind": "inject", "raw": {"hex": "8300"}, "direction": "s2c", "when": {"after": "1s"}})
    assert bytes(raw.at(1000).got[S2C]) == b"\x83\x00"


def test_fragment_splits_data_frames_alone() -> None:
    book = Faulted({"kind": "fragment", "size": 2, "direction": "s2c"})
    frames = book.s2c(text("hello"), text("ping", opcode=9)).frames()
    assert [(frame.opcode, frame.fin, frame.payload) for frame in frames] == [
        (1, False, b"he"),
        (0, False, b"ll"),
        (0, True, b"o"),
        (9, True, b"ping"),
    ]


def test_slicer_writes_small_segments_with_pauses() -> None:
    book = Faulted({"kind": "slicer", "size": 3, "delay": "1ms", "direction": "s2c"})
    book.s2c(text("hello")).at(100)
    assert [(time // MS, data) for time, _, data in book.sends] == [(0, b"\x81\x05h"), (1, b"ell"), (2, b"o")]


def test_close_shakes_hands_with_both_sides() -> None:
    book = Faulted({"kind": "close", "code": 4000, "reason": "bye", "when": {"after": "1s"}})
    book.at(1000).s2c(text("late"))
    assert book.payloads() == [b"\x0f\xa0bye"]
    assert book.payloads(C2S) == [b"\x0f\xa0bye"]
    book.c2s(text(b"\x0f\xa0bye", C2S, opcode=8)).s2c(text(b"\x0f\xa0bye", opcode=8))
    assert len(book.frames()) == len(book.frames(C2S)) == 1
    book.end(S2C)
    assert book.ends == [(1000 * MS, S2C, "fin")]


def test_close_to_the_client_passes_its_answer_on() -> None:
    book = Faulted({"kind": "close", "code": 4001, "to": "client"})
    answer = text(b"\x0f\xa1", C2S, opcode=8)
    book.c2s(answer).s2c(text(b"\x0f\xa1", opcode=8))
    assert bytes(book.got[C2S]) == answer
    assert book.payloads() == [b"\x0f\xa1"]


def test_close_ends_without_answers_after_its_timeout() -> None:
    book = Faulted({"kind": "close", "timeout": "500ms"})
    assert book.at(499).aborts == []
    assert book.at(500).aborts == [(500 * MS, "both", "fin")]


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_abort_ends_without_a_frame(how: str) -> None:
    book = Faulted({"kind": "abort", "how": how, "when": {"nth": 2}})
    book.s2c(text("a"), text("b"), text("c"))
    assert book.payloads() == [b"a", b"b"]
    assert book.aborts == [(0, "both", how)]
    book.s2c(text("late")).c2s(text("too late", C2S))
    assert (book.payloads(), book.payloads(C2S)) == ([b"a", b"b"], [])
    assert book.acted() == [("abort", 1), ("abort", 2), ("abort", 3), ("abort", 0)]
    assert [event.get("dropped", False) for event in book.ledger] == [False, True, True, True]
    assert [event.get("ends", False) for event in book.ledger] == [True, False, False, False]


def test_blackhole_keeps_what_comes_and_its_end() -> None:
    book = Faulted({"kind": "blackhole", "for": "10s", "when": {"after": "1s"}})
    book.s2c(text("a")).at(1000).s2c(text("b")).c2s(text("c", C2S)).end(S2C).at(10_999)
    assert (book.payloads(), book.payloads(C2S), book.ends) == ([b"a"], [], [])
    book.at(11_000)
    assert (book.payloads(), book.payloads(C2S)) == ([b"a", b"b"], [b"c"])
    assert book.ends == [(11_000 * MS, S2C, "fin")]


def test_blackhole_drops_or_ends_as_its_then_says() -> None:
    lossy = Faulted({"kind": "blackhole", "for": "1s", "data": "drop"})
    assert lossy.s2c(text("a")).at(1000).s2c(text("b")).payloads() == [b"b"]
    ending = Faulted({"kind": "blackhole", "for": "1s", "then": "rst"})
    assert ending.s2c(text("a")).at(1000).aborts == [(1000 * MS, "both", "rst")]


def test_idle_timeout_counts_from_the_last_frame_of_its_direction() -> None:
    book = Faulted({"kind": "idle_timeout", "direction": "s2c", "after": "60s"})
    book.at(30_000).s2c(text("x")).at(80_000).c2s(text("y", C2S)).at(89_999)
    assert book.aborts == []
    assert book.at(90_000).aborts == [(90_000 * MS, "both", "fin")]


def test_a_silent_idle_timeout_answers_the_next_packet_with_rst() -> None:
    book = Faulted({"kind": "idle_timeout", "after": "4m", "how": "silent"})
    assert book.at(300_000).aborts == []
    book.c2s(text("x", C2S))
    assert (book.aborts, book.payloads(C2S)) == ([(300_000 * MS, "both", "rst")], [])


def test_lifetime_does_not_care_for_traffic() -> None:
    book = Faulted({"kind": "lifetime", "after": "30s", "how": "close", "code": 1001})
    book.at(29_000).s2c(text("x")).at(30_000)
    assert book.payloads() == [b"x", b"\x03\xe9"]


def test_max_message_size_closes_with_1009() -> None:
    book = Faulted({"kind": "max_message_size", "size": 10, "direction": "c2s"})
    book.c2s(text("small", C2S), text("much too large", C2S))
    assert book.payloads() == [b"\x03\xf1"]
    assert book.payloads(C2S) == [b"small", b"\x03\xf1"]


def test_limit_data_ends_in_the_middle_of_a_frame() -> None:
    book = Faulted({"kind": "limit_data", "bytes": 10, "direction": "s2c"})
    book.s2c(text("hello"), text("world"))
    assert bytes(book.got[S2C]) == b"\x81\x05hello\x81\x05w"
    assert book.aborts == [(0, "both", "fin")]


def test_a_rule_armed_in_the_middle_of_a_frame_begins_with_the_next_one() -> None:
    from wsinspect.wire.boundaries import Boundary

    first, second = text("hello"), text("world")
    for cut in range(1, len(first) + 1):
        boundary = Boundary()
        boundary.feed(first[:cut])
        book = Faulted({"kind": "drop"}, boundaries=(Boundary(), boundary))
        book.s2c(first[cut:] + second)
        assert bytes(book.got[S2C]) == first[cut:]


def test_a_close_waits_for_the_frame_under_way() -> None:
    from wsinspect.wire.boundaries import Boundary

    boundary = Boundary()
    boundary.feed(text("hello")[:4])
    book = Faulted({"kind": "close", "code": 1012}, boundaries=(Boundary(), boundary))
    assert bytes(book.got[S2C]) == b""
    assert bytes(book.s2c(text("hello")[4:]).got[S2C]) == b"llo" + b"\x88\x02\x03\xf4"
