"""The recorded client played against a server (RFC 6455).

Each recorded connection is opened again and sends what its client sent: when the server has said as much as
it had then (the default), in the recorded time, or at once. What the server says is compared as it comes.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from wsinspect.capture.formats.secrets import mask_url
from wsinspect.capture.formats.soundness import check_sound
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.errors import LocalError, WsinspectError
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import negotiate
from wsinspect.replay.conduit import Conduit, Listener
from wsinspect.replay.handshake import Policy, Request, Target, build_request, was_masked
from wsinspect.replay.incoming import Ear
from wsinspect.replay.matching import Divergence, Matcher, Message
from wsinspect.replay.pace import Clock
from wsinspect.replay.report import ConnectionReport, Tell, nobody
from wsinspect.replay.script import Expect, Send, Style, has_compressed, steps
from wsinspect.replay.values import Place
from wsinspect.wire.close_codes import parse_close
from wsinspect.wire.deflate import DeflateParams
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.opcodes import Direction, Opcode

_C2S: Final = Direction.CLIENT_TO_SERVER
_NO_KEY: Final = b"\0\0\0\0"
_CHUNK: Final = 64 * 1024
#: Messages that came before the recording says so; more are compared at once.
_INBOX: Final = 10_000
_BATCH_STEPS: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """How to play a client.

    Attributes:
        target: where to.
        policy: of the handshakes.
        places: what to ignore in messages.
        gated: wait for what the recording waited for.
        speed: of the recorded time; None is at once. Of no matter where `gated`.
        normalise: whole messages, no control frames of the recording, a correct close.
        timeout_s: how long to wait for an answer.
        ca_file, insecure: whom to trust with TLS.
    """

    target: Target
    policy: Policy = field(default_factory=Policy)
    places: tuple[Place, ...] = ()
    gated: bool = True
    speed: float | None = None
    normalise: bool = False
    timeout_s: float = 10.0
    ca_file: Path | None = None
    insecure: bool = False


def replay_client(
    capture: Capture,
    connections: Sequence[Connection],
    options: ClientOptions,
    *,
    tell: Tell = nobody,
    progress: Callable[[int], None] = lambda _done: None,
) -> list[ConnectionReport]:
    """Play the clients of some connections.

    Args:
        capture: the recording.
        connections: of it.
        options: how.
        tell: told of divergences as they are known.
        progress: told how many frames are done.

    Raises:
        CaptureError: the recording is damaged.
        LocalError: TLS cannot be set up as asked for.
    """
    check_sound(capture)
    context = _tls(options) if options.target.scheme == "wss" else None
    return asyncio.run(_Clients(capture, connections, options, context, tell, progress).run())


def _tls(options: ClientOptions) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise LocalError(f"cannot read {options.ca_file}: {error}") from None
    if options.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


class _Clients:
    """All connections: those that overlapped play at once, others one after the other."""

    def __init__(
        self,
        capture: Capture,
        connections: Sequence[Connection],
        options: ClientOptions,
        context: ssl.SSLContext | None,
        tell: Tell,
        progress: Callable[[int], None],
    ) -> None:
        self.capture = capture
        self.options = options
        self.context = context
        self.tell = tell
        self._connections = connections
        self._progress = progress
        self._done = 0

    def advance(self, frames: int) -> None:
        """So many frames more are done."""
        self._done += frames
        self._progress(self._done)

    async def run(self) -> list[ConnectionReport]:
        start_ns = min((one.attempt_ns or 0 for one in self._connections), default=0)
        begin = time.monotonic()
        over = {one.id: asyncio.Event() for one in self._connections}
        async with asyncio.TaskGroup() as group:
            tasks = []
            for one in self._connections:
                speed = None if self.options.gated else self.options.speed
                clock = Clock(speed, start_ns, begin)
                before = [over[other.id] for other in self._connections if _is_before(other, one)]
                tasks.append(group.create_task(self._one(one, clock, before, over[one.id])))
        return [task.result() for task in tasks]

    async def _one(
        self, one: Connection, clock: Clock, before: list[asyncio.Event], over: asyncio.Event
    ) -> ConnectionReport:
        if clock.due(one.attempt_ns or 0) is None:
            for other in before:
                await other.wait()
        else:
            await _sleep_until(clock.due(one.attempt_ns or 0))
        started = time.monotonic()
        play = _Play(self, one, clock)
        try:
            await play.run()
        finally:
            over.set()
        play.report.seconds = time.monotonic() - started
        return play.report


def _is_before(other: Connection, one: Connection) -> bool:
    """Whether a connection had ended when another one began."""
    return other.closed_ns is not None and one.attempt_ns is not None and other.closed_ns <= one.attempt_ns


async def _sleep_until(due: float | None) -> None:
    if due is not None and (rest := due - time.monotonic()) > 0:
        await asyncio.sleep(rest)


class _Play(Listener):
    """One connection being played."""

    def __init__(self, clients: _Clients, one: Connection, clock: Clock) -> None:
        self._clients = clients
        self._options = clients.options
        self._one = one
        self._clock = clock
        self._conduit = Conduit()
        self._matcher = Matcher(clients.options.places)
        self._inbox: deque[Message] = deque()
        self._ear: Ear | None = None
        self._heard = 0
        self._expected = 0
        self._changed = asyncio.Event()
        self._recorded_close: Expect | None = None
        self._close: bytes | None = None
        self._has_sent_close = False
        path = clients.options.target.path or one.path or "/"
        target = clients.options.target
        self.report = ConnectionReport(one.id, mask_url(f"{target.scheme}://{target.authority}{path}"))

    async def run(self) -> None:
        """Play it; whatever the server does ends up in the report."""
        try:
            request = self._request()
            response = await self._open(request)
            if response is not None:
                await self._talk(response, request)
        except WsinspectError as error:
            self._problem(str(error))
        finally:
            self._conduit.close()
            self._pump(is_over=True)
            self.report.keep(self._matcher.finish(), self._clients.tell)
            self.report.close(self._matcher)

    # The opening handshake

    def _request(self) -> Request:
        handshake = self._clients.capture.handshake(self._one.id)
        policy = self._options.policy._replace(offers_extensions=not self._options.normalise)
        key = base64.b64encode(secrets.token_bytes(16))
        request = build_request(self._one, handshake, self._options.target, policy, key)
        if was_masked(request.raw):
            self.report.notes.append("the recording has no secrets, only *** (--header gives them)")
        if request.withheld:
            self.report.notes.append(
                f"not sent, because {self._options.target.host} is not where they were recorded: "
                f"{', '.join(request.withheld)} (--send-secrets sends them)"
            )
        return request

    async def _open(self, request: Request) -> RawHead | None:
        """The response, where a WebSocket is open now."""
        target = self._options.target
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._options.timeout_s):
                await loop.create_connection(
                    lambda: self._conduit,
                    target.host,
                    target.port,
                    ssl=self._clients.context,
                    server_hostname=target.host if self._clients.context else None,
                )
                self._conduit.write(request.raw)
                response = await self._conduit.head()
        except TimeoutError:
            self._problem(f"no answer from {target.authority} within {self._options.timeout_s:g} s")
            return None
        except OSError as error:
            self._problem(f"cannot connect to {target.authority}: {error.strerror or error}")
            return None
        if response is None or response.status is None:
            self._problem("the server ended the connection without a response")
            return None
        return self._judge(request, response)

    def _judge(self, request: Request, response: RawHead) -> RawHead | None:
        recorded = self._one.status
        if recorded is not None and response.status != recorded:
            self._problem(f"the server answers {response.status}, recorded was {recorded}")
        if response.status != 101:
            return None
        agreed = negotiate(RawHead.parse(request.raw), response)
        if agreed.subprotocol != self._one.subprotocol:
            then = self._one.subprotocol
            self._problem(f"the server chooses subprotocol {agreed.subprotocol!r}, recorded was {then!r}")
        for problem in agreed.problems:
            self.report.notes.append(f"the handshake breaks a rule: {problem}")
        return response

    # The conversation

    async def _talk(self, response: RawHead, request: Request) -> None:
        deflate = negotiate(RawHead.parse(request.raw), response).deflate
        self._ear = Ear(Direction.SERVER_TO_CLIENT, deflate)
        self._conduit.listen(self)
        style = Style(normalise=self._options.normalise, may_compress=self._may_compress(deflate))
        try:
            await self._play(style)
            await self._finish()
        except _EndedError:
            self._problem(f"the server {self._ending()} before all was sent")

    def _may_compress(self, deflate: DeflateParams | None) -> bool:
        """Whether recorded compressed frames can be sent as they are: the same was agreed."""
        handshake = self._clients.capture.handshake(self._one.id)
        if deflate is None or handshake is None:
            is_same = False
        else:
            request, response = handshake.request_in or b"", handshake.response_in or b""
            then = RawHead.parse(request), RawHead.parse(response)
            is_same = negotiate(*then).deflate == deflate
        if not is_same and has_compressed(self._clients.capture, self._one.id, _C2S):
            self.report.notes.append("compression differs: compressed messages are sent inflated")
        return is_same

    async def _play(self, style: Style) -> None:
        out: list[bytes] = []
        size = done = 0
        for step in steps(self._clients.capture, self._one, _C2S, style):
            if isinstance(step, Expect):
                self._expect(step)
            else:
                if self._must_wait(step):
                    self._flush(out)
                    size = 0
                    await self._wait_for_turn(step)
                out.append(step.wire)
                size += len(step.wire)
                self.report.sent += step.ends_message
                self._has_sent_close |= step.opcode == Opcode.CLOSE
            done += 1
            if size > _CHUNK or done >= _BATCH_STEPS:
                self._flush(out)
                self._clients.advance(done)
                size = done = 0
                await self._conduit.drain()
                await asyncio.sleep(0)
                if self._is_over():
                    raise _EndedError
        self._flush(out)
        self._clients.advance(done)

    def _expect(self, step: Expect) -> None:
        self._expected += 1
        if step.opcode == Opcode.CLOSE:
            self._recorded_close = self._recorded_close or step
        else:
            self._matcher.expect(Message(step.opcode, step.data, step.frame, step.is_cut))
            if self._inbox:
                self._pump()

    def _must_wait(self, step: Send) -> bool:
        if self._options.gated:
            return self._heard < self._expected
        due = self._clock.due(step.time_ns)
        return due is not None and due > time.monotonic()

    async def _wait_for_turn(self, step: Send) -> None:
        if not self._options.gated:
            await _sleep_until(self._clock.due(step.time_ns))
        elif not await self._wait_heard():
            self._problem(f"waited {self._options.timeout_s:g} s for what came before frame {step.frame}")
            self._pump(is_over=True)
            self.report.keep(self._matcher.finish(), self._clients.tell)
            self._expected = self._heard
        if self._is_over():
            raise _EndedError

    async def _wait_heard(self) -> bool:
        try:
            async with asyncio.timeout(self._options.timeout_s):
                while self._heard < self._expected and not self._is_over():
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
        """All is sent: wait for the rest, and end it as it was ended then."""
        if not await self._wait_heard():
            self._problem(f"the rest did not come within {self._options.timeout_s:g} s")
        side, how = self._recorded_end()
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

    def _recorded_end(self) -> tuple[str | None, str | None]:
        """Which transport ended first, and how."""
        for event in self._clients.capture.events(self._one.id):
            if event.kind == "end":
                return event.detail.get("side"), event.detail.get("how")
        return None, None

    async def _wait_end(self) -> bool:
        """Until the server's end; a CLOSE that answers ours is enough, for not all servers hang up."""
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
        """Whether sending on makes no sense: the server is gone, or closes and the recording does not."""
        return self._conduit.ended is not None or (
            self._close is not None and self._recorded_close is None and not self._has_sent_close
        )

    def _problem(self, text: str) -> None:
        self.report.problem(text, self._clients.tell)

    # Listener

    def on_data(self, data: bytes) -> None:
        """The server says something."""
        if self._ear is None:
            return
        inbox = self._inbox
        for heard in self._ear.feed(data):
            opcode = heard.opcode
            if opcode in (Opcode.TEXT, Opcode.BINARY):
                inbox.append(Message(opcode, heard.data))
                self._heard += 1
            elif opcode == Opcode.PING:
                self._conduit.write(serialize_frame(Opcode.PONG, heard.data[:125], key=_NO_KEY))
            elif opcode == Opcode.CLOSE and self._close is None:
                self._close = heard.data
                self._heard += 1
            if heard.violation:
                self._problem(f"the server breaks the protocol: {heard.violation}")
        if inbox:
            self._pump()
        self._changed.set()

    def on_end(self, how: str) -> None:
        """The server has ended its side."""
        self._changed.set()

    def _pump(self, *, is_over: bool = False) -> None:
        """Compare what came, as far as the recording has been read."""
        inbox, matcher = self._inbox, self._matcher
        found: list[Divergence] = []
        while inbox and (matcher.waiting or is_over or len(inbox) > _INBOX):
            found += matcher.take(inbox.popleft())
        if found:
            self.report.keep(found, self._clients.tell)


class _EndedError(Exception):
    """The server is gone."""
