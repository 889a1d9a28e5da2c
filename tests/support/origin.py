"""The raw server side of the lab: listeners, plain and TLS, that hand each connection to the script that
expects it.

A connection says by its request's path which script it belongs to (`/case/<name>`), so hundreds of scripts
run at once behind one proxy that knows one address.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl

from tests.support.rawpeers import Peer, PeerTimeoutError

CASE = re.compile(rb"/case/([A-Za-z0-9_.:+-]+)")


class Origin:
    """Listens on two ports of 127.0.0.1; `port` is plain, `tls_port` is TLS."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._expected: dict[str, asyncio.Future[Peer]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._plain, self._secure = self._listen(), self._listen()
        self.port: int = self._plain.getsockname()[1]
        self.tls_port: int = self._secure.getsockname()[1]

    @staticmethod
    def _listen() -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        sock.bind(("127.0.0.1", 0))
        sock.listen(1024)
        return sock

    async def __aenter__(self) -> Origin:
        self._spawn(self._accept(self._plain, None))
        self._spawn(self._accept(self._secure, self._context))
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._plain.close()
        self._secure.close()

    def expect(self, name: str) -> asyncio.Future[Peer]:
        """The connection whose request names `name`; to be called before the client sends."""
        future = asyncio.get_running_loop().create_future()
        self._expected[name] = future
        return future

    def forget(self, name: str) -> None:
        self._expected.pop(name, None)

    def _spawn(self, coroutine: object) -> None:
        task = asyncio.ensure_future(coroutine)  # type: ignore[call-overload]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(listener)
            self._spawn(self._greet(sock, context))

    async def _greet(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        peer = Peer(sock, context, server=True)
        try:
            if context is not None:
                await peer.handshaken()
            await peer.until(lambda: b"\n" in peer.received or peer.ended is not None, 30)
        except (ConnectionError, PeerTimeoutError):
            peer.close()
            return
        match = CASE.search(bytes(peer.received))
        future = self._expected.pop(match[1].decode(), None) if match else None
        if future is None or future.done():
            peer.close()
        else:
            future.set_result(peer)
