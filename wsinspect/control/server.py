"""The control API on a socket: tornado's HTTP server on the engine's event loop.

Every request needs the bearer token. `Host` must name the address that is listened on (against DNS
rebinding), an `Origin` must be the same one (against web pages), and no CORS header is ever sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tornado import httputil, netutil, web
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError

from wsinspect.control import reading
from wsinspect.control.api import MAX_BODY, Api, Reply, RequestError
from wsinspect.control.engine import ControlledEngine
from wsinspect.errors import LocalError
from wsinspect.net import Address
from wsinspect.units import whole_number

_LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost", "::1")
_TOKEN_BYTES: Final = 32
#: tornado's own limit is answered without a message; ours comes long before it (`_Handler`).
_NEVER_READ: Final = 1 << 40
_BODY_SECONDS: Final = 60.0
#: A client answered while it is still sending would be reset and never read the answer, so this much is read
#: first.
_MAX_THROWN_AWAY: Final = 64 * 1024 * 1024
#: How often an event stream polls for more.
_POLL_SECONDS: Final = 0.2
_EVENTS_AT_ONCE: Final = 500


def create_token(path: Path) -> str:
    """Write a new token to a file that the user alone can read.

    Raises:
        LocalError: it cannot be written.
    """
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    try:
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(token + "\n")
    except OSError as error:
        raise LocalError(f"cannot write the token file {path}: {error.strerror}") from None
    return token


class ControlServer:
    """A listening control API.

    Raises:
        LocalError: the port is taken, or the token file cannot be written.
    """

    def __init__(self, engine: ControlledEngine, host: str, port: int, token_file: Path) -> None:
        try:
            sockets = netutil.bind_sockets(port, host, reuse_port=False)
        except OSError as error:
            raise LocalError(
                f"the control API cannot listen on {host}:{port}: {error.strerror}",
                hint="--control names another port",
            ) from None
        self.host, self.port = sockets[0].getsockname()[:2]
        self.token_file = token_file
        try:
            self.token = create_token(token_file)
        except LocalError:
            for each in sockets:
                each.close()
            raise
        settings = {"api": Api(engine), "engine": engine, "server": self}
        application = web.Application([(r".*", _Handler, settings)], log_function=lambda handler: None)
        self._http = HTTPServer(
            application,
            max_body_size=_NEVER_READ,
            max_header_size=65536,
            body_timeout=_BODY_SECONDS,
        )
        self._http.add_sockets(sockets)
        self.streams: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end."""
        return f"http://{Address(self.host, self.port)}"

    def facts(self) -> dict[str, str]:
        """`control` of the `ready` event and of the run file."""
        return {"url": self.url, "token_file": str(self.token_file)}

    async def close(self) -> None:
        """Stop listening and remove the token file."""
        self._http.stop()
        for task in list(self.streams):
            task.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._http.close_all_connections(), 1.0)
        self.token_file.unlink(missing_ok=True)

    def check(self, headers: Mapping[str, str]) -> None:
        """Refuse whoever is not meant.

        Raises:
            RequestError: 401 or 403.
        """
        names = (
            {*_LOOPBACK_NAMES, self.host} if self.host in _LOOPBACK_NAMES else {self.host, *_LOOPBACK_NAMES}
        )
        host, port = _host_port(headers.get("Host", ""))
        if host not in names or port != self.port:
            raise RequestError(403, "expected Host to be the address of this API")
        origin = headers.get("Origin")
        if origin is not None and _host_port(urlsplit(origin).netloc) != (host, port):
            raise RequestError(403, "expected no Origin: no web page may use this API")
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(
            token.strip().encode("utf-8", "replace"), self.token.encode()
        ):
            raise RequestError(401, "expected Authorization: Bearer with the token of the token file")


