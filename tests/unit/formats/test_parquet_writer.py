"""Captures as one Parquet data set, read again with Arrow.

What docs/fleet.md asks is asked in tests/e2e/test_fleet_page.py.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import date, datetime
from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from tests.support.chats import SECRET_REQUEST, Chat, chat_capture, random_capture, store
from wsinspect.capture.queries import tables
from wsinspect.capture.reader import Capture
from wsinspect.cli.main import cli, execute
from wsinspect.diagnosis.facts import diagnose
from wsinspect.errors import CaptureError, UsageError
from wsinspect.filters import parse
from wsinspect.formats import parquet_columns, parquet_writer, transcript
from wsinspect.formats.choice import choose
from wsinspect.formats.parquet_writer import write_parquet
from wsinspect.wire.opcodes import opcode_name

DAY_NS = 86_400_000_000_000
TABLES = ("connections", "findings", "frames", "messages")


def export(path: Path, folder: Path, **options):
    with Capture.open(path) as capture:
        return write_parquet(capture, folder, diagnose(capture.query), **options)


def table(folder: Path, name: str) -> list[dict]:
    return ds.dataset(folder / name, partitioning="hive").to_table().to_pylist()


def change(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(sql)
        database.commit()


def files(folder: Path) -> list[str]:
    return sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file())


def test_each_table_has_its_rows(tmp_path):
    path = chat_capture(tmp_path / "a.db")
    written = export(path, tmp_path / "fleet", host="edge1")
    assert (written.summary, written.notes) == ("2 connections, 7 frames, 3 messages, 1 finding", ())
    frames = table(tmp_path / "fleet", "frames")
    assert [(one["op"], one["direction"], one["length"]) for one in frames] == [
        ("TEXT", "c2s", 22),
        ("TEXT", "s2c", 28),
        ("PING", "s2c", 2),
        ("PONG", "c2s", 2),
        ("BINARY", "s2c", 3),
        ("CLOSE", "c2s", 5),
        ("CLOSE", "s2c", 2),
    ]
    assert [one["rtt_ns"] for one in frames if one["op"] == "PING"] == [1_000_000]
    assert {(one["host"], one["day"]) for one in frames} == {("edge1", "2023-11-14")}
    assert [(one["text"], one["data"]) for one in table(tmp_path / "fleet", "messages")] == [
        ('{"op":"join","room":7}', None),
        ('{"op":"welcome","id":"a1b2"}', None),
        (None, b"\x00\x01\x02"),
    ]
    one, refused = table(tmp_path / "fleet", "connections")
    assert (one["state"], one["js_code"], one["client_close_reason"]) == ("closed", 1000, "bye")
    assert one["handshake_key"] == "dGhlIHNhbXBsZSBub25jZQ=="
    assert (refused["status"], refused["origin"]) == (403, "http://evil.example")
    (finding,) = table(tmp_path / "fleet", "findings")
    assert (finding["connection_id"], finding["rule"], finding["severity"]) == (2, "WS-HS-010", "error")
    assert {one["capture"] for name in TABLES for one in table(tmp_path / "fleet", name)} == {one["capture"]}


def test_the_nanoseconds_of_a_row_are_those_of_the_capture(tmp_path):
    path = random_capture(tmp_path / "a.db", chunks=400)
    export(path, tmp_path / "fleet")
    with closing(sqlite3.connect(path)) as database:
        sql = "SELECT id, time_ns, fin, opcode, masked, rsv1, length, violation FROM frame ORDER BY id"
        expected = database.execute(sql).fetchall()
    found = sorted(table(tmp_path / "fleet", "frames"), key=lambda one: one["frame_id"])
    names = [opcode_name(number) for number in range(16)]
    assert [
        (
            *(one["frame_id"], one["time_ns"], one["fin"], names.index(one["op"])),
            *(one["masked"], one["rsv1"], one["length"], one["violation"]),
        )
        for one in found
    ] == expected
    assert all(
        one["time"] == datetime.fromtimestamp(one["time_ns"] // 1000 / 1e6, one["time"].tzinfo)
        for one in found
    )


@pytest.mark.parametrize("page", [(20_000, 8 << 20), (7, 8 << 20), (20_000, 300)])
def test_messages_are_those_that_other_formats_say_however_they_are_paged(tmp_path, monkeypatch, page):
    """Compressed, in fragments, unfinished, not to be inflated: whole frames become columns without them."""
    monkeypatch.setattr(tables, "_PAGE", page[0])
    monkeypatch.setattr(tables, "PAGE_BYTES", page[1])
    monkeypatch.setattr(parquet_columns, "PAGE_BYTES", page[1])
    path = random_capture(tmp_path / "a.db", seed=1, chunks=400)
    export(path, tmp_path / "fleet")
    expected = []
    with Capture.open(path) as capture:
        for connection in capture.connections():
            for one in transcript.messages(capture, connection.id):
                data = one.data[: parquet_columns.MAX_DATA]
                said = (connection.id, one.id, one.last_frame, one.time_ns, opcode_name(one.opcode), data)
                expected.append((*said, one.length, one.is_cut or len(one.data) > len(data), one.problem))
    found = [
        (
            *(one["connection_id"], one["message_id"], one["last_frame"], one["time_ns"], one["op"]),
            one["data"] if one["text"] is None else one["text"].encode(),
            *(one["length"], one["is_cut"], one["problem"]),
        )
        for one in table(tmp_path / "fleet", "messages")
    ]
    assert sorted(found, key=lambda one: one[1]) == sorted(expected, key=lambda one: one[1])
    assert {"inflate-failed", "unfinished"} & {one[-1] for one in found}


def test_secrets_are_masked_unless_they_are_wanted(tmp_path):
    request = SECRET_REQUEST.replace(b"\r\n\r\n", b"\r\nOrigin: https://u:pa55w0rd@chat.example\r\n\r\n")
    path = chat_capture(tmp_path / "a.db", request=request)
    export(path, tmp_path / "masked")
    export(path, tmp_path / "open", include_secrets=True)

    def said(folder: str) -> str:
        return repr([table(tmp_path / folder, name) for name in TABLES])

    assert not any(secret in said("masked") for secret in ("abc123", "s3cr3t", "t0k3n", "pa55w0rd"))
    assert "/room?id=7&token=abc123" in said("open")


def test_each_day_has_its_folder(tmp_path):
    script = Chat()
    script.accept(1)
    for number in range(4):
        script.client(1, b"on day %d" % number)
        script.now += DAY_NS
    path = store(tmp_path / "a.db", script)
    export(path, tmp_path / "fleet")
    days = {one["text"]: one["day"] for one in table(tmp_path / "fleet", "messages")}
    assert days == {f"on day {number}": f"2023-11-{14 + number}" for number in range(4)}
    assert len(list((tmp_path / "fleet" / "frames").glob("day=*"))) == 4


def test_more_days_than_files_that_may_be_open(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_writer, "_MAX_OPEN", 2)
    monkeypatch.setattr(parquet_writer, "_MAX_WAITING", 0)
    path = chat_capture(tmp_path / "a.db")
    change(path, f"UPDATE frame SET time_ns = time_ns + (id % 5) * {DAY_NS}")
    export(path, tmp_path / "fleet")
    frames = table(tmp_path / "fleet", "frames")
    assert sorted(one["frame_id"] for one in frames) == list(range(1, 8))
    assert all(one["day"] == date(2023, 11, 14 + one["frame_id"] % 5).isoformat() for one in frames)


def test_times_of_very_many_days_are_refused_and_leave_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_writer, "MAX_DAYS", 3)
    path = chat_capture(tmp_path / "a.db")
    change(path, f"UPDATE frame SET time_ns = time_ns + id * {DAY_NS}")
    with pytest.raises(CaptureError, match="more than 3 days"):
        export(path, tmp_path / "fleet")
    assert files(tmp_path / "fleet") == []


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE frame SET time_ns = 'noon' WHERE id = 3",
        "UPDATE frame SET wire_length = 1e300 WHERE id = 3",
        "UPDATE frame SET violation = x'ff' WHERE id = 3",
    ],
)
def test_values_of_a_wrong_type_are_one_line_and_leave_nothing(tmp_path, sql):
    path = chat_capture(tmp_path / "a.db")
    change(path, sql)
    with pytest.raises(CaptureError, match="damaged"), Capture.open(path) as capture:
        write_parquet(capture, tmp_path / "fleet", [])
    assert files(tmp_path / "fleet") == []


def test_messages_that_claim_each_others_frames_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(transcript, "MOST_OVERLAPS", 3)
    script = Chat()
    script.accept(1)
    for number in range(6):
        script.client(1, b"%d" % number)
    path = store(tmp_path / "a.db", script)
    change(
        path,
        "INSERT INTO stored_message (id, connection_id, is_s2c, opcode, first_frame, last_frame, compressed) "
        "SELECT id, 1, 0, 1, 1, id, 0 FROM frame",
    )
    with pytest.raises(CaptureError, match="is damaged: its messages overlap"):
        export(path, tmp_path / "fleet")
    assert files(tmp_path / "fleet") == []


@pytest.mark.parametrize("place", ["status", "attempt_ns", "path", "client_close_reason", "c2s_bytes"])
def test_any_value_anywhere_is_written_or_is_damage(tmp_path, place):
    path = chat_capture(tmp_path / "a.db")
    for value in ("'text'", "x'ff00'", "1.5", "-1e300", "9223372036854775807"):
        change(path, f"UPDATE connection SET {place} = {value} WHERE id = 1")
        folder = tmp_path / value.strip("'")
        try:
            with Capture.open(path) as capture:
                write_parquet(capture, folder, [])
        except CaptureError:
            assert files(folder) == []
        else:
            assert len(table(folder, "connections")) == 2


@pytest.mark.parametrize("time_ns", [0, -1, (1 << 63) - 1, -(1 << 63)])
def test_any_time_has_a_day(tmp_path, time_ns):
    path = chat_capture(tmp_path / "a.db")
    change(path, f"UPDATE frame SET time_ns = {time_ns} WHERE id = 3")
    export(path, tmp_path / "fleet")
    assert time_ns in [one["time_ns"] for one in table(tmp_path / "fleet", "frames")]


def test_captures_lie_side_by_side_and_each_takes_its_own_place(tmp_path):
    first, second = chat_capture(tmp_path / "a.db"), random_capture(tmp_path / "b.db")
    export(first, tmp_path / "fleet", host="edge1")
    export(second, tmp_path / "fleet", host="edge2")
    before = files(tmp_path / "fleet")
    with pytest.raises(UsageError, match="--force writes it again"):
        export(first, tmp_path / "fleet", host="edge1")
    assert files(tmp_path / "fleet") == before
    with Capture.open(first) as capture:
        part = choose(capture, parse("path:/admin"))
        write_parquet(capture, tmp_path / "fleet", [], host="edge9", choice=part, force=True)
    mine = [one for one in table(tmp_path / "fleet", "connections") if one["capture"].startswith("a-")]
    assert [(one["connection_id"], one["host"]) for one in mine] == [(2, "edge9")]
    assert {one["host"] for one in table(tmp_path / "fleet", "frames")} == {"edge2"}


def test_a_table_without_rows_still_has_its_columns(tmp_path):
    path = store(tmp_path / "a.db", Chat())
    written = export(path, tmp_path / "fleet", host="x")
    assert written.summary == "0 connections, 0 frames, 0 messages, 0 findings"
    for name in TABLES:
        (file,) = (tmp_path / "fleet" / name).glob("day=*/host=x/*.parquet")
        assert "connection_id" in pq.read_schema(file).names


def test_a_filter_leaves_out_the_same_as_elsewhere(tmp_path):
    path = chat_capture(tmp_path / "a.db")
    with Capture.open(path) as capture:
        part = choose(capture, parse("op:text dir:s2c"))
        write_parquet(capture, tmp_path / "fleet", diagnose(capture.query), choice=part)
    assert [one["frame_id"] for one in table(tmp_path / "fleet", "frames")] == [2]
    assert [one["message_id"] for one in table(tmp_path / "fleet", "messages")] == [2]
    assert [one["connection_id"] for one in table(tmp_path / "fleet", "connections")] == [1]
    assert table(tmp_path / "fleet", "findings") == []


def test_long_messages_are_cut_between_characters_and_counted(tmp_path):
    script = Chat()
    script.accept(1)
    script.server(1, "é".encode() * 40_000)
    script.server(1, b"x" + "é".encode() * 40_000)
    script.server(1, b"\xff" * 70_000, opcode=2)
    script.server(1, b"\xff\xfe not text")
    path = store(tmp_path / "a.db", script)
    written = export(path, tmp_path / "fleet")
    assert "3 messages cut after 64 KiB; is_cut says which" in written.notes
    first, second, binary, broken = table(tmp_path / "fleet", "messages")
    assert (first["text"], first["length"], first["is_cut"]) == ("é" * 32_768, 80_000, True)
    assert second["text"] == "x" + "é" * 32_767
    assert (binary["data"], binary["is_cut"]) == (b"\xff" * 65_536, True)
    assert (broken["text"], broken["data"]) == (None, b"\xff\xfe not text")


def test_the_machine_is_the_one_that_recorded(tmp_path):
    script = Chat(meta={"hostname": "../edge 1/é"})
    script.accept(1)
    path = store(tmp_path / "a b=c.db", script)
    export(path, tmp_path / "fleet")
    (file,) = (tmp_path / "fleet" / "connections").rglob("*.parquet")
    assert file.parent.name == "host=_edge_1__"
    assert file.name.startswith("a_b_c-")


def test_the_command_says_what_it_wrote_and_refuses_what_makes_no_sense(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    chat_capture(tmp_path / "a.db")

    def run(*args):
        code = execute(
            lambda: cli.main(["export", "a.db", *args], prog_name="wsinspect", standalone_mode=False)
        )
        return code, capsys.readouterr().err

    code, err = run("--format", "parquet", "-o", "fleet", "--host", "edge1")
    assert code == 0
    assert "exported 2 connections, 7 frames, 3 messages, 1 finding" in err
    assert run("--format", "parquet", "-o", "-")[0] == 2
    assert run("-o", "a.har", "--host", "x") == (
        2,
        "wsinspect: --host is for --format parquet (see 'wsinspect export --help')\n",
    )
    code, err = run("--format", "parquet", "-o", "fleet")
    assert (code, err.count("\n")) == (2, 1)
    (tmp_path / "file").write_text("")
    code, err = run("--format", "parquet", "-o", "file")
    assert (code, err.count("\n")) == (3, 1)
    assert "cannot write file" in err
    change(tmp_path / "a.db", "UPDATE frame SET wire_length = 'long' WHERE id = 3")
    code, err = run("--format", "parquet", "-o", "damaged")
    assert (code, err.count("\n"), "a.db is damaged" in err) == (2, 1, True)
    assert not (tmp_path / "damaged").exists() or files(tmp_path / "damaged") == []
    shutil.rmtree("fleet")
