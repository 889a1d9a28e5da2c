"""An echo server on plain sockets, its handshake, and a fixture with one."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

HEAD = (
    b"GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


KEY = b"\x00\x00\x00\x00"


class EchoServer:
    """Accepts every handshake, and sends each frame back as it came (an all-zero key masks nothing)."""

    def __init__(self) -> None:
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self.sock.accept()
            except OSError:
                return
            with peer:
                read_head(peer)
                peer.sendall(ACCEPTED)
                try:
                    while data := peer.recv(65536):
                        peer.sendall(data)
                except OSError:
                    continue

    def close(self) -> None:
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self._thread.join(10)


def read_head(peer: socket.socket) -> None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += peer.recv(1)


@pytest.fixture
def server() -> Iterator[EchoServer]:
    echo = EchoServer()
    yield echo
    echo.close()
