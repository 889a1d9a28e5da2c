"""The timeline in a browser: a page on loopback, behind a token, with a timeline of its own for each visitor.

textual-serve runs the program, moves bytes between it and the page, and has the page's terminal. Who may
come, and the page around it, are ours: the token is part of the path (a cookie would go to every other server
on this host), `Host` must be this address (DNS rebinding), `Origin` this page, and nothing is loaded from
elsewhere.
"""

from __future__ import annotations

import asyncio
import hmac
import html
import json
import shlex
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aiohttp import WSMsgType, web
from textual_serve.app_service import AppService
from textual_serve.server import Server

from wsinspect.control.server import create_token
from wsinspect.errors import LocalError
from wsinspect.net import Address

#: Each is a process.
MAX_VISITORS: Final = 8
_LOOPBACK: Final = frozenset(("127.0.0.1", "localhost", "::1"))
_SHUTDOWN_SECONDS: Final = 1.0
#: How long a program may take to end.
_PROGRAM_SECONDS: Final = 3.0
#: textual-serve's own.
_HEARTBEAT_SECONDS: Final = 15.0
_NOBODY: Final = "This is wsinspect serve. Open the address that it printed, with its token.\n"
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "font-src 'self'; img-src 'self' data:; connect-src 'self' {websocket}",
}
_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="static/css/xterm.css">
<script src="static/js/textual.js"></script>
<script src="focus.js"></script>
<style>
@font-face {{ font-family: "Roboto Mono"; src: url("static/fonts/RobotoMono-VariableFont_wght.ttf"); }}
html, body {{ margin: 0; height: 100%; background: #121212; color: #e0e0e0; }}
body {{ font: 16px "Roboto Mono", monospace; }}
#wait, #ended {{ position: absolute; inset: 0; z-index: 10; background: #121212; }}
#wait, #ended {{ display: flex; align-items: center; justify-content: center; }}
#ended, body.-first-byte #wait {{ display: none; }}
body.-closed #ended {{ display: flex; }}
#ended a {{ color: inherit; padding-left: 1ch; }}
#start {{ display: none; }}
</style>
</head>
<body>
<div id="wait">Opening the timeline<span id="start"></span></div>
<div id="ended">The timeline is closed.<a href="">Open it again</a></div>
<div class="textual-terminal" data-session-websocket-url="{websocket}" data-font-size="16"></div>
</body>
</html>
"""
#: Keys belong to the terminal once it draws; before that its script would send the focus to a socket that is
#: not open yet.
_FOCUS: Final = """addEventListener("load", () => {
  const watch = new MutationObserver(() => {
    if (document.body.classList.contains("-first-byte")) {
      watch.disconnect();
      document.querySelector(".xterm-helper-textarea")?.focus();
    }
  });
  watch.observe(document.body, { attributeFilter: ["class"] });
});
"""


class TimelineServer(Server):
    """Serves the timeline of a capture.

    Args:
        capture: its path.
        token_file: where the token is kept while it is served, for its user alone.
    """

    def __init__(self, capture: Path, address: Address, token_file: Path) -> None:
        command = shlex.join((sys.executable, "-m", "wsinspect.tui.served", str(capture)))
        super().__init__(f"exec {command}", *address, title=f"wsinspect {capture.name}")
        self._sockets: dict[web.WebSocketResponse, asyncio.Future[None]] = {}
        self._token_file = token_file
        self._token = ""
        self._runner: web.AppRunner | None = None
        folder = Path(self.statics_path)
        self._files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.*")}

    @property
    def visitors(self) -> int:
        """How many look at it now."""
        return len(self._sockets)

    @property
    def is_private(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in _LOOPBACK or self.host.startswith("127.")

    async def start(self) -> str:
        """Listen.

        Returns:
            The URL of the page, token included.

        Raises:
            LocalError: the port is taken, or the token file cannot be written.
        """
        try:
            listener = socket.create_server(
                (self.host, self.port), family=socket.AF_INET6 if ":" in self.host else socket.AF_INET
            )
        except OSError as error:
            where = Address(self.host, self.port)
            raise LocalError(
                f"cannot listen on {where}: {error.strerror}", hint="--listen names another port"
            ) from None
        self.port = listener.getsockname()[1]
        try:
            self._token = create_token(self._token_file)
        except LocalError:
            listener.close()
            raise
        application = web.Application(middlewares=[self._check])
        application.router.add_get("/{token}/", self._page)
        application.router.add_get("/{token}/focus.js", self._focus)
        application.router.add_get("/{token}/ws", self.handle_websocket)
        application.router.add_get("/{token}/static/{name:.+}", self._static)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()
        return f"http://{Address(self.host, self.port)}/{self._token}/"

    async def close(self) -> None:
        """Stop listening, end the timelines, and remove the token file."""
        sockets = dict(self._sockets)
        if sockets:
            await asyncio.gather(*(websocket.close() for websocket in sockets))
            # Each ends its program by itself; who is cancelled in between would leave pipes to it.
            await asyncio.wait(sockets.values(), timeout=_PROGRAM_SECONDS)
        if self._runner is not None:
            await self._runner.cleanup()
        self._token_file.unlink(missing_ok=True)

    @web.middleware
    async def _check(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Whoever is not meant gets a 403, whatever was asked for."""
        token = request.match_info.get("token", "")
        if not self._is_own(request.host) or not hmac.compare_digest(
            token.encode("utf-8", "replace"), self._token.encode()
        ):
            return web.Response(status=403, text=_NOBODY, headers={"Cache-Control": "no-store"})
        return await handler(request)

    def _is_own(self, authority: str) -> bool:
        """Whether a `Host` names this server; any name is taken where it listens beyond loopback."""
        try:
            parts = urlsplit(f"//{authority}")
            host, port = parts.hostname or "", parts.port or 80
        except ValueError:
            return False
        return port == self.port and (not self.is_private or host in (*_LOOPBACK, self.host))

    async def _page(self, request: web.Request) -> web.Response:
        websocket = f"ws://{request.host}/{self._token}/ws"
        headers = {name: value.format(websocket=f"ws://{request.host}") for name, value in _HEADERS.items()}
        text = _PAGE.format(title=html.escape(self.title), websocket=html.escape(websocket))
        return web.Response(text=text, content_type="text/html", headers=headers)

    async def _focus(self, _request: web.Request) -> web.Response:
        return web.Response(text=_FOCUS, content_type="text/javascript")

    async def _static(self, request: web.Request) -> web.StreamResponse:
        """What textual-serve's page is made of."""
        path = self._files.get(request.match_info["name"])
        if path is None:
            raise web.HTTPNotFound
        return web.FileResponse(path, headers={"X-Content-Type-Options": "nosniff"})

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """A visitor: a timeline of their own, until they leave."""
        if urlsplit(request.headers.get("Origin", "")).netloc.lower() != request.host.lower():
            raise web.HTTPForbidden(text=_NOBODY)
        if self.visitors >= MAX_VISITORS:
            raise web.HTTPServiceUnavailable(text=f"{MAX_VISITORS} timelines are open already\n")
        websocket = web.WebSocketResponse(heartbeat=_HEARTBEAT_SECONDS)
        self._sockets[websocket] = over = asyncio.get_running_loop().create_future()
        try:
            await self._visit(request, websocket)
        finally:
            del self._sockets[websocket]
            over.set_result(None)
        return websocket

    async def _visit(self, request: web.Request, websocket: web.WebSocketResponse) -> None:
        """What textual-serve's own handler does, which leaves pipes to the program open when the visitor
        leaves first: a loop that is closed meanwhile finds them, and says so in a traceback."""

        async def show(data: bytes) -> None:
            with suppress(ConnectionError):  # what a program still draws is read until it ends
                await websocket.send_bytes(data)

        async def tell(text: str) -> None:
            with suppress(ConnectionError):
                await websocket.send_str(text)

        async def close() -> None:
            await websocket.close()

        await websocket.prepare(request)
        service = AppService(
            self.command,
            write_bytes=show,
            write_str=tell,
            close=close,
            download_manager=self.download_manager,
        )
        await service.start(_cells(request, "width", 80), _cells(request, "height", 24))
        try:
            async for message in websocket:
                if message.type == WSMsgType.TEXT:
                    await _take(message.data, websocket, service)
        finally:
            await service.stop()
            service.stdin.close()
            with suppress(ConnectionError):  # the program has left already
                await service.stdin.wait_closed()


def _cells(request: web.Request, name: str, usual: int) -> int:
    given = request.query.get(name, "")
    return int(given) if given.isascii() and given.isdecimal() else usual


async def _take(text: str, websocket: web.WebSocketResponse, service: AppService) -> None:
    """Do what the page's script asks for: a list of a word and what belongs to it."""
    try:
        match json.loads(text):
            case ["stdin", str(keys)]:
                await service.send_bytes(keys.encode())
            case ["resize", {"width": int(width), "height": int(height)}]:
                await service.set_terminal_size(width, height)
            case ["ping", data]:
                await websocket.send_json(["pong", data])
            case ["blur", *_]:
                await service.blur()
            case ["focus", *_]:
                await service.focus()
    except ValueError:  # not the page's
        pass
