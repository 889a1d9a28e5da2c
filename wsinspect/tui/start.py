"""Starting the terminal program: on a capture, or on an engine that is started for it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from wsinspect.text import escape
from wsinspect.tui.session import Engine, EngineProcess


def watch(
    path: Path, *, engine: Engine | None = None, gap_ns: int | None = None, is_ascii: bool = False
) -> int:
    """Show a capture until the user leaves.

    Returns:
        The exit code.

    Raises:
        Exception: a bug of ours ended it; the terminal has been put back.
    """
    from wsinspect.tui.app import InspectApp

    app = InspectApp(path, engine=engine, gap_ns=gap_ns, is_ascii=is_ascii)
    result = app.run()
    if app.failure is not None:
        raise app.failure
    return result or 0


def run_with_screen(options: Sequence[str], *, gap_ns: int | None = None, is_ascii: bool = False) -> int:
    """`wsinspect run` on a terminal: the engine as a child, and the screens on what it records.

    Returns:
        The exit code: 0, or 3 when the capture is not complete.

    Raises:
        WsinspectError: the engine did not start.
    """
    return watch_engine(EngineProcess(options), gap_ns=gap_ns, is_ascii=is_ascii)


def demo_with_screen(options: Sequence[str], capture: Path) -> int:
    """`wsinspect demo` on a terminal: all of it as a child, and the screens on what it records."""
    command = ("demo", "--headless", "--capture", str(capture))
    return watch_engine(EngineProcess(options, command=command, capture=capture))


def watch_engine(engine: EngineProcess, *, gap_ns: int | None = None, is_ascii: bool = False) -> int:
    """Start an engine, show what it records, end it; a crash of the screens leaves it running."""
    engine.start()
    for line in engine.warnings():
        _say(line)
    try:
        watch(engine.capture, engine=engine, gap_ns=gap_ns, is_ascii=is_ascii)
    except BaseException:
        if engine.is_alive:
            _say(f"the proxy goes on (process {engine.pid}): wsinspect open shows it, wsinspect stop ends it")
        raise
    return finish(engine)


def finish(engine: EngineProcess) -> int:
    """End the engine and say where its capture is."""
    capture = engine.capture
    is_complete = engine.stop()
    _say(f"recorded in {capture}; to look at it again: wsinspect open {shlex.quote(str(capture))}")
    if not is_complete:
        _say(f"the engine did not end well: {engine.last_words() or 'it was killed'}")
    return 0 if is_complete else 3


def _say(line: str) -> None:
    print(f"wsinspect: {escape(line)}", file=sys.stderr, flush=True)
