"""Servers and clients for the replay tests: raw, in a thread of their own, with nothing of ours in them."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading
from collections.abc import Callable

from tests.support.bytes_of_frames import xor

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def read_frame(file) -> tuple[int, bool, bytes] | None:
    """Opcode, FIN and payload of the next frame; None at the end."""
    head = file.read(2)
    if len(head) < 2:
        return None
    size = head[1] & 127
    if size > 125:
        size = int.from_bytes(file.read(2 if size == 126 else 8), "big")
    key = file.read(4) if head[1] & 128 else None
    payload = file.read(size)
    return head[0] & 15, head[0] >= 128, xor(payload, key) if key else payload


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, key: bytes | None = None) -> bytes:
    size = len(payload)
    length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
    second = bytes([length[0] | (128 if key else 0)]) + length[1:]
    return bytes([opcode | (128 if fin else 0)]) + second + (key + xor(payload, key) if key else payload)


def read_head(file) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = file.readline()
        if not line:
            return head
        head += line
    return head


def field(head: bytes, name: str) -> str | None:
    for line in head.decode("latin-1").split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.lower() == name.lower():
            return value.strip()
    return None


class Peer:
    """A server side of one WebSocket, blocking.

    Attributes:
        head: the request.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.file = connection.makefile("rb")
        self.head = read_head(self.file)

    def accept(self, *extra: str) -> None:
        key = (field(self.head, "sec-websocket-key") or "").encode()
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept}",
            *extra,
        ]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())

    def read(self) -> tuple[int, bool, bytes] | None:
        return read_frame(self.file)

    def text(self, value: str) -> None:
        self.socket.sendall(frame(1, value.encode()))

    def send(self, opcode: int, payload: bytes = b"", *, fin: bool = True) -> None:
        self.socket.sendall(frame(opcode, payload, fin=fin))


class Server:
    """Runs `serve` for each connection; what it raises is kept in `errors`."""

    def __init__(self, serve: Callable[[Peer], None]) -> None:
        self._serve = serve
        self.heads: list[bytes] = []
        self.errors: list[BaseException] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._run, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._one, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _one(self, connection: socket.socket) -> None:
        try:
            with connection:
                connection.settimeout(10)
                peer = Peer(connection)
                self.heads.append(peer.head)
                with peer.file:
                    self._serve(peer)
        except (OSError, ValueError, AssertionError, json.JSONDecodeError) as error:
            self.errors.append(error)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)


def echo(peer: Peer) -> None:
    """Sends every message back, and answers a CLOSE."""
    peer.accept()
    while got := peer.read():
        opcode, fin, payload = got
        if opcode in (0, 1, 2):
            peer.send(opcode, payload, fin=fin)
        elif opcode == 8:
            peer.send(8, payload)
            return
        elif opcode == 9:
            peer.send(10, payload)
