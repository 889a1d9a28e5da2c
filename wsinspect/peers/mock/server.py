"""A server that plays a script for each client that connects (RFC 6455)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Coroutine, Iterable
from http import HTTPStatus
from typing import Final

from wsinspect.errors import LocalError
from wsinspect.faults.frames import WireFrame
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import DEFLATE, accept_key, is_valid_key, parse_extensions
from wsinspect.net import Address
from wsinspect.peers import templates
from wsinspect.peers.mock.script import Abort, Action, Close, Expect, Rule, Script, Send, Step, Wait
from wsinspect.peers.socket import PeerFacts, Seen, Socket
from wsinspect.replay.common.conduit import Conduit
from wsinspect.wire.deflate import DeflateParams
from wsinspect.wire.opcodes import Direction, Opcode

_CLOSE_SECONDS: Final = 5.0
#: Responses that carry no body (RFC 9110 section 6.4.1).
_BODILESS: Final = (204, 304)


class Watcher:
    """Is called with what happens; override what is needed."""

    def opened(self, number: int, path: str, subprotocol: str | None) -> None:
        """A handshake was accepted."""

    def refused(self, number: int, path: str, status: int) -> None:
        """A handshake was refused, or something else was asked for."""

    def frame(self, number: int, seen: Seen) -> None:
        """A frame of either side."""

    def ended(self, number: int, how: str | None) -> None:
        """A connection is over: `fin`, `rst`, or None where the client did not end its side in time."""

    def failed(self, number: int, problem: str) -> None:
        """An action could not be done: a placeholder had no value."""


class MockServer:
    """Listens, and plays.

    Args:
        octets: makes random bytes.
    """

    def __init__(
        self, script: Script, watcher: Watcher, *, octets: Callable[[int], bytes], now_ns: Callable[[], int]
    ) -> None:
        self._script = script
        self._watcher = watcher
        self._octets, self._now_ns = octets, now_ns
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._connections = 0
        self._handshakes = 0

    async def start(self, host: str, port: int) -> int:
        """Listen; the port.

        Raises:
            LocalError: it cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._accept, host, port)
        except OSError as error:
            raise LocalError(f"cannot listen on {Address(host, port)}: {error.strerror}") from None
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    async def close(self) -> None:
        """Stop listening, and end what is open."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self) -> Conduit:
        conduit = Conduit()
        self._connections += 1
        self._task(self._serve(conduit, self._connections))
        return conduit

    def _task(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, conduit: Conduit, number: int) -> None:
        request = await conduit.head_of_client()
        if request is None:
            return
        target = request.target.decode("latin-1")
        refusal = await self._refusal(request, target)
        if refusal is not None:
            status, raw = refusal
            self._watcher.refused(number, target, status)
            conduit.write(raw)
            conduit.close()
            return
        subprotocol, deflate, raw = self._acceptance(request)
        conduit.write(raw)
        self._watcher.opened(number, target, subprotocol)
        facts = PeerFacts(None, None, target, subprotocol, (request,), id=number)
        player = _Player(self._script, self._watcher, number, self._octets, self._now_ns)
        socket = Socket(
            conduit,
            Direction.SERVER_TO_CLIENT,
            facts,
            deflate=deflate,
            octets=self._octets,
            now_ns=self._now_ns,
            on_frame=player.seen,
            answers_pings=self._script.answers_pings,
        )
        try:
            await player.play(socket)
        finally:
            socket.hang_up()
            self._watcher.ended(number, socket.ended)

    async def _refusal(self, request: RawHead, target: str) -> tuple[int, bytes] | None:
        """The status and bytes of an answer that opens nothing."""
        script = self._script
        key = request.get("sec-websocket-key") or b""
        if "websocket" not in request.tokens("upgrade") or not is_valid_key(key):
            return _answer(
                426, "this is a mock server; it only answers WebSockets", [("Upgrade", "websocket")]
            )
        if script.path is not None and target.partition("?")[0] != script.path:
            return _answer(404, f"this mock only answers {script.path}")
        self._handshakes += 1
        turn = self._handshakes
        await asyncio.sleep(script.delay_ns / 1e9)
        refuse = script.refuse
        if refuse is not None and (refuse.first is None or turn <= refuse.first):
            return _answer(refuse.status, refuse.body, refuse.headers)
        return None

    def _acceptance(self, request: RawHead) -> tuple[str | None, DeflateParams | None, bytes]:
        """Subprotocol, compression and the bytes of a 101."""
        script = self._script
        offered = [name.decode("latin-1") for name in request.elements("sec-websocket-protocol")]
        subprotocol = next((name for name in script.subprotocols if name in offered), None)
        fields = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", accept_key(request.get("sec-websocket-key") or b"").decode()),
        ]
        if subprotocol is not None:
            fields.append(("Sec-WebSocket-Protocol", subprotocol))
        deflate = None
        extensions = parse_extensions(request.get_all("sec-websocket-extensions"))
        if script.compress and any(one.name == DEFLATE for one in extensions):
            deflate = DeflateParams()
            fields.append(("Sec-WebSocket-Extensions", DEFLATE))
        return subprotocol, deflate, _head(101, [*fields, *script.headers])


class _Player:
    """The script on one connection."""

    def __init__(
        self,
        script: Script,
        watcher: Watcher,
        number: int,
        octets: Callable[[int], bytes],
        now_ns: Callable[[], int],
    ) -> None:
        self._script, self._watcher, self._number = script, watcher, number
        # No environment: a script from a stranger is not to read it to whoever connects.
        self._values = templates.Values(now_ns, octets)
        self._done: dict[int, int] = {}
        self._messages = 0
        self._asked: asyncio.Queue[tuple[Rule, bytes]] = asyncio.Queue()
        self._socket: Socket | None = None
        self._predicates = [
            (rule, rule.filter.frame_predicate()) for rule in script.rules if rule.filter is not None
        ]

    def seen(self, seen: Seen) -> None:
        """A frame of either side; those of the client may trigger rules, in the order in which they came."""
        self._watcher.frame(self._number, seen)
        frame = seen.frame
        if seen.is_ours:
            return
        is_message = frame.fin and not frame.is_control
        self._messages += is_message
        for rule, passes in self._predicates:
            if passes(frame):
                self._asked.put_nowait((rule, frame.body))
        for rule in self._script.rules:
            if is_message and rule.after_messages == self._messages:
                self._asked.put_nowait((rule, frame.body))

    async def play(self, socket: Socket) -> None:
        """Until the connection is over."""
        self._socket = socket
        works = [self._steps(self._script.script), self._answers()]
        works += [
            self._timed(rule) for rule in self._script.rules if rule.every_ns or rule.after_ns is not None
        ]
        opening = [rule for rule in self._script.rules if rule.is_on_open]
        for rule in opening:
            self._asked.put_nowait((rule, b""))
        socket.begin()
        tasks = [asyncio.ensure_future(work) for work in works]
        try:
            await socket.closed()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _steps(self, steps: Iterable[Step]) -> None:
        assert self._socket is not None
        said = b""
        for step in steps:
            if isinstance(step, Expect):
                frame = await self._socket.expect(_passes(step))
                if frame is None:
                    return
                said = frame.body
            else:
                await self._do(step, said)

    async def _answers(self) -> None:
        """Rules that frames trigger, one after the other: answers come in the order of the questions."""
        while True:
            rule, said = await self._asked.get()
            await self._act(rule, said)

    async def _timed(self, rule: Rule) -> None:
        pause_ns = rule.every_ns if rule.every_ns is not None else rule.after_ns
        assert pause_ns is not None
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += pause_ns / 1e9
            await asyncio.sleep(max(0.0, due - loop.time()))
            await self._act(rule, b"")
            if rule.every_ns is None:
                return

    async def _act(self, rule: Rule, said: bytes) -> None:
        place = id(rule)
        count = self._done[place] = self._done.get(place, 0) + 1
        if rule.times is None or count <= rule.times:
            for action in rule.do:
                await self._do(action, said)

    async def _do(self, action: Action, said: bytes) -> None:
        socket = self._socket
        assert socket is not None
        match action:
            case Send():
                self._values.said = said
                try:
                    data = _bytes_of(action, self._values)
                except templates.TemplateError as error:
                    self._watcher.failed(self._number, str(error))
                    return
                socket.send(action.opcode, data)
                await socket.drain()
            case Wait():
                await asyncio.sleep(action.for_ns / 1e9)
            case Close():
                socket.close(action.code, action.reason)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_CLOSE_SECONDS):
                        await socket.closed()
                socket.hang_up()
            case Abort():
                if action.how == "rst":
                    socket.abort()
                else:
                    socket.hang_up()


def _passes(step: Expect) -> Callable[[WireFrame], bool]:
    if step.filter is None:
        return lambda frame: frame.fin and not frame.is_control
    return step.filter.frame_predicate()


def _bytes_of(send: Send, values: templates.Values) -> bytes:
    if send.document is None:
        return send.data
    if isinstance(send.document, str):
        text = templates.render(send.document, values)
    else:
        document = templates.render_json(send.document, values)
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    data = text.encode("utf-8", "surrogateescape")
    return data[:125] if send.opcode in (Opcode.PING, Opcode.PONG) else data


def _answer(status: int, body: str, headers: Iterable[tuple[str, str]] = ()) -> tuple[int, bytes]:
    data = b"" if status in _BODILESS else body.encode()
    fields = [*headers]
    if status not in _BODILESS:
        fields += [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(data)))]
    given: set[str] = set()
    kept = []
    for name, value in fields:
        if name.lower() not in given:
            kept.append((name, value))
        given.add(name.lower())
    return status, _head(status, [*kept, ("Connection", "close")]) + data


def _head(status: int, fields: Iterable[tuple[str, str]]) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Mock"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace")
