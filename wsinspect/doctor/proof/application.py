"""Our own application behind the hop: strict about a handshake, and silent after it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final

from wsinspect.doctor.configuration.model import Kind
from wsinspect.doctor.target import Target
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import accept_key

_LISTEN: Final = "127.0.0.1"
_MAX_HEAD: Final = 128 * 1024
#: Sent with the request, to see whether they arrive.
CREDENTIALS: Final = (("Cookie", "wsinspect=1"), ("Authorization", "Bearer wsinspect"))


def answer(head: RawHead, target: Target, kind: Kind) -> bytes:
    """What a server would say that looks at what this defect breaks."""
    if head.http_version != b"HTTP/1.1":
        return _refusal("426 Upgrade Required", f"{head.http_version.decode('latin-1')} has no upgrade")
    if "websocket" not in head.tokens("upgrade") or "upgrade" not in head.tokens("connection"):
        return _refusal("426 Upgrade Required", "Upgrade or Connection is missing")
    key = head.get("sec-websocket-key")
    if key is None or head.get("sec-websocket-version") != b"13":
        return _refusal("400 Bad Request", "Sec-WebSocket-Key or -Version is missing")
    if kind == "host" and head.get("host") != target.authority.encode():
        return _refusal("403 Forbidden", "another Host")
    if kind == "credentials":
        wanted = (("Origin", target.origin), *CREDENTIALS)
        lacking = [name for name, value in wanted if head.get(name.lower()) != value.encode()]
        if lacking:
            return _refusal("403 Forbidden", f"{lacking[0]} is missing or changed")
    if kind == "path" and head.target.partition(b"?")[0] != target.path.encode():
        return _refusal("404 Not Found", "another path")
    lines = (
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_key(key).decode()}",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _refusal(status: str, why: str) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nUpgrade: websocket\r\nContent-Length: {len(why)}\r\nConnection: close\r\n\r\n"
    )
    return (head + why).encode()


@contextlib.asynccontextmanager
async def application(reply: Callable[[RawHead], bytes | None]) -> AsyncIterator[int]:
    """A server on a free port of loopback; it answers each request, and keeps quiet after a 101.

    Args:
        reply: the answer to a request; None never answers.
    """
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            said = reply(RawHead.parse(head))
            if said is not None:
                writer.write(said)
                await writer.drain()
            if said is None or said.startswith(b"HTTP/1.1 101"):
                while await reader.read(65536):
                    pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, _LISTEN, 0, limit=_MAX_HEAD)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
