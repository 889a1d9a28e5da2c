"""A page opened once in a headless Chromium behind our proxy: what it said and which WebSockets it made.

Contract: the profile is new and thrown away; browser and proxy have ended when `visit_page` returns, also by
an interrupt.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from wsinspect.launch.browser.devtools import ConsoleLine, NoAnswerError, PageLog, Pipe, Socket
from wsinspect.launch.browser.profile import prepare_profile, throw_away_folder
from wsinspect.launch.browser.programs import Browser, Launch, command_line, is_root
from wsinspect.launch.browser.session import end_browser, environment_of
from wsinspect.launch.child import EngineChild
from wsinspect.launch.interrupts import held_signals
from wsinspect.launch.paths import ca_dir, ensure_private_dir
from wsinspect.net import Address
from wsinspect.proxy.authority import ensure_authority
from wsinspect.units import format_duration

#: How long a page is watched after it has made a WebSocket.
_AFTER_SECONDS: Final = 2.0
#: The proxy's own scan of the page ends this much before ours.
_LATE_SECONDS: Final = 2.0
#: A WebSocket that has begun may take this much more, until it opens or fails.
_BEGUN_SECONDS: Final = 5.0
_STEP_SECONDS: Final = 0.2
_START_SECONDS: Final = 20.0
_ENGINE_SECONDS: Final = 30.0
#: Headless, and without the switches that keep a page in the background from running its timers.
_HEADLESS: Final = ("--headless", "--disable-gpu", "--mute-audio", "--disable-extensions")


@dataclass(frozen=True, kw_only=True)
class PageVisit:
    """What to open.

    Attributes:
        wait_ns: how long a page may take to make its first WebSocket.
        engine_options: of `wsinspect run`.
        headers: to send with each request of the page; `cookies` for its site.
        trusted: certificate authorities to trust as well.
        is_insecure: accept every certificate. Both matter only where no proxy is started.
    """

    url: str
    browser: Browser
    wait_ns: int
    engine_options: Sequence[str] = ()
    headers: tuple[tuple[str, str], ...] = ()
    cookies: tuple[str, ...] = ()
    trusted: tuple[Path, ...] = ()
    is_insecure: bool = False
    watch: Callable[[str], None] = field(default=lambda words: None)


@dataclass(frozen=True, kw_only=True)
class Visited:
    """What a page did.

    Attributes:
        is_loaded: whether its load event came.
        error: why the page could not be opened, in Chromium's words.
        watched_ns: how long it was watched.
    """

    lines: tuple[ConsoleLine, ...] = ()
    sockets: tuple[Socket, ...] = ()
    is_loaded: bool = False
    error: str | None = None
    watched_ns: int = 0


def visit_page(visit: PageVisit, capture: Path) -> Visited:
    """Open the page through our proxy and watch it; the proxy records to `capture`.

    Raises:
        LocalError: the browser or the proxy could not be started.
    """
    wait = format_duration(visit.wait_ns)
    options = ["--quiet", "--listen=127.0.0.1:0", f"--page-wait={visit.wait_ns // 10**6}ms"]
    own = EngineChild([*options, *visit.engine_options], capture)
    with contextlib.ExitStack() as started:
        started.callback(lambda: own.stop(_ENGINE_SECONDS, kill=True))
        visit.watch("starting the proxy")
        own.spawn()
        own.wait_ready()
        listener = next(iter(own.ready["listeners"]))
        folder = started.enter_context(throw_away_folder(visit.browser))
        pipe = Pipe()
        started.callback(pipe.close)
        visit.watch(f"opening {visit.url} in {visit.browser.name}, for up to {wait}")
        _start(visit, Address(listener["host"], listener["port"]), folder, pipe, started)
        return _watch(visit, pipe)


def visit_directly(visit: PageVisit) -> Visited:
    """Open the page without our proxy, as a visitor's browser would, and watch it.

    Raises:
        LocalError: the browser could not be started.
    """
    with contextlib.ExitStack() as started:
        folder = started.enter_context(throw_away_folder(visit.browser))
        pipe = Pipe()
        started.callback(pipe.close)
        visit.watch(f"opening {visit.url} once more, without the proxy")
        _start(visit, None, folder, pipe, started)
        return _watch(visit, pipe)


def _start(
    visit: PageVisit, proxy: Address | None, folder: Path, pipe: Pipe, started: contextlib.ExitStack
) -> None:
    profile = folder / "profile"
    if proxy is None:
        profile.mkdir(mode=0o700)
        arguments = [*_HEADLESS, *(["--ignore-certificate-errors"] if visit.is_insecure else [])]
        keys = [key for file in visit.trusted for key in _spki_sha256(file)]
        launch = Launch(profile, None, ",".join(keys), None, arguments)
    else:
        authority = ensure_authority(ensure_private_dir(ca_dir()))
        prepare_profile(visit.browser, profile, proxy, authority.certificate)
        launch = Launch(profile, str(proxy), authority.spki_sha256, None, _HEADLESS)
    command = pipe.command(command_line(visit.browser, launch, is_root=is_root()))
    with (folder / "browser.log").open("wb") as log, held_signals():
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            env=environment_of(folder),
            start_new_session=True,
            pass_fds=pipe.inherited,
        )
        started.callback(end_browser, process)
    pipe.close_inherited()


def _spki_sha256(file: Path) -> list[str]:
    """The public keys of a PEM file's certificates, as Chromium takes them."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    keys = [one.public_key() for one in x509.load_pem_x509_certificates(file.read_bytes())]
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    return [base64.b64encode(hashlib.sha256(key.public_bytes(*form)).digest()).decode() for key in keys]


