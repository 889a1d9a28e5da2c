"""The recorded server played for clients (RFC 6455).

Each client that opens a recorded path gets the next recording of it: what the server said after a client's
message is said once that message has come (`server_play`). Which messages count, how fast it goes and where
it stops is the user's choice. What clients do otherwise is reported as it happens.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Callable, Coroutine, Sequence
from itertools import islice
from typing import Final

from wsinspect.capture.damage import check_sound
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection
from wsinspect.errors import LocalError
from wsinspect.formats.secrets import mask_url
from wsinspect.formats.transcript import Said, messages
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import is_valid_key
from wsinspect.replay.as_server import answers
from wsinspect.replay.as_server.play import ServerOptions, ServerPlay
from wsinspect.replay.common.conduit import Conduit
from wsinspect.replay.common.http2 import Http2Session, Negotiated
from wsinspect.replay.common.lines import Line
from wsinspect.replay.common.report import ConnectionReport, OnDivergence, nobody
from wsinspect.replay.socketio.engine_line import EngineLine
from wsinspect.replay.socketio.engineio import LOOKED_AT, EngineIo, facts_of, session_of, version_of
from wsinspect.replay.socketio.polled import polled
from wsinspect.replay.socketio.polling import Polling, is_polling

#: The header field by which the proxy in front identifies its own requests.
PROOF_FIELD: Final = "x-wsinspect-replay"

__all__ = ["PROOF_FIELD", "ReplayServer", "ServerOptions"]


class ReplayServer:
    """Listens, and plays.

    Args:
        capture: the recording.
        connections: of it.
        options: how.
        on_divergence: called with each divergence as it happens.
        on_report: called with the report of each connection that is over.

    Attributes:
        reports: of the connections that are over.
        keys: where not None, only handshakes with one of these Sec-WebSocket-Keys are answered, and
            requests with `token` in their field `PROOF_FIELD`.
        token: a secret of the one who may ask.
    """

    def __init__(
        self,
        capture: Capture,
        connections: Sequence[Connection],
        options: ServerOptions,
        *,
        on_divergence: OnDivergence = nobody,
        on_report: Callable[[ConnectionReport], None] = lambda _report: None,
    ) -> None:
        self.capture = capture
        self.options = options
        self.on_divergence = on_divergence
        self.reports: list[ConnectionReport] = []
        self.keys: set[bytes] | None = None
        self.token = secrets.token_urlsafe(24)
        self._on_report = on_report
        self._left = [one for one in connections if one.state != "failed"]
        self._all = list(self._left)
        self._over = asyncio.Event()
        self._serving: set[asyncio.Task[None]] = set()
        self._plays = 0
        self._polling = Polling(self._begin_polling)
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int, context: ssl.SSLContext | None = None) -> int:
        """Listen; the port.

        Args:
            context: of TLS, where also HTTP/2 may be agreed on; None without.

        Raises:
            CaptureError: the recording is damaged.
            LocalError: it cannot be listened on.
        """
        check_sound(self.capture)
        loop = asyncio.get_running_loop()
        try:
            accept = self._accept if context is None else self._accept_tls
            self._server = await loop.create_server(accept, host, port, ssl=context)
        except OSError as error:
            raise LocalError(f"cannot listen on {host}:{port}: {error.strerror}") from None
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    async def wait(self) -> None:
        """Wait until all recordings are played."""
        await self._over.wait()

    async def close(self) -> None:
        """Stop listening, and end what is playing."""
        if self._server is not None:
            self._server.close()
        for task in list(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    @property
    def unplayed(self) -> list[Connection]:
        """Recordings that no client asked for."""
        return [] if self.options.loop else list(self._left)

    def find(self, target: str) -> Connection | None:
        """The recording that a handshake for `target` would get."""
        for candidates in (self._left, self._all if self.options.loop else []):
            same = [one for one in candidates if _path(one) == target.partition("?")[0]]
            exact = [one for one in same if one.path == target]
            if same:
                return (exact or same)[0]
        return None

    def knows(self, target: str) -> Connection | None:
        """The first recording of an Engine.IO session to whose path a plain request goes."""
        path = target.partition("?")[0]
        same = (one for one in self._all if _path(one) == path)
        return next((one for one in same if version_of(one.path or "") is not None), None)

    def _accept_tls(self) -> asyncio.Protocol:
        return Negotiated(self._accept, Http2Session(self._accept))

    def _accept(self) -> Conduit:
        conduit = Conduit()
        self._task(self._serve(conduit))
        return conduit

    def _task(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, conduit: Conduit) -> None:
        request = await conduit.head_of_client()
        if request is None:
            return
        target = request.target.decode("latin-1")
        refusal = self._refusal(request, target)
        if refusal is not None:
            conduit.write(refusal)
            conduit.close()
        elif is_polling(request.method.decode("latin-1"), target):
            await self._polling.answer(conduit, request)
        elif (line := self._session(target)) is not None:
            conduit.write(self._acceptance(self._one_of(target), request))
            line.probe(conduit)
        else:
            await self._open(conduit, request, target)

    async def _open(self, conduit: Conduit, request: RawHead, target: str) -> None:
        one = self._take(target)
        if answers.is_refused(one):
            conduit.write(answers.refusal(self.capture, one))
            conduit.close()
            self._conclude(ConnectionReport(one.id, mask_url(target)))
            return
        engine = self._engine(one)
        line = Line(conduit) if engine is None else EngineLine(engine, conduit)
        play = ServerPlay(self.capture, one, line, target, self.options, self.on_divergence)
        conduit.write(self._acceptance(one, request))
        offered = [name.decode("latin-1") for name in request.elements("sec-websocket-protocol")]
        if one.subprotocol is not None and one.subprotocol not in offered:
            play.problem(f"the client does not offer the recorded subprotocol {one.subprotocol!r}")
        await self._run(play)

    async def _run(self, play: ServerPlay) -> None:
        self._plays += 1
        try:
            await play.run()
        finally:
            self._plays -= 1
            self._conclude(play.report)

    def _conclude(self, report: ConnectionReport) -> None:
        self.reports.append(report)
        self._on_report(report)
        if not self._left and not self.options.loop and not self._plays:
            self._over.set()

    def _take(self, target: str) -> Connection:
        one = self.find(target)
        assert one is not None
        if one in self._left:
            self._left.remove(one)
        return one

    def _acceptance(self, one: Connection, request: RawHead) -> bytes:
        return answers.acceptance(self.capture, one, request, send_secrets=self.options.send_secrets)

    # Engine.IO

    def _engine(self, one: Connection) -> EngineIo | None:
        version = version_of(one.path or "")
        if version is None:
            return None
        path = one.path or ""
        said = self._beginning(one)
        return EngineIo(version, lambda: secrets.token_urlsafe(15), facts_of(path, said))

    def _beginning(self, one: Connection) -> list[Said]:
        return [*polled(self.capture, one), *islice(messages(self.capture, one.id), LOOKED_AT)]

    def _begin_polling(self, request: RawHead) -> EngineLine | None:
        """Start a session with the next recording of a path; its WebSocket may follow."""
        target = request.target.decode("latin-1")
        if self.find(target) is None:
            return None
        one = self._take(target)
        engine = self._engine(one)
        if engine is None or engine.version != version_of(target):
            self._left.append(one)
            return None
        line = EngineLine(engine, None)
        play = ServerPlay(self.capture, one, line, target, self.options, self.on_divergence)
        self._task(self._run(play))
        return line

    def _session(self, target: str) -> EngineLine | None:
        sid = session_of(target) if version_of(target) is not None else None
        return self._polling.find(sid) if sid is not None else None

    def _one_of(self, target: str) -> Connection:
        """Any recording of a path: its 101 answers the upgrade of a session."""
        path = target.partition("?")[0]
        return next(one for one in self._all if _path(one) == path)

    # Who is let in

    def _refusal(self, request: RawHead, target: str) -> bytes | None:
        """Why a request is not answered from the recording, as a response."""
        if is_polling(request.method.decode("latin-1"), target):
            return self._polling_refusal(request, target)
        key = request.get("sec-websocket-key") or b""
        if "websocket" not in request.tokens("upgrade") or not is_valid_key(key):
            text = "this is a replayed recording; it only answers WebSockets"
            return answers.plain(request, 426, text)
        if self.keys is not None and key not in self.keys and not self._has_proof(request):
            return answers.plain(request, 403, "not by the proxy")
        if version_of(target) is not None and session_of(target) is not None:
            if self._session(target) is None:
                return answers.plain(request, 400, "unknown session")
            one = self._one_of(target)
        else:
            found = self.find(target)
            if found is None:
                text = "the recording has no more connections for this path (--loop repeats)"
                return answers.plain(request, 404, text)
            one = found
        if self.options.checks_origin and not answers.is_origin_fine(self.capture, request, one):
            return answers.plain(request, 403, "this origin is not the recorded one")
        return None

    def _has_proof(self, request: RawHead) -> bool:
        """Whether the proxy in front sent it."""
        return secrets.compare_digest(request.get(PROOF_FIELD) or b"", self.token.encode())

    def _polling_refusal(self, request: RawHead, target: str) -> bytes | None:
        if self.keys is not None and not self._has_proof(request):
            return answers.plain(request, 403, "not by the proxy")
        one = self.knows(target)
        if one is None:
            return answers.plain(request, 404, "the recording has no Engine.IO session for this path")
        if session_of(target) is None and request.method != b"OPTIONS" and self.find(target) is None:
            text = "the recording has no more connections for this path (--loop repeats)"
            return answers.plain(request, 404, text)
        if self.options.checks_origin and not answers.is_request_fine(self.capture, request, one):
            return answers.plain(request, 403, "this origin is not the recorded one")
        return None


def _path(one: Connection) -> str:
    return (one.path or "/").partition("?")[0]