def _host_port(text: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        return (parts.hostname or ""), (parts.port or 80)
    except ValueError:
        return "", 0


@web.stream_request_body
class _Handler(web.RequestHandler):
    """Any request, to `Api`; who may not ask is refused before the body is read, and too much is not kept."""

    SUPPORTED_METHODS = ("GET", "HEAD", "POST", "DELETE", "PATCH", "PUT", "OPTIONS", "TRACE", "CONNECT")

    def initialize(self, api: Api, engine: ControlledEngine, server: ControlServer) -> None:
        self._api = api
        self._engine = engine
        self._server = server
        self._body = bytearray()
        self._size = 0
        self._is_answered = False

    def prepare(self) -> None:
        headers = self.request.headers
        try:
            self._server.check(headers)
            text = headers.get("Content-Length", "0")
            size = whole_number(text, 18) or 0
            if size > _MAX_THROWN_AWAY or headers.get("Expect", "").lower() == "100-continue":
                _check_size(size)
        except RequestError as error:
            self._send(error.reply())

    def data_received(self, chunk: bytes) -> None:
        if self._is_answered:
            return
        self._size += len(chunk)
        if self._size <= MAX_BODY:
            self._body += chunk
            return
        self._body.clear()
        if self._size > _MAX_THROWN_AWAY:
            self._send(_too_large().reply())

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    async def _answer(self) -> None:
        request = self.request
        try:
            _check_size(self._size)
            query = _query(request)
            operation, _ = self._api.find(str(request.method), request.path)
            if operation.id == "events":
                await self._stream(query)
                return
        except RequestError as error:
            self._send(error.reply())
            return
        media_type = request.headers.get("Content-Type", "")
        agent = request.headers.get("User-Agent", "")
        self._send(
            await self._api.call(
                str(request.method), request.path, query, bytes(self._body), media_type, agent
            )
        )

    get = head = post = delete = patch = put = options = trace = connect = _answer

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self._send(RequestError(status_code, "the request could not be handled").reply())

    def _send(self, reply: Reply) -> None:
        self._is_answered = True
        self.set_status(reply.status)
        self.set_header("Content-Type", reply.media_type)
        if reply.status == 401:
            self.set_header("WWW-Authenticate", "Bearer")
        if reply.status == 405:
            methods = [
                operation.method
                for operation, pattern in self._api._routes
                if pattern.fullmatch(self.request.path)
            ]
            self.set_header("Allow", ", ".join(methods))
        is_text = isinstance(reply.body, str)
        self.finish(reply.body if is_text else json.dumps(reply.body, separators=(",", ":")) + "\n")

    async def _stream(self, query: Mapping[str, str]) -> None:
        follow = query.get("follow", "true")
        if follow not in ("true", "false") or set(query) - {"follow"}:
            raise RequestError(400, "expected follow=true or follow=false", "follow")
        self.set_header("Content-Type", "application/x-ndjson")
        task = asyncio.current_task()
        if task is not None:
            self._server.streams.add(task)
        newest = (0, 0)
        try:
            while True:
                events, newest = await reading.events(self._engine.capture, newest, _EVENTS_AT_ONCE)
                for event in events:
                    self.write(json.dumps({"schema": 1, **event}, separators=(",", ":")) + "\n")
                if events:
                    await self.flush()
                elif follow == "false":
                    return
                else:
                    await asyncio.sleep(_POLL_SECONDS)
        except StreamClosedError:
            return
        finally:
            if task is not None:
                self._server.streams.discard(task)


def _too_large() -> RequestError:
    return RequestError(413, f"expected at most {MAX_BODY} bytes")


def _check_size(size: int) -> None:
    if size > MAX_BODY:
        raise _too_large()


def _query(request: httputil.HTTPServerRequest) -> dict[str, str]:
    query: dict[str, str] = {}
    for name, values in request.query_arguments.items():
        if len(values) != 1:
            raise RequestError(400, "expected it only once", name)
        query[name] = values[0].decode("utf-8", "replace")
    return query
