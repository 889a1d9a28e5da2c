"""`wsinspect export`, `import` and `merge`: what they say, and how they end."""

from __future__ import annotations

import json
import os
import stat

import pytest

from tests.support.chats import chat_capture, rows, sandwich_capture
from wsinspect.cli.main import cli, execute
from wsinspect.formats import staging


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(*args):
        code = execute(lambda: cli.main(args, prog_name="wsinspect", standalone_mode=False))
        return (code, *capsys.readouterr())

    return run


def test_export_import_and_merge_go_together(tmp_path, run):
    path = chat_capture(tmp_path / "a.db")
    code, out, err = run("export", "a.db", "-o", "a.jsonl", "--include-secrets")
    assert (code, out) == (0, "")
    assert err == "wsinspect: exported 7 frames\n"
    assert stat.S_IMODE((tmp_path / "a.jsonl").stat().st_mode) == 0o600
    code, _, err = run("import", "a.jsonl", "-o", "b.db")
    assert (code, err) == (0, "wsinspect: b.db: 2 connections, 7 frames\n")
    assert rows(tmp_path / "b.db") == rows(path)
    code, _, err = run("merge", "a.db", "b.db", "--shift", "b.db=-5ms", "-o", "c.db")
    assert (code, err) == (0, "wsinspect: c.db: 4 connections, 14 frames\n")
    code, out, _ = run("show", "c.db", "--json")
    assert code == 0
    assert [one["tap"] for one in json.loads(out)["connections"]] == ["a", "a", "b", "b"]


def test_har_masks_and_says_so(tmp_path, run):
    chat_capture(tmp_path / "a.db")
    code, _, err = run("export", "a.db", "--connection", "1", "-o", "a.har")
    assert code == 0
    assert "1 connection, 3 messages" in err
    assert "are masked; --include-secrets keeps them" in err
    assert "s3cr3t" not in (tmp_path / "a.har").read_text()
    assert run("import", "a.har", "-o", "b.db")[0] == 0
    code, out, _ = run("show", "b.db", "1", "--json")
    assert json.loads(out)["connection"]["state"] == "closed"


@pytest.mark.parametrize("name", ["k6", "postman", "websocat", "mock"])
def test_an_export_that_is_played_says_what_of_a_hop_it_left_out(tmp_path, run, name):
    sandwich_capture(tmp_path / "a.db")
    code, out, err = run("export", "a.db", "--format", name, "-o", "-")
    assert code == 0
    assert "left out: 2 connections that the hop opened itself" in err
    assert out.count("an answer" if name == "mock" else "from a browser") == 1
    assert "left out" not in run("export", "a.db", "--format", name, "-o", "-", "-c", "2")[2]


def test_replay_plays_a_client_alone_and_not_what_a_hop_made_of_it(tmp_path, run):
    sandwich_capture(tmp_path / "a.db")
    nobody_listens = ("--to", "ws://127.0.0.1:1", "--timeout", "1s", "--json")
    _, out, err = run("replay", "a.db", *nobody_listens)
    assert [one["connection"] for one in json.loads(out)["connections"]] == [1, 3, 5]
    assert "left out: 2 connections that the hop opened itself" in err
    _, out, err = run("replay", "a.db", *nobody_listens, "-c", "2")
    assert [one["connection"] for one in json.loads(out)["connections"]] == [2]
    assert "left out" not in err


@pytest.mark.parametrize("name", ["har", "jsonl", "pcapng", "flows", "parquet"])
def test_an_export_that_is_a_record_has_both_sides_of_a_hop(tmp_path, run, name):
    sandwich_capture(tmp_path / "a.db")
    code, _, err = run("export", "a.db", "--format", name, "-o", "out")
    assert code == 0
    assert "left out" not in err
    assert ("5 frames" if name == "jsonl" else "5 connections") in err


def test_what_is_imported_has_its_findings(tmp_path, run):
    chat_capture(tmp_path / "a.db")
    for name in ("har", "flows", "pcapng"):
        assert run("export", "a.db", "-o", f"a.{name}")[0] == 0
        assert run("import", f"a.{name}", "-o", f"{name}.db")[0] == 0
        stored = {row[1] for row in rows(tmp_path / f"{name}.db", ["finding"])["finding"]}
        _, out, _ = run("diagnose", f"{name}.db", "--json")
        assert stored == {one["id"] for one in json.loads(out)["findings"]} != set()


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("export", "a.db", "-o", "x"), 2, "unknown format"),
        (("export", "a.db", "-o", "a.har", "--connection", "9"), 2, "has no connection 9"),
        (("export", "a.db", "-o", "there.har"), 2, "--force overwrites it"),
        (("export", "a.db", "-o", "no/such/a.har"), 3, "cannot write no/such/a.har"),
        (("export", "missing.db", "-o", "a.har"), 2, "there is no capture missing.db"),
        (("import", "missing.har", "-o", "b.db"), 2, "cannot read missing.har"),
        (("import", "there.har", "-o", "b.db"), 2, "is not a HAR"),
        (("import", "a.db", "-o", "b.db"), 2, "is a capture already"),
        (("import", "there.har", "-o", "a.db"), 2, "a.db exists"),
        (("import", "there.har", "-o", "no/b.db"), 3, "cannot create no/b.db"),
        (("merge", "a.db", "-o", "a.db"), 2, "a.db exists"),
        (("merge", "a.db", "--shift", "b.db=5ms", "-o", "c.db"), 2, "not one of the captures"),
        (("merge", "a.db", "--shift", "5ms", "-o", "c.db"), 2, "write CAPTURE=DURATION"),
    ],
)
def test_mistakes_are_one_line(tmp_path, run, args, code, words):
    chat_capture(tmp_path / "a.db")
    (tmp_path / "there.har").write_text('{"log": 1}')
    found, out, err = run(*args)
    assert (found, out) == (code, "")
    assert words in err
    assert err.count("\n") == 1
    assert not (tmp_path / "b.db").exists()


def test_a_wrong_shift_is_shown_with_its_place(tmp_path, run):
    chat_capture(tmp_path / "a.db")
    code, out, err = run("merge", "a.db", "--shift", "a.db=5x", "-o", "c.db")
    assert (code, out) == (2, "")
    assert err.splitlines()[:2] == ["5x", " ^"]
    assert "one of the units" in err.splitlines()[2]


def test_a_pipe_cannot_be_imported(tmp_path, run):
    """What is not packets is read from files alone."""
    os.mkfifo(tmp_path / "pipe")
    code, _, err = run("import", "pipe", "-o", "b.db", "--format", "har")
    assert (code, err.count("\n")) == (2, 1)
    assert "pipe is not a file" in err


def test_a_file_of_very_many_websockets_is_refused(tmp_path, run, monkeypatch):
    monkeypatch.setattr(staging, "MAX_CONNECTIONS", 3)
    entry = {
        "startedDateTime": "2020-01-01T00:00:00Z",
        "request": {"url": "ws://a/"},
        "_webSocketMessages": [],
    }
    (tmp_path / "a.har").write_text(json.dumps({"log": {"entries": [entry] * 4}}))
    code, _, err = run("import", "a.har", "-o", "b.db")
    assert (code, err.count("\n")) == (2, 1)
    assert "more than 3 WebSockets" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.har"]
