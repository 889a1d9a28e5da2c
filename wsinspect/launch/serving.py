"""The timeline in a browser: a page on loopback, behind a token, with a timeline of its own for each visitor.

textual-serve runs the program, moves bytes between it and the page, and has the page's terminal. Who may
come, and the page around it, are ours: the token is part of the path (a cookie would go to every other server
on this host), `Host` must be this address (DNS rebinding), `Origin` this page, and nothing is loaded from
elsewhere.
"""

from __future__ import annotations

import hmac
import html
import shlex
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from textual_serve.server import Server

from wsinspect.control.server import create_token
from wsinspect.errors import LocalError
from wsinspect.net import Address

#: Each is a process.
MAX_VISITORS: Final = 8
_LOOPBACK: Final = frozenset(("127.0.0.1", "localhost", "::1"))
_SHUTDOWN_SECONDS: Final = 1.0
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

    Attributes:
        visitors: how many look at it now.
    """

    def __init__(self, capture: Path, address: Address, token_file: Path) -> None:
        command = shlex.join((sys.executable, "-m", "wsinspect.tui.served", str(capture)))
        super().__init__(f"exec {command}", *address, title=f"wsinspect {capture.name}")
        self.visitors = 0
        self._token_file = token_file
        self._token = ""
        self._runner: web.AppRunner | None = None
        folder = Path(self.statics_path)
        self._files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.*")}

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
        self.visitors += 1
        try:
            return await super().handle_websocket(request)
        finally:
            self.visitors -= 1
