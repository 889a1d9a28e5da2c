"""Servers that answer one thing each, in this process, and what the doctor says of them.

A behaviour is a function of the request's header block: it gives the bytes of the answer, or plays itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived
from h2.settings import SettingCodes, Settings

from wsinspect.closing import abort
from wsinspect.doctor.asker import Asker
from wsinspect.doctor.examination import Examination, examine
from wsinspect.doctor.target import Extras, parse_direct, parse_target
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import accept_key

LOOPBACK = "127.0.0.1"
#: A limit that no answer of a server in this process needs, and that a silent one is soon over with.
TIMEOUT_NS = 5_000_000_000

NOTHING = Extras()

Play = Callable[[RawHead, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Reply = Callable[[RawHead], bytes]


def http(status: str, body: bytes = b"", *, length: bool = True, **fields: str) -> bytes:
    """A response: `Content_Type="text/html"` is a field."""
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def switching(head: RawHead, **fields: str) -> bytes:
    """A correct 101, with more fields, or others in their place; an empty one is left out."""
    wanted = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": accept_key(head.get("sec-websocket-key") or b"").decode(),
        **{name.replace("_", "-"): value for name, value in fields.items()},
    }
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        *(f"{name}: {value}" for name, value in wanted.items() if value),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def is_upgrade(head: RawHead) -> bool:
    return "websocket" in head.tokens("upgrade") and head.get("sec-websocket-key") is not None


async def pongs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: str = "pc") -> None:
    """The server's side of an open WebSocket: pongs (p) and the answer to CLOSE (c), then the end.

    Client frames are small and masked here: two bytes, a key, the payload.
    """
    while True:
        first, second = await reader.readexactly(2)
        key = await reader.readexactly(4)
        payload = bytes(byte ^ key[at % 4] for at, byte in enumerate(await reader.readexactly(second & 127)))
        opcode = first & 15
        if opcode == 9 and "p" in answers:
            writer.write(bytes((0x8A, len(payload))) + payload)
        if opcode == 8:
            if "c" in answers:
                writer.write(bytes((0x88, len(payload))) + payload)
                return
            if "h" in answers:
                await reader.read()
            return


def replies(reply: Reply) -> Play:
    """What only answers; after a 101 it is a well-behaved server."""

    async def play(head: RawHead, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = reply(head)
        writer.write(answer)
        if answer.startswith(b"HTTP/1.1 101"):
            await pongs(reader, writer)

    return play


def echo(head: RawHead) -> bytes:
    """A server that accepts any handshake."""
    return switching(head) if is_upgrade(head) else http("426 Upgrade Required", b"Upgrade Required")


def unless(is_refused, status: str, body: bytes = b"", **fields: Any):
    """A healthy server but for requests of a kind."""

    def reply(head: RawHead) -> bytes:
        return http(status, body, **fields) if is_refused(head) else echo(head)

    return replies(reply)


Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def listening(handle: Handle, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on a free port of 127.0.0.1 of which no connection is left at the end."""
    open_ones: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_ones[task] = writer
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await handle(reader, writer)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.close()
            await writer.wait_closed()
        del open_ones[task]

    server = await asyncio.start_server(one, LOOPBACK, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        left = dict(open_ones)
        for task, writer in left.items():
            abort(writer.transport)
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.sleep(0)  # the loop calls connection_lost of what was aborted


@contextlib.asynccontextmanager
async def serving(play: Play, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that plays this on each connection."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readexactly(1)
        if first == b"\x16":  # a TLS greeting: servers of plain HTTP say that they do not understand
            writer.write(http("400 Bad Request"))
            return
        await play(RawHead.parse(first + await reader.readuntil(b"\r\n\r\n")), reader, writer)

    async with listening(handle, tls) as port:
        yield port


async def examined(url: str, extras: Extras = NOTHING, **options: Any) -> Examination:
    """What the doctor says, listening for a moment only."""
    target, assumed = parse_target(url)
    timeout = options.pop("timeout_ns", TIMEOUT_NS)
    options = {"listen_seconds": 0.1, **options}
    behind = [parse_direct(one, target) for one in options.pop("behind", ())]
    environment = options.pop("environment", None)
    idle = options.pop("idle", None)
    asker = Asker(timeout_ns=timeout, **options)
    return await examine(
        target,
        extras,
        asker,
        timeout_ns=timeout,
        behind=behind,
        assumed=assumed,
        environment=environment,
        idle=idle,
    )


def examine_server(
    play: Play,
    path: str = "/chat",
    extras: Extras = NOTHING,
    *,
    tls: ssl.SSLContext | None = None,
    **options: Any,
) -> Examination:
    """What the doctor says of a server that plays this."""

    async def run() -> Examination:
        async with serving(play, tls) as port:
            scheme = options.pop("scheme", "ws" if tls is None else "wss")
            host = options.pop("host", LOOPBACK)
            return await examined(f"{scheme}://{host}:{port}{path}", extras, **options)

    return asyncio.run(run())


def ids(found: Examination) -> list[str]:
    return [one.id for one in found.judgement.findings]


class Http2Server:
    """A server's side of HTTP/2, without I/O: what it announces, and how it answers.

    Args:
        status: of its answers; None resets the stream.
        is_announced: whether its SETTINGS allow extended CONNECT (RFC 8441).
        answer: what it does with a stream instead.
    """

    def __init__(
        self,
        status: str | None,
        *,
        is_announced: bool = True,
        answer: Callable[[H2Connection, int], None] | None = None,
    ) -> None:
        self._answer = answer
        self.requests: list[dict[bytes, bytes]] = []
        self._status = status
        self._h2 = H2Connection(H2Configuration(client_side=False, validate_inbound_headers=False))
        if is_announced:
            announced: dict[Any, int] = {SettingCodes.ENABLE_CONNECT_PROTOCOL: 1}
            self._h2.local_settings = Settings(client=False, initial_values=announced)
        self._h2.initiate_connection()

    def feed(self, data: bytes) -> bytes:
        """Take bytes; returns what to send."""
        for event in self._h2.receive_data(data) if data else ():
            if isinstance(event, RequestReceived):
                assert event.stream_id is not None
                self.requests.append({bytes(name): bytes(value) for name, value in event.headers or ()})
                if self._answer is not None:
                    self._answer(self._h2, event.stream_id)
                elif self._status is None:
                    self._h2.reset_stream(event.stream_id)
                else:
                    self._h2.send_headers(event.stream_id, [(":status", self._status), ("server", "lab")])
        return self._h2.data_to_send() or b""


@contextlib.asynccontextmanager
async def serving_http2(tls: ssl.SSLContext, http2: Http2Server, play: Play) -> AsyncIterator[int]:
    """A TLS server that speaks HTTP/2 where ALPN chooses it, and plays in HTTP/1.1."""
    tls.set_alpn_protocols(["h2", "http/1.1"])

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2":
            writer.write(http2.feed(b""))
            while data := await reader.read(65536):
                writer.write(http2.feed(data))
        else:
            await play(RawHead.parse(await reader.readuntil(b"\r\n\r\n")), reader, writer)

    async with listening(handle, tls) as port:
        yield port
