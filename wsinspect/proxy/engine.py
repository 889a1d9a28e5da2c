"""One running proxy: mitmproxy's master with our taps, a journal and a recorder.

Order of a start: capture and journal, listeners, recorder, run file, `ready`. Order of an end: stop
listening, end what is open, close the journal, let the recorder finish, remove the run file. Whatever fails
at a start is a `WsinspectError` of one line, and leaves nothing running.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import platform
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mitmproxy import exceptions, options
from mitmproxy import master as mitmproxy_master
from mitmproxy import version as mitmproxy_version
from mitmproxy.addons import core, next_layer, proxyauth, proxyserver, tlsconfig, upstream_auth

import wsinspect
from wsinspect.capture.journal import JournalWriter
from wsinspect.capture.prepare import PreparedCapture, prepare_capture
from wsinspect.errors import UsageError, WsinspectError
from wsinspect.proxy import seams
from wsinspect.proxy.attempts import AttemptLog
from wsinspect.proxy.clock import Clock
from wsinspect.proxy.listening import choose_ports, explain_listen_error, listener_facts
from wsinspect.proxy.recording import Narration, Recorder
from wsinspect.proxy.relay import RelayLayer
from wsinspect.proxy.taps import Tap, Taps

#: How long open connections may take to end when the engine does.
CLOSING_SECONDS = 2.0
#: After this long, an end that has much to index says so, and a second signal leaves that to the next reader.
PATIENCE_SECONDS = 2.0
#: How often the wall clock is compared with ours.
WALL_CHECK_SECONDS = 5.0

#: What the engine changes on the path of every connection, whatever it relays (goes into `meta`).
CHANGES = (
    "TLS is terminated: each side sees this proxy's TLS stack, and the client this proxy's certificate",
    "regular mode: the request target is sent in origin form (RFC 9112 section 3.2.1)",
)


class Registration(Protocol):
    """How others find this engine (`launch.engines.RunFile`)."""

    @property
    def path(self) -> Path | None: ...

    def close(self) -> None: ...


class Unregistered:
    """An engine that nobody is to find."""

    path: Path | None = None

    def close(self) -> None:
        return


@dataclass
class EngineOptions:
    """What `wsinspect run` was told.

    Attributes:
        taps: at least one; port 0 means any free port.
        capture: the capture file; must not exist unless `append`.
        snaplen: bytes of each payload to keep; None keeps all.
        settings: mitmproxy's own options as "name=value".
        ignore_hosts: regular expressions; a connection to a matching "host:port" is passed through unread.
        narration: the lines that the recorder prints on stdout.
        register: makes this engine known (the run file), given its listeners; undone by `close`.
        on_ready: called once with the `ready` event's facts.
        warn: tells the user one line.
    """

    taps: Sequence[Tap]
    capture: Path
    ca_dir: Path
    append: bool = False
    snaplen: int | None = None
    insecure: bool = False
    settings: Sequence[str] = ()
    ignore_hosts: Sequence[str] = ()
    narration: Narration = field(default_factory=Narration)
    may_splice: bool = True
    register: Callable[[list[dict[str, Any]]], Registration] = lambda listeners: Unregistered()
    on_ready: Callable[[dict[str, Any]], None] = lambda facts: None
    warn: Callable[[str], None] = lambda line: None


class EngineMaster(mitmproxy_master.Master):
    """mitmproxy's master with the addons a proxy needs, and none that keeps or edits flows."""

    def __init__(self, opts: options.Options, on_running: Callable[[], None]) -> None:
        super().__init__(opts)
        self._on_running = on_running
        self.proxyserver = proxyserver.Proxyserver()
        self.addons.add(
            core.Core(),
            proxyauth.ProxyAuth(),
            self.proxyserver,
            next_layer.NextLayer(),
            tlsconfig.TlsConfig(),
            upstream_auth.UpstreamAuth(),
        )

    async def running(self) -> None:
        await super().running()
        self._on_running()


