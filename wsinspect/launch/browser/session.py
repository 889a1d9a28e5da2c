"""One run of a browser: the proxy it uses, the browser itself, and the end of all that was started.

Contract: uses the newest live engine with a listener that a browser can take for its proxy, else starts one,
in a process group of its own. When the browser is closed, or on SIGINT, SIGTERM and SIGHUP, everything that
was started here has ended and the profile is gone before `browse` returns; an engine found running goes on.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wsinspect.errors import LocalError
from wsinspect.launch.browser.profile import prepare_profile, throw_away_folder
from wsinspect.launch.browser.programs import Browser, Family, Launch, command_line, is_root
from wsinspect.launch.engines import EngineInfo, list_engines
from wsinspect.launch.interrupts import Interrupts
from wsinspect.launch.paths import ca_dir, ensure_private_dir
from wsinspect.net import Address
from wsinspect.proxy.authority import ensure_authority

START_SECONDS = 30.0
#: For a browser to close its windows, and for an engine to finish its capture.
BROWSER_SECONDS, ENGINE_SECONDS = 5.0, 30.0
_POLL_SECONDS = 0.05
#: What of a failing browser's last words fits into a line.
_REASON_CHARACTERS = 300
_CLOSED = (0, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP, -signal.SIGKILL)
_ERROR = re.compile("error|fatal", re.IGNORECASE)
#: "[4711:4711:1121/015209.719643:ERROR:ui/env.cc:253] " before Chromium's words.
_LOG_PREFIX = re.compile(r"^\[[^\]]*\] ")


@dataclass(frozen=True)
class Visit:
    """What `wsinspect browser` was told.

    Attributes:
        engine_options: of `wsinspect run`, for an engine that is started here.
        needs_own_engine: start one even if another runs.
        say: tells the user one line.
    """

    browser: Browser
    url: str | None = None
    arguments: Sequence[str] = ()
    engine_options: Sequence[str] = ()
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
    interrupts = Interrupts()
    with interrupts.watched(), contextlib.ExitStack() as started:
        found = None if visit.needs_own_engine else find_engine()
        own: OwnEngine | None = None
        if found is None:
            with interrupts.held():
                own = OwnEngine.start(visit.engine_options)
                started.callback(own.stop, visit.say)
            found = own.wait_ready()
            own.capture = found.capture
        else:
            visit.say(f"uses the proxy of engine {found.pid}, which records to {found.capture}")
        with interrupts.held():
            folder = started.enter_context(throw_away_folder(visit.browser))
            process = _open_browser(visit, found, folder)
            started.callback(_end_browser, process)
        _stay(process, own, visit.say)
        _judge(visit.browser, process, folder / "browser.log")
    return own.exit_code if own else 0


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


class OwnEngine:
    """An engine that lives as long as the browser; it narrates on our stdout and stderr."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.exit_code = 0
        self.capture: str | None = None

    @classmethod
    def start(cls, options: Sequence[str]) -> OwnEngine:
        command = [sys.executable, "-m", "wsinspect", "run", "--headless", "-q", "--listen=127.0.0.1:0"]
        return cls(subprocess.Popen([*command, *options], stdin=subprocess.DEVNULL, start_new_session=True))

    def wait_ready(self) -> EngineInfo:
        """Its run file, once it is there.

        Raises:
            LocalError: it ended (and said why on stderr) or says nothing.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            for engine in list_engines():
                if engine.pid == self.process.pid and engine.listeners:
                    return engine
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self.process.wait(_POLL_SECONDS)
                raise LocalError(f"the proxy did not start (exit code {code}, see the line above)")
        raise LocalError(f"the proxy did not start within {START_SECONDS:g} s")

    def stop(self, say: Callable[[str], None]) -> None:
        """End it as an interrupt would, let it finish its capture, and say where that is."""
        self.exit_code = _end(self.process, signal.SIGINT, ENGINE_SECONDS)
        if self.capture:
            say(f"recorded in {self.capture}; to look at it: wsinspect show {shlex.quote(self.capture)}")


def _open_browser(visit: Visit, engine: EngineInfo, folder: Path) -> subprocess.Popen[bytes]:
    browser = visit.browser
    address = proxy_address(engine)
    assert address is not None
    place = Path(engine.ca_dir) if engine.ca_dir else ensure_private_dir(ca_dir())
    authority = ensure_authority(place)
    profile = folder / "profile"
    prepare_profile(browser, profile, address, authority.certificate)
    proxy = str(Address(*address))
    launch = Launch(profile, proxy, authority.spki_sha256, visit.url, visit.arguments)
    visit.say(f"opens {browser.program} with a throw-away profile, proxied by {proxy}")
    if browser.family is Family.CHROMIUM and is_root():
        visit.say(
            "runs the browser without its sandbox, which does not work for root: visit only what you trust"
        )
    with (folder / "browser.log").open("wb") as log:
        try:
            return subprocess.Popen(
                command_line(browser, launch, is_root=is_root()),
                stdin=subprocess.DEVNULL,
                stderr=log,
                env=_environment(folder),
                start_new_session=True,
            )
        except OSError as error:
            raise LocalError(f"cannot start {browser.program}: {error.strerror}") from error


def _environment(folder: Path) -> dict[str, str]:
    """Ours, with temporary files in the folder that is thrown away."""
    place = folder / "t"
    place.mkdir(mode=0o700)
    return {**os.environ, "TMPDIR": str(place)}


def _stay(process: subprocess.Popen[bytes], own: OwnEngine | None, say: Callable[[str], None]) -> None:
    """Until the browser has ended; an engine that ends before it is told once."""
    told = own is None
    while True:
        try:
            process.wait(None if told else 0.5)
            return
        except subprocess.TimeoutExpired:
            if own and own.process.poll() is not None:
                told = True
                say("the proxy has ended: the browser reaches nothing any more")


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


def _end_browser(process: subprocess.Popen[bytes]) -> None:
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


__all__ = ["Visit", "browse", "find_engine", "proxy_address"]
