"""Runs of DATA frames: against hyperframe's serializer, whole, cut anywhere, and with other frames behind."""

from __future__ import annotations

import pytest
from hyperframe.frame import DataFrame, PingFrame
from hypothesis import given
from hypothesis import strategies as st

from tests.support.examples import examples
from wsinspect.wire.data_frames import HEADER_BYTES, data_frames, frame_end, plain_stream, read_run

MOST = 1 << 17
ROOM = 1 << 30
#: Many of one length in a row, as frames of one application are, and others between them.
ROWS = st.lists(
    st.tuples(st.sampled_from([1, 2, 70, 160, 161, 255, 256, 300, 16384]), st.integers(1, 300)),
    min_size=1,
    max_size=6,
)


def frame(stream_id: int, data: bytes, *flags: str, padding: int = 0) -> bytes:
    made = DataFrame(stream_id, data, flags=flags)
    if padding:
        made.flags.add("PADDED")
        made.pad_length = padding
    return made.serialize()


def pieces_of(rows: list[tuple[int, int]]) -> list[bytes]:
    return [bytes([number & 255]) * length for length, count in rows for number in range(count)]


@examples(40)
@given(ROWS, st.sampled_from([1, 3, 0x01000001, (1 << 31) - 1]))
def test_frames_are_what_hyperframe_writes_and_are_read_back(rows, stream_id):
    pieces = pieces_of(rows)[:600]
    raw = data_frames(stream_id, pieces)
    assert raw == b"".join(frame(stream_id, piece) for piece in pieces)
    run = read_run(raw, 0, MOST, ROOM)
    assert run is not None
    assert (run.stream_id, run.raw, run.pieces) == (stream_id, raw, pieces)
    assert (run.data, run.size, run.longest) == (b"".join(pieces), len(run.data), max(map(len, pieces)))
    assert run.frames_for(stream_id) is raw or run.frames_for(stream_id) == raw
    assert run.frames_for(77) == data_frames(77, pieces)


@given(ROWS, st.data())
def test_a_cut_run_has_its_whole_frames(rows, data):
    pieces = pieces_of(rows)[:40]
    raw = data_frames(5, pieces)
    cut = data.draw(st.integers(HEADER_BYTES, len(raw)))
    run = read_run(raw[:cut], 0, MOST, ROOM)
    whole: list[bytes] = []
    end = 0
    for piece in pieces:
        end += HEADER_BYTES + len(piece)
        if end > cut:
            break
        whole.append(piece)
    assert (run.pieces if run else []) == whole


@pytest.mark.parametrize(
    "behind",
    [
        frame(7, b"other stream"),
        frame(5, b"padded", padding=3),
        frame(5, b"the end", "END_STREAM"),
        frame(5, b""),
        frame(5, bytes(MOST + 1)),
        PingFrame(0, b"12345678").serialize(),
        data_frames(5, [b"reserved bit"])[:5] + b"\x80\0\0\x05reserved bit",
        b"\0\0",
    ],
)
@pytest.mark.parametrize("count", [1, 2, 3, 9, 300])
def test_a_run_ends_before_what_is_not_as_plain(behind, count):
    raw = data_frames(5, [b"1234"] * count)
    run = read_run(b"before" + raw + behind, 6, MOST, ROOM)
    assert run is not None
    assert (run.raw, run.pieces) == (raw, [b"1234"] * count)


def test_a_run_that_begins_with_an_empty_or_a_long_frame_is_none():
    assert read_run(frame(5, b"") + frame(5, b"x"), 0, MOST, ROOM) is None
    assert read_run(frame(5, b"12345"), 0, 4, ROOM) is None
    assert read_run(frame(5, b"12345")[:-1], 0, MOST, ROOM) is None


@pytest.mark.parametrize("count", [1, 2, 3, 30])
def test_a_run_is_no_more_than_the_windows_allow(count):
    raw = data_frames(5, [b"1234"] * 50)
    run = read_run(raw, 0, MOST, 4 * count + 3)
    assert run is not None
    assert run.pieces == [b"1234"] * count
    assert read_run(raw, 0, MOST, 3) is None


def test_only_data_without_flags_is_plain():
    assert plain_stream(frame(9, b"x"), 0) == 9
    assert plain_stream(b"..." + frame(9, b"x"), 3) == 9
    for other in (
        frame(9, b"x", "END_STREAM"),
        frame(9, b"x", padding=1),
        PingFrame(0, bytes(8)).serialize(),
    ):
        assert plain_stream(other, 0) == 0
    assert plain_stream(b"\0\0\x01\0\0\x80\0\0\x09x", 0) == 0
    assert frame_end(b"\x01\x02\x03", 0) == HEADER_BYTES + 0x010203
    assert frame_end(b"..\0\x01\0", 2) == 2 + HEADER_BYTES + 256
