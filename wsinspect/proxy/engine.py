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
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mitmproxy import exceptions, options
from mitmproxy import master as mitmproxy_master
from mitmproxy.addons import core, tlsconfig, upstream_auth

from wsinspect.capture.windows import window_at
from wsinspect.control.server import ControlServer
from wsinspect.errors import UsageError, WsinspectError
from wsinspect.faults.board import Board
from wsinspect.proxy import seams
from wsinspect.proxy.attempts import AttemptLog
from wsinspect.proxy.authority import trust_file
from wsinspect.proxy.controlled import Controlled, ControlOptions
from wsinspect.proxy.descriptors import DescriptorWatch, raise_limit
from wsinspect.proxy.direct import IS_POSSIBLE, ShortWay, serves_short_way
from wsinspect.proxy.faulting import FaultController
from wsinspect.proxy.faulting_handshakes import HandshakeFaults
from wsinspect.proxy.listening import (
    PortTakenError,
    choose_ports,
    explain_listen_error,
    listener_facts,
    refuse_own_targets,
)
from wsinspect.proxy.mirroring import AlpnMirror, HttpThreeOffers
from wsinspect.proxy.nearby import RequestLog
from wsinspect.proxy.openings import OpeningLog
from wsinspect.proxy.pages import PageWatch
from wsinspect.proxy.polling import PollLog
from wsinspect.proxy.recording import Narration, Recording
from wsinspect.proxy.relay import RelayLayer
from wsinspect.proxy.seams.arriving import install_arrivals
from wsinspect.proxy.seams.bridging import SettingsWait
from wsinspect.proxy.seams.hooks import Addons
from wsinspect.proxy.seams.http2 import Mode, set_mode
from wsinspect.proxy.seams.next_layer import install_next_layer
from wsinspect.proxy.seams.release import ReleasingServer
from wsinspect.proxy.taps import Tap, Taps
from wsinspect.proxy.welcome import Welcome
from wsinspect.vocabulary import events

if TYPE_CHECKING:
    from wsinspect.proxy.recorded import RecordedServer

#: How often a free port is chosen again when somebody else takes it first.
PORT_CHOICES = 3
#: How long open connections may take to end when the engine does.
CLOSING_SECONDS = 2.0

#: What the engine changes for every connection, whatever it relays (goes into `meta`).
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
    """The options of `wsinspect run`.

    Attributes:
        taps: at least one; port 0 means any free port.
        capture: the capture file; must not exist unless `append`.
        snaplen: bytes of each payload to keep; None keeps all.
        max_capture_size: bytes of the capture beyond which its oldest data is evicted; None for no limit.
        inflate_cap: bytes beyond which a message is kept compressed; None for the recorder's own limit.
        insecure: accept any certificate of a server.
        trusted: PEM files with authorities that servers' certificates may come from, in addition to the usual
        ones.
        settings: mitmproxy's own options as "name=value".
        ignore_hosts: regular expressions; a connection to a matching "host:port" is passed through unread.
        narration: the lines that the recorder prints on stdout.
        board: the rules of faults.
        control: where the control API listens; None for no such API.
        page_wait_seconds: how long a page may take to try a WebSocket; None looks at no pages.
        recorded: answers matching handshakes from a recording; None for none.
        http2_websocket: `mirror` gives WebSockets over HTTP/2 to clients whose server has it, `bridge` to
            all, translated for servers of the other HTTP version, `off` to none.
        strips_alt_svc: clients get no Alt-Svc that offers HTTP/3.
        register: makes this engine known (the run file), given its listeners and its control API; undone by
            `close`.
        on_ready: called once with the `ready` event's facts.
        warn: tells the user one line.
    """

    taps: Sequence[Tap]
    capture: Path
    ca_dir: Path
    append: bool = False
    snaplen: int | None = None
    inflate_cap: int | None = None
    max_capture_size: int | None = None
    insecure: bool = False
    trusted: Sequence[Path] = ()
    settings: Sequence[str] = ()
    ignore_hosts: Sequence[str] = ()
    narration: Narration = field(default_factory=Narration)
    may_splice: bool = True
    page_wait_seconds: float | None = None
    board: Board = field(default_factory=Board)
    control: ControlOptions | None = None
    recorded: RecordedServer | None = None
    http2_websocket: Mode = "mirror"
    strips_alt_svc: bool = False
    register: Callable[[list[dict[str, Any]], dict[str, str] | None], Registration] = (
        lambda listeners, control: Unregistered()
    )
    on_ready: Callable[[dict[str, Any]], None] = lambda facts: None
    warn: Callable[[str], None] = lambda line: None


