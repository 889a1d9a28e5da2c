"""Lines about a running capture: what they say, and that they never hold anything up."""

from __future__ import annotations

import json
import os
import select
import zlib
from pathlib import Path

import pytest

from tests.support.journals import Script, text, write_journal
from wsinspect.capture import schema
from wsinspect.capture.records import Note
from wsinspect.journal.format import journal_directory
from wsinspect.journal.reader import JournalReader
from wsinspect.recorder import narration, narrator
from wsinspect.recorder.indexer import Indexer
from wsinspect.recorder.narration import Notes
from wsinspect.recorder.narrator import HumanLines, Narrator, human_line, json_line
from wsinspect.wire.frame import serialize_frame


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


def said(path: Path, script: Script) -> list[Note]:
    """The frames' notes, without what a note of any frame has."""
    notes = [note for note in notes_of(path, script, wants_frames=True) if note["event"] == "frame"]
    common = {"event", "time_ns", "connection", "id", "direction", "opcode", "fin", "length"}
    return [{key: value for key, value in note.items() if key not in common} for note in notes]


def whole(**facts: object) -> Note:
    return {"op": "TEXT", "compressed": False, "problem": None, "summary": None, **facts}


def test_a_frame_that_ends_a_message_has_what_it_says(tmp_path):
    script = Script()
    script.open(1, deflate=True)
    script.data(1, 0, text(b'{"a": [1]}'))
    deflater = zlib.compressobj(wbits=-15)
    deflated = (deflater.compress(b"inflated") + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
    script.data(1, 1, serialize_frame(1, deflated, rsv=4))
    script.data(1, 1, serialize_frame(2, b"\xff\x00"))
    assert said(tmp_path / "x.db", script) == [
        whole(message_length=10, payload={"text": '{"a": [1]}'}, json={"a": [1]}),
        whole(message_length=8, payload={"text": "inflated"}, compressed=True),
        whole(op="BINARY", message_length=2, payload={"base64": "/wA="}),
    ]


def test_fragments_are_joined_whatever_comes_between(tmp_path):
    script = Script()
    script.open(1)
    for raw in (
        serialize_frame(1, b"one ", fin=False),
        serialize_frame(9, b"p"),
        serialize_frame(0, b"two ", fin=False),
    ):
        script.data(1, 1, raw)
    script.data(1, 0, text(b"other"))
    script.data(1, 1, serialize_frame(0, b"three") + serialize_frame(1, b"x", fin=False))
    assert said(tmp_path / "x.db", script) == [
        {"op": "TEXT"},
        {"op": "PING", "payload": {"text": "p"}},
        {"op": "CONT"},
        whole(message_length=5, payload={"text": "other"}),
        whole(op="CONT", message_length=13, payload={"text": "one two three"}),
        {"op": "TEXT"},
    ]


def test_a_close_has_its_code_and_a_broken_message_its_problem(tmp_path):
    script = Script()
    script.open(1, deflate=True)
    script.data(1, 1, serialize_frame(1, b"\xff\xff", rsv=4))
    script.data(1, 1, serialize_frame(8, b"\x03\xf4bye"))
    script.data(1, 0, serialize_frame(8, b"", key=b"1234"))
    broken, close, empty = said(tmp_path / "x.db", script)
    assert broken["problem"] == "inflate-failed"
    assert close["close"] == {"code": 1012, "reason": "bye"}
    assert empty["close"] == {"code": None, "reason": ""}


def test_a_long_payload_is_cut_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(narration, "MAX_PAYLOAD", 4)
    script = Script()
    script.open(1)
    script.data(1, 1, serialize_frame(1, "abc\u20ac".encode()))
    script.data(1, 1, serialize_frame(1, b"ab", fin=False) + serialize_frame(0, b"cdef", fin=False))
    script.data(1, 1, serialize_frame(0, b"gh"))
    single, _, _, several = said(tmp_path / "x.db", script)
    assert single == whole(message_length=6, payload={"text": "abc"}, cut=True)
    assert several == whole(op="CONT", message_length=8, payload={"text": "abcd"}, cut=True)


def test_payloads_in_waiting_notes_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(narration, "MAX_PAYLOADS", 10)
    script = Script()
    script.open(1)
    script.data(1, 1, serialize_frame(1, b"123456") * 5)
    notes = notes_of(tmp_path / "x.db", script, wants_frames=True)
    assert [note["id"] for note in notes if note["event"] == "frame"] == [1, 2]


def test_a_decoder_says_what_a_message_is(tmp_path):
    script = Script()
    script.attempt(1)
    script.event(
        1, "attempt", tap="edge", scheme="ws", host="h", port=80, path="/socket.io/?EIO=4&transport=websocket"
    )
    script.head(1, 2, b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    script.event(1, "open")
    script.data(1, 0, text(b'42["chat",{"a":1}]'))
    [note] = said(tmp_path / "x.db", script)
    assert note["summary"] == "EVENT chat"


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({"payload": {"text": "hello\x1b"}}, "c>s TEXT 5 B  id 9  hello␛"),
        ({"payload": {"text": "x" * 500}}, "c>s TEXT 5 B  id 9  " + "x" * 99 + "…"),
        ({"payload": {"text": "{}"}, "summary": "HELLO"}, "c>s TEXT 5 B  id 9  HELLO  {}"),
        ({"opcode": 2, "payload": {"text": "AB"}}, "c>s BINARY 5 B  id 9  41 42"),
        ({"opcode": 2, "payload": {"base64": "/w=="}}, "c>s BINARY 5 B  id 9  ff"),
        ({"opcode": 9, "payload": {"text": "p1"}}, "c>s PING 5 B  id 9  p1"),
        ({"opcode": 9, "payload": {"text": ""}}, "c>s PING 5 B  id 9"),
        (
            {"opcode": 8, "payload": {"text": ""}, "close": {"code": 1012, "reason": "bye"}},
            'c>s CLOSE 5 B  id 9  1012 service restart "bye"',
        ),
        (
            {"opcode": 8, "payload": {"text": ""}, "close": {"code": None, "reason": ""}},
            "c>s CLOSE 5 B  id 9",
        ),
    ],
)
def test_a_line_has_the_beginning_of_the_payload(facts, line):
    assert human_line(frame(**facts), 0).endswith(line)


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


def test_what_was_not_recorded_is_a_line_each(tmp_path):
    """A tunnel passed on unread, a request that only we answered, a client that left without a byte."""
    script = Script()
    of = {"tap": "regular", "client": "1.2.3.4:5"}
    script.event(0, "passed_unread", **of, server="db:5432", sni=None, reason="it is not HTTP", first="\x00")
    failed = {"method": "GET", "url": "http://h/page", "status": 502, "error": "connection refused"}
    script.event(0, "request_failed", **of, where="connect", **failed)
    script.event(0, "client_left", **of, how="fin", ms=3.0)
    notes = notes_of(tmp_path / "x.db", script)
    assert [note["event"] for note in notes] == ["passed_unread", "request_failed", "client_left"]
    unread, answered, left = (human_line(note, 0) for note in notes)
    assert unread.endswith("1.2.3.4:5 to db:5432 is passed through, not recorded: it is not HTTP")
    assert answered.endswith("1.2.3.4:5 GET http://h/page: 502, connection refused")
    assert "1.2.3.4:5 connected and left without sending a byte" in left


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