def run_engine(engine_options: EngineOptions) -> int:
    """Run until SIGINT, SIGTERM or SIGHUP.

    Returns:
        The exit code: 0, or 3 when the capture could not be completed (what is left stays in its journal).

    Raises:
        WsinspectError: it could not be started.
    """
    seams.install()
    return asyncio.run(_Engine(engine_options).run())


class _Engine:
    def __init__(self, engine_options: EngineOptions) -> None:
        self.options = engine_options
        self.clock = Clock()
        self.taps: list[Tap] = list(engine_options.taps)
        self.failure: WsinspectError | None = None
        self._waiting: list[Callable[[], None]] = []
        self._may_give_up = False

    async def run(self) -> int:
        self.loop = asyncio.get_running_loop()
        self.give_up = asyncio.Event()
        prepared = prepare_capture(self.options.capture, append=self.options.append)
        self.journal = JournalWriter(
            prepared.journal,
            first_segment=prepared.first_segment,
            on_unstored=self._on_unstored,
            on_drained=self._on_writer_drained,
        )
        self.capture = prepared.path
        try:
            self.master = self._make_master(prepared)
            self._watch_signals()
            await self.master.run()
        except WsinspectError as error:
            self.failure = error
        finally:
            is_complete = await self._end()
        if self.failure:
            _discard(prepared, self.options.append)
            raise self.failure
        return 0 if is_complete else 3

    def _make_master(self, prepared: PreparedCapture) -> EngineMaster:
        self.taps = choose_ports(self.taps)
        master = EngineMaster(options.Options(), self._on_running)
        self.log = AttemptLog(
            self.journal,
            self.clock.now_ns,
            Taps(self.taps),
            prepared.first_connection,
            self._waiting.append,
            self.options.may_splice,
        )
        RelayLayer.make_link = self.log.make_link
        master.addons.add(self.log)
        self._set_options(master.options)
        return master

    def _set_options(self, opts: options.Options) -> None:
        try:
            opts.update(
                confdir=str(self.options.ca_dir),
                ssl_insecure=self.options.insecure,
                # A failing server is told to the client in words, and the request that met it is on record.
                connection_strategy="lazy",
                keep_host_header=True,
                validate_inbound_headers=False,
            )
            opts.set(*self.options.settings)
            if self.options.ignore_hosts:
                opts.update(ignore_hosts=list(self.options.ignore_hosts))
            opts.update(mode=[tap.spec for tap in self.taps])
        except exceptions.OptionsError as error:
            raise UsageError(f"mitmproxy: {error}") from error

    # Running

    def _on_running(self) -> None:
        """The listeners are up, or one of them failed."""
        instances = list(self.master.proxyserver.servers)
        for tap, instance in zip(self.taps, instances, strict=True):
            if instance.last_exception:
                self.failure = explain_listen_error(tap, instance.last_exception)
                self.master.should_exit.set()
                return
        listeners = listener_facts(self.taps, instances)
        try:
            self.run_file = self.options.register(listeners)
        except WsinspectError as error:
            self.failure = error
            self.master.should_exit.set()
            return
        self._journal_start(listeners)
        self.recorder = Recorder(self.capture, self.journal, self.options.narration, self.options.warn)
        self.recorder.start()
        self._check_wall()
        self.options.on_ready(
            {"listeners": listeners, "capture": str(self.capture), "pid": os.getpid(), "control": None}
        )

    def _journal_start(self, listeners: list[dict[str, Any]]) -> None:
        now = self.clock.now_ns()
        start = {
            "event": "engine",
            "versions": {
                "wsinspect": wsinspect.__version__,
                "mitmproxy": mitmproxy_version.VERSION,
                "python": platform.python_version(),
            },
            "argv": sys.argv,
            "anchor_wall_ns": self.clock.anchor_wall_ns,
            "anchor_mono_ns": self.clock.anchor_mono_ns,
            "run_file": str(self.run_file.path) if self.run_file.path else None,
            "snaplen": self.options.snaplen,
            "taps": [_tap_facts(tap) for tap in self.taps],
            "changes": list(CHANGES),
        }
        self.journal.event(0, start, now)
        self.journal.event(0, {"event": "listening", "listeners": listeners}, now)

    def _check_wall(self) -> None:
        if step := self.clock.wall_step_ns():
            self.journal.event(0, {"event": "wall_step", "step_ns": step}, self.clock.now_ns())
        self._wall_timer = self.loop.call_later(WALL_CHECK_SECONDS, self._check_wall)

    def _on_writer_drained(self) -> None:
        """Called in the writer's thread."""
        self.loop.call_soon_threadsafe(self._on_drained)

    def _on_drained(self) -> None:
        waiting, self._waiting[:] = list(self._waiting), []
        for callback in waiting:
            callback()

    def _on_unstored(self, size: int, reason: str) -> None:
        line = (
            f"cannot store what is seen ({reason}); traffic goes on, the capture will say how much is missing"
        )
        self.loop.call_soon_threadsafe(self.options.warn, line)

    # Ending

    def _watch_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self.loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        if self._may_give_up:
            self.give_up.set()
        self.master.should_exit.set()

    def _offer_to_give_up(self) -> None:
        self._may_give_up = True
        self.options.warn("indexing what was recorded (interrupt again to leave that to the next reader)")

    async def _end(self) -> bool:
        """Everything that a start may have begun, in reverse; True when the capture is complete."""
        if hasattr(self, "master"):
            await self._close_connections()
        if hasattr(self, "recorder"):
            self._wall_timer.cancel()
            self.journal.event(0, {"event": "engine_stop"}, self.clock.now_ns())
        await asyncio.to_thread(self.journal.close)
        is_complete = True
        if hasattr(self, "recorder"):
            is_complete = await self._finish_recording()
        if hasattr(self, "run_file"):
            self.run_file.close()
        return is_complete

    async def _finish_recording(self) -> bool:
        slow = self.loop.call_later(PATIENCE_SECONDS, self._offer_to_give_up)
        is_complete = await self.recorder.finish(self.give_up)
        slow.cancel()
        if not is_complete:
            self.options.warn(f"the rest of the capture is in {self.capture}.journal, and is read on opening")
        return is_complete

    async def _close_connections(self) -> None:
        servers = self.master.proxyserver.servers
        await servers.update([])
        for attempt in list(self.log.open.values()):
            if attempt.link:
                attempt.link.shut_down()
        handlers = self.master.proxyserver.connections
        for handler in list(handlers.values()):
            if handler.client in handler.transports and handler.transports[handler.client].handler:
                handler.close_connection(handler.client)
        tasks = [
            io.handler for handler in handlers.values() for io in handler.transports.values() if io.handler
        ]
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSING_SECONDS)


