"""Starting the terminal program: on a capture, or on an engine that is started for it."""

from __future__ import annotations

import contextlib
import errno
import gc
import shlex
import signal
import sys
import termios
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from wsinspect.launch.browser.session import Visit, find_engine, open_browser, own_engine, run_file_of
from wsinspect.launch.captures import NOTHING_KEPT, discard_if_empty
from wsinspect.launch.child import Engine, EngineChild
from wsinspect.launch.interrupts import Ending
from wsinspect.launch.paths import own_command, spoken
from wsinspect.present.terminal import narration
from wsinspect.text import escape

#: Thresholds of the cycle collector once the screens are there (`gc.set_threshold`).
_COLLECTIONS: Final = (10_000, 10, 10)


class Voice:
    """Says lines: on the terminal, and through the screens while they are there, which would swallow them.

    Args:
        say: on the terminal.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def __call__(self, line: str) -> None:
        self._say(line)

    @contextlib.contextmanager
    def through(self, say: Callable[[str], None]) -> Iterator[None]:
        """Say it otherwise for a while."""
        before, self._say = self._say, say
        try:
            yield
        finally:
            self._say = before


def watch(
    path: Path,
    *,
    engine: Engine | None = None,
    gap_ns: int | None = None,
    is_ascii: bool = False,
    is_plain: bool = False,
    ending: Ending | None = None,
    voice: Voice | None = None,
) -> int:
    """Show a capture until the user leaves.

    Args:
        ending: where signals have gone so far; the screens take them over.
        voice: what is said by it meanwhile is shown by the screens.

    Returns:
        The exit code.

    Raises:
        Ended: a signal came before there was a screen.
        Exception: a bug of ours ended it; the terminal has been put back.
    """
    gc.disable()  # a start makes what stays: there is nothing to find among it
    from wsinspect.tui.app import InspectApp

    app = InspectApp(
        path,
        engine=engine,
        gap_ns=gap_ns,
        is_ascii=is_ascii,
        is_plain=is_plain,
        when_shown=_spare_collections,
        ending=ending,
    )
    if ending is not None:
        ending.check()
        ending.hand_over()
    shown = contextlib.nullcontext() if voice is None else voice.through(app.say_from_thread)
    try:
        with shown:
            result = app.run()
    finally:
        app.browsers.close()
        gc.enable()
    if app.failure is not None:
        raise app.failure
    return result or 0


def _spare_collections() -> None:
    """Keep Python's cycle collector short: screens stand still while it looks at what it looks at.

    What the start has made (some 100,000 objects, most of them Textual's) lives as long as the screens.
    """
    gc.freeze()
    gc.set_threshold(*_COLLECTIONS)
    gc.enable()


def watch_browser(visit: Visit) -> int:
    """Open a browser and show what it does: through a running proxy, else one that is started for it.

    Returns:
        The exit code, as `watch_engine` has it.

    Raises:
        WsinspectError: proxy or browser did not start.
    """
    voice = Voice(visit.say)
    visit = replace(visit, say=voice)
    found = None if visit.needs_own_engine else find_engine()
    if found is not None and found.capture is not None:
        with open_browser(visit, found):
            return watch(Path(found.capture), voice=voice)
    engine = own_engine(visit)
    return watch_engine(
        engine,
        keeps_empty=visit.capture is not None,
        meanwhile=lambda: open_browser(visit, run_file_of(engine)),
        voice=voice,
    )


def watch_engine(
    engine: EngineChild,
    *,
    gap_ns: int | None = None,
    is_ascii: bool = False,
    is_plain: bool = False,
    keeps_empty: bool = True,
    meanwhile: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext,
    voice: Voice | None = None,
) -> int:
    """Start an engine, show what it records, end it; a crash of the screens leaves it running.

    A signal ends it all in order whenever it comes: also before the screens are there, and after.

    Args:
        keeps_empty: whether a capture is kept in which nothing happened.
        meanwhile: what else lasts as long as the screens, entered once the engine runs.
        voice: by what it says something.

    Returns:
        The exit code: 0, or 3 when the capture is not complete.

    Raises:
        WsinspectError: the engine did not start.
    """
    ending = Ending()
    with ending.watched():
        try:
            _start(engine)
            ending.check()
            with meanwhile():
                watch(
                    engine.capture,
                    engine=engine,
                    gap_ns=gap_ns,
                    is_ascii=is_ascii,
                    is_plain=is_plain,
                    ending=ending,
                    voice=voice,
                )
        except KeyboardInterrupt:
            if not engine.ready:
                return 128 + (ending.number or signal.SIGINT)
        except BaseException:
            if not engine.ready or not _is_terminal_gone():
                if engine.ready and engine.is_alive:
                    _say(
                        f"the proxy is still running (process {engine.pid}): wsinspect open shows it, "
                        "wsinspect stop ends it"
                    )
                raise
            # Not our bug: the terminal was closed while something was drawn on it.
        ending.hand_over()
        return finish(engine, keeps_empty=keeps_empty)


def _start(engine: EngineChild) -> None:
    engine.start()
    for line in engine.warnings():
        _say(line)


def _is_terminal_gone() -> bool:
    """Whether the terminal has hung up."""
    try:
        termios.tcgetattr(sys.stdin)
    except termios.error as error:
        return bool(error.args[0] == errno.EIO)
    except (OSError, ValueError):
        return False
    return False


def finish(engine: EngineChild, *, keeps_empty: bool = True) -> int:
    """End the engine and say where its capture is."""
    capture = engine.capture
    is_complete = engine.stop()
    if not keeps_empty and is_complete and discard_if_empty(capture):
        _say(NOTHING_KEPT)
        return 0
    _say(f"recorded in {capture}; to view it again: {own_command()} open {shlex.quote(spoken(capture))}")
    if not is_complete:
        _say(f"the engine did not exit cleanly: {engine.last_words() or 'it was killed'}")
    return 0 if is_complete else 3


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # a closed terminal: nobody is left to notify
        print(narration(f"wsinspect: {escape(line)}"), file=sys.stderr, flush=True)
