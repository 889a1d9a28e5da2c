"""Reading captures: pages, live ones, and files that are damaged or not what they seem."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from tests.support.journals import START_NS, Script, index, is_sound, need, play, text, write_journal
from wsinspect.capture import schema
from wsinspect.capture.reader import Capture
from wsinspect.errors import CaptureError, LocalError
from wsinspect.journal.format import JournalLock, journal_directory, segment_path
from wsinspect.journal.writer import JournalWriter
from wsinspect.recorder import prepare
from wsinspect.recorder.opening import open_capture
from wsinspect.recorder.prepare import PreparedCapture, prepare_capture, recover, tidy


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


def script_of(frames: int = 5, *, connections: tuple[int, ...] = (1, 2)) -> Script:
    script = Script()
    for connection in connections:
        script.open(connection)
        for number in range(frames):
            script.data(connection, 0, text(b"frame %d" % number))
    return script


def make(path: Path, frames: int = 5) -> None:
    write_journal(path, script_of(frames).stop())
    index(path)


def change(path: Path, *statements: str) -> None:
    database = sqlite3.connect(path)
    for statement in statements:
        database.execute(statement)
    database.commit()
    database.close()


def test_pages_continue_after_the_last_id(path):
    make(path)
    with open_capture(path) as capture:
        assert [frame.id for frame in capture.frames(limit=3)] == [1, 2, 3]
        assert [frame.id for frame in capture.frames(after=3, limit=3)] == [4, 5, 6]
        assert [frame.id for frame in capture.frames(2)] == [6, 7, 8, 9, 10]
        assert [frame.id for frame in capture.frames(2, after=8)] == [9, 10]
        assert [frame.id for frame in capture.last_frames(2, 2)] == [9, 10]
        assert [connection.id for connection in capture.connections(after=1)] == [2]
        assert [connection.id for connection in capture.connections(limit=1)] == [1]
        assert [message.id for message in capture.messages(2, after=8)] == [9, 10]
        assert [event.id for event in capture.events(limit=2)] == [1, 2]


def test_payloads_are_whole_unless_cut_on_purpose(path):
    make(path)
    with open_capture(path) as capture:
        assert need(capture.frame(1)).payload == b"frame 0"
        assert capture.frames(limit=1)[0].payload == b"frame 0"
        assert capture.frames(limit=1, payload_limit=3)[0].payload == b"fra"
        assert capture.frames(limit=1, payload_limit=0)[0].payload == b""
        assert capture.last_frames(1, 1, payload_limit=1)[0].payload == b"f"
        assert capture.frame(99) is None


def test_version_changes_with_a_commit_of_others(path):
    make(path)
    with open_capture(path) as capture:
        before = capture.version()
        assert capture.version() == before
        change(path, "INSERT INTO event (time_ns, kind, detail) VALUES (1, 'x', '[]')")
        assert capture.version() != before
        assert capture.events()[-1].detail == {}


def test_a_capture_is_live_while_its_engine_or_recorder_is(path):
    make(path)
    with open_capture(path) as capture:
        seen = [capture.is_live]
        writer = JournalWriter(journal_directory(path))
        seen.append(capture.is_live)
        writer.close()
        seen.append(capture.is_live)
        lock = JournalLock(journal_directory(path), "recorder.lock")
        seen.append(capture.is_live)
        lock.release()
    assert seen == [False, True, False, True]


def test_messages_of_the_view_use_indexes(path):
    make(path)
    with open_capture(path) as capture:
        for sql in (
            "SELECT * FROM message WHERE id = 3",
            "SELECT * FROM message WHERE connection_id = 2 AND id > 7 LIMIT 5",
            "SELECT * FROM frame WHERE connection_id = 2 AND id > 7 ORDER BY id LIMIT 5",
        ):
            plan = [row[3] for row in capture.query(f"EXPLAIN QUERY PLAN {sql}")]
            # What the view yields is scanned, after it was narrowed by the tables' own indexes.
            assert not {"SCAN frame", "SCAN stored_message"} & set(plan), plan
            assert not any("TEMP B-TREE" in step for step in plan), plan


def test_the_start_is_the_engines_or_the_first_attempts(path):
    make(path)
    with open_capture(path) as capture:
        assert capture.start_ns == START_NS
    change(path, "DELETE FROM meta")
    with open_capture(path) as capture:
        assert capture.start_ns == START_NS + 1000
        assert capture.meta == {}
    change(path, "DELETE FROM connection", "INSERT INTO meta VALUES (1, 'started_ns', 'never')")
    with open_capture(path) as capture:
        assert capture.start_ns is None
        assert capture.meta == {"started_ns": None}


# -- recovery


def test_a_journal_left_behind_is_indexed_by_the_next_reader(path):
    make(path)
    script = Script()
    script.open(3)
    script.data(3, 0, text(b"left"))
    write_journal(path, script.steps, first_segment=2)
    with segment_path(journal_directory(path), 2).open("ab") as file:
        file.write(b"torn")
    with Capture.open(path) as capture:
        assert capture.connection(3) is None
    with open_capture(path) as capture:
        assert need(capture.connection(3)).state == "lost"
        assert capture.frames(3)[0].payload == b"left"
        torn = capture.events()[-1]
        assert (torn.kind, torn.detail["bytes"], torn.detail["reason"]) == ("unstored", 4, "torn journal")
    assert not journal_directory(path).exists()
    assert is_sound(path)
    assert not recover(path)


def test_nobody_recovers_what_is_alive(path):
    make(path)
    for name in ("engine.lock", "recorder.lock"):
        write_journal(path, script_of().steps, first_segment=9)
        lock = JournalLock(journal_directory(path), name)
        assert not recover(path)
        with open_capture(path) as capture:
            assert len(capture.connections()) == 2
        lock.release()
    assert recover(path)


def test_a_finish_that_was_interrupted_is_finished(path, monkeypatch):
    write_journal(path, script_of().stop())
    schema.create(path)
    real = prepare.finish

    def die(*arguments: object) -> None:
        raise OSError(5, "killed here")

    monkeypatch.setattr(prepare, "finish", die)
    with pytest.raises(LocalError, match="cannot write"):
        recover(path)
    monkeypatch.setattr(prepare, "finish", real)
    with open_capture(path) as capture:
        assert len(capture.frames()) == 10
        assert capture.meta["closed_cleanly"] is True
    assert not journal_directory(path).exists()


def test_a_foreign_file_in_the_journal_is_left_alone(path):
    write_journal(path, script_of().stop())
    (journal_directory(path) / "notes.txt").write_text("mine")
    schema.create(path)
    assert recover(path)
    assert [file.name for file in journal_directory(path).iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("readers", [1, 2])
def test_what_a_reader_has_open_becomes_a_single_file_when_the_last_one_closes(path, readers):
    make(path)
    writer = JournalWriter(journal_directory(path), first_segment=2)
    play(writer, script_of(connections=(3, 4)).stop())
    writer.flush()
    index(path, is_over=False)
    captures = [open_capture(path) for _ in range(readers)]
    assert [len(capture.frames()) for capture in captures] == [20] * readers
    writer.close()
    assert recover(path)
    copy = path.with_name("copy.db")
    for capture in captures:
        assert path.with_name("x.db-wal").exists(), "SQLite keeps the WAL mode while somebody reads"
        copy.write_bytes(path.read_bytes())
        assert len(capture.frames()) == 20
        assert capture.meta["closed_cleanly"] is True
        capture.close()
    with open_capture(copy) as capture:
        assert len(capture.frames()) == 20, "everything was in the one file all the same"
    copy.unlink()
    assert [file.name for file in path.parent.iterdir()] == ["x.db"]
    with open_capture(path) as capture:
        assert capture.query("PRAGMA journal_mode") == [("delete",)]


def test_nobody_tidies_what_is_alive_or_cannot_be_written(path, monkeypatch):
    make(path)
    wal = path.with_name("x.db-wal")
    wal.touch()
    writer = JournalWriter(journal_directory(path))
    tidy(path)
    assert wal.exists()
    writer.close()
    assert recover(path)
    wal.touch()
    change(path, "PRAGMA application_id = 1")
    wal.touch()
    tidy(path)
    assert wal.exists()


def test_a_capture_that_cannot_be_written_can_still_be_read(path, monkeypatch):
    make(path)
    write_journal(path, script_of().steps, first_segment=2)

    def refuse(where: Path) -> sqlite3.Connection:
        raise LocalError(f"cannot write {where}")

    monkeypatch.setattr(schema, "open_for_writing", refuse)
    with open_capture(path) as capture:
        assert len(capture.frames()) == 10


# -- preparing


def test_a_new_capture_is_private_and_empty(path):
    prepared = prepare_capture(path)
    assert prepared == PreparedCapture(path, journal_directory(path), 1, 1)
    assert path.stat().st_mode & 0o777 == 0o600
    with open_capture(path) as capture:
        assert capture.connections() == []
        assert capture.query("PRAGMA application_id") == [(schema.APPLICATION_ID,)]
        assert capture.query("PRAGMA user_version") == [(schema.SCHEMA_VERSION,)]
        assert capture.query("PRAGMA auto_vacuum") == [(2,)]
        assert capture.meta == {}
        assert capture.start_ns is None


def test_an_existing_capture_is_appended_to_only_when_asked(path):
    make(path)
    with pytest.raises(CaptureError, match=r"exists .*--append"):
        prepare_capture(path)
    assert prepare_capture(path, append=True) == PreparedCapture(path, journal_directory(path), 3, 2)


def test_a_journal_without_its_capture_is_not_overwritten(path):
    write_journal(path, script_of().steps)
    with pytest.raises(CaptureError, match="journal exists"):
        prepare_capture(path)
    with pytest.raises(CaptureError, match="belongs to a capture that no longer exists"):
        prepare_capture(path, append=True)


def test_a_capture_in_use_is_refused(path):
    make(path)
    writer = JournalWriter(journal_directory(path))
    with pytest.raises(CaptureError, match="is being written by another wsinspect"):
        prepare_capture(path, append=True)
    writer.close()


def test_places_that_cannot_be_written_are_said(tmp_path):
    with pytest.raises(LocalError, match=r"cannot create .*: No such file or directory"):
        prepare_capture(tmp_path / "no" / "x.db")


def test_an_empty_file_that_cannot_become_a_capture_is_removed(path, monkeypatch):
    monkeypatch.setattr(schema, "TABLES", "nonsense")
    with pytest.raises(LocalError, match="cannot write"):
        schema.create(path)
    assert not path.exists()


def test_create_refuses_an_existing_file(path):
    path.touch()
    with pytest.raises(CaptureError, match="exists"):
        schema.create(path)


# -- what is not a capture


@pytest.mark.parametrize("opener", [Capture.open, schema.open_for_writing])
def test_files_that_are_not_captures_are_refused_with_one_line(path, opener):
    path.write_bytes(b"This is a text and not a database at all." * 50)
    with pytest.raises(CaptureError, match="is not a capture: file is not a database"):
        opener(path)
    path.unlink()
    change(path, "CREATE TABLE t (x)")
    with pytest.raises(CaptureError, match="not a capture of wsinspect"):
        opener(path)


def test_missing_files_are_refused(path, tmp_path):
    with pytest.raises(CaptureError, match="there is no capture"):
        open_capture(path)
    with pytest.raises(CaptureError, match="there is no capture"):
        open_capture(tmp_path)
    with pytest.raises(LocalError, match="cannot open"):
        schema.open_for_writing(path)


def test_newer_versions_are_refused(path):
    make(path)
    change(path, "PRAGMA user_version = 99")
    with pytest.raises(
        CaptureError, match=r"has capture format 99, this wsinspect reads 1 .*update wsinspect"
    ):
        open_capture(path)


@pytest.mark.parametrize(
    "statement",
    [
        "PRAGMA user_version = 0",
        "DROP TABLE frame",
        "CREATE VIEW more AS SELECT 1",
        "DROP VIEW message",
        "CREATE TRIGGER boom AFTER INSERT ON frame BEGIN DELETE FROM frame; END",
        "ALTER TABLE frame ADD COLUMN bomb BLOB GENERATED ALWAYS AS (zeroblob(1000000000)) VIRTUAL",
        "ALTER TABLE ping RENAME TO other",
    ],
)
def test_other_tables_and_views_than_ours_are_refused(path, statement):
    make(path)
    change(path, statement)
    with pytest.raises(CaptureError, match="is damaged: its tables are not those"):
        open_capture(path)


def test_a_virtual_table_in_the_place_of_one_of_ours_is_refused(path):
    make(path)
    change(path, "DROP TABLE ping", "CREATE VIRTUAL TABLE ping USING fts5(ping_frame)")
    with pytest.raises(CaptureError, match="is damaged: its tables are not those"):
        open_capture(path)


def test_hostile_values_are_read_as_what_they_can_be(path):
    make(path)
    change(
        path,
        "UPDATE frame SET header = '', payload = 'text', is_s2c = 'x' WHERE id = 1",
        "UPDATE handshake SET client_tls = '[1]', problems = '{', server_reused = 7 WHERE connection_id = 1",
        "INSERT INTO opaque (connection_id, is_s2c, time_ns, length, data) VALUES (1, 5, 1, 1, 'x')",
    )
    with open_capture(path) as capture:
        frame = need(capture.frame(1))
        assert (frame.header, frame.payload) == (b"\0\0", b"text")
        handshake = need(capture.handshake(1))
        assert (handshake.client_tls, handshake.problems, handshake.server_reused) == (None, [], True)
        assert capture.opaque()[0].data == b"x"


def test_damage_inside_is_a_capture_error(path):
    make(path, frames=3000)
    raw = bytearray(path.read_bytes())
    raw[40_000 : len(raw) - 20_000] = os.urandom(len(raw) - 60_000)
    path.write_bytes(raw)
    with pytest.raises(CaptureError):
        read_everything(path)


def read_everything(path: Path) -> None:
    with open_capture(path) as capture:
        for table in ("frame", "event", "connection"):
            capture.query(f"SELECT * FROM {table}")
