"""Both ends of HTTP/1.1 by hand, plain or with TLS, for what stands opposite to a peer of HTTP/2."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

from tests.support.script import KEY
from wsinspect.closing import abort

SECONDS = 10.0


class H1Peer:
    """One end of a connection: its bytes, read when asked for.

    Attributes:
        alpn: what TLS agreed on.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        tls = writer.get_extra_info("ssl_object")
        self.alpn: str | None = tls.selected_alpn_protocol() if tls else None

    async def head(self) -> str:
        """A header block."""
        return (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), SECONDS)).decode()

    async def has(self, data: bytes) -> None:
        """Until exactly these bytes have come."""
        assert await asyncio.wait_for(self.reader.readexactly(len(data)), SECONDS) == data

    async def end(self) -> str:
        """How the other end ended; what came before it is dropped."""
        try:
            await asyncio.wait_for(self.reader.read(), SECONDS)
        except ConnectionError:
            return "rst"
        return "fin"

    def send(self, *lines: str, data: bytes = b"") -> None:
        """A header block, and what follows it."""
        head = "\r\n".join([*lines, "", ""]).encode() if lines else b""
        self.writer.write(head + data)

    def upgrade(self, path: str, *fields: str, data: bytes = b"") -> None:
        """Ask for a WebSocket."""
        self.send(
            f"GET {path} HTTP/1.1",
            "Host: localhost",
            "Connection: Upgrade",
            "Upgrade: websocket",
            f"Sec-WebSocket-Key: {KEY}",
            "Sec-WebSocket-Version: 13",
            *fields,
            data=data,
        )

    def abort(self) -> None:
        """End with a RST."""
        self.writer.transport.get_extra_info("socket").setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")
        abort(self.writer.transport)


class H1Origin:
    """Listens on a free port of 127.0.0.1."""

    def __init__(self, context: ssl.SSLContext | None = None, protocols: Sequence[str] = ()) -> None:
        if context is not None and protocols:
            context.set_alpn_protocols(list(protocols))
        self._context = context
        self.peers: asyncio.Queue[H1Peer] = asyncio.Queue()
        self._all: list[H1Peer] = []

    async def __aenter__(self) -> H1Origin:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._context)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = H1Peer(reader, writer)
        self._all.append(peer)
        self.peers.put_nowait(peer)

    async def accepted(self) -> H1Peer:
        return await asyncio.wait_for(self.peers.get(), SECONDS)

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for peer in self._all:
            # Whatever TLS still waits for, nobody will say it.
            abort(peer.writer.transport)
        await asyncio.sleep(0)


async def connected(
    port: int, context: ssl.SSLContext, proxy: int | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection with TLS to `localhost`, through the forward proxy on port `proxy`, if any."""
    if proxy is None:
        return await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy)
    writer.write(f"CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    await writer.start_tls(context, server_hostname="localhost")
    return reader, writer


async def h1_client(port: int, context: ssl.SSLContext | None = None, *, proxy: int | None = None) -> H1Peer:
    """A client of a server on 127.0.0.1; with TLS also through a forward proxy."""
    if context is not None:
        return H1Peer(*await connected(port, context, proxy))
    return H1Peer(*await asyncio.open_connection("127.0.0.1", port))
