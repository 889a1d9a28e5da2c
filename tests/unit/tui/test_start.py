"""Starting the screens on an engine: whatever ends them before they are drawn ends the engine, too."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.support.tui_captures import chat_capture
from wsinspect.launch.child import EngineChild
from wsinspect.tui import start

#: Ready at once, and ended by SIGTERM alone.
PROGRAM = """
import json, os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
fd = int(next(a for a in sys.argv if a.startswith('--ready-fd=')).partition('=')[2])
with open(fd, 'w') as pipe:
    print(json.dumps({'event': 'ready', 'listeners': []}), file=pipe, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_the_screens_are_there_ends_a_ready_engine(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Textual is imported after the engine is ready: on a busy machine that takes seconds."""
    engine = EngineChild([], tmp_path / "x.db", command=[], program=[sys.executable, "-c", PROGRAM])

    def interrupted(*_: object, **__: object) -> int:
        assert engine.is_alive
        os.kill(os.getpid(), number)
        return 0

    monkeypatch.setattr(start, "watch", interrupted)
    start.watch_engine(engine)
    assert not engine.is_alive


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_the_screens_are_made_ends_them_and_the_engine(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes inside a task of the event loop: raised there, it would end that task and nothing else."""
    from wsinspect.tui.app import InspectApp

    monkeypatch.setattr("textual.constants.DRIVER", "textual.drivers.headless_driver:HeadlessDriver")
    engine = EngineChild([], chat_capture(tmp_path / "x.db"), program=[sys.executable, "-c", PROGRAM])
    make = InspectApp.get_default_screen

    def interrupted(app: InspectApp) -> object:
        os.kill(os.getpid(), number)
        return make(app)

    monkeypatch.setattr(InspectApp, "get_default_screen", interrupted)
    try:
        start.watch_engine(engine)
    finally:
        gc.enable()
    assert not engine.is_alive


def test_a_bug_of_the_screens_leaves_the_engine_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = EngineChild([], tmp_path / "x.db", command=[], program=[sys.executable, "-c", PROGRAM])

    def broken(*_: object, **__: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(start, "watch", broken)
    monkeypatch.setattr(start, "_is_terminal_gone", lambda: False)
    with pytest.raises(ZeroDivisionError):
        start.watch_engine(engine)
    assert engine.is_alive
    assert "the proxy is still running" in capsys.readouterr().err
    engine.stop()


def test_the_cycle_collector_rests_while_the_screens_start_and_looks_seldom_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("textual.constants.DRIVER", "textual.drivers.headless_driver:HeadlessDriver")
    before, at_start = gc.get_threshold(), gc.get_freeze_count()
    seen: list[object] = []

    def leave() -> None:
        while not gc.isenabled():
            seen.append("rests")
            time.sleep(0.01)
        seen.append(gc.get_threshold())
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=leave)
    try:
        gc.disable()
        thread.start()
        start.watch(chat_capture(tmp_path / "chat.db"))
        thread.join()
        assert seen[0] == "rests"
        assert seen[-1] == (10_000, 10, 10)
        assert gc.get_freeze_count() > at_start + 10_000
        assert gc.isenabled()
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
        gc.enable()


def test_what_a_browser_says_meanwhile_goes_to_the_screens() -> None:
    terminal: list[str] = []
    screens: list[str] = []
    voice = start.Voice(terminal.append)
    voice("before")
    with voice.through(screens.append):
        voice("meanwhile")
    voice("after")
    assert (terminal, screens) == (["before", "after"], ["meanwhile"])
