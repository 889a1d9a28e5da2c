"""Lines about a running capture: what they say, and that they never hold anything up."""

from __future__ import annotations

import json
import os
import select
from pathlib import Path

from tests.support.journals import Script, text, write_journal
from wsinspect.capture import schema
from wsinspect.capture.records import Note
from wsinspect.journal.format import journal_directory
from wsinspect.journal.reader import JournalReader
from wsinspect.recorder import narration, narrator
from wsinspect.recorder.indexer import Indexer
from wsinspect.recorder.narration import Notes
from wsinspect.recorder.narrator import HumanLines, Narrator, human_line, json_line


def notes_of(path: Path, script: Script, **options: bool) -> list[Note]:
    write_journal(path, script.stop())
    schema.create(path)
    database = schema.open_for_writing(path)
    notes = Notes(**options)
    indexer = Indexer(database, notes)
    reader = JournalReader(journal_directory(path))
    for record in reader.read():
        indexer.add(record)
    assert notes.take()[0] == [], "nothing is narrated before it is committed"
    indexer.commit()
    ready, _ = notes.take()
    reader.close()
    database.close()
    return ready


def test_a_connection_is_narrated_from_attempt_to_close(tmp_path):
    script = Script()
    script.open(1, deflate=True)
    script.data(1, 0, text(b"hello"))
    script.data(1, 0, text(b"\x03\xe9", opcode=8))
    script.data(1, 1, text(b"\x03\xe8", opcode=8, masked=False))
    script.end(1, "server")
    attempt, opened, closed = notes_of(tmp_path / "x.db", script)
    assert attempt == {
        "event": "attempt",
        "time_ns": attempt["time_ns"],
        "connection": 1,
        "tap": "edge",
        "client": "127.0.0.1:5",
        "url": "ws://example.test:8080/chat",
        "http_version": "HTTP/1.1",
    }
    assert {key: opened[key] for key in ("event", "status", "subprotocol", "extensions", "ms")} == {
        "event": "open",
        "status": 101,
        "subprotocol": None,
        "extensions": "permessage-deflate",
        "ms": 0.006,
    }
    assert {key: value for key, value in closed.items() if key != "time_ns"} == {
        "event": "close",
        "connection": 1,
        "ended_by": "client",
        "rule": None,
        "how": "close-frame",
        "client_code": 1001,
        "server_code": 1000,
        "js": {"code": 1000, "wasClean": True},
        "frames": {"c2s": 2, "s2c": 1},
        "bytes": {"c2s": 19, "s2c": 4},
    }


def test_a_refused_attempt_has_no_close(tmp_path):
    script = Script()
    script.attempt(1)
    script.event(1, "refused", status=403)
    script.end(1)
    script.attempt(2)
    script.event(2, "failed", where="connect", error="no route", status=None)
    script.end(2)
    notes = notes_of(tmp_path / "x.db", script)
    assert [(note["event"], note.get("status"), note.get("error")) for note in notes] == [
        ("attempt", None, None),
        ("refused", 403, None),
        ("attempt", None, None),
        ("refused", None, "no route"),
    ]


def test_frames_are_narrated_only_when_asked_and_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(narration, "MAX_NOTES", 4)
    script = Script()
    script.open(1)
    script.data(1, 1, text(b"x", masked=False) * 10)
    notes = notes_of(tmp_path / "x.db", script, wants_frames=True)
    assert [note["id"] for note in notes if note["event"] == "frame"] == [1, 2]
    assert notes[-1]["direction"] == "s2c"


def test_events_of_the_engine_are_narrated(tmp_path):
    script = Script()
    script.event(0, "tls_failed", side="client", tap="edge", client="1.2.3.4:5", sni="a", error="unknown ca")
    script.event(0, "unstored", bytes=5, records=1, reason="No space left on device", streams=[])
    script.event(0, "wall_step", step_ns=2_500_000_000)
    script.event(0, "listening", listeners=[])
    notes = notes_of(tmp_path / "x.db", script)
    assert [note["event"] for note in notes] == ["tls_failed", "unstored", "wall_step"]
    lines = [human_line(note, 0) for note in notes]
    assert "unknown ca" in lines[0]
    assert "5 bytes in 1 records could not be stored: No space left on device" in lines[1]
    assert "the clock was set by +2.500 s" in lines[2]


def frame(**facts: object) -> Note:
    note = {
        "event": "frame",
        "time_ns": 0,
        "connection": 3,
        "id": 9,
        "direction": "c2s",
        "opcode": 1,
        "fin": True,
        "length": 5,
    }
    return note | facts


