"""The columnar index: what is appended is found again, and a frame costs what the budget says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tui_captures import START_NS, CaptureBuilder, chat_capture, many_frames
from tests.support.tui_parts import columns, read_all
from wsinspect.tui.index import FrameIndex
from wsinspect.tui.source import Source


def test_positions_are_found_by_id_and_by_time():
    index = FrameIndex()
    index.append(columns((3, 100, 5, 1, 0x8105, 0), (7, 200, 5, 2, 0x8185, 1)))
    index.append(columns((9, 300, 5, 1, 0x8900, 0)))
    assert [index.position_of(number) for number in (3, 7, 9, 4, 10)] == [0, 1, 2, None, None]
    assert index.position_at_time(150) == 1
    assert index.position_at_time(301) == 3
    assert list(index.by_connection[1]) == [0, 2]
    assert index.last_time_ns(1) == 300
    assert index.last_time_ns(5) is None
    assert index.opcode(2) == 9
    assert index.is_s2c(1)


@pytest.mark.parametrize("wide", [0xFFFFFFFF, 0x100000000, (1 << 62) + 1])
def test_ids_of_any_width_are_found(wide):
    index = FrameIndex()
    for number in (3, wide, wide + 1):
        index.append(columns((number, 100, 5, 1, 0x8105, 0)))
    assert [index.position_of(number) for number in (3, wide, wide + 1)] == [0, 1, 2]
    assert index.last_id == wide + 1


def test_an_empty_index_answers():
    index = FrameIndex()
    assert len(index) == 0
    assert index.last_id == 0
    assert index.position_of(1) is None
    assert index.position_at_time(1) == 0


@pytest.mark.parametrize("page", [1, 2, 5, 1000])
def test_columns_say_what_the_rows_say_however_they_are_paged(tmp_path, page):
    path = chat_capture(tmp_path / "chat.db")
    index = read_all(path, page)
    source = Source(path)
    frames = source.capture.frames()
    assert len(index) == len(frames) == 13
    for position, frame in enumerate(frames):
        assert index.columns.ids[position] == frame.id
        assert index.columns.times_ns[position] == frame.time_ns
        assert index.columns.lengths[position] == frame.length
        assert index.columns.connections[position] == frame.connection_id
        assert index.columns.bits[position] == int.from_bytes(frame.header[:2], "big")
        assert index.is_s2c(position) == bool(frame.direction)
        assert bool(index.columns.flags[position] & 2) == (frame.violation is not None)
        assert bool(index.columns.flags[position] & 4) == (frame.fault_event_id is not None)
    source.close()


def test_a_length_beyond_the_column_saturates(tmp_path):
    with CaptureBuilder(tmp_path / "long.db") as builder:
        builder.connection(1)
        builder.frame(1, 0, 2, b"x", wire_length=(1 << 40) + 6)
    index = read_all(tmp_path / "long.db")
    assert index.columns.lengths[0] == 0xFFFFFFFF


def test_fragments_are_those_of_the_message_alone(tmp_path):
    index = read_all(chat_capture(tmp_path / "chat.db"))
    first = index.position_of(3)
    assert first is not None
    assert index.is_fragment(first)
    ids = [index.columns.ids[place] for place in index.fragments(first, 3, 7)]
    assert ids == [3, 5, 7]
    assert [index.columns.ids[place] for place in index.fragments(first, 3, None)] == [3, 5, 7, 11]


def test_a_frame_costs_less_than_48_bytes(tmp_path):
    index = read_all(many_frames(tmp_path / "many.db", 20_000), 5000)
    size = sum(column.buffer_info()[1] * column.itemsize for column in index.columns)
    size += sum(own.buffer_info()[1] * own.itemsize for own in index.by_connection.values())
    view_row = 4
    assert size / len(index) + view_row < 48


def test_findings_mark_frames():
    index = FrameIndex()
    index.append(columns((3, 100, 5, 1, 0x8105, 0), (4, 100, 5, 1, 0x8105, 2)))
    assert not index.is_marked(0)
    assert index.is_marked(1)
    index.finding_frames.add(3)
    assert index.is_marked(0)
    assert START_NS > 0


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 0xFFFF), st.integers(0, 15)), max_size=60),
    st.integers(1, 9),
)
def test_what_is_rare_is_found_when_it_comes(frames, page):
    index = FrameIndex()
    for start in range(0, len(frames), page):
        index.append(
            columns(
                *(
                    (start + number, 0, 1, connection, bits, flags)
                    for number, (connection, bits, flags) in enumerate(frames[start : start + page], 1)
                )
            )
        )
    places = range(len(frames))
    assert list(index.flagged) == [at for at in places if frames[at][2] > 1]
    for connection in (1, 2, 3):
        own = [at for at in places if frames[at][0] == connection]
        assert list(index.flagged_of.get(connection, ())) == [at for at in own if frames[at][2] > 1]
        assert list(index.closes_of.get(connection, ())) == [at for at in own if index.opcode(at) == 8]
        assert index.marked(connection)[0] == index.flagged_of.get(connection, ())
    index.finding_frames |= {1, len(frames), 1000}
    assert index.marked(None) == (index.flagged, sorted({0, len(frames) - 1}) if frames else [])