def _watch(visit: PageVisit, pipe: Pipe) -> Visited:
    log = PageLog()
    target = pipe.ask("Target.createTarget", seconds=_START_SECONDS, url="about:blank").get("targetId")
    session = str(pipe.ask("Target.attachToTarget", targetId=target, flatten=True).get("sessionId"))
    for domain in ("Runtime", "Log", "Network", "Page"):
        pipe.ask(f"{domain}.enable", session, take=log.take)
    # Frames of other sites and workers are sessions of their own; they are let run at once.
    nested: dict[str, Any] = {"autoAttach": True, "waitForDebuggerOnStart": False, "flatten": True}
    pipe.ask("Target.setAutoAttach", session, take=log.take, **nested)
    if visit.headers:
        pipe.ask("Network.setExtraHTTPHeaders", session, headers=dict(visit.headers))
    for name, _, value in (one.strip().partition("=") for c in visit.cookies for one in c.split(";")):
        pipe.ask("Network.setCookie", session, name=name, value=value, url=visit.url)
    wait = visit.wait_ns / 1e9
    try:
        found = pipe.ask(
            "Page.navigate", session, take=log.take, seconds=wait + _START_SECONDS, url=visit.url
        )
    except NoAnswerError:
        return Visited(lines=log.lines, sockets=log.sockets, error="its server did not answer")
    if found.get("errorText"):
        return Visited(lines=log.lines, sockets=log.sockets, error=str(found["errorText"])[:200])
    begin = time.monotonic()
    last_made: float | None = None
    loaded: float | None = None
    while True:
        made = log.made
        for event in pipe.messages(time.monotonic() + _STEP_SECONDS):
            if event.get("method") == "Target.attachedToTarget":
                inner = str(event.get("params", {}).get("sessionId"))
                for domain in ("Runtime", "Log", "Network"):
                    pipe.send(f"{domain}.enable", inner)
            log.take(event)
        now = time.monotonic()
        if log.made > made:
            last_made = now
        if log.is_loaded and loaded is None:
            loaded = now
        if now >= _end_of_watch(begin, wait, loaded, last_made, is_connecting=log.is_connecting):
            return Visited(
                lines=log.lines,
                sockets=log.sockets,
                is_loaded=log.is_loaded,
                watched_ns=round((now - begin) * 1e9),
            )


def _end_of_watch(
    begin: float, wait: float, loaded: float | None, last_made: float | None, *, is_connecting: bool
) -> float:
    """When nothing more is waited for, in seconds of the monotonic clock.

    Args:
        loaded, last_made: when the page had loaded, and when it last made a WebSocket.
        is_connecting: whether one has begun that has neither opened nor failed.
    """
    # A page that is still loading when its time is over gets as much again; its scripts may come last.
    end = begin + 2 * wait if loaded is None else max(begin + wait, min(loaded, begin + 2 * wait))
    end += _LATE_SECONDS
    if last_made is None:
        return end
    if is_connecting:  # a page that makes one after the other has an end, too
        return min(last_made, end) + _BEGUN_SECONDS
    return min(end, last_made + _AFTER_SECONDS)


__all__ = ["PageVisit", "Visited", "visit_directly", "visit_page"]
