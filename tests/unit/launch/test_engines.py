"""Run files: an engine lives as long as its lock."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from wsinspect.errors import LocalError, UsageError
from wsinspect.launch import engines
from wsinspect.launch.engines import EngineInfo, RunFile

#: Holds a run file, answers SIGTERM with a clean exit, or ignores it.
ENGINE = """
import os, signal, sys
from pathlib import Path
from wsinspect.launch.engines import EngineInfo, RunFile
info = EngineInfo(os.getpid(), int(sys.argv[2]), "0", "/tmp/x.db")
run_file = RunFile.create(info, Path(sys.argv[1]))
if sys.argv[3] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def start(tmp_path):
    processes = []

    def start_engine(started_ns=1, manner="polite"):
        arguments = [sys.executable, "-c", ENGINE, str(tmp_path), str(started_ns), manner]
        process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    yield start_engine
    for process in processes:
        process.kill()
        process.communicate()


def test_a_run_file_is_private_and_says_what_it_was_given(tmp_path):
    info = EngineInfo(os.getpid(), 5, "1.2", "/c.db", [{"tap": "a", "mode": "m", "host": "h", "port": 1}])
    run_file = RunFile.create(info, tmp_path / "new")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert run_file.path.stat().st_mode & 0o777 == 0o600
    assert json.loads(run_file.path.read_text())["capture"] == "/c.db"
    assert engines.list_engines(tmp_path / "new") == [info]
    assert engines.is_alive(os.getpid(), tmp_path / "new")
    shorter = EngineInfo(os.getpid(), 5, "1.2")
    run_file.update(shorter)
    assert engines.list_engines(tmp_path / "new") == [shorter]
    run_file.close()
    run_file.close()
    assert not run_file.path.exists()
    assert engines.list_engines(tmp_path / "new") == []


def test_there_are_no_engines_without_a_directory(tmp_path):
    assert engines.list_engines(tmp_path / "none") == []
    assert not engines.is_alive(1, tmp_path / "none")


def test_a_killed_engine_is_dead_and_its_file_goes(tmp_path, start):
    process = start()
    assert engines.is_alive(process.pid, tmp_path)
    process.kill()
    process.wait()
    assert engines.list_engines(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_being_written_is_not_an_engine_yet(tmp_path):
    run_file = RunFile.create(EngineInfo(7, 1, "0"), tmp_path)
    run_file.path.write_bytes(b"")
    assert engines.list_engines(tmp_path) == []
    run_file.path.write_bytes(b'{"pid": 7}')
    assert engines.list_engines(tmp_path) == []
    assert run_file.path.exists()
    run_file.close()


def test_a_held_run_file_is_not_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "_LOCK_PATIENCE_S", 0.05)
    run_file = RunFile.create(EngineInfo(7, 1, "0"), tmp_path)
    with pytest.raises(LocalError, match="cannot write the run file"):
        RunFile.create(EngineInfo(7, 1, "0"), tmp_path)
    run_file.close()


def test_a_symbolic_link_is_not_followed(tmp_path):
    (tmp_path / "7.json").symlink_to(tmp_path / "target")
    with pytest.raises(LocalError):
        RunFile.create(EngineInfo(7, 1, "0"), tmp_path)
    assert not (tmp_path / "target").exists()


def test_the_only_engine_is_chosen_and_several_are_named(tmp_path, start):
    with pytest.raises(UsageError, match="no engine is running"):
        engines.choose_engine(None, tmp_path)
    second, first = start(2), start(1)
    with pytest.raises(UsageError, match=f"2 engines are running: {first.pid}, {second.pid}"):
        engines.choose_engine(None, tmp_path)
    assert engines.choose_engine(first.pid, tmp_path).pid == first.pid
    with pytest.raises(UsageError, match="no engine with process id 1 is running"):
        engines.choose_engine(1, tmp_path)


def test_stop_ends_an_engine_and_waits(tmp_path, start):
    process = start()
    engines.stop_engine(engines.choose_engine(None, tmp_path), 10, tmp_path)
    assert not engines.is_alive(process.pid, tmp_path)
    process.wait(10)


def test_stop_takes_an_engine_that_is_gone_as_stopped(tmp_path, start):
    process = start()
    info = engines.choose_engine(None, tmp_path)
    process.kill()
    process.wait()
    engines.stop_engine(info, 10, tmp_path)


def test_stop_says_whose_engine_it_is(tmp_path, monkeypatch):
    def kill(pid, number):
        raise PermissionError

    monkeypatch.setattr("os.kill", kill)
    with pytest.raises(LocalError, match="belongs to another user"):
        engines.stop_engine(EngineInfo(7, 1, "0"), 10, tmp_path)


def test_a_file_that_was_taken_for_a_dead_ones_is_made_again(tmp_path, monkeypatch):
    """Another process finds the new file before it is locked, and removes it."""
    lock = engines._lock
    removed: list[None] = []

    def remove_first(descriptor, deadline):
        if not removed:
            removed.append((tmp_path / "7.json").unlink())
        lock(descriptor, deadline)

    monkeypatch.setattr(engines, "_lock", remove_first)
    run_file = RunFile.create(EngineInfo(7, 1, "0"), tmp_path)
    assert engines.list_engines(tmp_path) == [EngineInfo(7, 1, "0")]
    run_file.close()


def test_stop_says_when_an_engine_does_not_end(tmp_path, start):
    process = start(manner="stubborn")
    with pytest.raises(LocalError, match=r"did not exit within 50 ms"):
        engines.stop_engine(engines.choose_engine(None, tmp_path), 0.05, tmp_path)
    assert process.poll() is None
