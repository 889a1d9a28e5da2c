"""Peers of the matrix that break a rule, or say one thing exactly: raw on both sides of healthy hops.

A path's last part says what the server does (`SERVERS`), a cause's `client` what the client does (`CLIENTS`).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import re
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import Final

from tests.support.bytes_of_frames import CLOSE, CONT, KEY, PING, PONG, TEXT, frame
from tests.support.certs import make_certificates
from tests.support.engine import Engine
from tests.support.hops import LOOPBACK
from tests.support.matrix_lab import AT_ONCE, Seen, chain, look_by_path
from wsinspect.handshake.negotiation import accept_key

Serve = Callable[["Socket", bytes], Awaitable[None]]
Client = Callable[["Socket"], Awaitable[None]]
#: How long a side that misbehaves is waited for.
_PATIENCE: Final = 1.3
#: How long what is certain to come is waited for, however busy the machine is.
PATIENT: Final = 30.0
#: How long a client waits for the answer to its handshake.
_WAITS: Final = {"gives-up": 0.5, "soon": 2.0}


@dataclass(frozen=True)
class Odd:
    """One oddity.

    Attributes:
        name: of the cell, and the last part of its path.
        two: ids of which one is first with all taps, and whose fault it is; None where nothing is wrong.
        route: of the hop that does it; "" where it is not a hop's doing.
        server, client: what each does, by name; `echo` and `talk` are healthy.
        fields: of the request in addition to a browser's, or in place of them; None leaves one out.
        method, tail: of the request; what is behind the path.
        alone: as `two`, at one tap with no hop before the server; None where it is the same.
    """

    name: str
    two: tuple[Sequence[str], str] | None
    route: str = ""
    server: str = "echo"
    client: str = "talk"
    fields: Mapping[str, str | None] = field(default_factory=dict)
    method: str = "GET"
    tail: str = ""
    alone: tuple[Sequence[str], str] | None = None

    @property
    def path(self) -> str:
        where = f"/hop/{self.route}" if self.route else "/app"
        return f"{where}/{self.name.replace(' ', '-')}/{self.server}{self.tail}"

    @property
    def key(self) -> str:
        """The client's nonce; plain statuses are asked for as with curl, which has always the same one."""
        return base64.b64encode(
            sha256(b"" if self.name.isdigit() else self.name.encode()).digest()[:16]
        ).decode()

    def request(self, port: int) -> bytes:
        fields: dict[str, str | None] = {
            "Host": f"{LOOPBACK}:{port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": self.key,
            "Sec-WebSocket-Version": "13",
            "User-Agent": f"odd/{self.name}",
            **self.fields,
        }
        lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
        return "\r\n".join([f"{self.method} {self.path} HTTP/1.1", *lines, "", ""]).encode()


class Socket:
    """One end of a connection: bytes out, frames in."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: bytes | None) -> None:
        self._reader = reader
        self._writer = writer
        self._key = key

    @property
    def ports(self) -> tuple[int, int]:
        """This end's, and the other one's."""
        own, other = (self._writer.get_extra_info(name)[1] for name in ("sockname", "peername"))
        return own, other

    async def say(self, data: bytes) -> None:
        if self._writer.transport.is_closing():
            return  # asyncio would warn
        with contextlib.suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    async def send(self, opcode: int, payload: bytes = b"", **more: object) -> None:
        await self.say(frame(opcode, payload, key=self._key, **more))  # type: ignore[arg-type]

    async def head(self) -> bytes:
        try:
            return await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            return getattr(error, "partial", b"")

    async def next(self, patience: float = _PATIENCE) -> tuple[int, bytes] | None:
        """The next frame: opcode and payload; None where none comes in time, or the other side has ended."""
        try:
            async with asyncio.timeout(patience):
                first, second = await self._reader.readexactly(2)
                size = second & 0x7F
                if size >= 126:
                    size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8))
                key = await self._reader.readexactly(4) if second & 0x80 else b""
                data = await self._reader.readexactly(size)
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            return None
        return first & 15, bytes(b ^ key[n % 4] for n, b in enumerate(data)) if key else data

    async def until_close(self, patience: float = _PATIENCE, *, answers_pings: bool = True) -> bytes | None:
        """The body of the CLOSE frame that comes; text is said again, PINGs are answered."""
        while (one := await self.next(patience)) is not None:
            if one[0] == CLOSE:
                return one[1]
            if one[0] == PING and answers_pings:
                await self.send(PONG, one[1])
            if one[0] == TEXT and self._key is None:
                await self.send(TEXT, one[1])
        return None

    async def end(self) -> None:
        """Read what still comes, then close."""
        with contextlib.suppress(ConnectionError, TimeoutError):
            if self._writer.can_write_eof():
                self._writer.write_eof()
            async with asyncio.timeout(_PATIENCE):
                await self._reader.read()
        self._writer.close()

    async def gone(self) -> None:
        """Until the other side ends its direction; whatever it sends is nothing."""
        with contextlib.suppress(ConnectionError):
            await self._reader.read()

    def cut(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        """End with a RST."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


