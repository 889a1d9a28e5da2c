"""A plain TCP forwarder: the yardstick for the byte checker itself, and the base of deliberately bad relays.

The checker must find nothing through `Forwarder`, and must find what each saboteur does.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

C2S, S2C = "c2s", "s2c"


class Forwarder:
    """Listens on a free port and forwards bytes, FIN and RST to `target` on 127.0.0.1."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._listener = socket.socket()
        self._listener.setblocking(False)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(1024)
        self.port: int = self._listener.getsockname()[1]
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Forwarder:
        self._tasks.add(asyncio.create_task(self._accept()))
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._listener.close()

    def alter(self, way: str, data: bytes) -> bytes:
        """What is sent on for `data`; a saboteur overrides this."""
        return data

    def end(self, way: str, how: str) -> str:
        """How an end ("fin" or "rst") is passed on: "fin", "rst" or "both" (close both directions)."""
        return how

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(self._listener)
            task = asyncio.create_task(self._serve(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: socket.socket) -> None:
        server = socket.socket()
        with client, server:
            for sock in (client, server):
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(server, ("127.0.0.1", self.target))
            await self._both_ways(client, server)

    async def _both_ways(self, client: socket.socket, server: socket.socket) -> None:
        ways = [
            asyncio.create_task(self._pump(C2S, client, server)),
            asyncio.create_task(self._pump(S2C, server, client)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in ways:
                task.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pump(self, way: str, source: socket.socket, sink: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                data = await loop.sock_recv(source, 65536)
            except OSError:
                self._finish(self.end(way, "rst"), sink)
                raise ConnectionResetError from None
            if not data:
                how = self.end(way, "fin")
                self._finish(how, sink)
                if how != "fin":
                    raise ConnectionResetError
                return
            try:
                await loop.sock_sendall(sink, self.alter(way, data))
            except OSError:
                self._finish(self.end(way, "rst"), source)
                raise ConnectionResetError from None

    @staticmethod
    def _finish(how: str, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if how == "rst":
                sink.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                sink.shutdown(socket.SHUT_WR)
