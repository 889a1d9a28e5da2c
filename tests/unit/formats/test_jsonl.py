"""JSONL loses nothing, says what is wrong with a line, and takes what a person writes."""

from __future__ import annotations

import io
import json
import sqlite3

import pytest

from tests.support.chats import chat_capture, random_capture, rows, said
from wsinspect.capture import pages, schema
from wsinspect.capture.reader import Capture
from wsinspect.errors import CaptureError
from wsinspect.formats import jsonl_tables, jsonl_writer, transcript
from wsinspect.formats.choice import Choice
from wsinspect.formats.importing import import_file
from wsinspect.formats.jsonl_writer import write_jsonl

HEADER = '{"type":"capture","schema":1,"format":1}\n'


def exported(path, **options):
    out = io.BytesIO()
    with Capture.open(path) as capture:
        write_jsonl(capture, out, **options)
    return out.getvalue()


def imported(tmp_path, content, name="x.jsonl"):
    source = tmp_path / name
    source.write_bytes(content if isinstance(content, bytes) else content.encode())
    target = tmp_path / "imported.db"
    import_file(source, target, file_format="jsonl")
    return target


def test_frames_are_counted_where_a_connection_does_not_say_how_many(tmp_path):
    content = HEADER
    for number, counts in ((1, ""), (2, ',"c2s_frames":7'), (3, "")):
        content += f'{{"type":"connection","id":{number},"state":"closed","scheme":"ws"{counts}}}\n'
    for number, direction, text in (
        (1, "c2s", "hello"),
        (1, "c2s", "again"),
        (1, "s2c", "yes"),
        (2, "c2s", "x"),
    ):
        content += (
            f'{{"type":"frame","connection_id":{number},"direction":"{direction}","time_ns":5,'
            f'"payload":{{"text":"{text}"}}}}\n'
        )
    with Capture.open(imported(tmp_path, content)) as capture:
        found = [
            (one.c2s_frames, one.s2c_frames, one.c2s_bytes, one.s2c_bytes) for one in capture.connections()
        ]
    # A client's header has four bytes more, its masking key.
    assert found == [(2, 1, 11 + 11, 5), (7, 0, 0, 0), (0, 0, 0, 0)]


@pytest.mark.parametrize("seed", [1, 5, 9])
def test_a_round_trip_gives_every_row_of_every_table(tmp_path, seed):
    path = random_capture(tmp_path / "a.db", seed)
    assert rows(imported(tmp_path, exported(path, include_secrets=True))) == rows(path)


def test_every_stored_column_of_the_format_has_a_place():
    database = sqlite3.connect(":memory:")
    database.executescript(schema.TABLES)
    known = {table.name: set(table.columns) for table in (jsonl_tables.META, *jsonl_tables.TABLES)}
    for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
        if not name.startswith("recorder_"):
            assert {row[1] for row in database.execute(f"PRAGMA table_info({name})")} == known[name]
    database.close()


def test_large_blobs_go_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonl_writer, "PART_BYTES", 100)
    monkeypatch.setattr(pages, "PAGE_BYTES", 100)
    path = random_capture(tmp_path / "a.db", 3)
    content = exported(path, include_secrets=True)
    assert b'"type":"part"' in content
    assert rows(imported(tmp_path, content)) == rows(path)


def test_an_imported_capture_can_be_appended_to(tmp_path):
    target = imported(tmp_path, exported(chat_capture(tmp_path / "a.db")))
    with sqlite3.connect(target) as database:
        (following,) = database.execute("SELECT next_frame FROM recorder_position").fetchone()
        (largest,) = database.execute("SELECT max(id) FROM frame").fetchone()
    database.close()
    assert following == largest + 1


def test_secrets_are_masked_unless_wanted(tmp_path):
    path = chat_capture(tmp_path / "a.db")
    masked, whole = exported(path), exported(path, include_secrets=True)
    for secret in (b"s3cr3t", b"t0k3n", b"abc123", b"c00k1e"):
        assert secret in whole
        assert secret not in masked
    assert b"Cookie: sid=***; theme=***" in masked
    assert b"/room?id=7&token=***" in masked


def test_only_the_wanted_connections(tmp_path):
    path = chat_capture(tmp_path / "a.db")
    lines = [json.loads(line) for line in exported(path, choice=Choice(frozenset({2}))).splitlines()]
    assert [line["id"] for line in lines if line["type"] == "connection"] == [2]
    assert not [line for line in lines if line["type"] == "frame"]


def test_what_a_person_writes_may_leave_out_what_follows(tmp_path):
    target = imported(
        tmp_path,
        HEADER + '{"type":"connection","state":"closed","scheme":"ws","host":"a","path":"/"}\n'
        '{"type":"frame","connection_id":1,"direction":"c2s","time_ns":1,"payload":{"text":"hello"}}\n'
        '{"type":"frame","connection_id":1,"direction":"s2c","time_ns":2,"op":"BINARY","payload":{"base64":"AAE="}}\n'
        '{"type":"frame","connection_id":1,"direction":"s2c","time_ns":3,"op":"PING"}\n',
    )
    assert said(target, 1) == [("c2s", 1, 1, b"hello"), ("s2c", 2, 2, b"\x00\x01")]
    with Capture.open(target) as capture:
        frames = capture.frames()
    assert [(frame.header.hex(), frame.length) for frame in frames] == [
        ("818500000000", 5),
        ("8202", 2),
        ("8900", 0),
    ]


