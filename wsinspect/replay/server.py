"""The recorded server played for clients (RFC 6455).

Each client that opens a recorded path gets the next recording of it: what the server said after a client's
message is said once that message has come. Which messages count, how fast it goes and where it stops is the
user's choice. What clients do otherwise is reported as it happens.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from wsinspect.capture.formats.secrets import mask_url
from wsinspect.capture.formats.soundness import check_sound
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.errors import LocalError, WsinspectError
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import is_valid_key
from wsinspect.replay.conduit import Conduit, Listener
from wsinspect.replay.engineio import EngineIo
from wsinspect.replay.gates import Gates, Test
from wsinspect.replay.handshake import build_response, is_loopback
from wsinspect.replay.incoming import Ear
from wsinspect.replay.matching import Divergence, Message
from wsinspect.replay.report import ConnectionReport, Tell, nobody
from wsinspect.replay.script import Expect, Send, Style, steps
from wsinspect.replay.values import Place
from wsinspect.wire.close_codes import CloseCode, parse_close
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.opcodes import Direction, Opcode

_S2C: Final = Direction.SERVER_TO_CLIENT
_HEAD_S: Final = 10.0
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


class ReplayServer:
    """Listens, and plays.

    Args:
        capture: the recording.
        connections: of it.
        options: how.
        tell: told of divergences as they happen.
        on_report: called with the report of each connection that is over.

    Attributes:
        reports: of the connections that are over.
        keys: where not None, only handshakes with one of these Sec-WebSocket-Keys are answered.
    """

    def __init__(
        self,
        capture: Capture,
        connections: Sequence[Connection],
        options: ServerOptions,
        *,
        tell: Tell = nobody,
        on_report: Callable[[ConnectionReport], None] = lambda _report: None,
    ) -> None:
        self.capture = capture
        self.options = options
        self.tell = tell
        self.reports: list[ConnectionReport] = []
        self.keys: set[bytes] | None = None
        self._on_report = on_report
        self._left = [one for one in connections if one.state != "failed"]
        self._all = list(self._left)
        self._over = asyncio.Event()
        self._playing: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; the port.

        Raises:
            CaptureError: the recording is damaged.
            LocalError: it cannot be listened on.
        """
        check_sound(self.capture)
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._accept, host, port)
        except OSError as error:
            raise LocalError(f"cannot listen on {host}:{port}: {error.strerror}") from None
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    async def wait(self) -> None:
        """Until all recordings are played."""
        await self._over.wait()

    async def close(self) -> None:
        """Stop listening, end what is playing."""
        if self._server is not None:
            self._server.close()
        for task in list(self._playing):
            task.cancel()
        await asyncio.gather(*self._playing, return_exceptions=True)

    @property
    def unplayed(self) -> list[Connection]:
        """Recordings that nobody asked for."""
        return [] if self.options.loop else list(self._left)

    def find(self, path: str) -> Connection | None:
        """The recording that a handshake for `path` would get."""
        for candidates in (self._left, self._all if self.options.loop else []):
            same = [one for one in candidates if _path(one) == path.partition("?")[0]]
            exact = [one for one in same if one.path == path]
            if same:
                return (exact or same)[0]
        return None

    def _accept(self) -> Conduit:
        conduit = Conduit()
        task = asyncio.get_running_loop().create_task(self._serve(conduit))
        self._playing.add(task)
        task.add_done_callback(self._playing.discard)
        return conduit

    async def _serve(self, conduit: Conduit) -> None:
        try:
            async with asyncio.timeout(_HEAD_S):
                request = await conduit.head()
            if request is None:
                conduit.close()
                return
        except TimeoutError:
            conduit.abort()
            return
        refusal = self._refusal(request)
        if refusal is not None:
            conduit.write(refusal)
            conduit.close()
            return
        path = request.target.decode("latin-1")
        one = self.find(path)
        assert one is not None
        if one in self._left:
            self._left.remove(one)
        play = _Play(self, one, conduit, request)
        try:
            await play.run()
        finally:
            conduit.close()
            self.reports.append(play.report)
            self._on_report(play.report)
            if not self._left and not self.options.loop and len(self._playing) <= 1:
                self._over.set()

    def _refusal(self, request: RawHead) -> bytes | None:
        """Why a request is not answered from the recording, as a response."""
        key = request.get("sec-websocket-key") or b""
        if "websocket" not in request.tokens("upgrade") or not is_valid_key(key):
            return _plain(426, "Upgrade Required", "a recording is played here, for WebSockets alone")
        if self.keys is not None and key not in self.keys:
            return _plain(403, "Forbidden", "not by the proxy")
        one = self.find(request.target.decode("latin-1"))
        if one is None:
            return _plain(
                404, "Not Found", "the recording has no more connections for this path (--loop repeats)"
            )
        if self.options.checks_origin and not self._is_origin_fine(request, one):
            return _plain(403, "Forbidden", "this origin is not the recorded one")
        return None

    def _is_origin_fine(self, request: RawHead, one: Connection) -> bool:
        """Any page in a browser can connect to this machine: only those that may know the recording are let
        in."""
        origin = (request.get("origin") or b"").decode("latin-1")
        host = _host(origin)
        if not origin or host is None or is_loopback(host) or host == one.host:
            return not origin or host is not None
        handshake = self.capture.handshake(one.id)
        recorded = RawHead.parse((handshake.request_in or b"") if handshake else b"").get("origin")
        return recorded is not None and recorded.decode("latin-1") == origin


