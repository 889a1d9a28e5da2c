"""A Starlette application as people write them: text, bytes and JSON, close codes, refusals.

It keeps an account of what each connection saw, by the connection's query.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect


class Accounts:
    """What the application saw; `of` waits until the connection has ended."""

    def __init__(self) -> None:
        self._ended: dict[str, asyncio.Future[dict[str, Any]]] = {}

    def _future(self, query: str) -> asyncio.Future[dict[str, Any]]:
        return self._ended.setdefault(query, asyncio.get_running_loop().create_future())

    def put(self, socket: WebSocket, **account: Any) -> None:
        self._future(socket.url.query).set_result(account)

    async def of(self, query: str, timeout: float = 20) -> dict[str, Any]:
        return await asyncio.wait_for(asyncio.shield(self._future(query)), timeout)


def make_app(accounts: Accounts) -> Starlette:
    """The application; `/text`, `/bytes`, `/json` talk until the client closes, the rest end in their way."""

    async def text(socket: WebSocket) -> None:
        await socket.accept(subprotocol="chat" if "chat" in socket.scope["subprotocols"] else None)
        received: list[str] = []
        sent: list[str] = []
        try:
            async for message in socket.iter_text():
                received.append(message)
                sent.append(message.upper())
                await socket.send_text(message.upper())
                if message == "close":
                    await socket.close(4000, "as you said: €")
                    break
        finally:
            accounts.put(socket, received=received, sent=sent)

    async def binary(socket: WebSocket) -> None:
        await socket.accept(headers=[(b"x-lab", b"bytes")])
        received: list[str] = []
        sent: list[str] = []
        try:
            while True:
                message = await socket.receive_bytes()
                received.append("hex:" + message.hex())
                sent.append("hex:" + message[::-1].hex())
                await socket.send_bytes(message[::-1])
        except WebSocketDisconnect as ended:
            accounts.put(socket, received=received, sent=sent, close=[ended.code, ended.reason])

    async def json(socket: WebSocket) -> None:
        await socket.accept()
        received: list[Any] = []
        sent: list[Any] = []
        try:
            while True:
                message = await socket.receive_json()
                received.append(message)
                for mode in ("text", "binary"):
                    sent.append({"mode": mode, "heard": message})
                    await socket.send_json(sent[-1], mode=mode)
        except WebSocketDisconnect as ended:
            accounts.put(socket, received=received, sent=sent, close=[ended.code, ended.reason])

    async def close(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("bye")
        await socket.close(int(socket.path_params["code"]), socket.query_params.get("reason"))

    async def refuse(socket: WebSocket) -> None:
        await socket.close()

    async def deny(socket: WebSocket) -> None:
        await socket.send_denial_response(JSONResponse({"error": "who are you?"}, 401, {"X-Lab": "denied"}))

    async def fail(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("soon")
        raise RuntimeError("a mistake of the application's")

    routes = {"/text": text, "/bytes": binary, "/json": json, "/close/{code:int}": close}
    routes |= {"/refuse": refuse, "/deny": deny, "/fail": fail}
    return Starlette(routes=[WebSocketRoute(path, endpoint) for path, endpoint in routes.items()])
