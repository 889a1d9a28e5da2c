"""A page with a WebSocket to its own origin, over http and https, and a record of what its sockets said.

The page sends one message, gets it back, closes with code 1000, and sends a beacon with what it was told.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from tests.support.small_servers import echo

PAGE = """<!doctype html><title>waiting</title><link rel="icon" href="data:,"><script>
const to = new URLSearchParams(location.search).get("to") || location.origin.replace("http", "ws");
const socket = new WebSocket(to + "/socket" + location.search);
const seen = { opened: false, message: "" };
socket.onopen = () => { seen.opened = true; socket.send("from the page"); };
socket.onmessage = ({ data }) => { seen.message = data; socket.close(1000, "done"); };
socket.onclose = ({ code, wasClean }) => {
  document.title = "told " + code;
  fetch("/told?" + new URLSearchParams({ ...seen, code, wasClean, search: location.search }));
};
</script>"""


class PageServer:
    """Serves in a thread of its own; `told` has what the pages were told, in the order of their ends."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.told: list[dict[str, str]] = []
        self._context = context
        self.ca: Path | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> PageServer:
        self._thread.start()
        self._servers = self._call(self._start())
        self.port, self.tls_port = (next(iter(one.sockets)).getsockname()[1] for one in self._servers)
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def find(self, mark: str) -> dict[str, str] | None:
        """What the page with `mark=...` in its address said that it was told."""
        return next((one for one in list(self.told) if one["search"].startswith(f"?mark={mark}")), None)

    def _call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def _start(self) -> list[Any]:
        return [
            await serve(
                echo,
                "localhost",
                port,
                ssl=tls,
                process_request=self._answer,
                compression=None,
                max_size=None,
            )
            for port, tls in ((0, None), (0, self._context))
        ]

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
            await server.wait_closed()

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        parts = urlsplit(request.path)
        if parts.path == "/socket":
            return None
        if parts.path == "/told":
            self.told.append(dict(parse_qsl(parts.query)))
            return _response("")
        return _response(PAGE)


def _response(text: str) -> Response:
    body = text.encode()
    headers = Headers(
        {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
    )
    return Response(HTTPStatus.OK, "OK", headers, body)