def _host(origin: str) -> str | None:
    try:
        return urlsplit(origin).hostname
    except ValueError:
        return None


def _path(one: Connection) -> str:
    return (one.path or "/").partition("?")[0]


def _plain(status: int, reason: str, text: str) -> bytes:
    body = text.encode() + b"\n"
    upgrade = "Upgrade: websocket\r\n" if status == 426 else ""
    return (
        f"HTTP/1.1 {status} {reason}\r\n{upgrade}Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    ).encode() + body


class _Play(Listener):
    """One connection being played."""

    def __init__(self, server: ReplayServer, one: Connection, conduit: Conduit, request: RawHead) -> None:
        self._server = server
        self._options = server.options
        self._one = one
        self._conduit = conduit
        self._request = request
        options = server.options
        self._gates = Gates(options.places, options.match, options.tests, any_order=options.any_order)
        self._engine = EngineIo.of(one.path or "", lambda: secrets.token_urlsafe(15))
        self._ear = Ear(Direction.CLIENT_TO_SERVER)
        self._changed = asyncio.Event()
        self._close: bytes | None = None
        self._recorded_close: Expect | None = None
        self._has_sent_close = False
        self._is_done = False
        self._last_ns = one.open_ns or one.attempt_ns or 0
        self._last = time.monotonic()
        self._beat: asyncio.Task[None] | None = None
        self.report = ConnectionReport(one.id, mask_url(request.target.decode("latin-1")))

    async def run(self) -> None:
        """Play it; whatever the client does ends up in the report."""
        started = time.monotonic()
        try:
            if self._one.status not in (101, 200, None):
                self._refuse()
                return
            self._answer()
            await self._play()
        except WsinspectError as error:
            self._problem(str(error))
        finally:
            if self._beat is not None:
                self._beat.cancel()
            self.report.keep(self._gates.finish(), self._server.tell)
            self.report.tally = self._gates.tally
            self.report.seconds = time.monotonic() - started

    # The opening handshake

    def _refuse(self) -> None:
        """As it was refused then."""
        handshake = self._server.capture.handshake(self._one.id)
        body = (handshake.body or b"") if handshake else b""
        head = RawHead.parse((handshake.response_in or b"") if handshake else b"")
        status = head.status or self._one.status or 502
        lines = [b"HTTP/1.1 %d %s" % (status, head.reason)]
        for one in head.fields:
            if one.name and one.key not in (
                b"content-length",
                b"transfer-encoding",
                b"connection",
                b"set-cookie",
            ):
                lines.append(one.name + b": " + one.value)
        lines += [b"Content-Length: %d" % len(body), b"Connection: close", b"", body]
        self._conduit.write(b"\r\n".join(lines))

    def _answer(self) -> None:
        handshake = self._server.capture.handshake(self._one.id)
        subprotocol = self._one.subprotocol
        offered = [one.decode("latin-1") for one in self._request.elements("sec-websocket-protocol")]
        if subprotocol is not None and subprotocol not in offered:
            self._problem(f"the client does not offer the recorded subprotocol {subprotocol!r}")
        recorded = handshake.response_in if handshake else None
        response = build_response(
            recorded, self._request, subprotocol=subprotocol, send_secrets=self._options.send_secrets
        )
        self._conduit.write(response)
        self._conduit.listen(self)

    # The conversation

    async def _play(self) -> None:
        style = Style(normalise=self._options.normalise, masked=False)
        left = 0
        for step in steps(self._server.capture, self._one, _S2C, style):
            if self._is_ended():
                left += self._count_left(step)
                continue
            if self._options.until is not None and (step.frame or 0) > self._options.until:
                await self._stop()
                return
            if isinstance(step, Expect):
                self._expect(step)
            else:
                await self._send(step)
        if left:
            self._problem(
                f"the client {self._ending()} when {left} recorded messages of the server were left"
            )
        elif not self._is_ended():
            await self._wait_gates()
        if self._options.until is not None:
            await self._stop()
            return
        await self._finish()

    def _count_left(self, step: Send | Expect) -> int:
        is_message = isinstance(step, Send) and step.ends_message
        return is_message and not (self._engine is not None and EngineIo.is_heartbeat(step.data))

    def _expect(self, step: Expect) -> None:
        if step.opcode == Opcode.CLOSE:
            self._recorded_close = self._recorded_close or step
        elif not (self._engine is not None and EngineIo.is_heartbeat(step.data)):
            self._keep(self._gates.expect(Message(step.opcode, step.data, step.frame, step.is_cut)))
        self._last_ns = max(self._last_ns, step.time_ns)

    async def _send(self, step: Send) -> None:
        is_text = step.opcode == Opcode.TEXT and step.ends_message
        if self._engine is not None and is_text and EngineIo.is_heartbeat(step.data):
            return
        await self._wait_gates()
        await self._wait_time(step.time_ns)
        if self._is_ended():
            return
        wire = step.wire
        if self._engine is not None and is_text:
            wire = serialize_frame(Opcode.TEXT, self._engine.outgoing(step.data))
            self._start_heart()
        self._conduit.write(wire)
        self.report.sent += step.ends_message
        self._has_sent_close |= step.opcode == Opcode.CLOSE
        await self._conduit.drain()
        if not self.report.sent % _BATCH_STEPS:
            await asyncio.sleep(0)

    async def _wait_gates(self) -> None:
        waits_for_close = self._recorded_close is not None
        while not self._is_ended() and (not self._gates.is_open or (waits_for_close and self._close is None)):
            self._changed.clear()
            await self._changed.wait()
            self._last = time.monotonic()

    async def _wait_time(self, time_ns: int) -> None:
        """The recorded pause since what was before, scaled."""
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

    def _start_heart(self) -> None:
        if self._beat is None and self._engine is not None and self._engine.interval_s is not None:
            self._beat = asyncio.get_running_loop().create_task(
                self._heart(self._engine, self._engine.interval_s)
            )

    async def _heart(self, engine: EngineIo, interval_s: float) -> None:
        while not self._is_ended():
            await asyncio.sleep(interval_s)
            self._conduit.write(serialize_frame(Opcode.TEXT, engine.ping))

    # The end

    async def _stop(self) -> None:
        """As the user wants it after the last frame to play."""
        await self._conduit.flushed()
        if self._options.then == "rst":
            self._conduit.abort()
        elif self._options.then == "close":
            self._conduit.write(serialize_frame(Opcode.CLOSE, int(CloseCode.GOING_AWAY).to_bytes(2, "big")))
        self._conduit.close()

    async def _finish(self) -> None:
        """All is played: end it as it was ended then, or wait for the client to do it."""
        side, how = self._recorded_end()
        if self._has_sent_close:
            await self._wait_end(_CLOSE_S)
        elif side == "server" and not self._is_ended() and self._recorded_close is None:
            await self._wait_time(self._one.closed_ns or self._last_ns)
            if how == "rst":
                await self._conduit.flushed()
                self._conduit.abort()
            return
        else:
            await self._wait_end(None)
        self._answer_close()
        self._compare_close()

    def _recorded_end(self) -> tuple[str | None, str | None]:
        for event in self._server.capture.events(self._one.id):
            if event.kind == "end":
                return event.detail.get("side"), event.detail.get("how")
        return None, None

    async def _wait_end(self, timeout_s: float | None) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while self._close is None and self._conduit.ended is None:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return

    def _answer_close(self) -> None:
        if self._close is not None and not self._has_sent_close:
            self._has_sent_close = True
            self._conduit.write(serialize_frame(Opcode.CLOSE, self._close[:2]))

    def _compare_close(self) -> None:
        if self._recorded_close is None or self._close == self._recorded_close.data:
            return
        then = parse_close(self._recorded_close.data)[0]
        now = "ended the connection" if self._close is None else f"closed with {parse_close(self._close)[0]}"
        self._problem(f"the client {now}, recorded was a CLOSE with {then}")

    def _ending(self) -> str:
        if self._close is not None:
            return f"closed with {parse_close(self._close)[0]}"
        return "reset the connection" if self._conduit.ended == "rst" else "ended the connection"

    def _is_ended(self) -> bool:
        return self._conduit.ended is not None or (self._close is not None and self._recorded_close is None)

    def _problem(self, text: str) -> None:
        self.report.problem(text, self._server.tell)

    def _keep(self, found: list[Divergence]) -> None:
        if found:
            self.report.keep(found, self._server.tell)

    # Listener

    def on_data(self, data: bytes) -> None:
        """The client says something."""
        for heard in self._ear.feed(data):
            opcode, content = heard.opcode, heard.data
            if heard.violation:
                self._problem(f"the client breaks the protocol: {heard.violation}")
            if opcode == Opcode.TEXT and self._engine is not None:
                compared, answer = self._engine.incoming(content)
                if answer is not None:
                    self._conduit.write(serialize_frame(Opcode.TEXT, answer))
                if compared is None:
                    continue
                content = compared
            if opcode in (Opcode.TEXT, Opcode.BINARY):
                self._keep(self._gates.take(Message(opcode, content)))
            elif opcode == Opcode.PING:
                self._conduit.write(serialize_frame(Opcode.PONG, content[:125]))
            elif opcode == Opcode.CLOSE and self._close is None:
                self._close = content
        self._changed.set()

    def on_end(self, how: str) -> None:
        """The client is gone."""
        self._changed.set()
