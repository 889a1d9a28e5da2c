"""The engine as a child: ready by its event alone, its own words as the error, nothing left behind."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from wsinspect.errors import LocalError, UsageError
from wsinspect.journal.format import RECORDER_LOCK, JournalLock, journal_directory
from wsinspect.launch import child as child_module
from wsinspect.launch.child import EngineChild
from wsinspect.launch.engines import list_engines
from wsinspect.launch.interrupts import held_signals

#: What a program does that says it is ready.
READY = (
    "import json, os, sys",
    "fd = int(next(a for a in sys.argv if a.startswith('--ready-fd=')).partition('=')[2])",
    "pipe = open(fd, 'w')",
    "print(json.dumps({'event': 'ready', 'listeners': []}), file=pipe, flush=True)",
    "pipe.close()",
)


def child(*code: str, capture: Path = Path("/nowhere/x.db"), can_restart: bool = True) -> EngineChild:
    program = [sys.executable, "-c", "\n".join(code)]
    return EngineChild([], capture, command=[], program=program, can_restart=can_restart)


def has_ended(pid: int | None) -> bool:
    assert pid is not None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_the_ready_event_makes_it_ready_and_sigterm_ends_it(tmp_path):
    engine = child(
        "import signal, sys",
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))",
        *READY,
        "signal.pause()",
        capture=tmp_path / "x.db",
    )
    engine.start()
    assert engine.ready == {"event": "ready", "listeners": []}
    assert engine.is_alive
    assert engine.stop()
    assert engine.exit_code == 0
    assert has_ended(engine.pid)
    assert not engine.has_failed


def test_what_a_failing_engine_says_is_the_error():
    engine = child("import sys", "print('wsinspect: port 8080 is taken', file=sys.stderr)", "sys.exit(3)")
    with pytest.raises(LocalError, match=r"^port 8080 is taken$"):
        engine.start()
    with pytest.raises(UsageError, match="exit code 2"):
        child("import sys; sys.exit(2)").start()


@pytest.mark.parametrize("said", ["", "no JSON\n", '{"event": "other"}\n', "[1]\n", '{"event": "re'])
def test_a_pipe_that_closes_without_the_event_is_a_failed_start(said):
    engine = child(
        READY[0], READY[1], f"os.write(fd, {said!r}.encode())", "os.close(fd)", "import time; time.sleep(60)"
    )
    with pytest.raises(LocalError, match="the proxy did not start"):
        engine.start()
    assert has_ended(engine.pid)


def test_an_engine_that_stays_silent_is_ended(monkeypatch):
    monkeypatch.setattr(child_module, "START_SECONDS", 0.2)
    engine = child("import time", "time.sleep(60)")
    with pytest.raises(LocalError, match=r"did not start within 200 ms"):
        engine.start()
    assert has_ended(engine.pid)


def test_a_program_that_is_not_there_is_a_local_error():
    with pytest.raises(LocalError, match="cannot start /nowhere/program"):
        EngineChild([], Path("x.db"), program=["/nowhere/program"]).start()


def test_an_interrupt_while_it_starts_leaves_no_process():
    engine = child("import time", "time.sleep(60)")
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        engine.start()
    assert has_ended(engine.pid)


def test_a_signal_between_starting_a_process_and_knowing_of_it_waits():
    came = []

    def start() -> None:
        with held_signals():
            os.kill(os.getpid(), signal.SIGINT)
            came.append("after the signal")
        came.append("not reached")

    with pytest.raises(KeyboardInterrupt):
        start()
    assert came == ["after the signal"]


def test_a_killed_engine_is_named_by_its_signal():
    engine = child(*READY, "import signal", "os.kill(os.getpid(), signal.SIGKILL)")
    engine.start()
    while engine.is_alive:  # it kills itself; the test's own limit bounds this
        time.sleep(0.01)
    assert not engine.stop()
    assert engine.last_words() == "killed by SIGKILL"
    assert engine.has_failed


def test_what_does_not_end_is_killed_only_where_that_is_asked():
    engine = child("import signal", "signal.signal(signal.SIGTERM, signal.SIG_IGN)", *READY, "signal.pause()")
    engine.start()
    assert not engine.stop(0.1)
    assert engine.is_alive
    assert not engine.stop(0.1, kill=True)
    assert has_ended(engine.pid)


def test_lines_before_and_after_ready_are_separated(tmp_path):
    started = tmp_path / "started"
    engine = child(
        "import pathlib, sys, time",
        "print('wsinspect: 3 captures of earlier runs', file=sys.stderr, flush=True)",
        "time.sleep(0.3)",
        *READY,
        f"while not pathlib.Path({str(started)!r}).exists(): time.sleep(0.01)",
        "print('wsinspect: cannot store the traffic', file=sys.stderr, flush=True)",
        "time.sleep(60)",
    )
    engine.start()
    assert engine.warnings() == ["3 captures of earlier runs"]
    started.touch()
    while not engine.warning():  # the test's own limit bounds this
        time.sleep(0.01)
    assert engine.warning() == "cannot store the traffic"
    engine.stop()


def test_a_restart_waits_for_what_the_recorder_of_a_killed_engine_still_does(tmp_path, monkeypatch):
    capture = tmp_path / "x.db"
    journal_directory(capture).mkdir()
    engine = child(
        "import pathlib, sys",
        "from wsinspect.journal.format import is_in_use",
        f"if '--append' in sys.argv and is_in_use(pathlib.Path({str(capture)!r})): sys.exit('it is in use')",
        *READY,
        capture=capture,
    )
    engine.start()
    engine.stop()
    recorder = JournalLock(journal_directory(capture), RECORDER_LOCK)
    monkeypatch.setattr(child_module, "_DRAIN_SECONDS", 0.0)
    with pytest.raises(LocalError, match="it is in use"):
        engine.restart()
    assert engine.ready
    monkeypatch.undo()
    monkeypatch.setattr(time, "sleep", lambda seconds: recorder.release())
    engine.restart()
    engine.stop()


def test_a_demo_is_not_started_again_and_ends_well_by_an_interruption():
    engine = child(
        "import signal, sys",
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))",
        *READY,
        "signal.pause()",
        can_restart=False,
    )
    engine.start()
    with pytest.raises(UsageError, match="demo"):
        engine.restart()
    assert engine.stop()
    assert not engine.has_failed


@pytest.mark.slow
def test_a_real_engine_is_ready_with_its_listeners_and_run_file(tmp_path, monkeypatch):
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME"):
        (tmp_path / name).mkdir(mode=0o700)
        monkeypatch.setenv(name, str(tmp_path / name))
    engine = EngineChild(["--listen", "0"], tmp_path / "x.db")
    engine.start()
    try:
        assert engine.ready["listeners"][0]["port"] > 0
        assert engine.ready["capture"] == str(tmp_path / "x.db")
        assert [one.pid for one in list_engines()] == [engine.pid]
    finally:
        assert engine.stop()
