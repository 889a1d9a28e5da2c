"""`ls` and `rm` on captures of this test's making."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner

from tests.unit.cli.maker import C2S, CaptureMaker
from wsinspect.cli.ls import ls
from wsinspect.cli.rm import rm
from wsinspect.errors import CaptureError
from wsinspect.journal.format import ENGINE_LOCK, JournalLock, journal_directory
from wsinspect.launch import captures, paths
from wsinspect.recorder.opening import open_capture
from wsinspect.text import escape


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    for variable in ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return paths.ensure_private_dir(paths.captures_dir())


@pytest.fixture
def chat(place):
    maker = CaptureMaker(place / "chat.db")
    maker.attempt(1)
    maker.open(1)
    maker.frame(1, C2S, 1, b"hello", 10)
    maker.closed(1, 20, side="server", how="fin")
    path = maker.finish()
    open_capture(path).close()
    return path


def test_ls_without_captures_says_so():
    done = CliRunner().invoke(ls)
    assert (done.exit_code, done.stdout) == (0, "")
    assert "no captures yet" in done.stderr
    assert json.loads(CliRunner().invoke(ls, ["--json"]).stdout)["captures"] == []


@pytest.mark.usefixtures("chat")
def test_ls_says_what_is_in_each(place):
    (place / "broken\x1b.db").write_bytes(b"no capture")
    lines = CliRunner().invoke(ls).stdout.splitlines()
    assert lines[0].split() == ["NAME", "AGE", "SIZE", "CONNECTIONS", "FRAMES", "ERRORS", "STATE"]
    by_name = {line.split()[0]: line for line in lines[1:]}
    assert re.search(r"chat +\d+ d +[\d.]+ KiB +1 +1 +\d+ +complete", by_name["chat"])
    assert by_name[escape("broken\x1b")].endswith("damaged")
    assert "\x1b" not in "".join(lines)
    listed = json.loads(CliRunner().invoke(ls, ["--json"]).stdout)["captures"]
    facts = next(one for one in listed if one["name"] == "chat")
    assert (facts["connections"], facts["frames"], facts["state"]) == (1, 1, "complete")
    assert facts["file"] == str(place / "chat.db")


def test_rm_by_name_deletes_at_once(chat, place):
    done = CliRunner().invoke(rm, ["chat", "chat"])
    assert done.exit_code == 0
    assert done.stdout.startswith(f"deleted {chat} (")
    assert list(place.iterdir()) == []


def test_rm_says_what_it_did_not_delete(chat, tmp_path):
    (tmp_path / "letter.db").write_bytes(b"Dear Ada")
    done = CliRunner().invoke(rm, ["nosuch", str(tmp_path / "letter.db"), "chat"], standalone_mode=False)
    assert done.return_value == 2
    assert done.stderr.count("not deleted") == 2
    assert not chat.exists()
    assert (tmp_path / "letter.db").exists()


@pytest.mark.usefixtures("place")
def test_rm_last_without_captures():
    assert isinstance(CliRunner().invoke(rm, ["last"]).exception, CaptureError)


@pytest.mark.parametrize("arguments", [[], ["chat", "--older-than", "7d"]])
def test_rm_wants_names_or_an_age(chat, arguments):
    assert CliRunner().invoke(rm, arguments).exit_code == 2
    assert chat.exists()


def test_rm_by_age_needs_a_yes_where_nobody_can_be_asked(chat):
    done = CliRunner().invoke(rm, ["--older-than", "7d"])
    assert done.exit_code == 2
    assert "1 capture" in done.stderr
    assert chat.exists()
    assert CliRunner().invoke(rm, ["--older-than", "999999d", "--yes"]).stdout == ""
    assert chat.exists()
    assert CliRunner().invoke(rm, ["--older-than", "7d", "--yes"]).exit_code == 0
    assert not chat.exists()


@pytest.mark.parametrize(("answer", "is_gone"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_rm_by_age_asks_on_a_terminal(chat, monkeypatch, answer, is_gone):
    monkeypatch.setattr("wsinspect.cli.rm._is_terminal", lambda: True)
    done = CliRunner().invoke(rm, ["--older-than", "7d"], input=answer)
    assert "Delete 1 capture" in done.stderr
    assert chat.exists() is not is_gone
    assert done.exit_code == 0
    assert ("nothing was deleted" in done.stderr) is not is_gone


@pytest.mark.usefixtures("chat")
def test_ls_of_a_run_that_starts_or_is_just_removed(place, monkeypatch):
    """Between the list of names and the look at each a run may begin, or end and leave nothing."""
    (place / "new.db").touch()
    (place / "gone.db").touch()
    newest_first = captures.newest_first

    def listed_before():
        found = newest_first()
        (place / "gone.db").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(captures, "newest_first", listed_before)
    journal = journal_directory(place / "new.db")
    journal.mkdir()
    held = JournalLock(journal, ENGINE_LOCK)
    try:
        done = CliRunner().invoke(ls, ["--json"])
    finally:
        held.release()
    states = {one["name"]: one["state"] for one in json.loads(done.stdout)["captures"]}
    assert states == {"chat": "complete", "new": "recording"}
