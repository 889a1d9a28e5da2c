"""A frame on its way, as filters and the ledger ask about it."""

from __future__ import annotations

from tests.support.faulted import C2S, S2C, Facts, text
from wsinspect.faults.frames import ITEM_BYTES, End, MessageState, Raw, Surroundings, WireFrame, cost, size
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.header import header_length


def frame(raw: bytes, direction: int = S2C) -> WireFrame:
    return WireFrame(raw, header_length(raw[1]), direction, 3, 70)


def test_bits_are_those_of_the_header() -> None:
    for rsv, bits in ((0, (False, False, False)), (4, (True, False, False)), (3, (False, True, True))):
        one = frame(serialize_frame(1, b"x", rsv=rsv))
        assert (one.rsv1, one.rsv2, one.rsv3) == bits
    masked = frame(text("x", C2S), C2S)
    assert (masked.masked, masked.payload, masked.length, masked.wire_length) == (True, b"x", 1, 7)
    assert frame(text("x")).mask_key is None


def test_what_only_the_connection_knows_is_asked_of_it() -> None:
    one = frame(text("x"))
    one.lane = Surroundings()
    one.lane.connection = Facts()
    one.lane.start_ns = 50
    assert one.connection.host == "example.org"
    assert one.t_ns == 20


def test_what_comes_after_a_frame_is_not_known_when_it_passes() -> None:
    one = frame(text("x"))
    one.gap_ns = 5
    assert one.delta_ns == 5
    assert (one.rtt_ns, one.faults, one.findings, one.message_id) == (None, (), (), None)
    one.message = MessageState(1, False, 8)
    assert one.message_id == 8


def test_a_frame_that_ends_a_compressed_message_stands_for_all_of_it() -> None:
    last, first = frame(serialize_frame(1, b"..", rsv=4)), frame(serialize_frame(1, b"..", rsv=4, fin=False))
    message = MessageState(1, True, 1)
    for one in (first, last):
        one.message = message
        one.plain = b"inflated"
    assert (last.body, first.body) == (b"inflated", b"")
    assert last.content == b"inflated"
    unread = frame(serialize_frame(1, b"..", rsv=4))
    unread.message = message
    assert (unread.body, unread.content) == (b"", None)


def test_what_holding_costs_is_more_than_the_bytes() -> None:
    assert [size(item) for item in (frame(text("abc")), Raw(b"abc", True), End("fin"))] == [5, 3, 0]
    assert [cost(item) for item in (frame(text("abc")), Raw(b"abc", True), End("fin"))] == [
        *(5 + ITEM_BYTES, 3 + ITEM_BYTES, 0),
    ]
