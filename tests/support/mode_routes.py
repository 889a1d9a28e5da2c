"""Routes through the proxy's other modes: SOCKS5, and a second HTTP proxy behind it.

`HttpProxy` is that second proxy: it takes CONNECT and absolute-form requests and is transparent from
there on, ends included, so that whatever differs is the first proxy's doing.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from dataclasses import dataclass

from tests.support.forwarder import Forwarder
from tests.support.rawpeers import Peer, PeerTimeoutError
from tests.support.routes import CLIENT_TLS, Route

_TARGET = re.compile(rb"(CONNECT|[A-Z]+) (?:http://)?([^/: ]+):(\d+)(/\S*)? HTTP/1\.1\r\n")


@dataclass(frozen=True)
class Socks5Route(Route):
    """A client that asks a SOCKS5 proxy for 127.0.0.1 (RFC 1928)."""

    async def open(self, request: bytes) -> Peer:
        peer = await Peer.connect(self.port)
        try:
            await socks5_ask(peer, self.target)
            if self.client_tls:
                await peer.start_tls(CLIENT_TLS, server=False)
        except (PeerTimeoutError, ConnectionError):
            peer.close()
            raise ConnectionError(f"SOCKS5 was answered {bytes(peer.received)[:200]!r}") from None
        await peer.send(request)
        return peer


async def socks5_ask(peer: Peer, port: int) -> None:
    """No authentication, CONNECT to 127.0.0.1."""
    await peer.send(b"\x05\x01\x00")
    await peer.has(2)
    await peer.send(b"\x05\x01\x00\x01" + socket.inet_aton("127.0.0.1") + struct.pack("!H", port))
    await peer.has(12)
    if bytes(peer.received[:4]) != b"\x05\x00\x05\x00":
        raise ConnectionError
    del peer.received[:12]


class HttpProxy(Forwarder):
    """An HTTP proxy of the lab's own; `asked` has the first lines of what it was asked for."""

    def __init__(self) -> None:
        super().__init__(0)
        self.asked: list[bytes] = []

    async def _serve(self, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        server = socket.socket()
        with client, server:
            for sock in (client, server):
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            head = b""
            while b"\r\n\r\n" not in head:
                data = await loop.sock_recv(client, 65536)
                if not data:
                    return
                head += data
            found = _TARGET.match(head)
            assert found is not None, head
            self.asked.append(head.split(b"\r\n")[0])
            await loop.sock_connect(server, (found[2].decode(), int(found[3])))
            if found[1] == b"CONNECT":
                await loop.sock_sendall(client, b"HTTP/1.1 200 OK\r\n\r\n")
                early = head.split(b"\r\n\r\n", 1)[1]
            else:
                early = b"%s %s HTTP/1.1\r\n" % (found[1], found[4]) + head[found.end() :]
            if early:
                await loop.sock_sendall(server, early)
            await self._both_ways(client, server)
