"""A proxy of a test: started in front of a server, broken on purpose, asked for facts, ended with the test.

Contract: nothing here waits for time. What is waited for is in the capture, where a frame is at most 250 ms
after it was relayed; a wait that is over says what was seen instead, with the last frames as text.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from wsinspect.api import CaptureFile, Client, Connection, Finding, Frame, Message, open_capture
from wsinspect.capture.filtering import FrameScan
from wsinspect.closing import Closing
from wsinspect.control.client import ControlClient, ControlError
from wsinspect.errors import LocalError, UsageError
from wsinspect.filters import parse
from wsinspect.net import Address
from wsinspect.present.connection_table import ConnectionTable
from wsinspect.present.frame_table import FrameTable
from wsinspect.present.pages import page_of
from wsinspect.present.terminal import Palette
from wsinspect.testing.forking import ForkedProcess, ForkServer
from wsinspect.units import SECOND, format_duration

T = TypeVar("T")

START_SECONDS: Final = 30.0
END_SECONDS: Final = 10.0
#: How long a wait lasts by default: what does come takes milliseconds, also on a loaded machine a second.
PATIENCE_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.02
#: What a failed wait shows.
_LAST_FRAMES: Final = 20
_COLUMNS: Final = 120


class WaitError(AssertionError):
    """What was waited for did not come; the message shows what did."""


class Fault:
    """A rule that is armed; as a context manager it is removed at the end of the block."""

    def __init__(self, proxy: Proxy, name: str) -> None:
        self._proxy = proxy
        self.name = name

    @property
    def hits(self) -> int:
        """How often it acted."""
        rules = self._proxy.control.get("/v1/faults")["faults"]
        return next((int(rule["hits"]) for rule in rules if rule["name"] == self.name), 0)

    def remove(self) -> None:
        """Remove it, if it is still there; what it holds is released."""
        try:
            self._proxy.control.delete(f"/v1/faults/{self.name}")
        except ControlError as error:
            if error.status != 404:
                raise

    def __enter__(self) -> Fault:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class Facts(ABC):
    """What a capture says so far, and waiting for what it does not say yet.

    A wait raises `WaitError` where nothing came within that many seconds.
    """

    @property
    @abstractmethod
    def recorded(self) -> CaptureFile:
        """The capture so far, open for reading in this thread (`wsinspect.api`)."""

    def connections(self) -> list[Connection]:
        """All attempts so far, refused ones too."""
        return list(self.recorded.connections())

    def findings(self) -> list[Finding]:
        """What `wsinspect diagnose` says so far."""
        return list(self.recorded.findings())

    def sessions(self, session_by: str | None = None) -> list[Client]:
        """The clients, each across its reconnects, with measures and grade."""
        return list(self.recorded.sessions(session_by))

    def session(self, session_by: str | None = None) -> Client:
        """The only client.

        Raises:
            WaitError: there is none, or more than one.
        """
        found = self.sessions(session_by)
        if len(found) != 1:
            raise WaitError(self._with_lane(f"expected one client, there are {len(found)}"))
        return found[0]

    def wait_for(self, what: str, look: Callable[[], T | None], within: float = PATIENCE_SECONDS) -> T:
        """Look until there is an answer.

        Raises:
            WaitError: there was none in time.
        """
        deadline = time.monotonic() + within
        while (found := look()) is None:
            if time.monotonic() > deadline:
                raise WaitError(
                    self._with_lane(f"no {what} within {format_duration(round(within * SECOND))}")
                )
            time.sleep(_LOOK_SECONDS)
        return found

    def wait_for_connection(self, number: int = 1, *, within: float = PATIENCE_SECONDS) -> Connection:
        """The nth connection that opened."""

        def look() -> Connection | None:
            opened = [one for one in self.connections() if one.open_ns is not None]
            return opened[number - 1] if len(opened) >= number else None

        return self.wait_for(f"open connection number {number}", look, within)

    def wait_for_reconnect(
        self, after: Connection | int | None = None, *, within: float = PATIENCE_SECONDS
    ) -> Connection:
        """The next connection that opened after one; by default after the newest that has ended."""
        if after is None:
            ended = [one.id for one in self.connections() if one.closed_ns is not None]
            after = ended[-1] if ended else 0
        number = after if isinstance(after, int) else after.id

        def look() -> Connection | None:
            later = (one for one in self.connections() if one.id > number and one.open_ns is not None)
            return next(later, None)

        return self.wait_for(f"connection that opened after {number}", look, within)

    def wait_for_close(
        self, connection: Connection | int | None = None, *, within: float = PATIENCE_SECONDS
    ) -> Connection:
        """The end of a connection, by default of the first one that opened."""
        number = None if connection is None else connection if isinstance(connection, int) else connection.id

        def look() -> Connection | None:
            for one in self.connections():
                is_meant = one.open_ns is not None if number is None else one.id == number
                if is_meant:
                    return one if one.closed_ns is not None else None
            return None

        return self.wait_for(f"end of connection {number or 1}", look, within)

    def wait_for_frame(
        self, expression: str = "", *, after: Frame | int = 0, within: float = PATIENCE_SECONDS
    ) -> Frame:
        """The first frame that passes a filter (docs/filters.md), such as `dir:c2s json:$.type=subscribe`.

        Args:
            after: a frame, or its number, that comes before it.

        Raises:
            FilterError: the filter is wrong.
        """
        flt, last = parse(expression), after if isinstance(after, int) else after.id
        scan = FrameScan(self.recorded.reader, flt)

        def look() -> Frame | None:
            for batch in scan.batches(last):
                if batch.ids:
                    return self.recorded.reader.frame(batch.ids[0])
            return None

        return self.wait_for(f"frame {expression}".strip(), look, within)

    def wait_for_message(
        self, expression: str = "", *, after: Frame | Message | int = 0, within: float = PATIENCE_SECONDS
    ) -> Message:
        """The first whole message with a frame that passes a filter: joined and inflated, unlike a frame."""
        flt, last = parse(expression), after if isinstance(after, int) else after.id
        scan = FrameScan(self.recorded.reader, flt)

        def look() -> Message | None:
            for batch in scan.batches(last):
                for number in batch.ids:
                    if (found := self._message_of(number)) is not None:
                        return found
            return None

        return self.wait_for(f"message {expression}".strip(), look, within)

    def _message_of(self, number: int) -> Message | None:
        frame = self.recorded.reader.frame(number)
        if frame is None or frame.message_id is None:
            return None
        messages = self.recorded.connection(frame.connection_id).messages()
        return next((one for one in messages if one.id == frame.message_id), None)

    def lane(self, last: int = _LAST_FRAMES) -> str:
        """Connections and their last frames as text, as `wsinspect show` prints them."""
        return "\n".join(self._lane_lines(last))

    def _lane_lines(self, last: int) -> Iterator[str]:
        reader = self.recorded.reader
        connections = reader.connections()
        if not connections:
            yield "(no client has connected)"
            return
        yield from ConnectionTable(connections, with_tap=False, columns=_COLUMNS).lines()
        for connection in connections[-3:]:
            frames = reader.last_frames(connection.id, last)
            if frames:
                table = FrameTable(connection, _COLUMNS, Palette(False), is_live=True)
                yield from ["", f"connection {connection.id}, its last frames:", table.header()]
                yield from table.lines(page_of(reader, [one.id for one in frames], with_payload=False))

    def _with_lane(self, words: str) -> str:
        return f"{words}\n\n{self.lane()}"


class Proxy(Facts, Closing):
    """A running proxy in front of a server; a context manager, or `close` it.

    Args:
        server: its URL: `ws`, `wss`, `http` or `https`. A path in it is kept in `url`.
        folder: where the capture goes; a new temporary folder by default.
        options: further ones of `wsinspect run`, such as `--insecure` or `--faults=outage.yaml`.
        forking: starts it faster from the second on; an own one by default.

    Attributes:
        url: the `ws:` URL to give to the client in place of the server's.
        http_url: the same with `http:`, for Socket.IO and SignalR.
        capture: the file that it records to.
        control: the control API.

    Raises:
        UsageError: an option, or the server's URL, is not valid.
        LocalError: it did not start.
    """

    def __init__(
        self,
        server: str,
        *,
        folder: Path | None = None,
        options: tuple[str, ...] = (),
        forking: ForkServer | None = None,
    ) -> None:
        self._own = contextlib.ExitStack()
        if folder is None:
            folder = Path(self._own.enter_context(tempfile.TemporaryDirectory(prefix="wsinspect-")))
        self.folder = folder
        self.capture = folder / "capture.db"
        if forking is None:
            forking = self._own.enter_context(ForkServer())
        self._log = folder / "proxy.log"
        base, path = _base_and_path(server)
        arguments = [
            "run",
            "--headless",
            "--json",
            "--quiet",
            "--no-page-scan",
            "--listen=127.0.0.1:0",
            f"--reverse={base}",
            f"--capture={self.capture}",
            *options,
        ]
        self._process, ready = self._start(forking, arguments)
        listener = ready["listeners"][0]
        address = Address(listener["host"], listener["port"])
        self.url, self.http_url = f"ws://{address}{path}", f"http://{address}{path}"
        self.control = ControlClient.open(ready["control"], agent="wsinspect/testing")
        self._capture: CaptureFile | None = None
        self._rules = 0

    def _start(self, forking: ForkServer, arguments: list[str]) -> tuple[ForkedProcess, dict[str, Any]]:
        reading, writing = os.pipe()
        try:
            with self._log.open("wb") as log:
                process = forking.start(
                    arguments, environment=os.environ, stdout=writing, stderr=log.fileno()
                )
        except BaseException:
            os.close(reading)
            self._own.close()
            raise
        finally:
            os.close(writing)
        # Kept open to the end: a proxy whose stdout is closed says so in its log.
        self._stdout = os.fdopen(reading, "rb")
        self._own.callback(self._stdout.close)
        try:
            return process, self._ready(process)
        except BaseException:
            process.send_signal(signal.SIGKILL)
            process.wait(END_SECONDS)
            self._own.close()
            raise

    def _ready(self, process: ForkedProcess) -> dict[str, Any]:
        if not select.select([self._stdout], [], [], START_SECONDS)[0]:
            raise LocalError(
                f"the proxy did not start within {format_duration(round(START_SECONDS * SECOND))}"
            )
        line = self._stdout.readline()
        if not line:
            process.wait(END_SECONDS)
            said = self._log.read_text("utf-8", "replace").strip().splitlines()[-1:]
            words = "".join(said).removeprefix("wsinspect: ") or f"exit code {process.exit_code}"
            raise (UsageError if process.exit_code == 2 else LocalError)(words)
        ready: dict[str, Any] = json.loads(line)
        return ready

    @property
    def aio(self) -> AsyncProxy:
        """The same waits for code that must not block: asyncio, and with anyio Trio too."""
        return AsyncProxy(self)

    def close(self) -> None:
        """End the proxy; its capture is complete then."""
        self.control.close()
        self._process.send_signal(signal.SIGTERM)
        if not self._process.wait(END_SECONDS):
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(END_SECONDS)
        if self._capture is not None:
            self._capture.close()
            self._capture = None
        self._own.close()

    # -- breaking things

    def fault(self, kind: str, *, name: str | None = None, **parameters: Any) -> Fault:
        """Arm a rule: a kind of docs/faults.md with its parameters, as `fault("latency", latency="300ms")`.

        Raises:
            ControlError: a parameter is wrong; the message says which.
        """
        self._rules += 1
        name = name or f"{kind}-{self._rules}"
        self.control.post("/v1/faults", {"name": name, "kind": kind, **parameters})
        return Fault(self, name)

    def latency(self, latency: str, *, direction: str | None = None, **parameters: Any) -> Fault:
        """Delay frames by a duration such as `300ms`."""
        return self.fault("latency", latency=latency, **_given(direction=direction), **parameters)

    def drop(self, match: str | None = None, *, direction: str | None = None, **parameters: Any) -> Fault:
        """Drop matching frames: `drop("op:pong", direction="s2c")`."""
        return self.fault("drop", **_given(match=match, direction=direction), **parameters)

    def refuse(self, status: int = 503, **parameters: Any) -> Fault:
        """Answer every request with this status."""
        return self.fault("refuse", status=status, **parameters)

    def blackhole(self, **parameters: Any) -> Fault:
        """Let nothing pass any more, and say nothing: a half-open connection."""
        return self.fault("blackhole", **parameters)

    def reset(self) -> None:
        """Remove all rules; what they hold is released."""
        self.control.post("/v1/reset")

    def abort(self, connection: int | None = None, *, how: str = "rst") -> None:
        """End a connection, or all that are open, without a CLOSE frame: clients see 1006."""
        for number in self._open(connection):
            self.control.post(f"/v1/connections/{number}/abort", {"how": how})

    def close_connection(self, connection: int | None = None, *, code: int = 1001, reason: str = "") -> None:
        """End a connection, or all that are open, with a CLOSE frame in each direction."""
        for number in self._open(connection):
            self.control.post(f"/v1/connections/{number}/close", {"code": code, "reason": reason})

    def inject(self, payload: str, *, direction: str = "s2c", connection: int | None = None) -> None:
        """Send a text message that the other side did not send."""
        for number in self._open(connection):
            body = {"direction": direction, "opcode": "text", "payload": payload}
            self.control.post(f"/v1/connections/{number}/inject", body)

    def _open(self, connection: int | None) -> list[int]:
        if connection is not None:
            return [connection]
        found, after = [], 0
        while page := self.control.get(f"/v1/connections?after={after}")["connections"]:
            found += [int(one["id"]) for one in page if one["is_open"]]
            after = page[-1]["id"]
        return found

    @property
    def recorded(self) -> CaptureFile:
        """The capture so far, open for reading in the thread that asked first (`wsinspect.api`)."""
        if self._capture is None:
            self._capture = open_capture(self.capture)
        return self._capture


class _Opened(Facts):
    """Facts of a capture that is open in this thread."""

    def __init__(self, capture: CaptureFile) -> None:
        self._capture = capture

    @property
    def recorded(self) -> CaptureFile:
        return self._capture


def lane_of(capture: Path) -> str:
    """The connections of a capture and their last frames as text, also where its proxy has ended."""
    with open_capture(capture) as opened:
        return _Opened(opened).lane()


class AsyncProxy:
    """The waits of a `Proxy`, each in a thread, for asyncio or, where anyio is installed, any loop of its."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy

    async def wait_for_connection(self, number: int = 1, *, within: float = PATIENCE_SECONDS) -> Connection:
        """As `Proxy.wait_for_connection`, like the others here."""
        found = await self._ask(lambda facts: facts.wait_for_connection(number, within=within))
        return self.proxy.recorded.connection(found.id)

    async def wait_for_reconnect(
        self, after: Connection | int | None = None, *, within: float = PATIENCE_SECONDS
    ) -> Connection:
        """The next connection that opened."""
        found = await self._ask(lambda facts: facts.wait_for_reconnect(after, within=within))
        return self.proxy.recorded.connection(found.id)

    async def wait_for_close(
        self, connection: Connection | int | None = None, *, within: float = PATIENCE_SECONDS
    ) -> Connection:
        """The end of a connection."""
        found = await self._ask(lambda facts: facts.wait_for_close(connection, within=within))
        return self.proxy.recorded.connection(found.id)

    async def wait_for_frame(
        self, expression: str = "", *, after: Frame | int = 0, within: float = PATIENCE_SECONDS
    ) -> Frame:
        """The first frame that passes a filter."""
        return await self._ask(lambda facts: facts.wait_for_frame(expression, after=after, within=within))

    async def wait_for_message(
        self, expression: str = "", *, after: Frame | Message | int = 0, within: float = PATIENCE_SECONDS
    ) -> Message:
        """The first whole message with a frame that passes a filter."""
        return await self._ask(lambda facts: facts.wait_for_message(expression, after=after, within=within))

    async def _ask(self, ask: Callable[[Facts], T]) -> T:
        """In a thread, with the capture open there: SQLite's connections belong to one thread."""

        def asked() -> T:
            with open_capture(self.proxy.capture) as capture:
                return ask(_Opened(capture))

        return await _in_thread(asked)


async def _in_thread(function: Callable[[], T]) -> T:
    try:
        from anyio.to_thread import run_sync
    except ImportError:
        import asyncio

        return await asyncio.to_thread(function)
    waiting: Awaitable[T] = run_sync(function)
    return await waiting


def _given(**parameters: Any) -> Mapping[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}


def _base_and_path(server: str) -> tuple[str, str]:
    """A server's URL as `--reverse` takes it, and path with query, which `--reverse` does not have."""
    scheme, separator, rest = server.partition("://")
    schemes = {"ws": "http", "wss": "https", "http": "http", "https": "https"}
    if not separator or scheme not in schemes:
        raise UsageError(f"not a server URL: {server!r}", hint="as ws://127.0.0.1:3000/socket")
    host = rest
    for mark in "/?":
        host = host.partition(mark)[0]
    path = rest[len(host) :]
    return f"{schemes[scheme]}://{host}", path