class EngineMaster(mitmproxy_master.Master):
    """mitmproxy's master with the addons a proxy needs, and none that keeps or edits flows."""

    def __init__(
        self, opts: options.Options, on_running: Callable[[], Awaitable[None]], descriptors: DescriptorWatch
    ) -> None:
        super().__init__(opts)
        self.addons = Addons(self)
        self._on_running = on_running
        self._descriptors = descriptors
        self.proxyserver = ReleasingServer()  # type: ignore[no-untyped-call]
        self.addons.add(
            core.Core(),
            self.proxyserver,
            _TlsConfig(),
            upstream_auth.UpstreamAuth(),
            descriptors,
        )

    async def running(self) -> None:
        await super().running()
        loop = asyncio.get_running_loop()
        stock = loop.get_exception_handler() or type(loop).default_exception_handler

        def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            if not self._descriptors.is_exhausted(context):
                stock(loop, context)

        loop.set_exception_handler(handle)
        await self._on_running()


class _TlsConfig(tlsconfig.TlsConfig):
    """Loads the CA once: mitmproxy does it again when all runs, in case nobody had set `confdir`; we do.

    Checking a private key takes about 40 ms.
    """

    def running(self) -> None:
        return


def run_engine(engine_options: EngineOptions) -> int:
    """Run until SIGINT, SIGTERM or SIGHUP.

    Returns:
        The exit code: 0, or 3 when the capture could not be completed (what is left stays in its journal).

    Raises:
        WsinspectError: it could not be started.
    """
    seams.install()
    may_choose_again = any(tap.listens and tap.port == 0 for tap in engine_options.taps)
    for _ in range(PORT_CHOICES if may_choose_again else 0):
        try:
            return asyncio.run(_Engine(engine_options).run())
        except PortTakenError:
            continue  # a port that was free a moment ago: choose another one
    return asyncio.run(_Engine(engine_options).run())


