"""Which frames are kept back: `Unsent`, without a lane around it."""

from __future__ import annotations

from wsinspect.faults.frames import WireFrame
from wsinspect.faults.lane import Unsent


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
