"""TCP connections as packets, made by hand: what a tcpdump next to both sides would have written."""

from __future__ import annotations

import ssl
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.support.certs import Certificates, client_context
from wsinspect.formats.packets.files import Packet
from wsinspect.formats.packets.link import ACK, FIN, PSH, RST, SYN
from wsinspect.wire.frame import serialize_frame

START_NS = 1_700_000_000_000_000_000
CLIENT, SERVER = 0, 1
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
REQUEST = (
    b"GET /chat?room=1 HTTP/1.1\r\nHost: chat.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: " + KEY + b"\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
RESPONSE = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


def said(text: bytes, *, masked: bool = False, opcode: int = 1) -> bytes:
    """One frame."""
    return serialize_frame(opcode, text, fin=True, key=b"\1\2\3\4" if masked else None)


class Wire:
    """Packets of some connections, in the order in which they are made.

    Attributes:
        packets: epoch nanoseconds and Ethernet frames.
        now: the time of the next packet.
    """

    def __init__(self) -> None:
        self.packets: list[tuple[int, bytes]] = []
        self.now = START_NS

    def add(self, data: bytes) -> None:
        self.packets.append((self.now, data))
        self.now += 1_000_000

    def read(self) -> list[Packet]:
        """As `files.packets` would read them."""
        return [Packet(time_ns, 1, data) for time_ns, data in self.packets]

    def pcap(self, *, order: str = "<", is_nano: bool = False) -> bytes:
        magic = 0xA1B23C4D if is_nano else 0xA1B2C3D4
        out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, 1)]
        for time_ns, data in self.packets:
            seconds, rest = divmod(time_ns, 10**9)
            fraction = rest if is_nano else rest // 1000
            out.append(struct.pack(order + "IIII", seconds, fraction, len(data), len(data)) + data)
        return b"".join(out)

    def pcapng(self, *, order: str = "<", secrets: bytes = b"") -> bytes:
        def block(kind: int, body: bytes) -> bytes:
            body += bytes(-len(body) & 3)
            size = struct.pack(order + "I", len(body) + 12)
            return struct.pack(order + "I", kind) + size + body + size

        out = [block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))]
        out.append(block(1, struct.pack(order + "HHIHHB", 1, 0, 0, 9, 1, 9)))
        if secrets:
            out.append(block(10, struct.pack(order + "II", 0x544C534B, len(secrets)) + secrets))
        for time_ns, data in self.packets:
            head = struct.pack(order + "IIIII", 0, time_ns >> 32, time_ns & 0xFFFFFFFF, len(data), len(data))
            out.append(block(6, head + data))
        return b"".join(out)


class Tcp:
    """One TCP connection on a wire; `lossy` tells which of its packets the trace lacks."""

    def __init__(
        self,
        wire: Wire,
        client: tuple[str, int] = ("10.0.0.1", 50000),
        server: tuple[str, int] = ("10.0.0.2", 80),
        *,
        segment: int = 1400,
    ) -> None:
        self.wire = wire
        self.seq = [0xFFFFFF00, 5000]  # one side's numbers begin again soon
        self._ends = (client, server)
        self._segment = segment

    def packet(
        self,
        side: int,
        flags: int,
        data: bytes = b"",
        *,
        seq: int | None = None,
        ack: int | None = None,
        options: bytes = b"",
    ) -> bytes:
        """One packet of a side, as it is now; options have a multiple of four bytes."""
        (source, sport), (target, dport) = self._ends[side], self._ends[1 - side]
        seq = self.seq[side] if seq is None else seq
        ack = self.seq[1 - side] if ack is None else ack
        offset = 0x5000 + (len(options) // 4 << 12) | flags
        numbers = (sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, offset, 65535, 0, 0)
        tcp = struct.pack(">HHIIHHHH", *numbers) + options + data
        addresses = bytes(map(int, source.split("."))) + bytes(map(int, target.split(".")))
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0) + addresses
        return b"\2\0\0\0\0\1\2\0\0\0\0\2\x08\0" + ip + tcp

    def open(self, options: tuple[bytes, bytes] = (b"", b"")) -> Tcp:
        """The handshake; with TCP options in the SYN of each side."""
        self._syn(CLIENT, SYN, options[0])
        self._syn(SERVER, SYN | ACK, options[1])
        self.send(CLIENT, flags=ACK)
        return self

    def _syn(self, side: int, flags: int, options: bytes) -> None:
        self.wire.add(self.packet(side, flags, options=options))
        self.seq[side] += 1

    def send(self, side: int, data: bytes = b"", *, flags: int = PSH | ACK, is_lost: bool = False) -> None:
        """What a side sends, in segments."""
        pieces = [data[at : at + self._segment] for at in range(0, len(data), self._segment)] or [b""]
        for piece in pieces:
            packet = self.packet(side, flags, piece)
            self.seq[side] += len(piece) + bool(flags & SYN) + bool(flags & FIN)
            if not is_lost:
                self.wire.add(packet)

    def fin(self, side: int) -> None:
        self.send(side, flags=FIN | ACK)

    def rst(self, side: int) -> None:
        self.send(side, flags=RST | ACK)

    def upgrade(self, request: bytes = REQUEST, response: bytes = RESPONSE) -> Tcp:
        self.open()
        self.send(CLIENT, request)
        self.send(SERVER, response)
        return self


class Tls:
    """TLS between two ends, over a connection on a wire; secrets go to a file.

    Args:
        certificates: of the server.
    """

    def __init__(self, tcp: Tcp | Tls, certificates: Certificates, key_log: Path, **options: Any) -> None:
        client, server = client_context(), certificates.server_context()
        client.keylog_filename = str(key_log)
        for name, value in options.items():
            if name == "ciphers":
                client.set_ciphers(value)
                server.set_ciphers(value)
            else:
                setattr(client, name, value)
        self._tcp = tcp
        self._pipes = [(ssl.MemoryBIO(), ssl.MemoryBIO()) for _ in (0, 1)]
        self._ends = [
            client.wrap_bio(*self._pipes[0], server_hostname="chat.example"),
            server.wrap_bio(*self._pipes[1], server_side=True),
        ]

    def handshake(self) -> Tls:
        waiting = [True, True]
        while any(waiting):
            for side in (CLIENT, SERVER):
                waiting[side] = not self._tried(self._ends[side].do_handshake)
                self._flush(side)
        self._tried(lambda: self._ends[CLIENT].read(1))  # what the server says after it: session tickets
        return self

    def send(self, side: int, data: bytes) -> None:
        self._ends[side].write(data)
        self._flush(side)
        self._tried(lambda: self._ends[1 - side].read(1 << 20))

    def close(self, side: int) -> None:
        self._tried(self._ends[side].unwrap)
        self._flush(side)

    def _tried(self, action: Callable[[], object]) -> bool:
        try:
            action()
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            return False
        return True

    def _flush(self, side: int) -> None:
        data = self._pipes[side][1].read()
        if data:
            self._tcp.send(side, data)
            self._pipes[1 - side][0].write(data)


def write(path: Path, pieces: Iterable[bytes]) -> Path:
    """A file of these bytes."""
    path.write_bytes(b"".join(pieces))
    return path
