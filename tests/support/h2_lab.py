"""An HTTP/2 origin by hand, an engine before it, and clients by hand: WebSockets over HTTP/2 (RFC 8441)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.certs import Certificates
from tests.support.engine import Engine
from tests.support.h2_peers import ENABLE_CONNECT, H2Origin, H2Peer, h2_client
from wsinspect.capture.reader import Capture

OFFERS = {int(ENABLE_CONNECT): 1}


class H2Lab:
    """An origin, and an engine before it; its tap is `main`."""

    def __init__(self, origin: H2Origin, run: Engine) -> None:
        self.origin = origin
        self.run = run
        self.clients: list[H2Peer] = []

    async def connect(self, **options: Any) -> tuple[H2Peer, H2Peer]:
        """A client connection, and the one at the origin that it led to."""
        client = await h2_client(self.run.port("main"), **options)
        self.clients.append(client)
        server = await self.origin.accepted()
        return client, server


@asynccontextmanager
async def h2_lab(
    folder: Path, certificates: Certificates, *options: str, settings: dict[int, int] | None = OFFERS
) -> AsyncIterator[H2Lab]:
    """The lab; `settings` are the origin's."""
    async with H2Origin(certificates.server_context(), settings) as origin:
        tap = f"main=127.0.0.1:0=https://127.0.0.1:{origin.port}"
        arguments = ("--insecure", "--tap", tap, *options)
        run = await asyncio.to_thread(lambda: Engine.start(*arguments, folder=folder))
        place = H2Lab(origin, run)
        try:
            yield place
        finally:
            for client in place.clients:
                await client.close()
            await asyncio.to_thread(run.stop)


def rows(run: Engine, query: str) -> list[Any]:
    """Of the capture."""
    with Capture.open(run.capture) as capture:
        return list(capture.query(query))


def findings(run: Engine) -> list[str]:
    """Without that the lab's certificate is trusted by nobody."""
    found = {one["id"] for one in run.events if one["event"] == "finding"}
    return sorted(found - {"WS-TLS-020"})


def ends(run: Engine) -> list[tuple[str, ...]]:
    """Side, how and frame of each end, in order."""
    found = rows(run, "SELECT detail FROM event WHERE kind = 'end' ORDER BY id")
    return [tuple(json.loads(detail).values()) for (detail,) in found]


def frame(payload: bytes, *, mask: bytes | None = None, opcode: int = 0x81) -> bytes:
    """A short frame."""
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)) if mask else payload
    return bytes((opcode, len(payload) | (0x80 if mask else 0))) + (mask or b"") + masked


HELLO = frame(b"hello", mask=b"\x01\x02\x03\x04")
WORLD = frame(b"world")
CLOSE = frame(b"\x03\xe8", opcode=0x88)
