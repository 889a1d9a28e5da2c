"""The server behind every peer: one process, asyncio with a reused buffer, nothing but counting and echoing.

``/sink/BYTES/BURSTS``: reads BYTES of frames and answers with one frame, so often; then a CLOSE is
answered. The bytes are counted, not parsed: a peer that relays every frame keeps their number, since all
frames of a burst have one size.
``/reads/BYTES``: reads one frame with so many bytes of payload, and answers with how many reads brought one
byte, as text.
``/echo/PAYLOAD``: each masked frame of PAYLOAD bytes is unmasked and comes back as one frame.
Prints ``{"port": N, "tls_port": N}`` when it listens and ends when its standard input ends. TLS, with the
certificate and key of ``CHAIN KEY``, is served by a thread for each connection: asyncio's own would cost more
than what is measured.
"""

import asyncio
import json
import socket
import ssl
import sys
import threading

from tests.benchmarks import wsframes

BUFFER = 1 << 18
#: Ten thousand connections share it: its bytes are used up before the next read.
SHARED = memoryview(bytearray(BUFFER))


class Target(asyncio.BufferedProtocol):
    """One connection: the head first, then what its path asks for."""

    def __init__(self) -> None:
        self._held = b""
        self._handle = self._head
        self._transport: asyncio.WriteTransport | None = None
        self._total = self._left = self._bursts = self._payload = self._reads = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        """The same one for all."""
        return SHARED

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes came."""
        self.take(SHARED[:nbytes])

    def take(self, data: memoryview) -> None:
        """Handle bytes."""
        self._handle(data)

    def _head(self, data: memoryview) -> None:
        self._held += data
        head, found, rest = self._held.partition(b"\r\n\r\n")
        if not found or self._transport is None:
            return
        _, mode, *numbers = head.split(b" ", 2)[1].decode().split("/")
        values = [int(number) for number in numbers]
        self._held = b""
        if mode == "sink":
            self._total, self._bursts = values
            self._left = self._total
            self._handle = self._sink
        elif mode == "reads":
            self._left = wsframes.wire_size(values[0])
            self._handle = self._count
        else:
            self._payload = values[0]
            self._handle = self._echo
        self._transport.write(wsframes.response(head))
        if rest:
            self._handle(memoryview(rest))

    def _sink(self, data: memoryview) -> None:
        if self._transport is None:
            return
        if not self._bursts:
            self._close()
            return
        self._left -= len(data)
        if self._left > 0:
            return
        self._bursts -= 1
        extra, self._left = -self._left, self._total
        self._transport.write(wsframes.DONE)
        if extra:
            self._sink(data[len(data) - extra :])

    def _count(self, data: memoryview) -> None:
        if self._transport is None:
            return
        if not self._left:
            self._close()
            return
        self._reads += len(data) == 1
        self._left -= len(data)
        if not self._left:
            self._transport.write(wsframes.server_frame(str(self._reads).encode(), wsframes.TEXT))

    def _echo(self, data: memoryview) -> None:
        if self._transport is None:
            return
        held = self._held + data if self._held else bytes(data)
        size = wsframes.wire_size(self._payload)
        header = size - self._payload
        while len(held) >= size and held[0] & 0x0F != wsframes.CLOSE:
            payload = wsframes.xor(held[header:size], held[header - 4 : header])
            self._transport.write(wsframes.server_frame(payload))
            held = held[size:]
        self._held = held
        if held and held[0] & 0x0F == wsframes.CLOSE:
            self._close()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.write(wsframes.CLOSE_FROM_SERVER)
            self._transport.close()
            self._transport = None


class Blocking(asyncio.WriteTransport):
    """What a `Target` needs of a transport, over a socket whose calls wait."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        super().__init__()
        self.sock = sock
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of it."""
        self.sock.sendall(data)

    def close(self) -> None:
        """Stop reading."""
        self.is_closed = True


def serve_tls(sock: socket.socket, context: ssl.SSLContext) -> None:
    """One connection, until the target closes it or its client has gone."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        with context.wrap_socket(sock, server_side=True) as wrapped:
            transport, target = Blocking(wrapped), Target()
            target.connection_made(transport)
            buffer = memoryview(bytearray(BUFFER))
            while not transport.is_closed and (size := wrapped.recv_into(buffer)):
                target.take(buffer[:size])
    except OSError:
        return  # a client that was ended in the middle


def accept_tls(listener: socket.socket, context: ssl.SSLContext) -> None:
    """A thread for each connection."""
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve_tls, args=(sock, context), daemon=True).start()


async def main(chain: str = "", key: str = "") -> None:
    """Listen on free ports until standard input ends; with TLS where there is a certificate."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Target, "127.0.0.1", 0, backlog=1024)
    ports = {"port": server.sockets[0].getsockname()[1]}
    if chain:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=accept_tls, args=(listener, context), daemon=True).start()
        ports["tls_port"] = listener.getsockname()[1]
    print(json.dumps(ports), flush=True)
    await loop.run_in_executor(None, sys.stdin.buffer.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
