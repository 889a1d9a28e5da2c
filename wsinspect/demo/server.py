"""The demo's chat server: everyone in the room hears everyone, and is pinged.

"/drop" makes it break off without a CLOSE frame, so that there is a 1006 to see.
"""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import parse_qs, urlsplit

from wsinspect.demo import websocket
from wsinspect.demo.listener import Listener
from wsinspect.demo.websocket import WebSocket
from wsinspect.handshake.heads import RawHead

#: The answer to a client without `Upgrade` (RFC 9110 §15.5.22).
UPGRADE_REQUIRED = (
    b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n"
    b"Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s"
)
NO_UPGRADE = b"This is a WebSocket endpoint, and the request that arrived here had no Upgrade header.\n"
DROP = "/drop"


class ChatServer(Listener):
    """Listens on a free loopback port.

    Args:
        ping_every: seconds between the pings to each client.
    """

    def __init__(self, ping_every: float) -> None:
        super().__init__()
        self._ping_every = ping_every
        self._room: dict[WebSocket, str] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await websocket.read_head(reader)
        if head is None:
            return
        if "websocket" not in head.tokens("Upgrade"):
            writer.write(UPGRADE_REQUIRED % (len(NO_UPGRADE), NO_UPGRADE))
            return
        await self._chat(_name(head), websocket.accept(head, reader, writer))

    async def _chat(self, name: str, member: WebSocket) -> None:
        self._room[member] = name
        pings = asyncio.create_task(self._ping(member))
        member.say(f"welcome {name}, {len(self._room)} in the room")
        try:
            async for text in member.messages():
                if text == DROP:
                    member.drop()
                    break
                for each in self._room:
                    each.say(f"{name}: {text}")
        finally:
            del self._room[member]
            pings.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pings

    async def _ping(self, member: WebSocket) -> None:
        number = 0
        while True:
            await asyncio.sleep(self._ping_every)
            number += 1
            member.ping(b"ping %d" % number)


def _name(head: RawHead) -> str:
    query = parse_qs(urlsplit(head.target.decode("latin-1")).query)
    return query.get("name", ["someone"])[0]
