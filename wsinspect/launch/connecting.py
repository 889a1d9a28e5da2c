"""A WebSocket by hand: an engine that records, a client of ours through it, and the end of both.

Contract: the engine has ended and its capture is complete when `connect` returns or raises.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import ssl
import sys
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from wsinspect.capture.queries import count_connections
from wsinspect.capture.records import Connection
from wsinspect.errors import CaptureError, UsageError
from wsinspect.launch.browser.session import proxy_address
from wsinspect.launch.child import EngineChild
from wsinspect.launch.engines import list_engines
from wsinspect.launch.interrupts import one_interrupt
from wsinspect.launch.paths import ca_dir, ensure_private_dir, state_dir
from wsinspect.net import Address, Endpoint
from wsinspect.peers.client import Opened, Proxy, Refused, Request, open_socket
from wsinspect.peers.socket import Seen
from wsinspect.peers.talk import Ending, Expected, Talk, UnmetError, ending
from wsinspect.peers.templates import Values
from wsinspect.peers.typed import Close, Command, Expect, Help, parse_line
from wsinspect.proxy.authority import ensure_authority
from wsinspect.recorder.opening import open_capture
from wsinspect.vocabulary import State

_HTTP: Final = {"ws": "http", "wss": "https"}
#: Longest line of a script on stdin: nobody types more, and what has no line ends must not fill the memory.
_MOST_LINE: Final = 16 * 1024 * 1024
_READ_BYTES: Final = 65536
#: How long a proxy that is used may take to record a refusal, how often that is looked at, and in how many of
#: its newest connections.
_RECORDED_SECONDS: Final = 3.0
_LOOK_SECONDS: Final = 0.05
_NEWEST: Final = 100
_DECIDED: Final = (State.REFUSED, State.FAILED)


class Shows(Protocol):
    """Whoever prints what happens."""

    def opened(self, opened: Opened, ms: float) -> None: ...

    def refused(self, refused: Refused) -> None: ...

    def unreached(self, error: str) -> None: ...

    def frame(self, seen: Seen) -> None: ...

    def expected(self, expected: Expected) -> None: ...

    def ended(self, end: Ending) -> None: ...

    def help(self) -> None: ...

    def complain(self, error: UsageError) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to do.

    Attributes:
        commands: what to do, in order; None takes lines from the terminal or from stdin.
        is_interactive: the lines are typed on a terminal.
        within_ns: how long an expected frame may take.
        wait_ns: how long to stay after the last command; None for a moment, or not at all where that was an
            expectation.
        fills: whether placeholders are filled.
        engine_options: of `wsinspect run`, in addition.
        through: a proxy that runs already; None starts one of our own.
    """

    request: Request
    capture: Path
    commands: Sequence[Command] | None = None
    is_interactive: bool = False
    within_ns: int = 5 * 10**9
    wait_ns: int | None = None
    fills: bool = True
    answers_pings: bool = True
    engine_options: Sequence[str] = ()
    through: Proxy | None = None


@dataclass
class Outcome:
    """How it went.

    Attributes:
        is_open: the handshake succeeded.
        is_unmet: an expected frame did not come.
        end: how it ended; None where it never opened.
        has_aborted: we ended it with an RST, as we were asked to.
        refused: another answer than a correct 101, the proxy's own included.
        unreached: why no answer of the server's came (refused, no such name, certificate, timeout), as the
            proxy recorded it; None where the server answered.
    """

    is_open: bool = False
    is_unmet: bool = False
    end: Ending | None = None
    has_aborted: bool = False
    refused: Refused | None = None
    unreached: str | None = None

    @property
    def has_failed(self) -> bool:
        """Refused, not as expected, or left by the server without a CLOSE frame."""
        is_lost = self.end is not None and self.end.is_abnormal and not self.has_aborted
        return not self.is_open or self.is_unmet or is_lost


_MOMENT_NS: Final = 10**9


