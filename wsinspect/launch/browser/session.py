"""One run of a browser: the proxy it uses, the browser itself, and the end of all that was started.

Contract: uses the newest live engine with a listener that a browser can take for its proxy, else starts one,
in a process group of its own. When the browser is closed, or on SIGINT, SIGTERM and SIGHUP, everything that
was started here has ended and the profile is gone before `browse` returns; an engine that was found stays.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wsinspect.errors import LocalError
from wsinspect.launch.browser.profile import prepare_profile, throw_away_folder
from wsinspect.launch.browser.programs import Browser, Family, Launch, command_line, find_browser, is_root
from wsinspect.launch.captures import NOTHING_KEPT, discard_if_empty
from wsinspect.launch.child import EngineChild
from wsinspect.launch.engines import EngineInfo, clients_of, list_engines
from wsinspect.launch.interrupts import held_signals, one_interrupt
from wsinspect.launch.paths import ca_dir, ensure_private_dir, new_capture_path
from wsinspect.net import Address
from wsinspect.proxy.authority import ensure_authority
from wsinspect.units import SECOND, format_duration

#: Time for a browser to close its windows, and for an engine to finish its capture.
BROWSER_SECONDS, ENGINE_SECONDS = 5.0, 30.0
_POLL_SECONDS = 0.05
#: A browser that cannot run here (no display) says so in this time.
_EARLY_SECONDS = 1.0
#: The first request of a browser with a window comes in this time, on a slow machine too.
_FIRST_SECONDS = 15.0
#: The page of the proxy itself: it says that the browser uses it, and what to do next.
_WELCOME = "http://mitm.it/"
#: Characters of a failing browser's last message that fit into a line.
_REASON_CHARACTERS = 300
_CLOSED = (0, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP, -signal.SIGKILL)
_ERROR = re.compile("error|fatal", re.IGNORECASE)
#: "[4711:4711:1121/015209.719643:ERROR:ui/env.cc:253] " before Chromium's words.
_LOG_PREFIX = re.compile(r"^\[[^\]]*\] ")


@dataclass(frozen=True)
class Visit:
    """What to open, and with which proxy.

    Attributes:
        engine_options: of `wsinspect run`, for an engine that is started here.
        capture: the file that such an engine records to; None for a new one.
        needs_own_engine: start one even if another runs.
        say: tells the user one line.
    """

    browser: Browser
    url: str | None = None
    arguments: Sequence[str] = ()
    engine_options: Sequence[str] = ()
    capture: Path | None = None
    needs_own_engine: bool = False
    say: Callable[[str], None] = field(default=lambda line: None)


def browse(visit: Visit) -> int:
    """Open the browser and stay until it is closed.

    Returns:
        The exit code: 0, or an engine's own when the one that was started here failed at its end.

    Raises:
        KeyboardInterrupt: a signal ended it.
        LocalError: something could not be started, or the browser failed.
    """
    with one_interrupt(), contextlib.ExitStack() as started:
        found = None if visit.needs_own_engine else find_engine()
        own: EngineChild | None = None
        if found is None:
            own = _own_engine(visit)
            started.callback(_end_engine, own, visit)
            own.spawn()
            own.wait_ready()
            found = run_file_of(own)
        else:
            visit.say(f"uses the proxy of engine {found.pid}, which records to {found.capture}")
        folder = started.enter_context(throw_away_folder(visit.browser))
        process = _open_browser(visit, found, folder, started)
        _stay(process, own, visit.say)
        _judge(visit.browser, process, folder / "browser.log")
    return (own.exit_code or 0) if own else 0


@contextlib.contextmanager
def open_browser(visit: Visit, engine: EngineInfo) -> Iterator[subprocess.Popen[bytes]]:
    """A browser that uses an engine while something else is shown; it is closed at the end.

    One that fails later is reported by `visit.say`, from a thread: Chromium may look for a display first. So
    is one that lives and has asked the proxy for nothing after a while.

    Raises:
        LocalError: it could not be started, or ended at once.
    """
    with contextlib.ExitStack() as started:
        folder = started.enter_context(throw_away_folder(visit.browser))
        before = clients_of(engine) if visit.url else None  # a blank page asks for nothing
        process = _open_browser(visit, engine, folder, started)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_EARLY_SECONDS)
            _judge(visit.browser, process, folder / "browser.log")
        is_ended = threading.Event()
        watcher = threading.Thread(
            target=_report,
            args=(visit, process, folder / "browser.log", is_ended, lambda: clients_of(engine), before),
            daemon=True,
        )
        watcher.start()
        try:
            yield process
        finally:
            is_ended.set()
            end_browser(process)
            watcher.join()  # it reads a file of the folder that is thrown away now


def _report(
    visit: Visit,
    process: subprocess.Popen[bytes],
    log: Path,
    is_ended: threading.Event,
    clients: Callable[[], int | None],
    before: int | None,
) -> None:
    """Wait for a browser, and say why it failed, unless it was ended from here.

    Args:
        clients: counts the connections that the proxy has had.
        before: how many there were without the browser; None where nothing is known or expected.
    """
    if before is not None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_FIRST_SECONDS)
        if process.returncode is None and not is_ended.is_set() and clients() == before:
            visit.say(_no_request(visit.browser))
    process.wait()
    if is_ended.is_set():
        return
    try:
        _judge(visit.browser, process, log)
    except LocalError as error:
        visit.say(f"{error.message}{f' ({error.hint})' if error.hint else ''}")


def _no_request(browser: Browser) -> str:
    """What to do about a browser that runs and asks for nothing."""
    words = (
        f"{browser.name} runs, but has requested nothing in {format_duration(round(_FIRST_SECONDS * SECOND))}"
    )
    shown = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
    where = f" on display {shown}" if shown else ""
    if sys.platform.startswith("linux") and not shown:
        where = " (no display is set)"
    return f"{words}: look for its window{where}; without one: wsinspect browser URL -- --headless"


def open_for_capture(
    capture: Path, say: Callable[[str], None]
) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    """`open_browser` with the browser that is found, and the engine that records to a capture.

    Raises:
        LocalError: there is no such engine that can be a browser's proxy, or no browser.
    """
    here = os.path.realpath(capture)
    engines = [one for one in list_engines() if one.capture and os.path.realpath(one.capture) == here]
    found = next((one for one in engines if proxy_address(one) is not None), None)
    if found is None:
        raise LocalError("this capture has no running HTTP proxy; wsinspect browser URL starts one")
    return open_browser(Visit(browser=find_browser(None), url=_WELCOME, say=say), found)


def own_engine(visit: Visit) -> EngineChild:
    """An engine for one browser, not started yet; it is quiet, because something else is shown."""
    capture = visit.capture or new_capture_path()
    return EngineChild(["--quiet", "--listen=127.0.0.1:0", *visit.engine_options], capture.absolute())


def find_engine() -> EngineInfo | None:
    """The newest engine that can be a browser's proxy."""
    return next((engine for engine in reversed(list_engines()) if proxy_address(engine)), None)


