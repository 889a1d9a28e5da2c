"""`export --filter`: connection keys choose connections, frame keys frames, and what is left out is said."""

from __future__ import annotations

import json
from functools import partial

import pytest

from tests.support.chats import Chat, chat_capture, random_capture, store
from wsinspect.capture.filtering import FrameScan
from wsinspect.capture.reader import Capture
from wsinspect.cli.main import cli, execute
from wsinspect.filters import parse
from wsinspect.formats.choice import Ids


@pytest.fixture
def export(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(expression, name="a.jsonl", *options):
        args = ("export", "a.db", "-o", name, "--force", "--filter", expression, *options)
        code = execute(lambda: cli.main(args, prog_name="wsinspect", standalone_mode=False))
        return (code, capsys.readouterr().err)

    return run


def lines(folder, kind):
    rows = map(json.loads, (folder / "a.jsonl").read_text().splitlines())
    return [row for row in rows if row["type"] == kind]


def test_connection_keys_choose_connections(tmp_path, export):
    chat_capture(tmp_path / "a.db")
    code, err = export("path:/admin")
    assert code == 0
    assert "1 of 2 connections are left out by the filter" in err
    assert [row["id"] for row in lines(tmp_path, "connection")] == [2]
    assert lines(tmp_path, "frame") == []
    (header,) = lines(tmp_path, "capture")
    assert (header["filter"], header["left_out"]) == (
        "path:/admin",
        "1 of 2 connections are left out by the filter",
    )
    assert export("path:/admin", "a.har")[0] == 0
    log = json.loads((tmp_path / "a.har").read_text())["log"]
    assert [entry["_wsinspect"]["connection"] for entry in log["entries"]] == [2]
    assert log["comment"] == "1 of 2 connections are left out by the filter: path:/admin"


def test_frame_keys_choose_frames(tmp_path, export):
    chat_capture(tmp_path / "a.db")
    code, err = export("op:text dir:s2c | op:close dir:c2s")
    assert code == 0
    assert "5 of 7 frames and 1 of 2 connections are left out by the filter" in err
    assert [(row["op"], row["direction"]) for row in lines(tmp_path, "frame")] == [
        ("TEXT", "s2c"),
        ("CLOSE", "c2s"),
    ]
    assert lines(tmp_path, "ping") == []
    assert export("op:text dir:s2c | op:close dir:c2s", "a.har")[0] == 0
    (entry,) = json.loads((tmp_path / "a.har").read_text())["log"]["entries"]
    assert [(one["type"], one["opcode"]) for one in entry["_webSocketMessages"]] == [("receive", 1)]
    assert [(one["type"], one["opcode"]) for one in entry["_wsinspect"]["control"]] == [("send", 8)]


def test_a_message_goes_with_any_of_its_frames(tmp_path, export):
    script = Chat()
    script.accept(1)
    script.client(1, b"one, ", fin=False)
    script.client(1, b"two", opcode=0)
    script.client(1, b"alone")
    store(tmp_path / "a.db", script)
    assert export("body:two", "a.har")[0] == 0
    (entry,) = json.loads((tmp_path / "a.har").read_text())["log"]["entries"]
    assert [one["data"] for one in entry["_webSocketMessages"]] == ["one, two"]


def test_what_was_chosen_is_what_show_chooses_and_can_be_imported(tmp_path, export, capsys):
    path = random_capture(tmp_path / "a.db", 7)
    with Capture.open(path) as capture:
        wanted = [
            one for batch in FrameScan(capture, parse("len>20 | op:ctl")).batches() for one in batch.ids
        ]
    assert export("len>20 | op:ctl", "a.jsonl", "--include-secrets")[0] == 0
    assert [row["id"] for row in lines(tmp_path, "frame")] == wanted
    for args in (("import", "a.jsonl", "-o", "b.db"), ("show", "b.db"), ("diagnose", "b.db")):
        assert execute(partial(cli.main, args, prog_name="wsinspect", standalone_mode=False)) in (0, 1)
    capsys.readouterr()


def test_with_one_connection_t_counts_from_its_attempt(tmp_path, export):
    chat_capture(tmp_path / "a.db")
    assert export("t<11ms", "a.jsonl", "--connection", "1")[0] == 0
    assert len(lines(tmp_path, "frame")) == 1


def test_nothing_is_left_out_by_an_empty_filter(tmp_path, export):
    chat_capture(tmp_path / "a.db")
    code, err = export(" ")
    assert (code, "left out" in err) == (0, False)
    assert len(lines(tmp_path, "frame")) == 7


def test_a_wrong_filter_is_shown_with_its_place(tmp_path, export):
    chat_capture(tmp_path / "a.db")
    code, err = export("op:nonsense")
    assert code == 2
    assert "^" in err
    assert not (tmp_path / "a.jsonl").exists()


def test_ids_are_a_set_of_any_integers():
    wanted = {0, 1, 7, 8, 8191, 8192, 1 << 40, (1 << 63) - 1, -1, -9}
    ids = Ids()
    for number in (*wanted, 7):
        ids.add(number)
    assert ids.count == len(wanted)
    assert all(number in ids for number in wanted)
    assert not any(number in ids for number in (2, 9, 8190, -2, 1 << 41, None))
