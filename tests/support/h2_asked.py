"""A WebSocket asked for over HTTP/2 (RFC 8441) and over HTTP/1.1, of the servers of `h2_servers`.

And what the client was told.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, TypeVar

from h2.exceptions import StreamClosedError

from tests.support.certs import client_context
from tests.support.h1_peers import h1_client
from tests.support.h2_lab import frame
from tests.support.h2_peers import ENABLE_CONNECT, h2_client
from wsinspect.closing import abort

T = TypeVar("T")
#: What the application says, and how it ends.
SAID = b"\x81\x09got hello\x88\x07\x0f\xa1asked"
HELLO = frame(b"hello", mask=b"abcd")
CLOSE = frame(b"\x0f\xa1asked", mask=b"abcd", opcode=0x88)


class Outcome(NamedTuple):
    """What a client was told.

    Attributes:
        alpn: what TLS agreed on.
        is_offered: whether SETTINGS allow an extended CONNECT; None over HTTP/1.1.
        answer: the status, or the code of the RST_STREAM.
        said: the bytes of the WebSocket.
    """

    alpn: str
    is_offered: bool | None
    answer: int
    said: bytes


class Place(NamedTuple):
    """Where a server is: on a port, in the tunnel of a forward proxy where there is one."""

    port: int
    proxy: int | None = None


async def over_http2(place: Place, path: str) -> Outcome:
    """Ask for a WebSocket by extended CONNECT, whether or not that is allowed."""
    client = await h2_client(place.port, proxy=place.proxy)
    try:
        if client.alpn != "h2":
            return Outcome(str(client.alpn), None, 0, b"")
        await client.wait(lambda: client.settings)
        mine = client.connect(path, ("origin", "https://localhost"))
        stream = client.streams[mine]
        await client.wait(lambda: stream.status or stream.reset is not None)
        is_offered = client.settings[0].get(ENABLE_CONNECT) == 1
        if stream.status != "200":
            return Outcome("h2", is_offered, int(stream.status or stream.reset or 0), b"")
        client.send(mine, HELLO)
        await client.wait(lambda: len(stream.data) >= len(SAID))
        with contextlib.suppress(StreamClosedError):
            client.send(mine, CLOSE, end=True)
        await client.wait(lambda: stream.has_ended or stream.reset is not None)
        return Outcome("h2", is_offered, 200, stream.data)
    finally:
        await client.close()
        # Whatever TLS still waits for, nobody will say it.
        abort(client.writer.transport)
        await asyncio.sleep(0)


async def offers_connect(place: Place, _: str) -> bool:
    """Whether a server's SETTINGS allow an extended CONNECT; it is not asked for one."""
    client = await h2_client(place.port, proxy=place.proxy)
    try:
        await client.wait(lambda: client.settings)
        return client.settings[0].get(ENABLE_CONNECT) == 1
    finally:
        await client.close()
        abort(client.writer.transport)
        await asyncio.sleep(0)


async def over_http1(place: Place, path: str) -> Outcome:
    """Ask for a WebSocket by an upgrade."""
    context = client_context()
    context.set_alpn_protocols(["http/1.1"])
    client = await h1_client(place.port, context, proxy=place.proxy)
    try:
        client.upgrade(path)
        status = int((await client.head()).split(" ")[1])
        if status != 101:
            return Outcome("http/1.1", None, status, b"")
        client.send(data=HELLO)
        said = await asyncio.wait_for(client.reader.readexactly(len(SAID)), 10)
        client.send(data=CLOSE)
        return Outcome("http/1.1", None, status, said)
    finally:
        client.writer.close()
        abort(client.writer.transport)
        await asyncio.sleep(0)


def ask(way: Callable[[Place, str], Coroutine[Any, Any, T]], place: Place, path: str) -> T:
    """One of these, from outside of a loop."""
    return asyncio.run(way(place, path))
