"""A scenario played around a client: the proxy, the client's command, and their end.

Contract: whatever happens, command and proxy have ended when `play` returns or raises. The command is started
when the proxy listens, in a process group of its own, and ended with SIGTERM, later SIGKILL.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from wsinspect.capture.queries.clients import has_polls
from wsinspect.capture.reader import Capture
from wsinspect.capture.story import story
from wsinspect.clients.expectations import Expectation, Result
from wsinspect.clients.grading import Client
from wsinspect.diagnosis.checking import check_capture
from wsinspect.errors import CaptureError, LocalError
from wsinspect.faults.sessions import SessionBy
from wsinspect.launch.child import EngineChild
from wsinspect.launch.interrupts import held_signals
from wsinspect.net import Address
from wsinspect.recorder.opening import open_capture

#: How often the capture is read, and how often it is judged once the phases are over.
_LOOK_SECONDS: Final = 0.1
_JUDGE_SECONDS: Final = 0.5
_END_SECONDS: Final = 5.0
#: After the last phase, in addition to what the expectations allow.
_SETTLE_SECONDS: Final = 1.0
_SAMPLE_SECONDS: Final = 0.02
_MOST_NOISE_NS: Final = 500_000_000


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to play.

    Attributes:
        options: of the proxy: listener, target, scenario, seed.
        has_phases: whether the scenario ends by itself; without phases it ends with the command.
        command: the client's; empty where somebody starts one by hand.
        wait_seconds: for the first attempt of a client.
        settle_seconds: after the last phase, for expectations to come true; None: as long as they allow.
        env_proxy: also set HTTPS_PROXY and the variables that name a CA.
    """

    options: Sequence[str]
    capture: Path
    expectations: Sequence[Expectation]
    has_phases: bool
    command: Sequence[str] = ()
    wait_seconds: float = 30.0
    settle_seconds: float | None = None
    by: SessionBy | None = None
    env_proxy: bool = False
    certificate: Path | None = None


@dataclass(kw_only=True)
class Played:
    """What came of it.

    Attributes:
        results: empty where no client came.
        exit_code: of the command, where it ended by itself.
        has_client: whether anybody tried to connect.
    """

    clients: list[Client] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    exit_code: int | None = None
    has_client: bool = False

    @property
    def has_failed(self) -> bool:
        """Whether an expectation did not hold, no client came, or the command failed by itself."""
        return (
            not self.has_client or bool(self.exit_code) or any(one.held is not True for one in self.results)
        )


def play(plan: Plan, say: Callable[[str], None]) -> Played:
    """Play a scenario and judge it.

    Args:
        say: gets a line where somebody has to do something.

    Raises:
        LocalError: the command or the proxy could not be started.
    """
    if plan.command and shutil.which(plan.command[0]) is None:
        raise LocalError(_not_found(plan.command[0]))
    engine = EngineChild(plan.options, plan.capture)
    client: _Command | None = None
    played = Played()
    with _Lateness() as lateness:
        engine.start()
        try:
            url = _url(engine)
            if plan.command:
                client = _Command()
                client.start(plan.command, _environment(url, plan), url)
            else:
                say(f"waiting for a client: {url}")
            _wait(plan, engine, client, lateness)
            played.exit_code = client.exit_code if client is not None else None
        finally:
            # The proxy first: what the command does when it is ended is no answer to anything.
            try:
                engine.stop()
            finally:
                if client is not None:
                    client.end()
    with open_capture(plan.capture) as capture:
        played.clients, played.results = check_capture(
            capture, plan.expectations, plan.by, noise_ns=lateness.noise_ns
        )
    played.has_client = bool(played.clients)
    return played


def _url(engine: EngineChild) -> str:
    listener = engine.ready["listeners"][0]
    return f"ws://{Address(listener['host'], listener['port'])}"


