"""Several captures on one time axis: nothing is lost, every reference follows, order is that of time."""

from __future__ import annotations

import sqlite3

import pytest

from tests.support.chats import Chat, chat_capture, random_capture, rows, said, store
from tests.support.journals import need
from wsinspect.capture.reader import Capture
from wsinspect.errors import CaptureError, UsageError
from wsinspect.formats.merge import Source, merge


def test_everything_is_in_the_merged_capture(tmp_path):
    first, second = random_capture(tmp_path / "a.db", 3), random_capture(tmp_path / "b.db", 4)
    merged = merge([Source(first), Source(second)], tmp_path / "c.db")
    for name, found in rows(tmp_path / "c.db").items():
        if name != "meta":
            assert len(found) == len(rows(first)[name]) + len(rows(second)[name]), name
    assert merged.connections == 8
    for number in range(1, 5):
        assert said(tmp_path / "c.db", number) == said(first, number)
        assert said(tmp_path / "c.db", number + 4) == said(second, number)


def test_frames_are_in_the_order_of_time_and_of_their_own_capture(tmp_path):
    first, second = random_capture(tmp_path / "a.db", 3), random_capture(tmp_path / "b.db", 4)
    merge([Source(first), Source(second)], tmp_path / "c.db")
    with Capture.open(tmp_path / "c.db") as capture:
        frames = capture.frames(limit=100_000)
    for low, high in ((1, 4), (5, 8)):
        times = [frame.time_ns for frame in frames if low <= frame.connection_id <= high]
        source = first if low == 1 else second
        with Capture.open(source) as capture:
            assert times == [frame.time_ns for frame in capture.frames(limit=100_000)]
    assert [frame.id for frame in frames] == list(range(1, len(frames) + 1))


def test_references_follow(tmp_path):
    merge(
        [Source(random_capture(tmp_path / "a.db", 3)), Source(random_capture(tmp_path / "b.db", 8))],
        tmp_path / "c.db",
    )
    with sqlite3.connect(tmp_path / "c.db") as database:
        for table, column in (
            ("stored_message", "first_frame"),
            ("stored_message", "last_frame"),
            ("ping", "ping_frame"),
            ("ping", "pong_frame"),
            ("opaque", "after_frame"),
        ):
            (wrong,) = database.execute(
                f"SELECT count(*) FROM {table} LEFT JOIN frame ON frame.id = {table}.{column} "
                f"WHERE {table}.{column} IS NOT NULL AND frame.connection_id IS NOT {table}.connection_id"
            ).fetchone()
            assert wrong == 0, (table, column)
        (wrong,) = database.execute(
            "SELECT count(*) FROM ping JOIN frame a ON a.id = ping_frame JOIN frame b ON b.id = pong_frame "
            "WHERE a.payload <> b.payload"
        ).fetchone()
        assert wrong == 0
    database.close()


def test_a_clock_can_be_corrected_and_taps_keep_different_names(tmp_path):
    first, second = chat_capture(tmp_path / "edge.db"), chat_capture(tmp_path / "origin.db")
    merge([Source(first), Source(second, 5_000_000)], tmp_path / "c.db")
    with Capture.open(tmp_path / "c.db") as capture:
        connections = capture.connections()
        frames = capture.frames()
        meta = capture.meta
    assert [one.tap for one in connections] == ["edge", "edge", "origin", "origin"]
    assert need(connections[2].attempt_ns) - need(connections[0].attempt_ns) == 5_000_000
    assert [frame.connection_id for frame in frames[:3]] == [1, 3, 1]
    assert meta["merged"] == {"from": "origin.db", "run": 1, "shift_ns": 5_000_000}


def test_one_message_in_many_frames_stays_one(tmp_path):
    script = Chat()
    script.accept(1)
    script.client(1, b"he", fin=False)
    script.tick()
    script.client(1, b"llo", opcode=0)
    one = store(tmp_path / "a.db", script)
    merge([Source(one), Source(chat_capture(tmp_path / "b.db"))], tmp_path / "c.db")
    assert [data for *_, data in said(tmp_path / "c.db", 1)] == [b"hello"]


def test_what_cannot_be_merged_is_refused(tmp_path):
    one = chat_capture(tmp_path / "a.db")
    with pytest.raises(UsageError, match="exists"):
        merge([Source(one)], one)
    with pytest.raises(CaptureError, match="there is no capture"):
        merge([Source(one), Source(tmp_path / "missing.db")], tmp_path / "c.db")
    (tmp_path / "text.db").write_text("no")
    with pytest.raises(CaptureError, match="is not a capture"):
        merge([Source(one), Source(tmp_path / "text.db")], tmp_path / "c.db")
    assert not (tmp_path / "c.db").exists()


def test_a_table_that_is_not_ours_is_refused(tmp_path):
    one = chat_capture(tmp_path / "a.db")
    with sqlite3.connect(one) as database:
        database.execute("DROP TABLE finding")
        database.execute(
            "CREATE TABLE finding (id INTEGER PRIMARY KEY, rule, severity, connection_id, frame_id, detail)"
        )
    database.close()
    with pytest.raises(CaptureError, match="its tables are not those"):
        merge([Source(one)], tmp_path / "c.db")
