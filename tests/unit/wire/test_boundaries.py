"""Where frames begin: the header-only scan, against the reader that looks at everything."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.streams import KEY
from wsinspect.wire.boundaries import Boundary
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.header import MAX_LENGTH

SIZES = (0, 5, 125, 126, 300, 65_535, 65_536, 70_000)
NONSENSE = b"\x82\x7f" + (MAX_LENGTH + 1).to_bytes(8, "big")


def scanned(*chunks: bytes) -> Boundary:
    boundary = Boundary()
    for chunk in chunks:
        boundary.feed(chunk)
    return boundary


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "masked"])
@pytest.mark.parametrize("size", SIZES)
def test_a_frame_of_any_length_is_one_frame_wherever_it_is_cut(size, key):
    frame = serialize_frame(2, bytes(size), key=key)
    for cut in (*range(min(len(frame), 16)), len(frame) - 1, len(frame)):
        boundary = scanned(frame[:cut], frame[cut:])
        assert (boundary.frames, boundary.is_at_frame, boundary.is_inside) == (1, True, False)
        begun = scanned(frame[:cut])
        assert begun.is_at_frame is (cut in (0, len(frame)))
        assert begun.skip + len(begun.head) > 0 or begun.is_at_frame


def test_what_is_still_to_come_of_a_frame_is_known_from_its_header():
    frame = serialize_frame(2, bytes(300))
    assert scanned(frame[:10]).skip == len(frame) - 10
    assert scanned(frame[:3]).head == frame[:3]
    assert scanned(frame[:3], frame[3:10]).skip == len(frame) - 10


@pytest.mark.parametrize("before", [b"", serialize_frame(1, b"a")])
def test_a_length_that_makes_no_sense_loses_the_boundaries_for_good(before):
    for chunks in ((before + NONSENSE,), (before, NONSENSE[:5], NONSENSE[5:])):
        boundary = scanned(*chunks, b"more than that", serialize_frame(2, bytes(300)))
        assert boundary.is_lost


@pytest.mark.parametrize(
    ("frames", "is_inside"),
    [
        ([(1, True)], False),
        ([(1, False)], True),
        ([(1, False), (0, False)], True),
        ([(1, False), (0, True)], False),
        ([(1, True), (2, False)], True),
    ],
)
def test_it_is_inside_a_message_from_its_first_fragment_to_its_last(frames, is_inside):
    chunks = [serialize_frame(opcode, b"x", fin=fin) for opcode, fin in frames]
    assert scanned(*chunks).is_inside is is_inside
    assert scanned(b"".join(chunks)).is_inside is is_inside


def test_a_control_frame_leaves_a_message_open():
    fragment, ping = serialize_frame(1, b"x", fin=False), serialize_frame(9, b"")
    assert scanned(fragment, ping).is_inside
    assert not scanned(serialize_frame(1, b"x"), ping).is_inside


def test_frames_of_one_size_in_a_row_are_counted():
    frame = serialize_frame(2, b"xyz")
    boundary = scanned(frame * 3000 + frame[:2], frame[2:])
    assert (boundary.frames, boundary.is_at_frame) == (3001, True)


@given(
    st.lists(st.tuples(st.sampled_from(SIZES[:5]), st.sampled_from((1, 2, 9))), max_size=8),
    st.lists(st.integers(0, 2000), max_size=8),
)
def test_frames_in_any_chunks_are_counted(frames, cuts):
    sized = [(opcode, min(size, 125) if opcode == 9 else size) for size, opcode in frames]
    data = b"".join(serialize_frame(opcode, bytes(size)) for opcode, size in sized)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    chunks = [data[start:stop] for start, stop in pairwise(places) if start != stop]
    boundary = scanned(*chunks)
    assert (boundary.frames, boundary.is_at_frame) == (len(frames), True)
