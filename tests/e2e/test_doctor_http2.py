"""The doctor's look at HTTP/2 and the proxy's mirror agree: of each server the doctor gets the same answer
directly and through the proxy in front of it, and the capture has what it asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import serve

from tests.support.apps import NodeApp
from tests.support.certs import Certificates, make_certificates
from tests.support.doctor_lab import examined
from tests.support.engine import Engine
from tests.support.hops import LOOPBACK, NGINX_GOOD, Hop, apache, haproxy, nginx
from tests.support.small_servers import free_port
from wsinspect.capture.reader import Capture

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

APPLICATION = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"].endswith("shutdown"):
                return
    await receive()
    await send({"type": "websocket.accept"})
    await receive()
"""
#: Whether the server speaks HTTP/2, offers WebSockets over it, and the status of an extended CONNECT.
EXPECTED = {
    "hypercorn": ("h2", True, 200),
    "node": ("h2", True, 200),
    "node without the setting": ("h2", False, None),
    "haproxy": ("h2", True, 200),
    "apache": ("h2", True, 200),
    "apache without H2WebSockets": ("h2", False, None),
    "nginx": ("h2", False, None),
    "caddy": ("h2", False, None),
    "HTTP/1.1 alone": (None, None, None),
}


@contextlib.asynccontextmanager
async def node(certificates: Certificates, *arguments: str) -> AsyncIterator[int]:
    app = await NodeApp.start("http2_server.mjs", str(certificates.chain), str(certificates.key), *arguments)
    try:
        yield (await app.first_line())["port"]
    finally:
        await app.stop()


@contextlib.asynccontextmanager
async def hypercorn(folder: Path, certificates: Certificates) -> AsyncIterator[int]:
    folder.mkdir()
    (folder / "hypercorn_app.py").write_text(APPLICATION)
    port = free_port()
    options = [
        "--bind",
        f"{LOOPBACK}:{port}",
        "--certfile",
        certificates.chain,
        "--keyfile",
        certificates.key,
    ]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hypercorn", *map(str, options), "hypercorn_app:app"),
        cwd=folder,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        while b"Running on" not in await asyncio.wait_for(process.stderr.readline(), 30):
            pass
        drain = asyncio.create_task(process.stderr.read())
        yield port
    finally:
        process.terminate()
        await process.wait()
    await drain


def hops(folder: Path, tls: Certificates, app: int) -> dict[str, Callable[[], Hop]]:
    """Reverse proxies with TLS before the same application."""
    both = folder / "both.pem"
    both.write_bytes(tls.chain.read_bytes() + tls.key.read_bytes())
    ssl = f"SSLEngine on\nSSLCertificateFile {tls.chain}\nSSLCertificateKeyFile {tls.key}\n"
    ssl += f"Protocols h2 http/1.1\nProxyPass / http://{LOOPBACK}:{app}/ upgrade=websocket\n"
    keys = f"ssl_certificate {tls.chain}; ssl_certificate_key {tls.key};"
    location = f"location / {{ proxy_pass http://{LOOPBACK}:{app}; {NGINX_GOOD} }}"

    def caddy() -> Hop:
        port, place = free_port(), folder / "caddy"
        place.mkdir()
        site = (
            f"https://localhost:{port} {{\n tls {tls.chain} {tls.key}\n reverse_proxy {LOOPBACK}:{app}\n}}\n"
        )
        (place / "Caddyfile").write_text("{\n admin off\n auto_https off\n}\n" + site)
        command = ["caddy", "run", "--config", str(place / "Caddyfile"), "--adapter", "caddyfile"]
        return Hop.start(command, port, place)

    return {
        "haproxy": lambda: haproxy(
            folder / "haproxy", f"server app {LOOPBACK}:{app}", bind=f" ssl crt {both} alpn h2,http/1.1"
        ),
        "apache": lambda: apache(folder / "apache", ssl + "H2WebSockets on\n", modules=("http2",)),
        "apache without H2WebSockets": lambda: apache(folder / "apache2", ssl, modules=("http2",)),
        "nginx": lambda: nginx(folder / "nginx", location, listen=" ssl http2", server=keys),
        "caddy": caddy,
        "HTTP/1.1 alone": lambda: nginx(folder / "nginx1", location, listen=" ssl", server=keys),
    }


async def looked(port: int) -> tuple[str | None, bool | None, int | None, str]:
    """What the doctor says of HTTP/2 there, and its verdict."""
    found = await examined(f"wss://localhost:{port}/echo", is_insecure=True)
    probe = next((one for one in found.answers if one.question.kind == "h2"), None)
    assert probe is not None, found.judgement
    facts = dict(probe.facts.events)["h2"]
    errors = [one.id for one in found.judgement.findings if one.severity == "error"]
    alpn = facts["alpn"] if facts["alpn"] == "h2" else None
    return alpn, facts["announced"], probe.facts.status, " ".join(errors)


def test_the_doctor_is_told_the_same_directly_and_through_the_proxy(tmp_path: Path) -> None:
    tls = make_certificates(tmp_path / "certificates")

    async def run() -> tuple[dict[str, Any], dict[str, Any], Engine]:
        async with contextlib.AsyncExitStack() as stack:
            application = await stack.enter_async_context(
                serve(lambda socket: socket.wait_closed(), LOOPBACK, 0)
            )
            app = next(iter(application.sockets)).getsockname()[1]
            ports: dict[str, int] = {
                "hypercorn": await stack.enter_async_context(hypercorn(tmp_path / "hypercorn", tls)),
                "node": await stack.enter_async_context(node(tls)),
                "node without the setting": await stack.enter_async_context(node(tls, "off")),
            }
            for name, make in hops(tmp_path, tls, app).items():
                ports[name] = stack.enter_context(await asyncio.to_thread(make)).port
            names = {name: f"t{number}" for number, name in enumerate(ports)}
            taps = [
                word
                for name, port in ports.items()
                for word in ("--tap", f"{names[name]}={LOOPBACK}:0=https://localhost:{port}")
            ]
            engine = await asyncio.to_thread(
                lambda: Engine.start("--insecure", *taps, folder=tmp_path / "engine")
            )
            try:
                direct = {name: await looked(port) for name, port in ports.items()}
                through = {name: await looked(engine.port(names[name])) for name in ports}
            finally:
                await asyncio.to_thread(engine.stop)
        return direct, through, engine

    direct, through, engine = asyncio.run(run())
    assert {name: one[:3] for name, one in direct.items()} == EXPECTED
    assert through == direct
    with Capture.open(engine.capture) as capture:
        over_http2 = capture.query("SELECT count(*) FROM connection WHERE http_version = 'HTTP/2.0'")[0][0]
    assert over_http2 == sum(announced is True for _, announced, _ in EXPECTED.values())