def test_lines_for_people():
    assert human_line(frame(), 0).endswith("#3  frame    c>s TEXT 5 B  id 9")
    assert human_line(frame(fin=False, opcode=3), 2).endswith(
        "c>s 0x3 5 B (more follow)  id 9  (2 lines left out)"
    )
    attempt = {
        "event": "attempt",
        "time_ns": 0,
        "connection": 1,
        "tap": None,
        "client": None,
        "url": "ws://h/\x1b[31m",
        "http_version": "HTTP/1.1",
    }
    line = human_line(attempt, 0)
    assert "\x1b" not in line
    assert "ws://h/" in line
    opened = {
        "event": "open",
        "time_ns": 0,
        "connection": 1,
        "status": 101,
        "subprotocol": "chat",
        "extensions": "permessage-deflate",
        "ms": 1.25,
    }
    assert human_line(opened, 0).endswith("101  subprotocol chat  permessage-deflate  1.25 ms")
    refused = {"event": "refused", "time_ns": 0, "connection": 1, "status": 502, "error": "no", "ms": None}
    assert human_line(refused, 0).endswith("status 502  no")
    closed = {
        "event": "close",
        "time_ns": 0,
        "connection": 1,
        "ended_by": "server",
        "how": "fin",
        "client_code": None,
        "server_code": None,
        "js": {"code": 1006, "wasClean": False},
        "frames": {"c2s": 1, "s2c": 2},
        "bytes": {"c2s": 3, "s2c": 4},
    }
    assert human_line(closed, 0).endswith(
        "by server (fin)  client -, server -  JavaScript: 1006 not clean  c>s 1 frames 3 B, s>c 2 frames 4 B"
    )
    withdrawn = {"event": "withdrawn", "time_ns": 0, "connection": 7, "id": "WS-DROP-006"}
    assert human_line(withdrawn, 0).endswith("#7  withdrawn WS-DROP-006 no longer holds: more has been seen")
    assert human_line({"event": "wall_step", "time_ns": 0, "step_ns": None}, 0).endswith("wall_step")
    assert human_line({"event": "new", "time_ns": 0}, 0).endswith("new")


def test_json_lines_say_what_was_dropped():
    assert json.loads(json_line(frame(), 0)) == {"schema": 1, **frame()}
    assert json.loads(json_line(frame(), 7))["dropped"] == 7


def read_lines(fd: int, count: int) -> list[dict]:
    data = b""
    while data.count(b"\n") < count:
        assert select.select([fd], [], [], 30)[0]
        data += os.read(fd, 65536)
    return [json.loads(line) for line in data.splitlines()]


def test_lines_are_written_in_order(tmp_path):
    read, write = os.pipe()
    teller = Narrator(write, as_json=True)
    teller.narrate([frame(id=1), frame(id=2)])
    teller.narrate([frame(id=3)], dropped=4)
    assert [(line["id"], line.get("dropped")) for line in read_lines(read, 3)] == [
        (1, None),
        (2, None),
        (3, 4),
    ]
    teller.close()
    os.close(read)
    os.close(write)


def fill(fd: int, data: bytes) -> None:
    while True:
        try:
            os.write(fd, data)
        except BlockingIOError:
            return


def test_a_slow_reader_costs_lines_and_sees_how_many(monkeypatch):
    monkeypatch.setattr(narrator, "MAX_LINES", 10)
    read, write = os.pipe()
    os.set_blocking(write, False)
    fill(write, b"x" * 4096)
    os.set_blocking(write, True)
    teller = Narrator(write, as_json=True)
    teller.narrate([frame(id=number) for number in range(1000)])
    while b"x" in (data := os.read(read, 1 << 20)):
        if not data.replace(b"x", b""):
            continue
        break
    lines = [json.loads(line) for line in data.replace(b"x", b"").splitlines() if line.startswith(b"{")]
    told = {line["id"] for line in lines}
    teller.narrate([frame(id=1000)])
    while 1000 not in told:
        lines = read_lines(read, 1)
        told |= {line["id"] for line in lines}
    assert len(told) <= 60
    assert lines[-1].get("dropped", 0) >= 900
    teller.close()
    os.close(read)
    os.close(write)


def test_a_reader_that_has_gone_is_forgotten():
    read, write = os.pipe()
    os.close(read)
    teller = Narrator(write)
    teller.narrate([frame()])
    teller._thread.join(30)
    assert not teller._thread.is_alive()
    teller.narrate([frame()])
    teller.close()
    os.close(write)


def test_closing_does_not_wait_for_a_reader_for_long(monkeypatch):
    monkeypatch.setattr(narrator, "_CLOSE_SECONDS", 0.01)
    read, write = os.pipe()
    teller = Narrator(write, as_json=True)
    for _ in range(3):
        teller.narrate([frame() for _ in range(2000)])
    teller.close()
    os.close(read)
    teller._thread.join(30)
    os.close(write)


def test_a_finding_is_printed_in_full_once():
    note = {
        "event": "finding",
        "time_ns": 0,
        "connection": 1,
        "id": "WS-HS-101",
        "severity": "error",
        "hop": "nginx",
        "title": "The hop removes the Upgrade headers",
        "evidence": ["removed  Upgrade: websocket", "\x1b[2J"],
        "fixes": [{"for": "nginx", "text": "line one\n  line two"}, {"for": "general", "text": "other"}],
        "replaces": [{"connection": 1, "id": "WS-HS-002"}],
    }
    lines = HumanLines()
    first, *details = lines(note, 0).split("\n")
    assert first.endswith(
        "error WS-HS-101 The hop removes the Upgrade headers [nginx]  (instead of WS-HS-002 of #1)"
    )
    assert [line.split() for line in details] == [
        ["seen", "removed", "Upgrade:", "websocket"],
        ["␛[2J"],
        ["fix", "line", "one"],
        ["line", "two"],
    ]
    again = lines({**note, "connection": 3, "replaces": []}, 0)
    assert again.endswith("[nginx]  (2nd time)")
    assert "\n" not in again
    assert "\n" in lines({**note, "hop": None}, 0)