def proxy_of(pid: int) -> Proxy:
    """The proxy of a running engine: an HTTP proxy where it has one, else its first reverse proxy.

    Raises:
        UsageError: there is no such engine, or it listens in other modes alone.
    """
    info = next((one for one in list_engines() if one.pid == pid), None)
    if info is None:
        raise UsageError(f"no engine {pid} is running", hint="wsinspect ps lists them")
    capture = None if info.capture is None else Path(info.capture)
    if (address := proxy_address(info)) is not None:
        authority = ensure_authority(Path(info.ca_dir) if info.ca_dir else ca_dir())
        context = ssl.create_default_context(cafile=str(authority.certificate))
        return Proxy(Address(*address), is_regular=True, context=context, capture=capture)
    for listener in info.listeners:
        mode, _, serves = str(listener.get("mode")).partition(":")
        if mode == "reverse" and listener.get("port"):
            where = Address(str(listener["host"]), int(listener["port"]))
            return Proxy(where, serves=serves, capture=capture)
    raise UsageError(f"engine {pid} has neither an HTTP proxy nor a reverse proxy")


def connect(plan: Plan, shows: Shows) -> Outcome:
    """Start a proxy in front of the server, talk through it, and end it.

    Raises:
        KeyboardInterrupt: a signal ended it.
        UsageError: a command cannot be done, such as a file that is not there.
        WsinspectError: the proxy did not start.
    """
    if plan.through is not None:
        with one_interrupt():
            outcome = asyncio.run(_Session(plan, shows).run(plan.through))
            if outcome.refused is not None:
                _show_refusal(outcome, outcome.refused, _seen_by(plan.through, outcome.refused), shows)
            return outcome
    target = plan.request.target
    server = Endpoint(_HTTP[target.scheme], target.host, target.port)
    options = ["--quiet", f"--tap=connect=127.0.0.1:0={server}", "--host=keep", "--no-page-scan"]
    engine = EngineChild([*options, *plan.engine_options], plan.capture)
    with one_interrupt():
        try:
            engine.start()
            listener = engine.ready["listeners"][0]
            proxy = Proxy(Address(listener["host"], listener["port"]))
            outcome = asyncio.run(_Session(plan, shows).run(proxy))
        finally:
            engine.stop()
    if outcome.refused is not None:
        with open_capture(plan.capture) as capture:
            attempt = next(iter(capture.connections(limit=1)), None)
        _show_refusal(outcome, outcome.refused, attempt, shows)
    return outcome


def _show_refusal(outcome: Outcome, refused: Refused, attempt: Connection | None, shows: Shows) -> None:
    """Say what a client without the proxy would see: no answer, where the proxy made the answer itself.

    Only the recording tells them apart: a server may answer 502, too, and may be a proxy of ours.
    """
    if attempt is not None and attempt.state == State.FAILED and attempt.error:
        outcome.unreached = attempt.error
        shows.unreached(attempt.error)
    else:
        shows.refused(refused)


def _seen_by(proxy: Proxy, refused: Refused) -> Connection | None:
    """The attempt in the capture of a proxy that keeps running, found by its key; None where it is not there.

    Its recorder is a moment behind.
    """
    if proxy.capture is None:
        return None
    until = time.monotonic() + _RECORDED_SECONDS
    while True:
        with contextlib.suppress(CaptureError), open_capture(proxy.capture) as capture:
            newest = max(0, count_connections(capture) - _NEWEST)
            for one in capture.connections(after=newest):
                shake = capture.handshake(one.id)
                if shake is not None and refused.key in (shake.request_in or b"") and one.state in _DECIDED:
                    return one
        if time.monotonic() > until:
            return None
        time.sleep(_LOOK_SECONDS)


