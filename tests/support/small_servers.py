"""The small servers that tests of many kinds need: an echo, one that never answers, and pages over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, NamedTuple

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.server import ServerConnection as BlockingConnection
from websockets.sync.server import serve

LOOPBACK = "127.0.0.1"


#: Below what kernels give to port 0 and to clients (32768 and up on Linux, 49152 and up elsewhere), so that
#: nobody else gets one before it is used; above the ports of known services.
_CHOSEN: Final = range(20_000, 32_000)


def free_port() -> int:
    """A port that was free a moment ago."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, each another one: all are held while they are chosen."""
    chosen: list[int] = []
    with contextlib.ExitStack() as held:
        # Not the seeded generator: hypothesis has each worker begin it alike.
        for port in random.SystemRandom().sample(_CHOSEN, len(_CHOSEN)):
            if len(chosen) == count:
                return chosen
            one = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                one.bind((LOOPBACK, port))
                chosen.append(port)
    raise OSError(f"no {count} ports are free")


async def echo(connection: ServerConnection) -> None:
    """Says everything again, until the client goes."""
    with contextlib.suppress(WebSocketException):
        async for message in connection:
            await connection.send(message)


@contextlib.contextmanager
def echo_server(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of an echo server in a thread; clients may leave it as they like."""

    def say_again(connection: BlockingConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            for message in connection:
                connection.send(message)

    with serve(say_again, LOOPBACK, 0, ssl=context) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()
            thread.join(10)


async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes a connection and never answers; for `asyncio.start_server`."""
    with contextlib.suppress(OSError):
        await reader.read()
    writer.close()


class Page(NamedTuple):
    """A response, whole."""

    body: bytes
    kind: str = "text/html; charset=utf-8"
    status: int = 200
    fields: Mapping[str, str] = {}


@contextlib.contextmanager
def pages(answer: Callable[[str], Page | None]) -> Iterator[int]:
    """The port of an HTTP server in a thread.

    Args:
        answer: the page of a path, without its query; None is a 404.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            page = answer(self.path.partition("?")[0]) or Page(b"", "text/plain", 404)
            self.send_response(page.status)
            self.send_header("Content-Type", page.kind)
            self.send_header("Content-Length", str(len(page.body)))
            for name, value in page.fields.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(page.body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join(10)
