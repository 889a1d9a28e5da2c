"""The indexer: each record once in rows, what odd journals and our own mistakes cost, restarts anywhere."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.journals import (
    START_NS,
    Script,
    dump,
    index,
    is_sound,
    made_of,
    need,
    only,
    random_script,
    read_all,
    text,
    write_journal,
)
from wsinspect.capture import schema
from wsinspect.capture.missing import Gap, lacks, missing
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.facts import FactReader, diagnose
from wsinspect.errors import CaptureError
from wsinspect.journal.format import DATA, EVENT, Position, Record, journal_directory
from wsinspect.journal.reader import JournalReader
from wsinspect.recorder import connections, streams
from wsinspect.recorder import indexer as writer
from wsinspect.recorder.indexer import Indexer
from wsinspect.recorder.opening import open_capture
from wsinspect.vocabulary import events
from wsinspect.wire.opcodes import Direction

C2S, S2C = Direction.CLIENT_TO_SERVER, Direction.SERVER_TO_CLIENT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


@pytest.mark.parametrize("is_known_late", [False, True])
def test_an_attempt_whose_answer_could_not_be_stored_has_not_failed(path, is_known_late):
    """A disk may have room again only after the end; an engine that says itself why it failed is believed."""
    script = Script()
    for connection in (1, 2):
        script.attempt(connection)
    loss = {"bytes": 0, "records": 2, "reason": "No space left on device", "connections": [1, 2]}
    steps = [lambda: script.event(0, "unstored", **loss), lambda: script.end(1, "client")]
    for step in reversed(steps) if is_known_late else steps:
        step()
    script.event(2, "failed", where="connect", error="Connection refused")
    script.event(2, "closed")
    with made_of(path, script) as capture:
        one, two = capture.connections()
        assert (one.state, one.ended_by, one.how, one.js_code) == ("lost", "unknown", None, None)
        assert (two.state, two.error) == ("failed", "Connection refused")
        assert not [found.id for found in diagnose(capture.query) if found.connection == 1]


def test_a_dead_engine_leaves_lost_connections_and_no_clean_end(path):
    script = Script(meta={"argv": ["run"]})
    script.open(1)
    script.data(1, 0, text(b"x"))
    write_journal(path, script.steps)
    index(path)
    with open_capture(path) as capture:
        connection = only(capture)
        assert (connection.state, connection.ended_by, connection.closed_ns) == ("lost", "unknown", None)
        assert capture.meta["closed_cleanly"] is False
        assert capture.meta["argv"] == ["run"]


def test_meta_holds_the_run_and_its_clean_end(path):
    script = Script(meta={"taps": [{"tap": "edge"}], "changes": ["Host rewritten"]})
    with made_of(path, script) as capture:
        assert capture.meta["closed_cleanly"] is True
        assert capture.meta["taps"] == [{"tap": "edge"}]
        assert capture.meta["changes"] == ["Host rewritten"]
        assert capture.start_ns == START_NS


def test_an_end_that_was_stored_stays_what_it_is(path):
    """What comes after the end, and cannot be stored, takes nothing back; what nothing said is not known."""
    script = Script()
    for connection in (1, 2):
        script.attempt(connection)
    script.event(1, "failed", where="connect", error="cannot connect: Connection refused", status=502)
    script.event(1, "closed")
    script.end(2, "client")
    loss = {"bytes": 9, "records": 2, "reason": "No space left on device", "connections": [1, 2]}
    script.event(0, "unstored", **loss)
    write_journal(path, script.stop())
    schema.create(path)
    database = schema.open_for_writing(path)
    indexer = Indexer(database)
    for record in read_all(path):
        indexer.add(record)
        indexer.commit()
    database.close()
    with Capture.open(path) as capture:
        one, two = capture.connections()
    assert (one.state, one.status, one.ended_by, one.how, one.error) == (
        *("failed", 502, "server", "refused"),
        "cannot connect: Connection refused",
    )
    assert (two.state, two.ended_by) == ("lost", "unknown")


def test_gaps_of_which_one_is_not_counted_are_no_number(path):
    script = Script()
    for connection in (1, 2):
        script.open(connection)
    for size in (40, None, 2):
        lost = {"streams": [[1, 1]], "stream_bytes": [size], "connections": []}
        script.event(0, "unstored", bytes=size, records=1, reason="full", **lost)
        lost |= {"streams": [[2, 0]], "stream_bytes": [size or 1]}
        script.event(0, "unstored", bytes=size or 1, records=1, reason="full", **lost)
    with made_of(path, script) as capture:
        one, two = (need(lacks(each)) for each in capture.connections())
        assert one.words == "bytes from the server could not be stored"
        assert two.words == "43 B from the client could not be stored"
        assert need(missing(capture)).words == "part of the traffic could not be stored (full)"
        facts = FactReader(capture.query)
        assert [need(facts.connection(number)).gaps for number in (1, 2)] == [{S2C}, {C2S}]


def test_what_could_not_be_stored_is_a_fact_of_each_connection_and_direction(path):
    script = Script()
    for connection in (1, 2, 3):
        script.open(connection)
        script.data(connection, 1, text(b"hello", masked=False))
    loss = {"streams": [[1, 1]], "stream_bytes": [4096], "connections": [2]}
    script.event(0, "unstored", bytes=4096, records=2, reason="No space left on device", **loss)
    for connection in (1, 3):
        script.now += 5 * 10**9
        script.end(connection, "server")
    with made_of(path, script) as capture:
        one, two, three = capture.connections()
        first, second = need(lacks(one)), need(lacks(two))
        assert first.gaps == (Gap(Direction.SERVER_TO_CLIENT, 4096),)
        assert first.words == "4.0 KiB from the server could not be stored"
        assert (second.gaps, second.records) == ((), True)
        assert lacks(three) is None
        whole = need(missing(capture))
        assert whole.words == "4.0 KiB could not be stored (No space left on device)"
        # Whether the server closed properly nobody knows.
        assert (one.state, one.ended_by, one.how, one.js_code) == ("closed", "unknown", None, None)
        assert (three.ended_by, three.how, three.js_code) == ("server", "fin", 1006)
        # Its end may be among what is missing.
        assert (two.state, two.ended_by) == ("lost", "unknown")
        facts = [need(FactReader(capture.query).connection(number)) for number in (1, 2, 3)]
        assert [fact.has_gap for fact in facts] == [True, True, False]
        assert facts[0].silence_ns() is None
        assert facts[0].silence_ns(Direction.SERVER_TO_CLIENT) is None
        assert facts[0].silence_ns(Direction.CLIENT_TO_SERVER) is not None
        assert need(facts[2].silence_ns()) > 4 * 10**9
        found = {(one.connection, one.id) for one in diagnose(capture.query)}
        assert {number for number, name in found if name.startswith("WS-DROP")} == {3}
        card = dict(need(FactReader(capture.query).card(1)).lines())
        assert card["last s>c"] == "TEXT of 5 B, frame 1; what came later was not recorded"


@pytest.mark.parametrize("has_more", [True, False])
def test_gaps_of_older_captures_are_known(path, has_more):
    script = Script()
    script.open(1)
    script.data(1, 0, text(b"before"))
    script.event(0, "unstored", bytes=10, records=1, reason="full", streams=[[1, 0]])
    if has_more:
        script.data(1, 0, text(b"after"))
    script.end(1)
    made_of(path, script).close()
    database = sqlite3.connect(path)
    database.execute("DELETE FROM event WHERE kind = 'gap'")
    database.commit()
    database.close()
    with open_capture(path) as capture:
        assert need(FactReader(capture.query).connection(1)).gaps == {Direction.CLIENT_TO_SERVER}


def test_records_of_a_connection_that_was_never_announced_make_a_row(path):
    script = Script()
    script.data(5, 0, text(b"x"))
    with made_of(path, script) as capture:
        connection = only(capture)
        assert (connection.id, connection.state, connection.c2s_frames) == (5, "lost", 1)
        assert connection.url == "ws:///"


@pytest.mark.parametrize("raw", [b"\xff", b"[1]", b"{}"])
def test_events_that_cannot_be_read_are_kept_out_of_the_way(path, raw, monkeypatch):
    script = Script()
    script.attempt(1)
    write_journal(path, script.steps)
    monkeypatch.setattr(writer, "_parse_event", lambda original, parse=writer._parse_event: parse(raw))
    index(path)
    with open_capture(path) as capture:
        assert {event.kind for event in capture.events()} <= {"unreadable", "None"}


def test_odd_values_of_a_foreign_journal_do_not_stop_the_indexer(path):
    script = Script(meta={"snaplen": "no", "inflate_cap": -1})
    script.event(1, "attempt", tap=["list"], port=1 << 70, host=1.5, path="\ud800", client_tls="x")
    script.event(1, "end", side=3, how=None)
    script.head(1, 9, b"what")
    script.event(1, "closed")
    with made_of(path, script) as capture:
        assert only(capture).port is None
        assert only(capture).path == "\\ud800"


@pytest.mark.parametrize(
    ("way", "rest"), [("feed_whole", b""), ("feed", text(b"too")[:-1])], ids=["whole", "fed"]
)
def test_a_mistake_of_ours_in_decoding_costs_one_stream_not_the_capture(path, monkeypatch, capsys, way, rest):
    script = Script()
    script.open(1)
    script.data(1, 0, text(b"bad") + rest)
    script.data(1, 0, text(b"later"))
    script.data(1, 1, text(b"fine", masked=False))
    write_journal(path, script.stop())
    real = getattr(streams.StreamRows, way)

    def fail(self, chunk, *others, **more):
        if chunk in (text(b"bad") + rest, rest):
            raise ZeroDivisionError
        return real(self, chunk, *others, **more)

    monkeypatch.setattr(streams.StreamRows, way, fail)
    index(path)
    with open_capture(path) as capture:
        # What came before the mistake, in the same chunk, stays.
        assert [frame.payload for frame in capture.frames()] == [b"bad"] * bool(rest) + [b"fine"]
        assert "recorder_error" in [event.kind for event in capture.events(1)]
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_mistake_of_ours_in_an_event_costs_that_event(path, monkeypatch, capsys):
    script = Script()
    script.open(1)
    script.data(1, 0, text(b"x"))
    write_journal(path, script.stop())

    def refuse(*facts):
        raise ZeroDivisionError

    monkeypatch.setattr(connections.ConnectionRows, "add_head", refuse)
    index(path)
    with open_capture(path) as capture:
        assert len(capture.frames()) == 1
        errors = [event for event in capture.events(1) if event.kind == "recorder_error"]
        assert [error.detail["kind"] for error in errors] == [2, 2, 2, 2]
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize(("count", "seen"), [(3, {2, 3}), (6, {3, 4, 5, 6})])
def test_an_engine_that_was_late_has_the_newest_ends_looked_at_again(path, monkeypatch, count, seen):
    """Of those within its lateness, as many as are remembered."""
    monkeypatch.setattr(writer, "_ENDED", 4)
    script = Script()
    for connection in range(1, count + 1):
        script.attempt(connection)
        script.event(connection, "closed")
    write_journal(path, script.steps)
    records = read_all(path)
    ends = [record.time_ns for record in records if b'"closed"' in record.payload]
    schema.create(path)
    database = schema.open_for_writing(path)
    indexer = Indexer(database)
    for record in records:
        indexer.add(record)
    indexer.commit()
    indexer.looks.clear()
    late = {"event": "lag", "for_ns": script.now - ends[1]}
    indexer.add(Record(EVENT, 0, 0, script.now, 0, json.dumps(late).encode()))
    database.close()
    assert indexer.looks == seen


def test_a_commit_that_fails_can_be_repeated(path):
    script = Script()
    script.open(1, deflate=True)
    script.data(1, 0, text(b"one", fin=False))
    write_journal(path, script.steps)
    schema.create(path)
    database = schema.open_for_writing(path)
    indexer = Indexer(database)
    reader = JournalReader(journal_directory(path))
    records = reader.read()
    indexer.seek(reader.start)
    for record in records:
        indexer.add(record)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    database.execute("PRAGMA busy_timeout = 1")
    for _ in range(3):
        with pytest.raises(sqlite3.OperationalError):
            indexer.commit()
    assert indexer.has_uncommitted
    blocker.close()
    indexer.commit()
    assert indexer.weight == 0
    assert indexer.position == reader.position
    reader.close()
    database.close()
    assert len(dump(path)["frame"]) == 1
    index(path)
    assert len(dump(path)["frame"]) == 1


def restart_every(path: Path, count: int) -> None:
    """Index with a new indexer after each `count` records: what follows a kill -9."""
    schema.create(path)
    while True:
        database = schema.open_for_writing(path)
        indexer = Indexer(database)
        reader = JournalReader(journal_directory(path), indexer.position)
        records = reader.read()
        indexer.seek(reader.start)
        for record in records[:count]:
            indexer.add(record)
        if records:
            indexer.commit()
        reader.close()
        database.close()
        if not records:
            return


@pytest.mark.slow
@given(
    seed=st.integers(0, 1 << 30),
    restart=st.integers(2, 40),
    commit=st.integers(0, 20),
    snaplen=st.sampled_from([None, 0, 3, 100]),
)
def test_restarts_and_commits_anywhere_change_nothing(tmp_path_factory, seed, restart, commit, snaplen):
    directory = tmp_path_factory.mktemp("restarts")
    steps = random_script(seed, connections=3, chunks=40, snaplen=snaplen)
    results = []
    for name in ("plain", "restarted"):
        path = directory / name
        write_journal(path, steps, segment_bytes=30_000)
        assert len(read_all(path)) == len(steps)
        if name == "restarted":
            restart_every(path, restart)
        index(path, commit_every=commit if name == "restarted" else 0)
        assert is_sound(path)
        results.append(dump(path))
    assert results[0] == results[1]


def test_positions_are_taken_up_from_the_capture(path):
    script = Script()
    script.open(1)
    write_journal(path, script.steps, segment_bytes=100)
    index(path, is_over=False)
    database = schema.open_for_writing(path)
    position = Indexer(database).position
    database.close()
    assert position > Position(1, 0)


def test_only_a_connection_that_may_be_in_the_capture_is_looked_for(path):
    script = Script()
    script.open(5)
    script.data(5, 0, text(b"of five"))
    script.event(5, "closed")
    write_journal(path, script.steps)
    index(path, is_over=False)
    database = schema.open_for_writing(path)
    indexer = Indexer(database)
    asked: list[str] = []
    database.set_trace_callback(asked.append)
    for number in (6, 4, 5):  # a new one, one that comes late, and more of one that is over
        indexer.add(Record(DATA, 0, number, script.now, 0, text(b"later")))
    indexer.commit()
    database.close()
    looked_for = [one.rpartition(" ")[2] for one in asked if " FROM connection WHERE id = " in one]
    assert looked_for == ["4", "5"]
    assert [row[0] for row in dump(path)["connection"]] == [4, 5, 6]


@pytest.mark.parametrize("seed", range(3))
def test_an_import_that_needs_no_restart_has_the_same_rows(tmp_path, seed):
    """Rows of open connections then wait for their end, however often is committed before it."""
    steps = random_script(seed, connections=3, chunks=60)
    write_journal(tmp_path / "a.db", steps)
    write_journal(tmp_path / "b.db", steps)
    index(tmp_path / "a.db")
    index(tmp_path / "b.db", commit_every=5, is_restartable=False)
    assert dump(tmp_path / "a.db") == dump(tmp_path / "b.db")


def test_attempts_without_an_answer_take_no_memory_in_an_import_and_are_answered_later(path):
    """A trace may hold very many; the same rows come out as where all stay in memory."""
    script = Script()
    for connection in range(1, 51):
        script.attempt(connection)
        script.head(connection, 0, b"GET / HTTP/1.1\r\n\r\n")
    write_journal(path, script.steps)
    schema.create(path)
    database = schema.open_for_writing(path)
    indexer = Indexer(database)
    indexer.is_restartable = False
    for record in read_all(path):
        indexer.add(record)
    assert indexer.open_count == 50
    indexer.commit()
    assert indexer.open_count == 0
    indexer.add_event(7, 10**10, events.Failed(where="response", error="gone"))
    indexer.add_event(7, 10**10, events.Closed())
    indexer.commit()
    database.close()
    with Capture.open(path) as capture:
        assert [one.id for one in capture.connections()] == list(range(1, 51))
        assert [one.id for one in capture.connections() if one.state == "failed"] == [7]
        assert capture.query("SELECT count(request_in) FROM handshake") == [(50,)]


def test_what_a_killed_import_left_is_all_in_sight(path):
    """Its connections are still open, and a recorder that appends must not take their numbers."""
    script = Script()
    for connection in (1, 2):
        script.open(connection)
        for each in range(5):
            script.data(connection, 0, text(b"%d" % each))
    write_journal(path, script.steps)
    schema.create(path)
    database = schema.open_for_writing(path)
    indexer = Indexer(database)
    indexer.is_restartable = False
    for record in read_all(path):
        indexer.add(record)
        indexer.commit()
    database.close()
    with Capture.open(path) as capture:
        assert [one.id for one in capture.connections()] == [1, 2]
        assert capture.query("SELECT count(DISTINCT connection_id), count(*) FROM frame") == [(2, 10)]


@pytest.mark.parametrize(
    "notes",
    ["[" * 100_000, '{"lost_records": ' + "9" * 5000 + "}", "no JSON", "[1, 2]", '{"a": 1, "a": {"b": [}}'],
    ids=["deep", "a huge number", "no JSON", "a list", "half"],
)
def test_notes_of_a_stranger_s_capture_are_one_clear_line(path, notes, capsys):
    script = Script()
    script.open(1)
    write_journal(path, script.steps)
    index(path, is_over=False)
    for each in range(5):
        script.data(1, 0, text(b"%d" % each))
    write_journal(path, script.steps)
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        assert database.execute("UPDATE recorder_connection SET state = ?", (notes,)).rowcount == 1
    with pytest.raises(CaptureError, match="is damaged: what was noted of connection 1") as caught:
        open_capture(path)
    assert "\n" not in str(caught.value)
    assert read_all(path), "what is not indexed stays in the journal"
    assert "Traceback" not in capsys.readouterr().err