FRAME = {"type": "frame", "connection_id": 1, "direction": "c2s", "time_ns": 1, "payload": {"text": "x"}}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"type":"frame"' + ',"a":' * 5 + "1" + "}", "not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"type":"nonsense"}', "unknown type 'nonsense'"),
        ('{"type":["frame"]}', "unknown type"),
        (json.dumps(FRAME | {"direction": "up"}), "neither c2s nor s2c"),
        (json.dumps(FRAME | {"time_ns": "soon"}), "frame.time_ns is not an integer"),
        (json.dumps(FRAME | {"time_ns": True}), "frame.time_ns is not an integer"),
        (json.dumps(FRAME | {"time_ns": 1 << 70}), "frame.time_ns is not an integer"),
        (json.dumps(FRAME | {"time_ns": None}), "frame.time_ns is missing"),
        (json.dumps(FRAME | {"id": -1}), "not positive"),
        (json.dumps(FRAME | {"header": "zz"}), "header is not hex"),
        (json.dumps(FRAME | {"header": "81"}), "2 to 14 bytes"),
        (json.dumps(FRAME | {"op": "SHOUT"}), "is not one of CONT"),
        (json.dumps(FRAME | {"payload": {"base64": "%"}}), "a blob is not base64"),
        (json.dumps(FRAME | {"payload": {"hex": "00"}}), "a blob is"),
        (json.dumps(FRAME | {"payload": {"text": "\ud800"}}), "a blob is not text"),
        (
            json.dumps(FRAME | {"header": "8100", "wire_length": 2, "payload": {"bytes": 1 << 40}}),
            "claims more bytes",
        ),
        (
            json.dumps({"type": "part", "of": "frame", "id": 7, "offset": 0, "data": {"text": "x"}}),
            "a part that",
        ),
        (
            json.dumps({"type": "part", "of": "meta", "id": 7, "offset": 0, "data": {"text": "x"}}),
            "a part without its beginning",
        ),
        (json.dumps({"type": "connection", "id": 1, "state": "\ud800"}), "connection.state is not text"),
        (json.dumps({"type": "connection", "id": 1}), "connection.state is missing"),
    ],
)
def test_a_wrong_line_is_one_clear_line(tmp_path, line, problem):
    with pytest.raises(CaptureError) as caught:
        imported(tmp_path, f"{HEADER}{line}\n")
    assert problem in str(caught.value)
    assert "line 2" in str(caught.value)
    assert not (tmp_path / "imported.db").exists()


def test_two_rows_of_one_id_are_refused(tmp_path):
    line = json.dumps(FRAME | {"id": 3})
    with pytest.raises(CaptureError, match="UNIQUE"):
        imported(tmp_path, f"{HEADER}{line}\n{line}\n")


def test_a_part_beyond_its_blob_is_refused(tmp_path):
    frame = json.dumps(
        FRAME | {"id": 1, "header": "8180" + "00" * 4, "wire_length": 9, "payload": {"bytes": 3}}
    )
    part = json.dumps({"type": "part", "of": "frame", "id": 1, "offset": 2, "data": {"text": "xx"}})
    with pytest.raises(CaptureError, match="does not fit"):
        imported(tmp_path, f"{HEADER}{frame}\n{part}\n")


@pytest.mark.parametrize("content", ["", "\n\n", "{}\n", '{"type":"frame"}\n', "not json\n"])
def test_a_file_that_is_not_an_export_is_refused(tmp_path, content):
    with pytest.raises(CaptureError):
        imported(tmp_path, content)


def test_a_newer_format_is_refused(tmp_path):
    with pytest.raises(CaptureError, match="update wsinspect"):
        imported(tmp_path, '{"type":"capture","schema":1,"format":2}\n')


def test_a_line_without_end_is_refused_in_bounded_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("wsinspect.formats.jsonl_reader.MAX_LINE_BYTES", 1000)
    with pytest.raises(CaptureError, match="line 2 is longer than"):
        imported(tmp_path, HEADER + "x" * 2000)


def test_messages_that_claim_each_others_frames_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(transcript, "MOST_OVERLAPS", 3)
    lines = [
        {"type": "capture", "schema": 1, "format": 1},
        {"type": "connection", "id": 1, "state": "closed", "scheme": "ws", "host": "a", "path": "/"},
    ]
    for number in range(1, 7):
        frame = {"id": number, "connection_id": 1, "direction": "c2s", "time_ns": number}
        lines.append({"type": "frame", **frame, "payload": {"text": "x"}, "message_id": number})
    for number in range(1, 7):
        message = {"id": number, "connection_id": 1, "direction": "c2s", "opcode": 1, "compressed": 0}
        lines.append({"type": "message", **message, "first_frame": 1, "last_frame": number, "length": 1})
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    import_file(tmp_path / "a.jsonl", tmp_path / "a.db")
    with (
        Capture.open(tmp_path / "a.db") as capture,
        pytest.raises(CaptureError, match="is damaged: its messages overlap"),
    ):
        list(transcript.messages(capture, 1))
