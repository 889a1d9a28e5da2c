"""One direction: which frames are kept back (`Unsent`, without a lane around it), and the encoder."""

from __future__ import annotations

from tests.support.faulted import S2C, Faulted, text
from wsinspect.faults.deflater import Deflater
from wsinspect.faults.frames import WireFrame
from wsinspect.faults.lane import Unsent
from wsinspect.faults.rule import Author
from wsinspect.wire.boundaries import Boundary
from wsinspect.wire.deflate import DeflateParams
from wsinspect.wire.frame import serialize_frame


def _frames(*ordinals: int) -> list[WireFrame]:
    return [WireFrame(b"\x81\x00", 2, 1, ordinal, 0) for ordinal in ordinals]


def test_what_leaves_in_its_turn_is_not_late():
    unsent = Unsent()
    unsent.begin()
    assert unsent.left(0) == unsent.left(1) == []
    assert unsent.held(_frames(0, 1)) == []
    assert unsent.take() == []


def test_what_stays_is_held_until_it_leaves():
    unsent = Unsent()
    unsent.begin()
    unsent.left(1)
    assert unsent.held(_frames(0, 1)) == [0]
    unsent.begin()
    assert unsent.left(0) == [0]
    assert unsent.held([]) == []


def test_a_copy_does_not_stand_for_another_frame():
    unsent = Unsent()
    unsent.begin()
    unsent.left(0)
    unsent.left(0)
    assert unsent.held(_frames(0, 1)) == [1]


def test_dropped_frames_are_neither_held_nor_lost():
    unsent = Unsent()
    unsent.begin()
    unsent.forget(0)
    assert unsent.held(_frames(0, 1)) == [1]
    unsent.forget(1)
    assert unsent.take() == []


def test_joined_frames_leave_with_the_last_one():
    unsent = Unsent()
    unsent.begin()
    assert unsent.held(_frames(0, 1)) == [0, 1]
    unsent.begin()
    unsent.joined(2, [0, 1])
    assert unsent.left(2) == [0, 1]
    assert unsent.held(_frames(2)) == []
    assert unsent.take() == []


def test_what_never_leaves_comes_in_order():
    unsent = Unsent()
    unsent.begin()
    unsent.held(_frames(3, 1, 2))
    assert [frame.ordinal for frame in unsent.take()] == [1, 2, 3]


def test_a_message_whose_compression_its_sender_broke_leaves_as_it_came() -> None:
    params = DeflateParams()
    broken = serialize_frame(1, b"\xff\xff", rsv=4)
    book = Faulted({"kind": "drop", "direction": "s2c", "when": {"nth": 1}}, deflate=params)
    deflater = Deflater(params, S2C)
    good = serialize_frame(1, deflater.piece(b"hello", first=True, fin=True), rsv=4)
    book.s2c(good, broken)
    assert bytes(book.got[S2C]) == broken


def test_a_frame_of_ours_waits_for_a_boundary() -> None:
    boundary = Boundary()
    boundary.feed(text("hello")[:4])
    book = Faulted(boundaries=(Boundary(), boundary))
    book.faults.inject(S2C, text("p", opcode=9), 0)
    assert not book._take().sends
    assert not book.faults.is_idle
    book.s2c(text("hello")[4:])
    assert bytes(book.got[S2C]) == text("hello")[4:] + text("p", opcode=9)
    assert book.faults.is_idle


def test_a_message_of_ours_waits_for_the_end_of_another_and_a_control_frame_does_not() -> None:
    book = Faulted({"kind": "drop", "match": "op:binary"})
    book.s2c(text("a", fin=False))
    book.faults.inject(S2C, text("ours"), 0, is_message=True)
    book.faults.inject(S2C, text("p", opcode=9), 0)
    book._take().s2c(text("b", opcode=0))
    assert book.payloads() == [b"a", b"p", b"b", b"ours"]


def test_only_one_frame_of_ours_is_the_last_one() -> None:
    lane = Faulted().faults.lanes[S2C]
    lane.encoder.close(text("\x03\xe8", opcode=8), Author("a", "close"), 0)
    lane.encoder.close(text("\x03\xe9", opcode=8), Author("b", "close"), 0)
    assert lane.encoder.closed_by == Author("a", "close")
    assert lane.outlet._parts == [text("\x03\xe8", opcode=8)]
