"""What a live peer says: fragments joined, control frames between them, what breaks the protocol."""

from __future__ import annotations

import pytest

from tests.support.streams import KEY
from wsinspect.replay.common import incoming
from wsinspect.replay.common.incoming import MessageReceiver
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.opcodes import Direction

C2S, S2C = Direction


def heard(*frames: bytes, direction: Direction = S2C, **facts) -> list[tuple[int, bytes, str | None]]:
    receiver = MessageReceiver(direction, **facts)
    return [tuple(one) for frame in frames for one in receiver.feed(frame)]  # type: ignore[misc]


def test_fragments_are_one_message_and_control_frames_come_between():
    assert heard(
        serialize_frame(1, b"a", fin=False),
        serialize_frame(9, b"ping"),
        serialize_frame(0, b"b", fin=False) + serialize_frame(0, b"c"),
        serialize_frame(2, b"d"),
    ) == [(9, b"ping", None), (1, b"abc", None), (2, b"d", None)]


@pytest.mark.parametrize("cut", range(1, 8))
def test_bytes_may_come_in_any_pieces(cut):
    frame = serialize_frame(1, b"hello", key=KEY)
    assert heard(frame[:cut], frame[cut:], direction=C2S) == [(1, b"hello", None)]


def test_what_breaks_the_protocol_is_said_and_heard():
    ((opcode, data, violation),) = heard(serialize_frame(1, b"x", key=KEY))
    assert (opcode, data) == (1, b"x")
    assert violation
    assert heard(serialize_frame(0, b"x")) == []  # of no message
    receiver = MessageReceiver(S2C)
    assert receiver.lost is None
    receiver.feed(b"\x82\x7f" + b"\xff" * 8)
    assert receiver.lost


def test_a_message_is_kept_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(incoming, "MAX_MESSAGE", 4)
    parts = [serialize_frame(1 if not n else 0, b"ab", fin=n == 3) for n in range(4)]
    ((_, data, _),) = heard(*parts)
    assert data == b"abab"
