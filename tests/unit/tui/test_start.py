"""Starting the screens on an engine: whatever ends them before they are drawn ends the engine, too."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

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