def proxy_address(engine: EngineInfo) -> tuple[str, int] | None:
    """Where a browser reaches an engine's regular (or upstream) proxy; None if it has none."""
    for listener in engine.listeners:
        mode = str(listener.get("mode"))
        if (mode == "regular" or mode.startswith("upstream:")) and listener.get("port"):
            host = str(listener["host"])
            reachable = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)
            return reachable, int(listener["port"])
    return None


def _own_engine(visit: Visit) -> EngineChild:
    """An engine that lives as long as the browser; it writes to our stdout and stderr."""
    capture = visit.capture or new_capture_path()
    options = ["--quiet", "--listen=127.0.0.1:0", *visit.engine_options]
    return EngineChild(options, capture.absolute(), speaks=True)


def run_file_of(own: EngineChild) -> EngineInfo:
    """What its run file says, which is there before an engine is ready."""
    found = next((engine for engine in list_engines() if engine.pid == own.pid), None)
    if found is None:
        raise LocalError("the proxy exited right after it had started")
    return found


def _end_engine(own: EngineChild, visit: Visit) -> None:
    """Let it finish its capture, and say where that is."""
    is_complete, say = own.stop(ENGINE_SECONDS, kill=True), visit.say
    if own.ready and is_complete and visit.capture is None and discard_if_empty(own.capture):
        say(NOTHING_KEPT)
    elif own.ready:
        place = str(own.capture)
        say(f"recorded in {place}; to view it: wsinspect show {shlex.quote(place)}")


