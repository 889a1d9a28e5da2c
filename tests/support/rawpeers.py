"""Raw ends of a TCP or TLS connection that do exactly what a script says and record exactly what arrives.

A `Peer` owns a non-blocking socket. It reads all the time (unless paused) and keeps every byte in `received`;
it tells FIN from RST, and under TLS whether a close_notify came first. It closes in any way a script asks
for: half-close (FIN), RST, close_notify with or without FIN, a plain close(). OpenSSL is driven through
memory BIOs and never told about a bare FIN, so that a peer can still write after one (RFC 8446 §6.1 allows
each direction to end for itself).
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import struct
from collections.abc import Callable

CHUNK = 256 * 1024


class PeerTimeoutError(Exception):
    """What a step waited for did not happen."""


class Peer:
    """One end of one connection.

    Attributes:
        received: all application bytes so far.
        notified: a TLS close_notify arrived.
        ended: None, "fin" or "rst" as the peer ended its direction; "tls-error" where TLS itself broke.
        send_failed: a write was answered by the kernel with EPIPE or ECONNRESET.
    """

    def __init__(self, sock: socket.socket, tls: ssl.SSLContext | None = None, *, server: bool) -> None:
        self.sock = sock
        self.received = bytearray()
        self.notified = False
        self.ended: str | None = None
        self.send_failed = False
        self.closed = False
        self.secure = False
        self._loop = asyncio.get_running_loop()
        self._waiters: list[asyncio.Future[None]] = []
        self._reading = False
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self._wrap(tls, server=server)
        self.resume()

    @classmethod
    async def connect(cls, port: int, tls: ssl.SSLContext | None = None) -> Peer:
        """Connect to a port on 127.0.0.1; with `tls` also shake hands."""
        sock = socket.socket()
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        except BaseException:
            sock.close()
            raise
        peer = cls(sock, tls, server=False)
        if tls is not None:
            await peer.handshaken()
        return peer

    # --- reading

    def pause(self) -> None:
        """Stop reading: the kernel's buffers fill and the sender is stopped by TCP's flow control."""
        if self._reading:
            self._loop.remove_reader(self.sock)
            self._reading = False

    def resume(self) -> None:
        if not self._reading and not self.closed and self.ended is None:
            self._loop.add_reader(self.sock, self._readable)
            self._reading = True

    def _readable(self) -> None:
        try:
            data = self.sock.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self._end("rst")
            return
        if not data:
            self._end("fin")
        elif self.secure:
            self._incoming.write(data)
            self._take_tls()
        else:
            self.received += data
        self._notify()

    def _end(self, how: str) -> None:
        if self.ended is None:
            self.ended = how
        self.pause()
        self._notify()

    def _notify(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, fact: Callable[[], bool], timeout: float = 30.0) -> None:
        """Wait until `fact()` holds; it is looked at whenever something happened at this peer."""
        deadline = self._loop.time() + timeout
        while not fact():
            left = deadline - self._loop.time()
            if left <= 0:
                raise PeerTimeoutError
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            timer = self._loop.call_later(left, self._notify)
            try:
                await waiter
            finally:
                timer.cancel()

    async def has(self, count: int, timeout: float = 30.0) -> None:
        """Wait for at least `count` bytes; the end of the peer's direction ends the wait, too."""
        await self.until(lambda: len(self.received) >= count or self.ended is not None, timeout)
        if len(self.received) < count:
            raise PeerTimeoutError

    async def has_ended(self, timeout: float = 30.0) -> None:
        await self.until(lambda: self.ended is not None, timeout)

    # --- writing and ending

    async def send(self, data: bytes) -> None:
        """Send all of `data`; a broken connection is a fact in `send_failed`, not an error."""
        if self.secure:
            self._tls.write(data)
            data = self._outgoing.read()
        await self._send_raw(data)

    async def _send_raw(self, data: bytes) -> None:
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.send_failed = True
            return
        if sent < len(data):
            try:
                await self._loop.sock_sendall(self.sock, memoryview(data)[sent:])
            except OSError:
                self.send_failed = True

    async def pound(self, data: bytes, timeout: float = 30.0) -> None:
        """Write until a write fails or the kernel reports a hang-up."""
        poller = select.poll()
        poller.register(self.sock, 0)
        deadline = self._loop.time() + timeout
        while not self.send_failed and not poller.poll(0):
            if self._loop.time() > deadline:
                raise PeerTimeoutError
            await self.send(data)
            await asyncio.sleep(0.005)

    def fin(self) -> None:
        """Half-close: FIN, reading goes on. Under TLS without close_notify."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.send_failed = True

    async def close_notify(self) -> None:
        """Under TLS: say that no more data will be sent; the TCP connection stays as it is."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # wants the peer's close_notify, which we may never get; ours is in the BIO
        await self._send_raw(self._outgoing.read())

    def rst(self) -> None:
        """Reset: what the kernel still holds for sending is thrown away, the peer gets an RST."""
        if not self.closed:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close()

    def close(self) -> None:
        """close(): FIN, and an RST if bytes are unread or arrive later."""
        if not self.closed:
            self.pause()
            self.closed = True
            self.sock.close()

    # --- TLS

    async def start_tls(self, context: ssl.SSLContext, *, server: bool) -> None:
        """Shake hands on a connection that was plain so far (after a CONNECT)."""
        self._wrap(context, server=server)
        await self.handshaken()

    async def handshaken(self, timeout: float = 30.0) -> None:
        self._shake()
        await self._flush()
        await self.until(lambda: self._shaken or self.ended is not None, timeout)
        if not self._shaken:
            raise ConnectionError(f"TLS handshake failed: {self._tls_error or self.ended}")

    def _wrap(self, context: ssl.SSLContext, *, server: bool) -> None:
        self.secure = True
        self._shaken = False
        self._tls_error = ""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = None if server else "localhost"
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server, server_hostname=name)

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
            self._shaken = True
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError as error:
            self._tls_error = str(error)
            self._end("tls-error")

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._send_raw(self._outgoing.read())

    def _take_tls(self) -> None:
        if not self._shaken:
            self._shake()
            if self._outgoing.pending:
                try:
                    self.sock.send(self._outgoing.read())
                except OSError:
                    self._end("rst")
            if not self._shaken:
                return
        while not self.notified:
            try:
                data = self._tls.read(CHUNK)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                data = b""
            except ssl.SSLError as error:
                self._tls_error = str(error)
                self._end("tls-error")
                return
            if data:
                self.received += data
            else:
                self.notified = True
