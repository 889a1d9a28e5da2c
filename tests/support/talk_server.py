"""A page over https, and a WebSocket server that does what it asks for: fragments, pings, closes, sizes."""

from __future__ import annotations

import asyncio
import json
import ssl
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

PAGE = b'<!doctype html><title>talk</title><link rel="icon" href="data:,">'


class TalkServer:
    """What it sent and got, by the path of the connection.

    A page sends text or bytes, which come back; text that is `cmd:` and JSON is an order: `fragments` sends
    its parts as one message, `ping` waits for the pong, `close` closes.
    """

    def __init__(self) -> None:
        self.accounts: dict[str, dict[str, Any]] = {}
        self.port = 0

    async def start(self, context: ssl.SSLContext, compression: str | None) -> None:
        self._server: Server = await serve(
            self._handle,
            "127.0.0.1",
            0,
            ssl=context,
            process_request=_answer,
            compression=compression,
            max_size=None,
            ping_interval=None,
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        seen = self.accounts[connection.request.path] = {"sent": [], "received": [], "pings": 0}
        try:
            while True:
                message = await connection.recv()
                seen["received"].append(_shown(message))
                if isinstance(message, str) and message.startswith("cmd:"):
                    await _obey(connection, seen, json.loads(message[4:]))
                else:
                    seen["sent"].append(_shown(message))
                    await connection.send(message)
        except ConnectionClosed:
            seen["close"] = [connection.close_code, connection.close_reason]


async def _obey(connection: ServerConnection, seen: dict[str, Any], order: dict[str, Any]) -> None:
    match order["do"]:
        case "fragments":
            seen["sent"].append("".join(order["parts"]))
            await connection.send(order["parts"])
        case "ping":
            await asyncio.wait_for(await connection.ping(order["payload"]), 20)
            seen["pings"] += 1
            seen["sent"].append("ponged")
            await connection.send("ponged")
        case "close":
            await connection.close(order["code"], order["reason"])


def _shown(message: str | bytes) -> str:
    return message if isinstance(message, str) else "hex:" + message.hex()


def _answer(connection: ServerConnection, request: Request) -> Response | None:
    if "Sec-WebSocket-Key" in request.headers:
        return None
    headers = Headers({"Content-Type": "text/html", "Content-Length": str(len(PAGE)), "Connection": "close"})
    return Response(HTTPStatus.OK, "OK", headers, PAGE)