@dataclass
class _Session:
    plan: Plan
    shows: Shows
    outcome: Outcome = field(default_factory=Outcome)

    async def run(self, proxy: Proxy) -> Outcome:
        plan, shows, outcome = self.plan, self.shows, self.outcome
        begun = time.monotonic()
        opened = await open_socket(
            proxy,
            plan.request,
            octets=secrets.token_bytes,
            now_ns=time.time_ns,
            on_frame=shows.frame,
            answers_pings=plan.answers_pings,
        )
        if isinstance(opened, Refused):
            outcome.refused = opened
            return outcome
        outcome.is_open = True
        shows.opened(opened, (time.monotonic() - begun) * 1e3)
        socket = opened.socket
        values = Values(time.time_ns, secrets.token_bytes, os.environ)
        talk = Talk(socket, values, within_ns=plan.within_ns, fills=plan.fills, on_expected=shows.expected)
        socket.begin()
        try:
            await self._talk(talk)
        except UnmetError:
            outcome.is_unmet = True
        except UsageError:
            await talk.finish()
            raise
        outcome.has_aborted = socket.has_aborted
        await talk.finish()
        outcome.end = ending(socket)
        shows.ended(outcome.end)
        return outcome

    async def _talk(self, talk: Talk) -> None:
        if self.plan.is_interactive:
            await _until_ended(talk, self._typed(talk))
        else:
            await _until_ended(talk, self._script(talk))

    async def _script(self, talk: Talk) -> None:
        """Commands that were given, or that come on stdin."""
        last: Command | None = None
        if self.plan.commands is not None:
            for last in self.plan.commands:
                await talk.do(last)
        else:
            async for line in _lines_of_stdin():
                command = parse_line(line)
                if command is not None:
                    last = command
                    await talk.do(command)
        wait_ns = self.plan.wait_ns
        if wait_ns is None:
            wait_ns = 0 if isinstance(last, Expect | Close) else _MOMENT_NS
        await asyncio.sleep(wait_ns / 1e9)

    async def _typed(self, talk: Talk) -> None:
        """Lines of a terminal: what is wrong with one is said, and the next one may be right."""
        from wsinspect.peers.prompt import typed_lines

        history = ensure_private_dir(state_dir()) / "connect_history"
        async with contextlib.aclosing(typed_lines(history)) as lines:
            async for line in lines:
                try:
                    command = parse_line(line)
                    if isinstance(command, Help):
                        self.shows.help()
                    elif command is not None:
                        await talk.do(command)
                except UsageError as error:
                    self.shows.complain(error)
                except UnmetError:
                    continue  # it has been said
                if isinstance(command, Close):
                    return


async def _until_ended(talk: Talk, work: Coroutine[None, None, None]) -> None:
    """Do it, unless the connection ends before.

    Raises:
        UnmetError: an expected frame did not come.
        UsageError: a command cannot be done.
    """
    doing = asyncio.ensure_future(work)
    closed = asyncio.ensure_future(talk.socket.closed())
    try:
        await asyncio.wait((doing, closed), return_when=asyncio.FIRST_COMPLETED)
        # Whoever waits for a frame learns a turn later that none will come.
        await asyncio.wait((doing,), timeout=0.05 if not doing.done() else 0)
        if doing.done():
            doing.result()
    finally:
        for task in (doing, closed):
            task.cancel()
        await asyncio.gather(doing, closed, return_exceptions=True)


async def _lines_of_stdin() -> AsyncIterator[str]:
    """The lines of stdin as they come, from a thread: a file cannot be waited for by an event loop.

    The thread reads the descriptor itself, so that nothing waits for it when the program ends.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    descriptor = sys.stdin.fileno()

    def put(data: bytes) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(queue.put_nowait, data)

    def read() -> None:
        while data := os.read(descriptor, _READ_BYTES):
            put(data)
        put(b"")

    threading.Thread(target=read, name="stdin", daemon=True).start()
    rest = b""
    while data := await queue.get():
        *lines, rest = (rest + data).split(b"\n")
        if len(rest) > _MOST_LINE:
            raise UsageError("a line on stdin is longer than 16 MiB")
        for line in lines:
            yield line.removesuffix(b"\r").decode("utf-8", "surrogateescape")
    if rest:
        yield rest.decode("utf-8", "surrogateescape")


__all__ = ["Outcome", "Plan", "Shows", "connect", "proxy_of"]
