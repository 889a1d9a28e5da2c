"""Bytes into frames: from any place of a stream, for frames of any size, and what inflates of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.faulted import S2C, text
from wsinspect.faults import splitter as module
from wsinspect.faults.deflater import Deflater
from wsinspect.faults.frames import Raw, Surroundings, WireFrame
from wsinspect.faults.splitter import MAX_FRAME, Splitter
from wsinspect.wire.boundaries import Boundary
from wsinspect.wire.deflate import DeflateParams
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.header import MAX_LENGTH

PARAMS = DeflateParams()
NONSENSE = b"\x82\x7f" + (MAX_LENGTH + 1).to_bytes(8, "big")
WORDS = [b"the same words, and again the same words, number %d" % number for number in range(4)]


def made(
    seen: bytes = b"", deflate: DeflateParams | None = None, window: bytes | None = b"", *, fin: bool = True
) -> Splitter:
    """A splitter that begins where a stream is after these bytes."""
    boundary = Boundary()
    boundary.feed(seen)
    return Splitter(S2C, boundary, deflate=deflate, window=window, surroundings=Surroundings())


def shape(splitter: Splitter, *chunks: bytes) -> list[Any]:
    """Payloads of frames; bytes of what passes as it came, and whether it ends a frame."""
    found: list[Any] = []
    for chunk in chunks:
        for item in splitter.feed(chunk, 0):
            assert isinstance(item, WireFrame | Raw)
            found.append(item.payload if isinstance(item, WireFrame) else (item.data, item.ends_frame))
    return found


def compressed(words: list[bytes]) -> list[bytes]:
    deflater = Deflater(PARAMS, S2C)
    return [serialize_frame(1, deflater.piece(word, first=True, fin=True), rsv=4) for word in words]


def plain(splitter: Splitter, *chunks: bytes) -> list[bytes | None]:
    items = [item for chunk in chunks for item in splitter.feed(chunk, 0)]
    return [item.plain for item in items if isinstance(item, WireFrame)]


# -- where it begins


@pytest.mark.parametrize("size", [8, 200, 70_000])
@pytest.mark.parametrize("cut", [1, 2, 3, 5, 9])
def test_the_rest_of_a_frame_under_way_passes_as_it_came(size: int, cut: int) -> None:
    frame = serialize_frame(2, bytes(size))
    splitter = made(frame[:cut])
    before = splitter.is_at_frame
    assert not before
    assert not splitter.passes(0x81, 0)
    found = shape(splitter, frame[cut:] + text("x"))
    assert found == [(frame[cut:], True), b"x"]
    assert splitter.is_at_frame
    assert splitter.frames == 2


def test_a_header_under_way_that_comes_byte_by_byte_passes_as_it_came() -> None:
    frame = serialize_frame(2, bytes(70_000))
    splitter = made(frame[:1])
    found = shape(splitter, *(frame[at : at + 1] for at in range(1, 12)), frame[12:], text("x"))
    assert b"".join(data for data, _ in found[:-1]) == frame[1:]
    assert [ends for _, ends in found[:-1]].index(True) == len(found) - 2
    assert found[-1] == b"x"


def test_a_header_under_way_whose_length_makes_no_sense_loses_the_boundaries() -> None:
    splitter = made(NONSENSE[:4])
    assert shape(splitter, NONSENSE[4:], text("x")) == [(NONSENSE[4:], False), (text("x"), False)]
    assert splitter.is_lost
    assert not splitter.is_at_frame
    assert splitter.give_up()[1].is_lost


def test_a_length_that_makes_no_sense_loses_the_boundaries() -> None:
    splitter = made()
    assert shape(splitter, text("a") + NONSENSE + b"tail", b"more") == [
        b"a",
        (NONSENSE + b"tail", False),
        (b"more", False),
    ]
    assert not splitter.passes(0x81, 0)


def test_where_boundaries_were_lost_before_they_stay_lost() -> None:
    assert shape(made(NONSENSE), text("x")) == [(text("x"), False)]


@pytest.mark.parametrize("cut", range(6))
def test_what_has_come_of_a_frame_is_given_up_with_its_place(cut: int) -> None:
    frame = text("hello")
    splitter = made()
    splitter.feed(text("a") + frame[:cut], 0)
    held, boundary = splitter.give_up()
    assert held == frame[:cut]
    boundary.feed(frame[cut:])
    assert boundary.is_at_frame
    assert boundary.frames == 2


def test_a_place_inside_of_a_frame_that_began_before_is_kept() -> None:
    splitter = made(text("hello")[:3])
    splitter.feed(text("hello")[3:5], 0)
    held, boundary = splitter.give_up()
    assert (held, boundary.skip) == (b"", 2)


# -- large frames


def test_a_frame_too_large_to_hold_passes_as_it_comes() -> None:
    header = b"\x82\x7f" + (MAX_FRAME + 1).to_bytes(8, "big")
    splitter = made()
    (begun,) = splitter.feed(header + b"part", 0)
    assert isinstance(begun, Raw)
    assert (begun.data, begun.payload_length, begun.ends_frame) == (header + b"part", MAX_FRAME + 1, False)
    (rest,) = splitter.feed(bytes(MAX_FRAME - 3), 0)
    assert isinstance(rest, Raw)
    assert rest.ends_frame
    assert shape(splitter, text("x")) == [b"x"]


def test_after_a_compressed_frame_too_large_to_hold_nothing_is_inflated() -> None:
    splitter = made(deflate=PARAMS)
    first, second, *_ = compressed(WORDS)
    assert plain(splitter, first) == [WORDS[0]]
    before = splitter.inflates
    assert before
    splitter.feed(b"\xc2\x7f" + (MAX_FRAME + 1).to_bytes(8, "big") + bytes(MAX_FRAME + 1), 0)
    assert plain(splitter, second) == [None]
    assert not splitter.inflates


# -- what inflates


def test_messages_inflate_with_the_window_that_was_there_before() -> None:
    frames = compressed(WORDS)
    splitter = made(deflate=PARAMS, window=WORDS[0])
    assert plain(splitter, *frames[1:]) == WORDS[1:]


def test_messages_wait_for_a_window_that_is_not_known_yet() -> None:
    frames = compressed(WORDS)
    splitter = made(deflate=PARAMS, window=None)
    before = splitter.awaits_window
    assert before
    assert plain(splitter, *frames[1:3]) == [None, None]
    splitter.give_window(WORDS[0], None)
    assert not splitter.awaits_window
    assert plain(splitter, frames[3]) == [WORDS[3]]
    splitter.give_window(b"another", None)  # too late: what it has inflated itself counts
    assert splitter.inflates


def test_the_rest_of_a_message_that_began_before_inflates_behind_its_beginning() -> None:
    deflater = Deflater(PARAMS, S2C)
    begun, end, following = (
        deflater.piece(WORDS[0], first=True, fin=False),
        deflater.piece(WORDS[1], first=False, fin=True),
        deflater.piece(WORDS[2], first=True, fin=True),
    )
    splitter = made(deflate=PARAMS, window=None)
    assert plain(splitter, serialize_frame(0, end)) == [None]
    splitter.give_window(b"", begun)
    assert plain(splitter, serialize_frame(1, following, rsv=4)) == [WORDS[2]]


def test_fragments_that_were_remembered_inflate_together() -> None:
    deflater = Deflater(PARAMS, S2C)
    first, last = (
        deflater.piece(WORDS[0], first=True, fin=False),
        deflater.piece(WORDS[1], first=False, fin=True),
    )
    following = deflater.piece(WORDS[2], first=True, fin=True)
    splitter = made(deflate=PARAMS, window=None)
    plain(splitter, serialize_frame(1, first, rsv=4, fin=False), serialize_frame(0, last))
    splitter.give_window(b"", None)
    assert plain(splitter, serialize_frame(1, following, rsv=4)) == [WORDS[2]]


def test_a_window_is_not_waited_for_where_each_message_begins_with_none() -> None:
    params = DeflateParams(server_no_context_takeover=True)
    splitter = made(deflate=params, window=None)
    assert not splitter.awaits_window
    assert splitter.inflates


def test_too_much_is_not_remembered_for_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FRAME", 1000)
    frames = compressed(WORDS)
    splitter = made(deflate=PARAMS, window=None)
    plain(splitter, *frames[1:3])
    assert not splitter.awaits_window
    splitter.give_window(WORDS[0], None)
    assert plain(splitter, frames[3]) == [None]


def test_a_message_that_its_sender_broke_is_not_inflated() -> None:
    splitter = made(deflate=PARAMS)
    assert plain(splitter, serialize_frame(1, b"\xff\xff\xff\xff", rsv=4)) == [None]
    assert not splitter.inflates


def test_a_message_that_its_sender_cut_off_is_not_inflated_and_later_ones_are() -> None:
    params = DeflateParams(server_no_context_takeover=True)
    splitter = made(deflate=params)
    whole = Deflater(params, S2C).piece(WORDS[0], first=True, fin=True)
    cut = b"\x01\x05\x00"  # a stored block without the rest of its header
    frames = [serialize_frame(1, payload, rsv=4) for payload in (cut, whole)]
    assert plain(splitter, *frames) == [None, WORDS[0]]


def test_an_uncompressed_message_between_compressed_ones_leaves_them_alone() -> None:
    frames = compressed(WORDS[:2])
    splitter = made(deflate=PARAMS)
    items = [item for chunk in (frames[0], text("plain"), frames[1]) for item in splitter.feed(chunk, 0)]
    frames_seen = [item for item in items if isinstance(item, WireFrame)]
    assert [frame.plain for frame in frames_seen] == [WORDS[0], None, WORDS[1]]
    assert [frame.sequence for frame in frames_seen] == [0, None, 1]
    assert [frame.body for frame in frames_seen] == [WORDS[0], b"plain", WORDS[1]]


def test_the_content_of_a_message_in_fragments_is_kept_up_to_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_FRAME", 100)
    splitter = made()
    parts = [text("x" * 60, fin=False), text("y" * 60, opcode=0)]
    small = [text("ab", fin=False), text("cd", opcode=0)]
    items = [item for chunk in parts + small for item in splitter.feed(chunk, 0)]
    bodies = [item.body for item in items if isinstance(item, WireFrame)]
    assert bodies == [b"x" * 60, b"", b"ab", b"abcd"]


def test_a_continuation_without_a_message_has_none() -> None:
    (item,) = made().feed(text("x", opcode=0), 0)
    assert isinstance(item, WireFrame)
    assert item.message is None


def test_frames_that_nobody_needs_to_see_are_counted() -> None:
    splitter = made()
    assert splitter.passes(0x81, 5)
    assert splitter.passes(0x89, 7)
    (frame,) = splitter.feed(text("x"), 10)
    assert isinstance(frame, WireFrame)
    assert (frame.ordinal, frame.gap_ns) == (2, 3)
    assert frame.message is not None
    assert frame.message.number == 2
    splitter.feed(text("a", fin=False), 11)
    assert not splitter.passes(0x81, 12)