def switching(head: bytes, *more: str, version: str = "1.1", leave: Sequence[str] = ()) -> bytes:
    """A 101 for this request."""
    key = re.search(rb"(?i)\r\nsec-websocket-key: *(\S+)", head)
    fields = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": accept_key(key[1]).decode() if key else "none",
    }
    kept = [f"{name}: {value}" for name, value in fields.items() if name not in leave]
    return "\r\n".join([f"HTTP/{version} 101 Switching Protocols", *kept, *more, "", ""]).encode()


def refusal(status: int, words: str = "", *fields: str) -> bytes:
    """A response that is none of a handshake."""
    body = words.encode()
    lines = [
        f"HTTP/1.1 {status} Refused",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *fields,
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body


# -- servers


async def _echo(socket: Socket, head: bytes) -> None:
    await socket.say(switching(head))
    body = await socket.until_close(4)
    if body is not None:
        await socket.send(CLOSE, body)


def says(*frames: bytes, waits: float = _PATIENCE) -> Serve:
    """After the 101 and the client's first message: these bytes, then an answer to the client's CLOSE."""

    async def serve(socket: Socket, head: bytes) -> None:
        await socket.say(switching(head))
        await socket.next(PATIENT)
        for one in frames:
            await socket.say(one)
        body = await socket.until_close(waits)
        if body is not None:
            await socket.send(CLOSE, body)

    return serve


def _answers(make: Callable[[bytes], bytes]) -> Serve:
    """An answer to the request, and the end."""

    async def serve(socket: Socket, head: bytes) -> None:
        await socket.say(make(head))

    return serve


def _opens(*more: str, version: str = "1.1", leave: Sequence[str] = (), first: bytes = b"") -> Serve:
    """A 101 of its own kind, then an echo."""

    async def serve(socket: Socket, head: bytes) -> None:
        await socket.say(first + switching(head, *more, version=version, leave=leave))
        body = await socket.until_close(4)
        if body is not None:
            await socket.send(CLOSE, body)

    return serve


async def _unfinished(socket: Socket, head: bytes) -> None:
    await socket.say(switching(head)[:-2])
    await asyncio.sleep(0.3)


async def _unfinished_for_long(socket: Socket, head: bytes) -> None:
    await socket.say(switching(head)[:-2])
    await socket.gone()


def _greets(*pieces: bytes, after: float = 0.0) -> Serve:
    """Bytes that are no answer, and then nothing until the client leaves."""

    async def serve(socket: Socket, head: bytes) -> None:
        await asyncio.sleep(after)
        for one in pieces:
            await socket.say(one)
            await asyncio.sleep(0.02 if len(pieces) > 1 else 0)
        await socket.gone()

    return serve


async def _dead(socket: Socket, head: bytes) -> None:
    await socket.say(switching(head))


def _stops_in(data: bytes) -> Serve:
    """After the 101 these bytes, and then nothing until the client leaves."""

    async def serve(socket: Socket, head: bytes) -> None:
        await socket.say(switching(head) + data)
        await socket.gone()

    return serve


async def _mute_close(socket: Socket, head: bytes) -> None:
    await socket.say(switching(head))
    await socket.until_close(4)
    await asyncio.sleep(1)


async def _no_pong(socket: Socket, head: bytes) -> None:
    await socket.say(switching(head))
    body = await socket.until_close(4, answers_pings=False)
    if body is not None:
        await socket.send(CLOSE, body)


async def _wrong_pong(socket: Socket, head: bytes) -> None:
    await socket.say(switching(head))
    while (one := await socket.next(4)) is not None:
        if one[0] == PING:
            await socket.send(PONG, b"another")
        elif one[0] == CLOSE:
            await socket.send(CLOSE, one[1])
            return


def _refused(status: int, _: bytes) -> bytes:
    return refusal(status)


_OK: Final = (1000).to_bytes(2)
SSH: Final = b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"
MYSQL: Final = b"\x4a\x00\x00\x00\x0a8.0.36\x00\x08\x00\x00\x00abcdefgh\x00\xff\xf7"
SERVERS: Mapping[str, Serve] = {
    "echo": _echo,
    "ssh": _answers(lambda _: SSH),
    "ssh-in-pieces": _greets(*(bytes([one]) for one in SSH)),
    "redis": _greets(b"-ERR unknown command 'GET'\r\n"),
    "smtp": _greets(b"220 mx1.example.org ESMTP Postfix\r\n"),
    "late-ftp": _greets(b"220 (vsFTPd 3.0.3)\r\n", after=0.7),
    "mysql": _greets(MYSQL),
    "blank-lines": _greets(b"hello\r\n\r\nhow are you\r\n\r\n"),
    "tls-alert": _answers(lambda _: b"\x15\x03\x01\x00\x02\x02\x46"),
    "unfinished": _unfinished,
    "open-head": _unfinished_for_long,
    "chunked-101": _opens("Transfer-Encoding: chunked"),
    "length-101": _opens("Content-Length: 5"),
    "http10-101": _opens(version="1.0"),
    "foreign-subprotocol": _opens("Sec-WebSocket-Protocol: other"),
    "foreign-extension": _opens("Sec-WebSocket-Extensions: permessage-bzip2"),
    "version": _answers(lambda _: refusal(426, "unsupported version", "Sec-WebSocket-Version: 8")),
    "missing-key": _answers(lambda _: refusal(400, "missing Sec-WebSocket-Key header")),
    "no-upgrade-seen": _answers(lambda _: refusal(400, 'Can "Upgrade" only to "WebSocket".')),
    "disabled": _answers(lambda _: refusal(403, "WebSockets are disabled on this server")),
    "extension-refused": _answers(lambda _: refusal(400, "invalid extension: permessage-deflate")),
    "subprotocol-refused": _answers(lambda _: refusal(400, "invalid subprotocol; expected one of v2")),
    **{
        str(status): _answers(functools.partial(_refused, status))
        for status in (400, 401, 403, 405, 410, 413, 414, 418, 421, 431, 501, 502, 503, 504, 505)
    },
    "404-json": _answers(
        lambda _: refusal(404, '{"error":"no such channel"}', "Content-Type: application/json")
    ),
    "busy": _answers(lambda _: refusal(503, "too many connections")),
    "page": _answers(lambda _: refusal(200, "<!doctype html><title>x</title>", "Content-Type: text/html")),
    "garbage": says(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
    "masked": says(frame(TEXT, b"hi", key=KEY)),
    "rsv": says(frame(TEXT, b"hi", rsv=4)),
    "opcode": says(frame(3, b"hi")),
    "continuation": says(frame(CONT, b"hi")),
    "long-ping": says(frame(PING, b"x" * 126)),
    "utf8": says(frame(TEXT, b"\xff\xfe")),
    "code-1006": says(frame(CLOSE, (1006).to_bytes(2))),
    "code-short": says(frame(CLOSE, b"\x03")),
    "unended": says(frame(TEXT, b"part", fin=False)),
    "fragments": says(frame(TEXT, b"part", fin=False), frame(CONT, b" and end")),
    "half-masked": _stops_in(b"\x81\x85" + KEY),
    "after-close": says(frame(CLOSE, _OK), frame(TEXT, b"late")),
    "dead": _dead,
    "mute-close": _mute_close,
    "no-pong": _no_pong,
    "wrong-pong": _wrong_pong,
}


# -- clients


async def _talk(socket: Socket) -> None:
    """As a browser does: a message, then its own CLOSE; a broken frame or a CLOSE is answered."""
    await socket.send(TEXT, b"hello")
    one = await socket.next(PATIENT)
    if one is not None and one[0] == CLOSE:
        await socket.send(CLOSE, one[1])
        return
    await socket.send(CLOSE, _OK)
    await socket.until_close()


async def _strict(socket: Socket) -> None:
    """Closes with 1002 whatever comes, as a browser does for what is no frame."""
    await socket.send(TEXT, b"hello")
    if await socket.next(PATIENT) is not None:
        await socket.send(CLOSE, (1002).to_bytes(2))
    await socket.until_close(0.3)


async def _pinging(socket: Socket) -> None:
    for number in range(3):
        await socket.send(PING, b"ping%d" % number)
        await socket.send(TEXT, b"hello")
        while (one := await socket.next(1.0)) is not None:
            if one[0] == TEXT:
                await asyncio.sleep(0.9)
                break
    await socket.send(CLOSE, _OK)
    await socket.until_close()


async def _unmasked(socket: Socket) -> None:
    await socket.say(frame(TEXT, b"hello"))
    await socket.next(PATIENT)
    await socket.send(CLOSE, _OK)
    await socket.until_close()


async def _patient(socket: Socket) -> None:
    """Says nothing and waits for what the server does."""
    body = await socket.until_close()
    if body is not None:
        await socket.send(CLOSE, body)


CLIENTS: Mapping[str, Client] = {
    "talk": _talk,
    "strict": _strict,
    "pinging": _pinging,
    "unmasked": _unmasked,
    "patient": _patient,
}


async def visit(
    port: int, odd: Odd, turn: asyncio.Semaphore, clients: Mapping[str, Client] = CLIENTS
) -> None:
    """Ask, in its turn, and do what the oddity says."""
    async with turn:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        socket = Socket(reader, writer, KEY)
        await socket.say(odd.request(port))
        try:
            async with asyncio.timeout(_WAITS.get(odd.client, PATIENT)):
                head = await socket.head()
                while head[9:10] == b"1" and head[9:12] != b"101":
                    head = await socket.head()  # an interim response: a client waits for the next one
        except TimeoutError:
            socket.cut()
            return
    if b" 101 " in head[:13]:
        await clients[odd.client](socket)
    await socket.end()


@contextlib.asynccontextmanager
async def server(servers: Mapping[str, Serve] = SERVERS) -> AsyncIterator[int]:
    """The port of the odd server."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        socket = Socket(reader, writer, None)
        head = await socket.head()
        wanted = head.partition(b"\r\n")[0].split(b" ")[1:2]
        name = wanted[0].partition(b"?")[0].rpartition(b"/")[2].decode() if wanted else ""
        if name == "silent":
            await socket.gone()
        elif name in servers:
            await servers[name](socket, head)
        else:
            await socket.say(refusal(404, "no such route"))
        await socket.end()

    listening = await asyncio.start_server(serve, LOOPBACK, 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


async def _play(hops: Sequence[str], guilty: int, odds: Sequence[Odd], folder: Path) -> Engine:
    certificates = make_certificates(folder / "certificates")
    routes = {one.route for one in odds}
    async with server() as app, chain(hops, guilty, folder, app, app, certificates.ca, routes) as running:
        port = running.engine.port("edge")
        turn = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(visit(port, one, turn) for one in odds))
    return running.engine


def play(
    hops: Sequence[str], guilty: int, odds: Sequence[Odd], folder: Path
) -> tuple[Engine, dict[str, Seen]]:
    """Play oddities through one hop or a chain; the engine, stopped, and what was found by name."""
    engine = asyncio.run(_play(hops, guilty, odds, folder))
    by_path = look_by_path(engine.capture)
    return engine, {one.name: by_path[one.path] for one in odds if one.path in by_path}
