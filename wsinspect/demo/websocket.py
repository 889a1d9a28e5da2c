"""One side of a WebSocket for the demo's server and clients: asyncio streams, wsproto for the frames.

Small on purpose: text messages, pings, the closing handshake, and dropping the connection without one. The
peer is our own demo, but what it sends is still data: a broken frame ends the conversation with the code
wsproto names.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import CloseConnection, Event, Ping, TextMessage
from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.utilities import LocalProtocolError

from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import DEFLATE, accept_key

HEAD_LIMIT = 16 * 1024
SUBPROTOCOL = "chat.v1"


@dataclass(frozen=True)
class Closed:
    """How a conversation ended: the peer's code and reason; 1006 when there was no CLOSE frame."""

    code: int
    reason: str

    @property
    def is_abnormal(self) -> bool:
        """No CLOSE frame came (RFC 6455 §7.1.5)."""
        return self.code == 1006


@dataclass(frozen=True)
class Refusal(Exception):
    """The opening handshake was answered with another status than 101."""

    status: int
    reason: str


class WebSocket:
    """One side of an open WebSocket that exchanges texts."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        side: ConnectionType,
        extensions: list[Extension],
        early: bytes = b"",
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._connection = Connection(side, extensions, early)
        self.closed: Closed | None = None

    async def messages(self) -> AsyncIterator[str]:
        """The texts that come, pings answered on the way; afterwards `closed` says how it ended."""
        parts: list[str] = []
        while self.closed is None:
            for event in self._connection.events():
                if isinstance(event, TextMessage):
                    parts.append(event.data)
                    if event.message_finished:
                        yield "".join(parts)
                        parts.clear()
                elif isinstance(event, Ping):
                    self._send(event.response())
                elif isinstance(event, CloseConnection):
                    self._answer_close(event)
            if self.closed is None:
                await self._read()
        await self._hang_up()

    async def _read(self) -> None:
        try:
            data = await self._reader.read(65536)
        except OSError:
            data = b""
        if data:
            self._connection.receive_data(data)
        else:
            self.closed = Closed(1006, "")

    def _answer_close(self, event: CloseConnection) -> None:
        if self._connection.state is ConnectionState.REMOTE_CLOSING:
            self._send(event.response())
        self.closed = Closed(int(event.code), event.reason or "")

    def _send(self, event: Event) -> None:
        """Send, unless the conversation is over."""
        if self._writer.is_closing():
            return
        with contextlib.suppress(LocalProtocolError):
            self._writer.write(self._connection.send(event))

    def say(self, *fragments: str) -> None:
        """Send one message, in as many frames as there are arguments."""
        for number, text in enumerate(fragments, 1):
            self._send(TextMessage(data=text, message_finished=number == len(fragments)))

    def ping(self, payload: bytes) -> None:
        self._send(Ping(payload=payload))

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; `messages` continues until the answer is here."""
        self._send(CloseConnection(code=code, reason=reason))

    def drop(self) -> None:
        """End the TCP connection with neither a CLOSE frame nor a word."""
        self._writer.close()

    async def _hang_up(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


async def read_head(reader: asyncio.StreamReader) -> RawHead | None:
    """A request's or a response's head; None when the peer went away or its head has no end."""
    try:
        return RawHead.parse(await reader.readuntil(b"\r\n\r\n"))
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
        return None


async def connect(host: str, port: int, path: str, *, name: str, compress: bool = False) -> WebSocket:
    """Open a WebSocket as a client.

    Raises:
        Refusal: the answer was no 101.
        OSError: there was no answer.
    """
    reader, writer = await asyncio.open_connection(host, port, limit=HEAD_LIMIT)
    deflate = PerMessageDeflate()
    key = base64.b64encode(os.urandom(16)).decode()
    offer = f"Sec-WebSocket-Extensions: {DEFLATE}; {deflate.offer()}\r\n" if compress else ""
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: wsinspect-demo/{name}\r\n"
        f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n{offer}\r\n".encode()
    )
    head = await read_head(reader)
    if head is None or head.status != 101:
        writer.close()
        if head is None or head.status is None:
            raise ConnectionError(f"{host}:{port} ended the connection without an answer")
        raise Refusal(head.status, head.reason.decode("latin-1"))
    accepted = head.get("Sec-WebSocket-Extensions")
    extensions: list[Extension] = []
    if accepted is not None:
        deflate.finalize(accepted.decode("latin-1"))
        extensions.append(deflate)
    return WebSocket(reader, writer, ConnectionType.CLIENT, extensions)


def accept(head: RawHead, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> WebSocket:
    """Answer a valid upgrade request with a 101 and be the server."""
    fields = ["Upgrade: websocket", "Connection: Upgrade"]
    key = head.get("Sec-WebSocket-Key") or b""
    fields.append(f"Sec-WebSocket-Accept: {accept_key(key).decode()}")
    if SUBPROTOCOL in head.tokens("Sec-WebSocket-Protocol"):
        fields.append(f"Sec-WebSocket-Protocol: {SUBPROTOCOL}")
    extensions: list[Extension] = []
    deflate = PerMessageDeflate()
    accepted = _accept_deflate(deflate, head)
    if accepted is not None:
        fields.append(f"Sec-WebSocket-Extensions: {accepted}")
        extensions.append(deflate)
    writer.write(("HTTP/1.1 101 Switching Protocols\r\n" + "\r\n".join(fields) + "\r\n\r\n").encode())
    return WebSocket(reader, writer, ConnectionType.SERVER, extensions)


def _accept_deflate(deflate: PerMessageDeflate, head: RawHead) -> str | None:
    """What the server answers to the first offer of permessage-deflate; None: there is no such offer."""
    for offer in head.elements("Sec-WebSocket-Extensions"):
        text = offer.decode("latin-1")
        if text.partition(";")[0].strip().lower() == DEFLATE:
            params = deflate.accept(text)
            return f"{DEFLATE}; {params}" if isinstance(params, str) and params else DEFLATE
    return None