def _open_browser(
    visit: Visit, engine: EngineInfo, folder: Path, started: contextlib.ExitStack
) -> subprocess.Popen[bytes]:
    browser = visit.browser
    address = proxy_address(engine)
    assert address is not None
    place = Path(engine.ca_dir) if engine.ca_dir else ensure_private_dir(ca_dir())
    authority = ensure_authority(place)
    profile = folder / "profile"
    prepare_profile(browser, profile, address, authority.certificate)
    proxy = str(Address(*address))
    launch = Launch(profile, proxy, authority.spki_sha256, visit.url, visit.arguments)
    visit.say(f"opens {browser.program} with a temporary profile, proxied by {proxy}")
    if browser.family is Family.CHROMIUM and is_root():
        visit.say(
            "runs the browser without its sandbox, which does not work for root: visit only sites you trust"
        )
    command = command_line(browser, launch, is_root=is_root())
    environment = environment_of(folder)
    with (folder / "browser.log").open("wb") as log, held_signals():
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stderr=log, env=environment, start_new_session=True
            )
        except OSError as error:
            raise LocalError(f"cannot start {browser.program}: {error.strerror}") from error
        started.callback(end_browser, process)
    return process


def environment_of(folder: Path) -> dict[str, str]:
    """Ours, with temporary files in the folder that is thrown away."""
    place = folder / "t"
    place.mkdir(mode=0o700)
    return {**os.environ, "TMPDIR": str(place)}


def _stay(process: subprocess.Popen[bytes], own: EngineChild | None, say: Callable[[str], None]) -> None:
    """Until the browser has ended; an engine that ends before it is reported once."""
    is_said = own is None
    while True:
        try:
            process.wait(None if is_said else 0.5)
            return
        except subprocess.TimeoutExpired:
            if own and not own.is_alive:
                is_said = True
                say("the proxy has exited: the browser cannot reach anything")


def _judge(browser: Browser, process: subprocess.Popen[bytes], log: Path) -> None:
    """A browser that was closed is fine, by whatever signal; one that failed says why in its log."""
    if process.returncode in _CLOSED:
        return
    reason = _last_words(log.read_text("utf-8", "replace"))
    hint = ""
    has_display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform.startswith("linux") and not has_display:
        hint = "there is no display; try: wsinspect browser URL -- --headless"
    raise LocalError(f"{browser.name} ended with exit code {process.returncode}: {reason}", hint=hint)


def _last_words(log: str) -> str:
    """The line that is most likely to say why: the first error that is not about the desktop's bus."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR.search(line) and "dbus" not in line]
    reason = _LOG_PREFIX.sub("", "".join(errors[:1] or lines[-1:]))
    return reason[:_REASON_CHARACTERS] or "it said nothing"


def end_browser(process: subprocess.Popen[bytes]) -> None:
    """End a browser and the processes that it left in its group.

    Its first process is asked alone: it ends the others itself and tidies up. A script that only waits for
    the browser does not, so the group is asked next.
    """
    _end(process, signal.SIGTERM, BROWSER_SECONDS)
    deadline = time.monotonic() + BROWSER_SECONDS
    number: int = signal.SIGTERM
    while _signal_group(process.pid, number):
        time.sleep(_POLL_SECONDS)
        number = signal.SIGKILL if time.monotonic() > deadline else 0


def _signal_group(group: int, number: int) -> bool:
    """Send a signal to a process group (0: only look); False when that ends the matter."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return number != signal.SIGKILL


def _end(process: subprocess.Popen[bytes], number: int, patience: float) -> int:
    """Ask a child to end, and end it when it does not; its exit code."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        return process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


__all__ = [
    "Visit",
    "browse",
    "find_engine",
    "open_browser",
    "open_for_capture",
    "own_engine",
    "proxy_address",
    "run_file_of",
]
