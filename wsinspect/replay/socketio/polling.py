"""Engine.IO's long-polling in front of a played server: sessions, and the requests that belong to them.

A session begins with a GET without an id, which takes a recording as a WebSocket would; then polls (GET) and
packets (POST) come with the id, and at last, mostly, a WebSocket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qs

from wsinspect.decoders.engineio import is_polling_path
from wsinspect.handshake.heads import RawHead
from wsinspect.replay.common.conduit import Conduit, Listener
from wsinspect.replay.socketio.engine_line import EngineLine
from wsinspect.replay.socketio.engineio import MAX_BODY, version_of
from wsinspect.replay.socketio.payload import decode

_SESSIONS: Final = 1000
_BODY_S: Final = 30.0
_UNKNOWN: Final = (400, '{"code":1,"message":"Session ID unknown"}')
_BAD: Final = (400, '{"code":3,"message":"Bad request"}')
_VERSION: Final = (400, '{"code":5,"message":"Unsupported protocol version"}')
_REASONS: Final = {200: "OK", 204: "No Content", 400: "Bad Request", 413: "Payload Too Large"}


def is_polling(method: str, target: str) -> bool:
    """Whether a request is one of Engine.IO's long-polling, or a page's question whether it may send one."""
    return method in ("GET", "POST", "OPTIONS") and is_polling_path(target)


class Polling:
    """The sessions.

    Args:
        begin: starts the next recording of a path for a session; None where there is none.
    """

    def __init__(self, begin: Callable[[RawHead], EngineLine | None]) -> None:
        self._begin = begin
        self._sessions: dict[str, EngineLine] = {}

    def find(self, sid: str) -> EngineLine | None:
        """A session that lives."""
        line = self._sessions.get(sid)
        if line is not None and line.ended is not None:
            del self._sessions[sid]
            return None
        return line

    async def answer(self, conduit: Conduit, request: RawHead) -> None:
        """Answer one request; the connection ends with it."""
        status, body = await self._judge(conduit, request)
        conduit.write(_response(request, status, body))
        conduit.close()

    async def _judge(self, conduit: Conduit, request: RawHead) -> tuple[int, str | bytes]:
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
        return await self._take(conduit, request, line)

    async def _open(self, request: RawHead) -> tuple[int, str | bytes]:
        self._sessions = {sid: line for sid, line in self._sessions.items() if line.ended is None}
        line = self._begin(request) if len(self._sessions) < _SESSIONS else None
        if line is None:
            return _VERSION
        self._sessions[line.engine.sid] = line
        return 200, await line.poll() or b""

    async def _take(self, conduit: Conduit, request: RawHead, line: EngineLine) -> tuple[int, str | bytes]:
        length = request.get("content-length") or b""
        if not length.isdigit() or len(length) > 12:
            return _BAD
        if int(length) > MAX_BODY:
            return 413, b""
        body = await _body(conduit, int(length))
        try:
            packets = decode(body or b"", line.engine.version)
        except ValueError:
            return _BAD
        line.post(packets)
        return 200, "ok"


class _Body(Listener):
    def __init__(self, length: int) -> None:
        self.data = bytearray()
        self.is_done = asyncio.Event()
        self._length = length

    def on_data(self, data: bytes) -> None:
        self.data += data
        if len(self.data) >= self._length:
            self.is_done.set()

    def on_end(self, how: str) -> None:
        self.is_done.set()


async def _body(conduit: Conduit, length: int) -> bytes | None:
    """The body of a request; None when it does not come."""
    body = _Body(length)
    if not length:
        return b""
    conduit.listen(body)
    try:
        async with asyncio.timeout(_BODY_S):
            await body.is_done.wait()
    except TimeoutError:
        return None
    return bytes(body.data[:length])


def _response(request: RawHead, status: int, body: str | bytes) -> bytes:
    raw = body.encode() if isinstance(body, str) else body
    kind = "application/json" if isinstance(body, str) and body.startswith("{") else "text/plain"
    lines = [
        f"HTTP/1.1 {status} {_REASONS[status]}",
        f"Content-Type: {kind}; charset=UTF-8",
        f"Content-Length: {len(raw)}",
        "Cache-Control: no-store",
        "Connection: close",
    ]
    origin = (request.get("origin") or b"").decode("latin-1")
    if origin:
        # It was let in: a page may read what it asked for.
        lines += [f"Access-Control-Allow-Origin: {origin}", "Access-Control-Allow-Credentials: true"]
        lines.append("Vary: Origin")
    wanted = (request.get("access-control-request-headers") or b"").decode("latin-1")
    if request.method == b"OPTIONS":
        lines.append("Access-Control-Allow-Methods: GET, POST")
        lines += [f"Access-Control-Allow-Headers: {wanted}"] if wanted else []
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + raw