def _wait(plan: Plan, engine: EngineChild, client: _Command | None, lateness: _Lateness) -> None:
    """Until the phases are over and all is judged, the command has ended, or nobody comes."""
    begun = time.monotonic()
    over: float | None = None
    judged = 0.0
    settle = plan.settle_seconds
    if settle is None:
        settle = max((one.longest_ns for one in plan.expectations), default=0) / 1e9 + _SETTLE_SECONDS
    has_client = False
    while engine.is_alive:
        is_over = client is not None and client.exit_code is not None
        now = time.monotonic()
        with contextlib.suppress(CaptureError), open_capture(plan.capture) as capture:
            has_client = has_client or bool(capture.connections(limit=1)) or has_polls(capture.query)
            if over is None and plan.has_phases and _is_over(capture):
                over = now
            if over is not None and now - judged > _JUDGE_SECONDS:
                judged = now
                _, results = check_capture(
                    capture, plan.expectations, plan.by, until_ns=time.time_ns(), noise_ns=lateness.noise_ns
                )
                if all(one.held for one in results) and has_client:
                    return
        if is_over or (over is not None and now - over > settle):
            return
        if not has_client and now - begun > plan.wait_seconds:
            return
        time.sleep(_LOOK_SECONDS)


def _is_over(capture: Capture) -> bool:
    done = story(capture)
    steps = done.steps if done is not None else ()
    return any(step.kind == "phase" and step.detail.get("phase") is None for step in steps)


def _environment(url: str, plan: Plan) -> dict[str, str]:
    """The variables of the command."""
    more: dict[str, str] = {"WSINSPECT_URL": url, "WSINSPECT_HTTP_URL": url.replace("ws", "http", 1)}
    if plan.env_proxy:
        proxy = url.replace("ws", "http", 1).rstrip("/")
        more |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), proxy)
        more |= {"NO_PROXY": "", "no_proxy": ""}
        more |= {"ws_proxy": proxy, "wss_proxy": proxy, "NODE_USE_ENV_PROXY": "1"}
        if plan.certificate is not None:
            names = ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
            more |= dict.fromkeys(names, str(plan.certificate))
    return {**os.environ, **more}


class _Command:
    """The client's command; known before it runs, so that an interrupt at its start finds it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._ended_by_us = False

    def start(self, command: Sequence[str], environment: Mapping[str, str], url: str) -> None:
        """Run it.

        Raises:
            LocalError: no process could be started.
        """
        with held_signals():
            try:
                # Its output is not ours: stdout is only for the results.
                self._process = subprocess.Popen(
                    [part.replace("{url}", url) for part in command],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=2,
                    start_new_session=True,
                )
            except OSError as error:
                raise LocalError(f"cannot start {command[0]}: {error.strerror}") from error

    @property
    def exit_code(self) -> int | None:
        """Of a command that ended by itself; None while it runs, and where we ended it."""
        return None if self._ended_by_us or self._process is None else self._process.poll()

    def end(self) -> None:
        """SIGTERM to all of its processes, SIGKILL to what is left."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            self._ended_by_us = True
        _signal_group(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _not_found(command: str) -> str:
    is_there = os.sep in command and Path(command).exists()
    return f"not an executable file: {command}" if is_there else f"command not found: {command}"


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


class _Lateness:
    """Measures how late timers are on this machine while something else is judged by time."""

    def __init__(self) -> None:
        self._late: list[int] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lateness", daemon=True)

    def __enter__(self) -> _Lateness:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()

    @property
    def noise_ns(self) -> int:
        """The lateness of all but the worst hundredth of timers, bounded."""
        found = sorted(self._late)
        worst = found[len(found) * 99 // 100] if found else 0
        return min(worst, _MOST_NOISE_NS)

    def _run(self) -> None:
        while True:
            begun = time.monotonic_ns()
            if self._is_over.wait(_SAMPLE_SECONDS):
                return
            self._late.append(max(0, time.monotonic_ns() - begun - int(_SAMPLE_SECONDS * 1e9)))
