"""Engine.IO's long-polling in front of a played server: sessions, and the requests that belong to them.

A session begins with a GET without an id, which takes a recording as a WebSocket would; then polls (GET) and
packets (POST) come with the id, and at last, mostly, a WebSocket.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qs

from wsinspect.decoders.engineio import is_polling_path
from wsinspect.decoders.engineio_payload import decode
from wsinspect.handshake.heads import RawHead
from wsinspect.replay.common.conduit import Conduit
from wsinspect.replay.common.exchange import Exchange
from wsinspect.replay.socketio.engine_line import EngineLine
from wsinspect.replay.socketio.engineio import MAX_BODY, version_of

_SESSIONS: Final = 1000
_BODY_S: Final = 30.0
_UNKNOWN: Final = (400, '{"code":1,"message":"Session ID unknown"}')
_BAD: Final = (400, '{"code":3,"message":"Bad request"}')
_VERSION: Final = (400, '{"code":5,"message":"Unsupported protocol version"}')


def is_polling(method: str, target: str) -> bool:
    """Whether a request belongs to Engine.IO's long-polling, or is its CORS preflight."""
    return method in ("GET", "POST", "OPTIONS") and is_polling_path(target)


class Polling:
    """The sessions.

    Args:
        begin: starts the next recording of a path for a session; None without one.
    """

    def __init__(self, begin: Callable[[RawHead], EngineLine | None]) -> None:
        self._begin = begin
        self._sessions: dict[str, EngineLine] = {}

    def find(self, sid: str) -> EngineLine | None:
        """The session with this id, if it is alive."""
        line = self._sessions.get(sid)
        if line is not None and line.ended is not None:
            del self._sessions[sid]
            return None
        return line

    async def answer(self, conduit: Conduit, request: RawHead) -> None:
        """Answer one request; the connection ends with it."""
        exchange = Exchange(request, max_body=MAX_BODY)
        # From here on what the client sends is not kept: a poll may wait for a long time.
        conduit.listen(exchange)
        status, body = await self._judge(conduit, request, exchange)
        conduit.write(_response(exchange, request, status, body))
        conduit.close()

    async def _judge(self, conduit: Conduit, request: RawHead, exchange: Exchange) -> tuple[int, str | bytes]:
        if exchange.problem is not None:
            return _BAD
        target = request.target.decode("latin-1")
        if request.method == b"OPTIONS":
            return 204, b""
        sid = parse_qs(target.partition("?")[2]).get("sid", [""])[0]
        if not sid:
            return await self._open(request) if request.method == b"GET" else _BAD
        line = self.find(sid)
        if line is None:
            return _UNKNOWN
        if version_of(target) != line.engine.version:
            return _VERSION
        if request.method == b"GET":
            found = await line.poll()
            return _UNKNOWN if found is None else (200, found)
        return await self._take(conduit, exchange, line)

    async def _open(self, request: RawHead) -> tuple[int, str | bytes]:
        self._sessions = {sid: line for sid, line in self._sessions.items() if line.ended is None}
        line = self._begin(request) if len(self._sessions) < _SESSIONS else None
        if line is None:
            return _VERSION
        self._sessions[line.engine.sid] = line
        return 200, await line.poll() or b""

    async def _take(self, conduit: Conduit, exchange: Exchange, line: EngineLine) -> tuple[int, str | bytes]:
        body = await exchange.read(conduit, _BODY_S)
        if exchange.is_too_large:
            return 413, b""
        if body is None:
            return _BAD
        try:
            packets = decode(body, line.engine.version)
        except ValueError:
            return _BAD
        line.post(packets)
        return 200, "ok"


def _response(exchange: Exchange, request: RawHead, status: int, body: str | bytes) -> bytes:
    raw = body.encode() if isinstance(body, str) else body
    is_error = isinstance(body, str) and body.startswith("{")
    fields = [
        (b"Content-Type", b"application/json" if is_error else b"text/plain; charset=UTF-8"),
        (b"Cache-Control", b"no-store"),
    ]
    if origin := exchange.field(b"origin"):
        # The origin was accepted: its page may read the answer.
        fields.append((b"Access-Control-Allow-Origin", origin))
        fields += [(b"Access-Control-Allow-Credentials", b"true"), (b"Vary", b"Origin")]
    if request.method == b"OPTIONS":
        fields.append((b"Access-Control-Allow-Methods", b"GET, POST"))
        if wanted := exchange.field(b"access-control-request-headers"):
            fields.append((b"Access-Control-Allow-Headers", wanted))
    return exchange.respond(status, raw, fields)
