"""WebSockets over HTTP/2 of real servers: what Chromium does and gets direct, it does and gets through us."""

import asyncio
import sys
from contextlib import asynccontextmanager

import pytest

from tests.support.apps import NodeApp
from tests.support.certs import make_certificates
from tests.support.engine import Engine
from tests.support.h2_servers import ASGI_WITH_PAGE
from tests.support.small_servers import free_port
from wsinspect.capture.reader import Capture

pytestmark = pytest.mark.lab

APPLICATION = (
    'PAGE = b"<title>a</title>"\n'
    + ASGI_WITH_PAGE
    + """    await receive()
    path = scope["path"]
    if path == "/403":
        await send({"type": "websocket.close", "code": 1000})
        return
    await send({"type": "websocket.accept"})
    if path == "/echo":
        await send({"type": "websocket.send", "text": 'cmd:{"do":"send","text":"hello"}'})
        await send({"type": "websocket.send", "text": "got " + (await receive())["text"]})
        await send({"type": "websocket.close", "code": 4001, "reason": "asked"})
    elif path == "/byclient":
        await send({"type": "websocket.send", "text": 'cmd:{"do":"close","code":3005,"reason":"mine"}'})
        await receive()
    elif path == "/die":
        raise RuntimeError("die")
"""
)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@asynccontextmanager
async def node(folder, certificates, *arguments):
    app = await NodeApp.start("http2_server.mjs", str(certificates.chain), str(certificates.key), *arguments)
    try:
        yield (await app.first_line())["port"]
    finally:
        await app.stop()


@asynccontextmanager
async def hypercorn(folder, certificates):
    (folder / "hypercorn_app.py").write_text(APPLICATION)
    port = free_port()
    options = ["--bind", f"127.0.0.1:{port}", "--certfile", certificates.chain, "--keyfile", certificates.key]
    # Five seconds by default: where a busy machine takes longer between two steps, Hypercorn has closed the
    # connection, and Chromium opens the WebSocket on a new one, over HTTP/1.1.
    options += ["--keep-alive", "600"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hypercorn", *map(str, options), "hypercorn_app:app"),
        cwd=folder,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        while b"Running on" not in await asyncio.wait_for(process.stderr.readline(), 30):
            pass
        drain = asyncio.create_task(process.stderr.read())
        yield port
    finally:
        process.terminate()
        await process.wait()
    await drain


async def outcomes(base, paths, *proxy):
    browser = await NodeApp.start("chromium.mjs", f"https://{base}/", *proxy)
    try:
        await browser.first_line()
        found = {}
        for path in paths:
            # Over HTTP/2 Chromium opens a WebSocket only on a connection that is there, and Hypercorn drops a
            # whole one where a CLOSE frame comes for a stream that it has ended itself.
            await browser.ask(reload=True)
            found[path] = await browser.ask(url=f"wss://{base}{path}")
        return found
    finally:
        await browser.stop()


SERVERS = {
    "hypercorn": (hypercorn, ("/echo", "/byclient", "/403", "/die")),
    "node": (node, ("/echo", "/byclient", "/403", "/reset", "/die", "/fin", "/goaway")),
}


@pytest.mark.parametrize("server", SERVERS)
def test_chromium_is_told_the_same(tmp_path, certificates, server):
    async def play():
        start, paths = SERVERS[server]
        async with start(tmp_path, certificates) as port:
            tap = f"main=127.0.0.1:0=https://127.0.0.1:{port}"
            options = ("--insecure", "--tap", tap, "--listen", "0")
            run = await asyncio.to_thread(lambda: Engine.start(*options, folder=tmp_path))
            try:
                direct = await outcomes(f"localhost:{port}", paths)
                reverse = await outcomes(f"localhost:{run.port('main')}", paths)
                regular = await outcomes(f"localhost:{port}", paths, str(run.port("regular")))
            finally:
                await asyncio.to_thread(run.stop)
        return direct, reverse, regular, paths, run

    direct, reverse, regular, paths, run = asyncio.run(play())
    assert direct["/echo"]["code"] == 4001
    assert reverse == direct
    assert regular == direct
    with Capture.open(run.capture) as capture:
        found = capture.query(
            "SELECT tap, path, http_version, js_code, js_was_clean FROM connection ORDER BY id"
        )
    for tap in ("main", "regular"):
        # Chromium tries again what was refused with REFUSED_STREAM.
        mine = list(dict.fromkeys(tuple(rest) for name, *rest in found if name == tap))
        assert mine == [(path, "HTTP/2.0", direct[path]["code"], direct[path]["wasClean"]) for path in paths]


def test_without_the_offer_chromium_opens_a_connection_of_its_own(tmp_path, certificates):
    async def play():
        async with node(tmp_path, certificates, "off") as port:
            tap = f"main=127.0.0.1:0=https://127.0.0.1:{port}"
            options = ("--insecure", "--tap", tap)
            run = await asyncio.to_thread(lambda: Engine.start(*options, folder=tmp_path))
            try:
                await outcomes(f"localhost:{run.port('main')}", ["/echo"])
            finally:
                await asyncio.to_thread(run.stop)
        return run

    run = asyncio.run(play())
    with Capture.open(run.capture) as capture:
        assert capture.query("SELECT http_version FROM connection") == [("HTTP/1.1",)]