def _tap_facts(tap: Tap) -> dict[str, Any]:
    return {
        "tap": tap.name,
        "mode": tap.mode,
        "target": tap.target,
        "host": "rewrite" if tap.rewrites_host else "keep",
    }


def _discard(prepared: PreparedCapture, was_appended: bool) -> None:
    """Nothing was recorded: leave no empty capture behind."""
    if was_appended:
        return
    for segment in prepared.journal.glob("*") if prepared.journal.is_dir() else ():
        segment.unlink(missing_ok=True)
    if prepared.journal.is_dir():
        prepared.journal.rmdir()
    prepared.path.unlink(missing_ok=True)


def quiet_logging(is_verbose: bool) -> None:
    """mitmproxy's log on stderr: its errors always, the rest when asked for."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("wsinspect: %(message)s"))
    handler.setLevel(logging.INFO if is_verbose else logging.ERROR)
    # A listener that fails is explained by `explain_listen_error`.
    handler.addFilter(lambda record: is_verbose or record.name != "mitmproxy.addons.proxyserver")
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO if is_verbose else logging.ERROR)
    # "socket.send() raised exception": a peer that has gone, which the capture tells better.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)


def ready_line(facts: dict[str, Any], clock_ns: int) -> str:
    """The `ready` event as one line of JSON."""
    return json.dumps({"schema": 1, "event": "ready", "time_ns": clock_ns, **facts})
