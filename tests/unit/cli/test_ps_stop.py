"""`ps` and `stop` on run files of this test's making."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from click.testing import CliRunner

from wsinspect.cli.ps import ps
from wsinspect.cli.stop import stop
from wsinspect.errors import UsageError
from wsinspect.launch.engines import EngineInfo, RunFile
from wsinspect.launch.paths import captures_dir

INFO = EngineInfo(
    4_000_000,
    10**18,
    "0.1",
    "/a\x1b[31m.db",
    [
        {"tap": "edge", "mode": "reverse:http://h:1", "host": "127.0.0.1", "port": 81},
        {"tap": None, "mode": "regular", "host": "::1", "port": 82},
    ],
    {"url": "http://127.0.0.1:1", "token_file": "/t"},
)


@pytest.fixture(autouse=True)
def runtime(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture
def engine():
    run_file = RunFile.create(INFO)
    yield run_file
    run_file.close()


def test_ps_says_that_nothing_runs():
    done = CliRunner().invoke(ps)
    assert (done.exit_code, done.stdout) == (0, "")
    assert "no engine is running" in done.stderr
    done = CliRunner().invoke(ps, ["--json"])
    assert json.loads(done.stdout) == {"schema": 1, "engines": []}


def test_on_a_terminal_a_line_is_no_wider_and_has_the_captures_name(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    here = captures_dir() / "checkout-bug.db"
    listener = {"tap": "reverse", "mode": "reverse:http://localhost:3000", "host": "127.0.0.1", "port": 9200}
    run_file = RunFile.create(replace(INFO, capture=str(here), listeners=[listener]))
    try:
        monkeypatch.setattr("wsinspect.cli.output.prose_columns", lambda: 100)
        line = CliRunner().invoke(ps).stdout.splitlines()[1]
        assert re.search(r"  127\.0\.0\.1:9200 to http://localhost:3000  checkout-bug$", line)
        monkeypatch.setattr("wsinspect.cli.output.prose_columns", lambda: 40)
        assert max(map(len, CliRunner().invoke(ps).stdout.splitlines())) <= 40
        monkeypatch.setattr("wsinspect.cli.output.prose_columns", lambda: None)
        assert CliRunner().invoke(ps).stdout.splitlines()[1].endswith(str(here))
    finally:
        run_file.close()


@pytest.mark.usefixtures("engine")
def test_ps_lists_an_engine():
    done = CliRunner().invoke(ps)
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["PID", "STARTED", "LISTENS", "ON", "CAPTURE"]
    assert "edge=127.0.0.1:81 to http://h:1, [::1]:82 (regular)" in lines[1]
    assert lines[1].endswith("/a␛[31m.db")
    done = CliRunner().invoke(ps, ["--json"])
    (found,) = json.loads(done.stdout)["engines"]
    assert found["pid"] == 4_000_000
    assert found["control"]["token_file"] == "/t"


@pytest.mark.parametrize("args", [[], ["--json"]])
def test_stop_says_what_it_stopped(args, engine, monkeypatch):
    signalled = []

    def kill(pid, number):
        signalled.append(pid)
        engine.close()

    monkeypatch.setattr("wsinspect.launch.engines.os.kill", kill)
    done = CliRunner().invoke(stop, args)
    assert done.exit_code == 0
    assert signalled == [4_000_000]
    if args:
        assert json.loads(done.stdout)["stopped"] == {"pid": 4_000_000, "capture": "/a\x1b[31m.db"}
    else:
        assert done.stdout == "stopped engine 4000000; its capture: /a␛[31m.db\n"


def test_stop_without_an_engine_is_wrong_usage():
    done = CliRunner().invoke(stop)
    assert isinstance(done.exception, UsageError)
