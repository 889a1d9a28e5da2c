"""One recorded connection, played against a server as its client played it."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.errors import WsinspectError
from wsinspect.formats.secrets import mask_url
from wsinspect.replay.as_client.opening import Agreed, ClientOptions, Opening
from wsinspect.replay.common.conduit import Conduit, Listener
from wsinspect.replay.common.incoming import MessageReceiver
from wsinspect.replay.common.matching import Divergence, Matcher, Message
from wsinspect.replay.common.pace import Clock
from wsinspect.replay.common.report import FAULTY, ConnectionReport, OnDivergence
from wsinspect.replay.common.script import Expect, Send, Style, has_faults, recorded_end, steps
from wsinspect.replay.socketio.engine_client import EngineClient, upgraded_path
from wsinspect.replay.socketio.engineio import PING, is_transports
from wsinspect.replay.socketio.polled import polled
from wsinspect.wire.close_codes import parse_close
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.opcodes import Direction, Opcode

_C2S: Final = Direction.CLIENT_TO_SERVER
_NO_KEY: Final = b"\0\0\0\0"
_CHUNK: Final = 64 * 1024
#: Messages that may come before the recording expects them; more are compared at once.
_INBOX: Final = 10_000
_BATCH_STEPS: Final = 512


async def sleep_until(due: float | None) -> None:
    """Wait until a time of `time.monotonic`; None is now."""
    if due is not None and (rest := due - time.monotonic()) > 0:
        await asyncio.sleep(rest)


class ClientPlay(Listener):
    """One connection being played.

    Args:
        capture: where it is recorded.
        one: the connection.
        clock: its times as times of today.
        options: how.
        context: of TLS; None without.
        on_divergence: called with each divergence as it happens.
        advance: called with the number of frames done.

    Attributes:
        report: what is known so far.
    """

    def __init__(
        self,
        capture: Capture,
        one: Connection,
        clock: Clock,
        options: ClientOptions,
        context: ssl.SSLContext | None,
        on_divergence: OnDivergence,
        advance: Callable[[int], None],
    ) -> None:
        self._capture = capture
        self._options = options
        self._context = context
        self._on_divergence = on_divergence
        self._advance = advance
        self._engine = EngineClient.of(capture, one)
        self._heart: asyncio.Task[None] | None = None
        self._one = one
        self._clock = clock
        self._conduit = Conduit()
        self._matcher = Matcher(options.places)
        self._inbox: deque[Message] = deque()
        self._receiver: MessageReceiver | None = None
        self._heard = 0
        self._expected = 0
        self._changed = asyncio.Event()
        self._recorded_close: Expect | None = None
        self._close: bytes | None = None
        self._has_sent_close = False
        if self._engine is not None:
            one = one._replace(path=upgraded_path(one.path or "/"))
        path = options.target.path or one.path or "/"
        target = options.target
        self.report = ConnectionReport(one.id, mask_url(f"{target.scheme}://{target.authority}{path}"))
        if has_faults(capture, one.id):
            self.report.notes.append(FAULTY)
        self._opening = Opening(capture, one, options, context, self.report, on_divergence)

    async def run(self) -> None:
        """Play it; what the server does differently is in the report."""
        try:
            agreed = await self._opening.open(self._conduit)
            if agreed is not None:
                await self._talk(agreed)
        except WsinspectError as error:
            self._problem(str(error))
        except asyncio.CancelledError:
            self.report.is_interrupted = True
            raise
        finally:
            self._conduit.close()
            self._pump(is_over=not self.report.is_interrupted)
            if not self.report.is_interrupted:
                self.report.keep(self._matcher.finish(), self._on_divergence)
            self.report.close(self._matcher)

    # The conversation

    async def _talk(self, agreed: Agreed) -> None:
        self._receiver = MessageReceiver(Direction.SERVER_TO_CLIENT, agreed.deflate)
        self._conduit.listen(self)
        is_engine = self._engine is not None
        style = Style(self._options.normalise, may_compress=agreed.may_compress, whole=is_engine)
        try:
            if self._engine is not None:
                await self._begin_session(self._engine)
            script = self._steps(style)
            try:
                await self._play(script)
            except _EndedError as ended:
                left = self._read_rest(script) + ended.left
                if ended.is_stalled:
                    self._problem(f"the server reads nothing for {self._options.patience} ({left} left)")
                    self._conduit.abort()
                    return
                if left:
                    self._problem(f"the server {self._ending()} before all was sent ({left} left)")
                    return
            await self._finish()
        finally:
            if self._heart is not None:
                self._heart.cancel()

    async def _begin_session(self, engine: EngineClient) -> None:
        """Wait for the open packet, and send a connect that the recording lacks."""
        if engine.interval_s is not None:
            self._heart = asyncio.get_running_loop().create_task(self._beat(engine.interval_s))
        if not await self._wait_until(lambda: engine.is_ready):
            self._problem(f"the server opens no Engine.IO session within {self._options.patience}")

    async def _beat(self, interval_s: float) -> None:
        while not self._is_over():
            await asyncio.sleep(interval_s)
            self._say(PING)

    def _say(self, text: bytes) -> None:
        self._conduit.write(serialize_frame(Opcode.TEXT, text, key=_NO_KEY))

    async def _play(self, script: Iterator[Send | Expect]) -> None:
        out: list[bytes] = []
        size = done = 0
        for step in script:
            if isinstance(step, Expect):
                self._expect(step)
            else:
                if self._must_wait(step):
                    self._flush(out)
                    self._advance(done)
                    size = done = 0
                    await self._wait_for_turn(step)
                out.append(step.wire)
                size += len(step.wire)
                self.report.sent += step.ends_message
                self._has_sent_close |= step.opcode == Opcode.CLOSE
            done += 1
            if size > _CHUNK or done >= _BATCH_STEPS:
                self._flush(out)
                self._advance(done)
                size = done = 0
                if not await self._drain():
                    raise _EndedError(0, is_stalled=True)
                await asyncio.sleep(0)
                if self._is_over():
                    raise _EndedError(0)
        self._flush(out)
        self._advance(done)

    def _steps(self, style: Style) -> Iterator[Send | Expect]:
        """What to play; with Engine.IO, without the transport's own packets."""
        engine = self._engine
        for step in steps(self._capture, self._one, _C2S, style, polled(self._capture, self._one)):
            if engine is None or step.opcode != Opcode.TEXT:
                yield step
            elif not is_transports(step.data):
                yield engine.outgoing(step) if isinstance(step, Send) else step

    def _read_rest(self, script: Iterator[Send | Expect]) -> int:
        """The server is gone or closing: report how many messages were left to send."""
        left = 0
        for step in script:
            if isinstance(step, Expect):
                self._expect(step)
            else:
                left += _matters(step)
        return left

    def _expect(self, step: Expect) -> None:
        self._expected += 1
        if step.opcode == Opcode.CLOSE:
            self._recorded_close = self._recorded_close or step
        else:
            self._matcher.expect(Message(step.opcode, step.data, step.frame, step.is_cut))
            if self._inbox:
                self._pump()

    def _must_wait(self, step: Send) -> bool:
        if self._is_gated(step) and self._heard < self._expected:
            return True
        due = self._due(step)
        return due is not None and due > time.monotonic()

    def _is_gated(self, step: Send) -> bool:
        """Whether it waits for what the server said before it: a CLOSE does at any speed, because a server
        may drop the answers that it owes once it has read one."""
        return self._options.gated or step.opcode == Opcode.CLOSE

    def _due(self, step: Send) -> float | None:
        return None if self._options.gated else self._clock.due(step.time_ns)

    async def _wait_for_turn(self, step: Send) -> None:
        await self._wait_time(self._due(step))
        if self._is_gated(step) and not await self._wait_heard():
            self._problem(f"waited {self._options.patience} for what preceded frame {step.frame}")
            self._pump(is_over=True)
            self.report.keep(self._matcher.finish(), self._on_divergence)
            self._expected = self._heard
        if self._is_over():
            raise _EndedError(_matters(step))

    async def _wait_time(self, due: float | None) -> None:
        """Wait until this time, or until there is no point in sending more."""
        while due is not None and (rest := due - time.monotonic()) > 0 and not self._is_over():
            await self._wait_until(self._is_over, rest)

    async def _drain(self) -> bool:
        """Whether the server takes more data within the timeout."""
        try:
            async with asyncio.timeout(self._options.timeout_s):
                await self._conduit.drain()
        except TimeoutError:
            return False
        return True

    async def _wait_heard(self) -> bool:
        return await self._wait_until(lambda: self._heard >= self._expected)

    async def _wait_until(self, is_true: Callable[[], bool], seconds: float | None = None) -> bool:
        """Whether it came true, or the server went, in this many seconds (None: the options' timeout)."""
        try:
            async with asyncio.timeout(self._options.timeout_s if seconds is None else seconds):
                while not is_true() and not self._is_over():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def _flush(self, out: list[bytes]) -> None:
        if out:
            self._conduit.write(b"".join(out))
            out.clear()

    # The end

    async def _finish(self) -> None:
        """All is sent: wait for the rest, and end the connection as it was recorded."""
        if not await self._wait_heard():
            self._problem(f"the rest did not come within {self._options.patience}")
        side, how = recorded_end(self._capture, self._one.id)
        if side == "client" and not self._has_sent_close:
            if how == "rst":
                await self._conduit.flushed()
                self._conduit.abort()
            else:
                self._conduit.half_close()
        elif self._recorded_close is None and side is None and not self._has_sent_close:
            self._send_close(1000)
        if self._close is not None:
            self._answer_close()
        if not (side == "client" and how == "rst") and not await self._wait_end():
            self._problem("the server did not end the connection")
        self._compare_close()

    async def _wait_end(self) -> bool:
        """Wait for the server's end; a CLOSE that answers ours is enough, because not all servers hang up."""
        try:
            async with asyncio.timeout(self._options.timeout_s):
                while self._conduit.ended is None and self._close is None:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def _send_close(self, code: int) -> None:
        self._has_sent_close = True
        self._conduit.write(serialize_frame(Opcode.CLOSE, code.to_bytes(2, "big"), key=_NO_KEY))

    def _answer_close(self) -> None:
        if not self._has_sent_close and self._close is not None:
            self._has_sent_close = True
            self._conduit.write(serialize_frame(Opcode.CLOSE, self._close[:2], key=_NO_KEY))

    def _compare_close(self) -> None:
        recorded = None if self._recorded_close is None else self._recorded_close.data
        if recorded is None and self._one.server_close_code is None:
            return
        if self._close is None:
            self._problem(f"the server {self._ending()} without the CLOSE frame that was recorded")
        elif recorded is not None and self._close != recorded:
            now, then = parse_close(self._close), parse_close(recorded)
            self._problem(f"the server closes with {now[0]} {now[1]!r}, recorded was {then[0]} {then[1]!r}")

    def _ending(self) -> str:
        if self._close is not None:
            code, reason = parse_close(self._close)
            return f"closed with {code} {reason!r}"
        return {"rst": "reset the connection", "fin": "ended the connection"}.get(
            self._conduit.ended or "", "did not close"
        )

    def _is_over(self) -> bool:
        """Whether sending more is pointless: the server is gone, or closes and the recording does not."""
        return self._conduit.ended is not None or (
            self._close is not None and self._recorded_close is None and not self._has_sent_close
        )

    def _problem(self, text: str) -> None:
        self.report.problem(text, self._on_divergence)

    # Listener

    def on_data(self, data: bytes) -> None:
        """A message from the server."""
        if self._receiver is None:
            return
        inbox = self._inbox
        for heard in self._receiver.feed(data):
            opcode, content = heard.opcode, heard.data
            if heard.violation:
                self._problem(f"the server breaks the protocol: {heard.violation}")
            if self._engine is not None and opcode == Opcode.TEXT:
                compared, answers = self._engine.incoming(content)
                for answer in answers:
                    self._say(answer)
                if compared is None:
                    continue
                content = compared
            if opcode in (Opcode.TEXT, Opcode.BINARY):
                inbox.append(Message(opcode, content))
                self._heard += 1
            elif opcode == Opcode.PING:
                self._conduit.write(serialize_frame(Opcode.PONG, content[:125], key=_NO_KEY))
            elif opcode == Opcode.CLOSE and self._close is None:
                self._close = content
                self._heard += 1
        if inbox:
            self._pump()
        self._changed.set()

    def on_end(self, how: str) -> None:
        """The server has ended its side."""
        self._changed.set()

    def _pump(self, *, is_over: bool = False) -> None:
        """Compare what came with what has been read of the recording."""
        inbox, matcher = self._inbox, self._matcher
        found: list[Divergence] = []
        while inbox and (matcher.waiting or is_over or len(inbox) > _INBOX):
            found += matcher.take(inbox.popleft())
        if found:
            self.report.keep(found, self._on_divergence)


def _matters(step: Send) -> int:
    """Whether something was not said when this was not sent: a CLOSE answers for itself."""
    return step.ends_message or step.opcode < 0


class _EndedError(Exception):
    """The server is gone, or has stopped reading, and this many messages were on their way."""

    def __init__(self, left: int, *, is_stalled: bool = False) -> None:
        super().__init__(left)
        self.left = left
        self.is_stalled = is_stalled
