"""The small servers that tests of many kinds need: an echo, one that never answers, and pages over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, NamedTuple

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.server import ServerConnection as BlockingConnection
from websockets.sync.server import serve

LOOPBACK = "127.0.0.1"


#: Below what kernels give to port 0 and to clients (32768 and up on Linux, 49152 and up elsewhere), so that
#: nobody else gets one before it is used; above the ports of known services.
_CHOSEN: Final = range(20_000, 32_000)


#: Where the tests of this machine, all runs of them, write which port was given last.
_LAST: Final = Path(tempfile.gettempdir(), f"wsinspect-tests-{os.getuid()}.port")


def free_port() -> int:
    """A port that nobody uses, and that no other test is given until all others have been."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """So many of them.

    A server that is not up yet holds no port. Chosen by chance, a port would now and then be that of another
    test's server, which is just starting.
    """
    chosen: list[int] = []
    with _LAST.open("a+", encoding="ascii") as note:
        fcntl.flock(note, fcntl.LOCK_EX)
        note.seek(0)
        last = int(note.read() or 0)
        for _ in _CHOSEN:
            last = (last + 1) % len(_CHOSEN)
            with socket.socket() as one, contextlib.suppress(OSError):
                one.bind((LOOPBACK, _CHOSEN[last]))
                chosen.append(_CHOSEN[last])
            if len(chosen) == count:
                note.truncate(0)
                note.write(str(last))
                return chosen
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
