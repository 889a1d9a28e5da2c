"""The demo's misconfigured hop: a reverse proxy for HTTP that never heard of `Upgrade`.

It does what a reverse proxy does by default (RFC 9110 §7.6.1: `Connection` and what it names stay on one
hop): the request that reaches the server is an ordinary GET, and a WebSocket behind this hop cannot open.
"""

from __future__ import annotations

import asyncio

from wsinspect.demo import websocket
from wsinspect.demo.listener import LOOPBACK, Listener

HOP_BY_HOP = frozenset({b"connection", b"upgrade", b"keep-alive", b"te", b"trailer", b"transfer-encoding"})


class Hop(Listener):
    """Forwards each request to `upstream`, a loopback port, and ends the connection after the response.

    Attributes:
        upstream: may be changed while it runs; the next request goes there.
    """

    def __init__(self, upstream: int) -> None:
        super().__init__()
        self.upstream = upstream

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await websocket.read_head(reader)
        if head is None:
            return
        kept = [(field.name, field.value) for field in head.fields if field.name.lower() not in HOP_BY_HOP]
        fields = [*kept, (b"X-Forwarded-For", LOOPBACK.encode()), (b"Connection", b"close")]
        behind, out = await asyncio.open_connection(LOOPBACK, self.upstream)
        try:
            out.write(head.rebuild(fields=fields).head)
            while data := await behind.read(65536):
                writer.write(data)
        finally:
            out.close()
