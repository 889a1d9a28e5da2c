"""uvicorn in a thread of the lab, on a free port."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from tests.support.certs import Certificates
from tests.support.threaded_loop import ThreadedLoop


@contextmanager
def running(
    loop: ThreadedLoop, app: Any, protocol: str, certificates: Certificates | None = None
) -> Iterator[int]:
    """Its port; `protocol` is uvicorn's way to speak WebSocket: websockets-sansio or wsproto."""
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        ws=protocol,
        lifespan="off",
        log_config=None,
        ssl_certfile=certificates.chain if certificates else None,
        ssl_keyfile=certificates.key if certificates else None,
    )
    server = uvicorn.Server(config)
    task = loop.run(_start(server))
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        loop.run(_finished(task))


async def _start(server: uvicorn.Server) -> asyncio.Task[None]:
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done(), "uvicorn did not start"
        await asyncio.sleep(0.01)
    return task


async def _finished(task: asyncio.Task[None]) -> None:
    await asyncio.wait_for(task, 20)
