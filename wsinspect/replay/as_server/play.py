"""One recording, played to one client as its server played it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.errors import WsinspectError
from wsinspect.formats.secrets import mask_url
from wsinspect.replay.as_server.gates import Gates, Test
from wsinspect.replay.common.lines import Line
from wsinspect.replay.common.matching import Divergence, Message
from wsinspect.replay.common.report import FAULTY, ConnectionReport, OnDivergence
from wsinspect.replay.common.script import Expect, Send, Style, has_faults, recorded_end, steps
from wsinspect.replay.common.values import Place
from wsinspect.replay.socketio.engine_line import EngineLine
from wsinspect.replay.socketio.polled import polled
from wsinspect.wire.close_codes import CloseCode, parse_close
from wsinspect.wire.opcodes import Direction, Opcode

_S2C: Final = Direction.SERVER_TO_CLIENT
_CLOSE_S: Final = 2.0
_BATCH_STEPS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """How to play a server.

    Attributes:
        places: what to ignore in messages.
        match: one of `gates.MATCHES`.
        tests: by frame: what to wait for instead of the recorded message.
        any_order: clients may say things in any order.
        speed: of the recorded time between two frames; None for none.
        until: the last frame to play.
        then: what to do after it: `rst`, `fin` or `close`.
        loop: start over when all recordings of a path are played.
        normalise: whole messages, no recorded pings.
        send_secrets: send recorded Set-Cookie fields.
        checks_origin: refuse pages of other origins than the recorded one and this machine's.
    """

    places: tuple[Place, ...] = ()
    match: str = "similar"
    tests: Mapping[int, Test] = field(default_factory=dict)
    any_order: bool = False
    speed: float | None = 1.0
    until: int | None = None
    then: str = "rst"
    loop: bool = False
    normalise: bool = False
    send_secrets: bool = False
    checks_origin: bool = True


class ServerPlay:
    """A recording being played.

    Args:
        capture: where it is.
        one: the recorded connection.
        line: to the client.
        target: what the client asked for.
        options: how.
        on_divergence: called with each divergence as it happens.

    Attributes:
        report: what is known so far.
    """

    def __init__(
        self,
        capture: Capture,
        one: Connection,
        line: Line,
        target: str,
        options: ServerOptions,
        on_divergence: OnDivergence,
    ) -> None:
        self._capture = capture
        self._one = one
        self._line = line
        self._options = options
        self._on_divergence = on_divergence
        self._gates = Gates(options.places, options.match, options.tests, any_order=options.any_order)
        self._changed = asyncio.Event()
        self._recorded_close: Expect | None = None
        self._is_close_as_recorded = False
        self._answer: bytes | None = None
        self._last_ns = one.open_ns or one.attempt_ns or 0
        self._last = time.monotonic()
        self.report = ConnectionReport(one.id, mask_url(target))
        if has_faults(capture, one.id):
            self.report.notes.append(FAULTY)

    async def run(self) -> None:
        """Play it; what the client does differently is in the report."""
        started = time.monotonic()
        try:
            self._line.begin(self)
            await self._play()
        except WsinspectError as error:
            self.problem(str(error))
        finally:
            self._line.hang_up()
            self.report.keep(self._gates.finish(), self._on_divergence)
            self.report.tally = self._gates.tally
            self.report.seconds = time.monotonic() - started

    # The conversation

    async def _play(self) -> None:
        left = 0
        for step in self._steps():
            if self._is_ended():
                left += isinstance(step, Send) and step.ends_message
                self._skip(step)
                continue
            if self._options.until is not None and (step.frame or 0) > self._options.until:
                await self._stop()
                return
            if isinstance(step, Expect):
                self._expect(step)
            else:
                await self._send(step)
        if left:
            self.problem(f"the client {self._ending()} when {left} recorded server messages were left")
        elif not self._is_ended():
            await self._wait_gates()
        if self._options.until is not None:
            await self._stop()
            return
        await self._finish()

    def _steps(self) -> Iterator[Send | Expect]:
        """What to play; with Engine.IO, whole messages without the transport's own packets."""
        is_engine = isinstance(self._line, EngineLine)
        style = Style(self._options.normalise, masked=False, whole=is_engine)
        for step in steps(self._capture, self._one, _S2C, style, polled(self._capture, self._one)):
            if step.opcode != Opcode.TEXT or not self._line.skips(step.data):
                yield step

    def _skip(self, step: Send | Expect) -> None:
        """A client that closes before the last recorded PING was due still gets the recorded answer."""
        if step.opcode == Opcode.CLOSE:
            if isinstance(step, Expect):
                self._is_close_as_recorded = step.data == self._line.close
            elif self._is_close_as_recorded:
                self._answer = step.data

    def _expect(self, step: Expect) -> None:
        if step.opcode == Opcode.CLOSE:
            self._recorded_close = self._recorded_close or step
        else:
            self._keep(self._gates.expect(Message(step.opcode, step.data, step.frame, step.is_cut)))
        self._last_ns = max(self._last_ns, step.time_ns)

    async def _send(self, step: Send) -> None:
        await self._wait_gates()
        await self._wait_time(step.time_ns)
        if self._is_ended():
            return
        self._line.send(step)
        self.report.sent += step.ends_message
        await self._line.drain()
        if not self.report.sent % _BATCH_STEPS:
            await asyncio.sleep(0)

    async def _wait_gates(self) -> None:
        waits_for_close = self._recorded_close is not None
        line = self._line
        while not self._is_ended() and not (
            line.is_ready and self._gates.is_open and not (waits_for_close and line.is_live)
        ):
            self._changed.clear()
            await self._changed.wait()
            self._last = time.monotonic()

    async def _wait_time(self, time_ns: int) -> None:
        """Wait for the recorded pause, scaled."""
        if self._options.speed is not None:
            due = self._last + max(0, time_ns - self._last_ns) / 1e9 / self._options.speed
            while (rest := due - time.monotonic()) > 0 and not self._is_ended():
                self._changed.clear()
                try:
                    async with asyncio.timeout(rest):
                        await self._changed.wait()
                except TimeoutError:
                    break
        self._last = time.monotonic()
        self._last_ns = max(self._last_ns, time_ns)

    # The end

    async def _stop(self) -> None:
        """End it as the user chose, after the last frame to play."""
        await self._line.flushed()
        if self._options.then == "rst":
            self._line.abort()
        elif self._options.then == "close":
            self._line.send_close(int(CloseCode.GOING_AWAY).to_bytes(2, "big"))
        self._line.hang_up()

    async def _finish(self) -> None:
        """All is played: end the connection as it was recorded, or wait for the client to end it."""
        side, how = recorded_end(self._capture, self._one.id)
        line = self._line
        if line.has_sent_close:
            await self._wait_end(_CLOSE_S)
        elif side == "server" and not self._is_ended() and self._recorded_close is None:
            await self._wait_time(self._one.closed_ns or self._last_ns)
            if how == "rst":
                await line.flushed()
                line.abort()
            return
        else:
            await self._wait_end(None)
        if line.close is not None and not line.has_sent_close:
            line.send_close(line.close[:2] if self._answer is None else self._answer)
        self._compare_close()

    async def _wait_end(self, timeout_s: float | None) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while self._line.is_live:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return

    def _compare_close(self) -> None:
        close = self._line.close
        if self._recorded_close is None or close == self._recorded_close.data:
            return
        if isinstance(self._line, EngineLine) and not self._line.is_upgraded:
            return  # long-polling has no CLOSE frames
        then = parse_close(self._recorded_close.data)[0]
        now = "ended the connection" if close is None else f"closed with {parse_close(close)[0]}"
        self.problem(f"the client {now}, recorded was a CLOSE with {then}")

    def _ending(self) -> str:
        if self._line.close is not None:
            return f"closed with {parse_close(self._line.close)[0]}"
        return "reset the connection" if self._line.ended == "rst" else "ended the connection"

    def _is_ended(self) -> bool:
        line = self._line
        return line.ended is not None or (line.close is not None and self._recorded_close is None)

    def _keep(self, found: list[Divergence]) -> None:
        if found:
            self.report.keep(found, self._on_divergence)

    # LineHandler

    def hear(self, message: Message) -> None:
        """A message from the client."""
        self._keep(self._gates.take(message))

    def problem(self, text: str) -> None:
        """Report a difference other than of messages."""
        self.report.problem(text, self._on_divergence)

    def change(self) -> None:
        """Something came, or the client is gone."""
        self._changed.set()
