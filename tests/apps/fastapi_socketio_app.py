"""FastAPI with Socket.IO at its usual path, as python-socketio's documentation mounts it; prints its port."""

from __future__ import annotations

import asyncio
import socket

import socketio
import uvicorn
from fastapi import FastAPI

api = FastAPI()
server = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*")


@api.get("/")
def home() -> dict[str, str]:
    """Not a WebSocket's."""
    return {"hello": "world"}


@server.event
async def message(sid: str, data: object) -> None:
    """Sent back to who sent it."""
    await server.emit("message", data, to=sid)


async def main() -> None:
    """Serve on a free port of loopback, until the process is ended."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(socketio.ASGIApp(server, api), log_level="error")
    print(listener.getsockname()[1], flush=True)
    await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    asyncio.run(main())
