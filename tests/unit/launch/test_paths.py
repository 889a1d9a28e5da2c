"""XDG directories and what `last` means."""

from __future__ import annotations

import os
import sys

import pytest

from wsinspect.errors import CaptureError, LocalError
from wsinspect.launch import captures, paths
from wsinspect.launch.engines import EngineInfo, RunFile


@pytest.fixture
def home(tmp_path, monkeypatch):
    for variable in ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_directories_without_xdg_variables(home):
    assert paths.captures_dir() == home / ".local/share/wsinspect/captures"
    assert paths.ca_dir() == home / ".local/share/wsinspect/ca"
    assert paths.run_dir() == home / ".local/state/wsinspect/run"


def test_directories_with_xdg_variables(home, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home))
    assert paths.data_dir().as_posix() == "/data/wsinspect"
    assert paths.state_dir() == home / ".local/state/wsinspect"
    assert paths.run_dir() == home / "wsinspect"


def test_a_runtime_directory_that_does_not_exist_is_not_used(home, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "gone"))
    assert paths.run_dir() == home / ".local/state/wsinspect/run"


def test_a_new_capture_is_in_a_private_directory(home):
    path = paths.new_capture_path()
    assert path.name.endswith(f"-{os.getpid()}.db")
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert (home / ".local").stat().st_mode & 0o777 == 0o700


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LocalError, match="cannot use"):
        paths.ensure_private_dir(tmp_path / "file")
    with pytest.raises(LocalError, match="cannot make"):
        paths.ensure_private_dir(tmp_path / "file" / "below")


def test_the_addon_scripts_are_found_in_a_checkout():
    place = paths.addons_dir()
    assert place is not None
    assert place.name == "addons"


def test_last_is_an_error_without_captures(home):
    with pytest.raises(CaptureError, match="no capture yet"):
        captures.resolve_capture(None)


def test_a_named_capture_is_that_path(home):
    assert captures.resolve_capture("x.db").as_posix() == "x.db"


def test_last_is_the_newest_by_name_then_by_time(home):
    place = paths.ensure_private_dir(paths.captures_dir())
    for name, modified in [("20260101-000000-9.db", 5), ("20260301-000000-1.db", 1), ("renamed.db", 0)]:
        (place / name).write_bytes(b"x")
        os.utime(place / name, (modified, modified))
    assert captures.resolve_capture("last") == place / "20260301-000000-1.db"
    os.utime(place / "renamed.db", (4_000_000_000, 4_000_000_000))
    assert captures.resolve_capture(None) == place / "renamed.db"
    (place / "renamed.db.journal").mkdir()
    (place / "renamed.db.journal" / "00000001.seg").write_bytes(b"1234")
    assert captures.old_captures() == (3, 7)


def test_last_is_a_live_engines_capture_first(home):
    place = paths.ensure_private_dir(paths.captures_dir())
    (place / "20260301-000000-1.db").write_bytes(b"")
    run_file = RunFile.create(EngineInfo(os.getpid(), 1, "0", "/elsewhere.db"))
    assert captures.resolve_capture("last").as_posix() == "/elsewhere.db"
    run_file.close()
    assert captures.resolve_capture("last").name == "20260301-000000-1.db"


def test_there_are_no_old_captures_without_a_directory(home):
    assert captures.old_captures() == (0, 0)


def test_hints_name_a_command_that_a_shell_finds(tmp_path, monkeypatch):
    scripts = tmp_path / "clone" / ".venv" / "bin"
    scripts.mkdir(parents=True)
    script = scripts / "wsinspect"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(scripts / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path / "clone")
    assert paths.own_command() == ".venv/bin/wsinspect"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(scripts))
    assert paths.own_command() == "wsinspect"
    monkeypatch.setenv("PATH", str(tmp_path))
    script.unlink()
    assert paths.own_command() == f"{scripts / 'python'} -m wsinspect"