class _Engine:
    def __init__(self, engine_options: EngineOptions) -> None:
        self.options = engine_options
        self.taps: list[Tap] = list(engine_options.taps)
        self.failure: WsinspectError | None = None
        self.registration: Registration | None = None
        self.control: ControlServer | None = None
        self.trust: Path | None = None

    async def run(self) -> int:
        self.recording = Recording(
            self.options.capture,
            append=self.options.append,
            narration=self.options.narration,
            warn=self.options.warn,
            max_capture_size=self.options.max_capture_size,
        )
        try:
            self.master = self._make_master()
            if self.options.recorded:
                await self.options.recorded.start()
                self.master.addons.add(self.options.recorded)
            self._watch_signals()
            await self.master.run()
        except WsinspectError as error:
            self.failure = error
        finally:
            is_complete = await self._end()
        if self.failure:
            self.recording.discard()
            raise self.failure
        return 0 if is_complete else 3

    def _make_master(self) -> EngineMaster:
        self.taps = choose_ports(self.taps)
        refuse_own_targets(self.taps)
        descriptors = DescriptorWatch(raise_limit(), self.options.warn)
        master = EngineMaster(options.Options(), self._on_running, descriptors)
        if any(setting.startswith("proxyauth") for setting in self.options.settings):
            # It brings an LDAP client along: a tenth of a start.
            from mitmproxy.addons import proxyauth

            master.addons.add(proxyauth.ProxyAuth())
        window_of = partial(window_at, self.recording.capture)
        self.controller = FaultController(
            self.options.board, self.recording.clock.now_ns, window_of=window_of
        )
        self.log = AttemptLog(
            self.recording.journal,
            self.recording.clock.now_ns,
            Taps(self.taps),
            self.recording.first_connection,
            self.recording.when_unblocked,
            self.options.may_splice,
            self.controller,
        )
        RelayLayer.make_link = self.log.make_link
        install_next_layer(master, self.log.connections)
        self.handshake_faults = HandshakeFaults(self.controller, self.log)
        master.addons.add(Welcome(self.options.ca_dir), self.log, self.handshake_faults)
        set_mode(self.options.http2_websocket, may_shortcut=self.options.may_splice)
        if self.options.http2_websocket != "off":
            bridges = self.options.http2_websocket == "bridge"
            master.addons.add(AlpnMirror(bridges=bridges), SettingsWait())
        # Behind the log, so that a response is recorded as it came.
        master.addons.add(HttpThreeOffers(self.log.connections, strips=self.options.strips_alt_svc))
        if self.options.page_wait_seconds is not None:
            wait = self.options.page_wait_seconds
            master.addons.add(PageWatch(self.recording.journal, self.recording.clock.now_ns, wait))
        came = self.controller.client_came
        polls = PollLog(self.recording.journal, self.recording.clock.now_ns, self.log.client_of, came)
        master.addons.add(polls)
        clock = self.recording.clock.now_ns
        master.addons.add(OpeningLog(self.recording.journal, clock, self.log.client_of))
        master.addons.add(RequestLog(self.recording.journal, self.recording.clock.now_ns))
        self._set_options(master.options)
        self.short_way = ShortWay(master, self._is_clear)
        may_be_short = (
            IS_POSSIBLE
            and self.options.may_splice
            and not (self.options.settings or self.options.recorded or self.options.ignore_hosts)
        )
        install_arrivals(self.short_way.arrival if may_be_short else None, serves_short_way)
        return master

    def _is_clear(self) -> bool:
        """Whether no rule may want to act on an opening handshake now."""
        board = self.options.board
        return not board.order and board.scenario is None

    def _set_options(self, opts: options.Options) -> None:
        try:
            opts.update(
                confdir=str(self.options.ca_dir),
                ssl_insecure=self.options.insecure,
                # The client gets a failing server's error as text, and its request is recorded.
                connection_strategy="lazy",
                keep_host_header=True,
                validate_inbound_headers=False,
            )
            if self.options.trusted:
                self.trust = trust_file(self.options.trusted)
                opts.update(ssl_verify_upstream_trusted_ca=str(self.trust))
            opts.set(*self.options.settings)
            _refuse_leaked_keys(opts)
            if self.options.ignore_hosts:
                opts.update(ignore_hosts=list(self.options.ignore_hosts))
            opts.update(mode=[tap.spec for tap in self.taps])
        except exceptions.OptionsError as error:
            raise UsageError(f"mitmproxy: {error}") from error

    # Running

    async def _on_running(self) -> None:
        """The listeners are up, or one of them failed."""
        instances = list(self.master.proxyserver.servers)
        for tap, instance in zip(self.taps, instances, strict=True):
            if instance.last_exception:
                self.failure = explain_listen_error(tap, instance.last_exception)
                self.master.should_exit.set()
                return
        listeners = listener_facts(self.taps, instances)
        wireguard = self.options.ca_dir / "wireguard.conf"
        if wireguard.exists():
            # mitmproxy would write its private keys readable for everybody.
            wireguard.chmod(0o600)
        try:
            control = self._start_control(listeners)
            self.registration = self.options.register(listeners, control)
        except WsinspectError as error:
            self.failure = error
            self.master.should_exit.set()
            return
        self.recording.begin(
            run_file=str(self.registration.path) if self.registration.path else None,
            snaplen=self.options.snaplen,
            inflate_cap=self.options.inflate_cap,
            session_by=str(self.options.board.session_by) if self.options.board.session_by else None,
            taps=[_tap_facts(tap) for tap in self.taps],
            changes=[*CHANGES, *self._own_changes()],
        )
        self.recording.event(events.Listening(listeners=listeners))
        self.handshake_faults.start()
        await self.handshake_faults.listeners_set()
        scenario = self.options.board.scenario
        if scenario is not None and scenario.start == "now":
            self.controller.start_phases()
        self.log.relief.begin()
        self.options.on_ready(
            {
                "listeners": listeners,
                "capture": str(self.recording.capture),
                "pid": os.getpid(),
                "control": control,
            }
        )

    def _start_control(self, listeners: list[dict[str, Any]]) -> dict[str, str] | None:
        """The control API; what `ready` says of it."""
        where = self.options.control
        if where is None:
            return None
        controlled = Controlled(
            self.controller,
            self.handshake_faults,
            self.recording,
            listeners,
            self.master.should_exit.set,
        )
        self.control = ControlServer(controlled, where.host, where.port, where.token_file)
        return self.control.facts()

    def _own_changes(self) -> list[str]:
        recorded = self.options.recorded
        changes = [f"known handshakes are answered from {recorded.path}"] if recorded else []
        if self.options.http2_websocket == "off":
            changes.append("WebSockets over HTTP/2 are not offered to clients (--http2-websocket off)")
        elif self.options.http2_websocket == "bridge":
            changes.append(
                "clients and servers of different HTTP versions are bridged, ALPN is not mirrored"
                " (--http2-websocket bridge)"
            )
        if self.options.strips_alt_svc:
            changes.append("Alt-Svc is removed where it offers HTTP/3 (--strip-alt-svc)")
        return changes

    # Ending

    def _watch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        self.recording.hurry()
        self.master.should_exit.set()

    async def _end(self) -> bool:
        """Everything that a start may have begun, in reverse; True when the capture is complete."""
        if self.control:
            await self.control.close()
        if hasattr(self, "master"):
            await self._close_connections()
        if self.options.recorded:
            await self.options.recorded.close()
        is_complete = await self.recording.finish()
        if self.registration:
            self.registration.close()
        if self.trust:
            self.trust.unlink(missing_ok=True)
        return is_complete

    async def _close_connections(self) -> None:
        servers = self.master.proxyserver.servers
        await servers.update([])
        self.handshake_faults.stop()
        self.controller.close()
        self.short_way.give_up()
        await asyncio.sleep(0)
        self.log.shut_down()
        handlers = self.master.proxyserver.connections
        for handler in list(handlers.values()):
            if handler.client in handler.transports and handler.transports[handler.client].handler:
                handler.close_connection(handler.client)
        tasks = [
            io.handler for handler in handlers.values() for io in handler.transports.values() if io.handler
        ]
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSING_SECONDS)
        self.controller.lose_held()


def _refuse_leaked_keys(opts: options.Options) -> None:
    """mitmproxy 12.3 can sign with an intermediate's key that was leaked (eMudhra, October 2026).

    Every browser would take such certificates for real ones. Options are refused by their help as well as by
    their name, so that the next one of the kind is, too.

    Raises:
        UsageError: one of them is set.
    """
    for name, option in opts.items():
        is_leaked = "emudhra" in name or any(word in option.help for word in ("compromised", "leaked"))
        if is_leaked and option.current():
            raise UsageError(
                f"--set {name}: wsinspect does not sign with a leaked key",
                hint="trust its own CA instead: wsinspect ca",
            )


def _tap_facts(tap: Tap) -> dict[str, Any]:
    return {
        "tap": tap.name,
        "mode": tap.mode,
        "target": tap.target,
        "host": "rewrite" if tap.rewrites_host else "keep",
    }


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
    # "socket.send() raised exception": a peer has gone, which the capture describes better.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)


def ready_line(facts: dict[str, Any], clock_ns: int) -> str:
    """The `ready` event as one line of JSON."""
    return json.dumps({"schema": 1, "event": "ready", "time_ns": clock_ns, **facts})
