"""Pages over https at any host name, without a resolver: a forward proxy finds every name on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from tests.support.small_servers import echo

LOOPBACK = "127.0.0.1"


class Served(NamedTuple):
    """What a path gives."""

    body: str
    kind: str = "text/html"
    policy: str | None = None


class NamedSites:
    """The same paths at every name, over TLS, each with an echoing WebSocket at `/ws`.

    Attributes:
        proxy_port: of the forward proxy that leads there.
        asked: `host path` of everything that was asked for.
    """

    def __init__(self, paths: Mapping[str, Served]) -> None:
        self.paths = paths
        self.asked: list[str] = []

    async def start(self, context: ssl.SSLContext) -> None:
        self._site: Server = await serve(
            echo, LOOPBACK, 0, ssl=context, process_request=self._answer, ping_interval=None
        )
        self._port = next(iter(self._site.sockets)).getsockname()[1]
        self._proxy = await asyncio.start_server(self._forward, LOOPBACK, 0)
        self.proxy_port: int = self._proxy.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._proxy.close()
        self._site.close()
        await self._site.wait_closed()

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        path = request.path.partition("?")[0]
        self.asked.append(f"{request.headers.get('Host')} {path}")
        if path == "/ws":
            return None
        served = self.paths.get(path)
        body = (served.body if served else "gone").encode()
        headers = Headers(
            {
                "Content-Type": served.kind if served else "text/plain",
                "Content-Length": str(len(body)),
                "Connection": "close",
            }
        )
        if served and served.policy:
            headers["Content-Security-Policy"] = served.policy
        status = HTTPStatus.OK if served else HTTPStatus.NOT_FOUND
        return Response(status, status.phrase, headers, body)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """CONNECT to whatever name."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            inner, outer = await asyncio.open_connection(LOOPBACK, self._port)
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await asyncio.gather(_pump(reader, outer), _pump(inner, writer))
        writer.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()
