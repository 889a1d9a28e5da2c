"""What a hop does to open WebSockets that are idle, busy in one direction, or only pinged.

The peers are bare sockets, so that nothing but the hop, or a preset in its place, ends them; each side notes
which end it sees, and when.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, NamedTuple

from wsinspect.closing import abort
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import accept_key
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.opcodes import Opcode

_KEY: Final = b"dGhlIHNhbXBsZSBub25jZQ=="
_MASK: Final = b"\x01\x02\x03\x04"
_PATIENCE_S: Final = 10
#: What is said meanwhile, by scenario: by the client, by the server.
SAYS: Final[Mapping[str, tuple[bytes, bytes]]] = {
    "nobody speaks": (b"", b""),
    "the client alone speaks": (serialize_frame(Opcode.TEXT, b"c", key=_MASK), b""),
    "the server alone speaks": (b"", serialize_frame(Opcode.TEXT, b"s", key=None)),
    "the client pings": (
        serialize_frame(Opcode.PING, b"p", key=_MASK),
        serialize_frame(Opcode.PONG, b"p", key=None),
    ),
    "both speak": (
        serialize_frame(Opcode.TEXT, b"c", key=_MASK),
        serialize_frame(Opcode.TEXT, b"s", key=None),
    ),
}


class Ends(NamedTuple):
    """How a connection ended: `fin`, `rst` or `close CODE` as each side saw it; empty where it lived.

    Attributes:
        after: seconds from the 101 to what the client saw first.
    """

    client: str
    server: str
    after: float


class _Side:
    """One side of a connection: it speaks until it sees how that ends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self.end = ""
        self.end_at = 0.0

    async def watch(self) -> None:
        """Until the end. What is said here is no CLOSE frame, so the first byte of one tells it."""
        try:
            while data := await self._reader.read(4096):
                if data[0] == 0x88 and len(data) >= 4:
                    self._ended(f"close {_code(data)}")
            self._ended("fin")
        except ConnectionResetError:
            self._ended("rst")

    def _ended(self, how: str) -> None:
        if not self.end:
            self.end, self.end_at = how, asyncio.get_running_loop().time()

    async def speak(self, frame: bytes, pause: float) -> None:
        with suppress(ConnectionError):
            while frame and not self.end:
                self.writer.write(frame)
                await self.writer.drain()
                await asyncio.sleep(pause)


def _code(close: bytes) -> int:
    """The code of a CLOSE frame. Some hops do not mask what they send to a server."""
    is_masked = close[1] & 0x80
    code = bytes(a ^ b for a, b in zip(close[6:8], close[2:4], strict=True)) if is_masked else close[2:4]
    return int.from_bytes(code, "big")


class Origin:
    """A server that answers 101 and hands its side of each connection over."""

    def __init__(self) -> None:
        self._sides: dict[str, asyncio.Future[_Side]] = {}

    def side(self, scenario: str) -> asyncio.Future[_Side]:
        """Its side of a connection, once that is there."""
        return self._sides.setdefault(scenario, asyncio.get_running_loop().create_future())

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = RawHead.parse(await reader.readuntil(b"\r\n\r\n"))
            lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"]
            lines.append(b"Sec-WebSocket-Accept: " + accept_key(head.get("Sec-WebSocket-Key") or b""))
            writer.write(b"\r\n".join(lines) + b"\r\n\r\n")
            self.side((head.get("X-Scenario") or b"").decode()).set_result(_Side(reader, writer))


async def _ask(port: int, scenario: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    """An opening handshake, and the header block of its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    fields = [f"Host: 127.0.0.1:{port}", "Connection: Upgrade", "Upgrade: websocket"]
    fields += [f"Sec-WebSocket-Key: {_KEY.decode()}", "Sec-WebSocket-Version: 13", f"X-Scenario: {scenario}"]
    writer.write("\r\n".join(["GET / HTTP/1.1", *fields, "", ""]).encode())
    return reader, writer, await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _PATIENCE_S)


@asynccontextmanager
async def origin() -> AsyncIterator[tuple[Origin, int]]:
    """The server behind a hop, and its port."""
    found = Origin()
    server = await asyncio.start_server(found.accept, "127.0.0.1", 0)
    async with server:
        yield found, server.sockets[0].getsockname()[1]


async def observe(
    port: int,
    behind: Origin,
    scenarios: Sequence[str],
    *,
    seconds: float,
    pause: float,
    once_open: Callable[[], object] = lambda: None,
) -> dict[str, Ends]:
    """Play scenarios next to each other through the hop at a port, for so many seconds.

    Each speaks as soon as it is open: on a busy machine the limits of the first would else run out before the
    last is.

    Args:
        behind: the server that the hop passes them to.
        pause: between two frames of a side that speaks.
        once_open: called when all are open.
    """
    loop = asyncio.get_running_loop()
    ends: dict[str, tuple[_Side, _Side, float]] = {}
    watching, speaking = [], []

    async def begin(scenario: str) -> None:
        reader, writer, head = await _ask(port, scenario)
        opened = loop.time()
        assert head.startswith(b"HTTP/1.1 101"), head
        client = _Side(reader, writer)
        server = await asyncio.wait_for(behind.side(scenario), _PATIENCE_S)
        ends[scenario] = client, server, opened
        for side, frame in zip((client, server), SAYS[scenario], strict=True):
            watching.append(loop.create_task(side.watch()))
            speaking.append(loop.create_task(side.speak(frame, pause)))

    await asyncio.gather(*map(begin, scenarios))
    once_open()
    await asyncio.wait(watching, timeout=seconds)
    found = {
        scenario: Ends(client.end, server.end, (client.end_at or loop.time()) - opened)
        for scenario, (client, server, opened) in ends.items()
    }
    for task in (*watching, *speaking):
        task.cancel()
    await asyncio.gather(*watching, *speaking, return_exceptions=True)
    for client, server, _ in ends.values():
        abort(client.writer.transport)
        abort(server.writer.transport)
    return found


class Heads:
    """The requests that a server got: HTTP version, values of `Upgrade` and of `Connection`."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, list[bytes], list[bytes]]] = []

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            raw = await reader.readuntil(b"\r\n\r\n")
            head = RawHead.parse(raw)
            version = raw.partition(b"\r\n")[0].rpartition(b" ")[2].decode()
            self.seen.append((version, head.get_all("Upgrade"), head.get_all("Connection")))
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
            writer.close()

    async def through(self, port: int) -> None:
        """Ask for a WebSocket through the hop at a port."""
        _, writer, _ = await _ask(port, "")
        abort(writer.transport)


@asynccontextmanager
async def asked() -> AsyncIterator[tuple[int, Heads]]:
    """A server that refuses; its port, and what it was asked."""
    heads = Heads()
    server = await asyncio.start_server(heads.accept, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heads
